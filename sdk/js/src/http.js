// HTTP to the hosts that the manifest's allowed_outbound_hosts names. It blocks: a handler has its
// instance to itself.

import { Failure, retry, unavailable } from './failure.js';
import { encodeJson, decodeJson, decodeText, encodeText } from './json.js';

/** How long an answer may take by default. */
const TIMEOUT_MS = 10_000;
/** What is kept back of the handler's own time, so that it can still say which host did not answer. */
const TIME_TO_REPORT_MS = 250;

/** No answer. `kind` is `connect` where the request was not on its way. */
export class HttpError extends Error {
  constructor(message, { host, kind, status, retryAfterMs } = {}) {
    super(message);
    this.name = 'HttpError';
    Object.assign(this, { host, kind, status, retryAfterMs });
  }

  toFailure() {
    const isDown = this.kind === 'connect' || this.status === 429 || this.status === 503;
    return isDown ? unavailable(this.host, this.message, { afterMs: this.retryAfterMs }) : retry(this.message);
  }
}

export class Http {
  #backend;

  constructor(backend) {
    this.#backend = backend;
  }

  get(url, options) { return this.request('GET', url, options); }
  post(url, options) { return this.request('POST', url, options); }
  put(url, options) { return this.request('PUT', url, options); }
  patch(url, options) { return this.request('PATCH', url, options); }
  delete(url, options) { return this.request('DELETE', url, options); }

  request(method, url, { headers = {}, json, body, key, timeoutMs = TIMEOUT_MS } = {}) {
    const parts = /^(https?):\/\/([^/?#@\s]+)([/?][^#\s]*)?(#.*)?$/i.exec(url);
    if (!parts) throw new HttpError(`${method} request: the URL is not http:// or https:// with a host`, { host: '', kind: 'unsendable' });
    const [, scheme, authority, rest = '/'] = parts;
    const path = rest.startsWith('?') ? `/${rest}` : rest;
    const what = `${method} ${scheme}://${authority}${path.split('?')[0]}`;
    const list = Object.entries(headers).map(([name, value]) => [name, String(value)]);
    if (key) {
      const own = this.#backend.idempotencyKey();
      list.push(['idempotency-key', key === true ? own : `${own}:${key}`]);
    }
    if (json !== undefined && !list.some(([name]) => name.toLowerCase() === 'content-type')) list.push(['content-type', 'application/json']);
    const bytes = json !== undefined ? encodeJson(json, 'the request') : typeof body === 'string' ? encodeText(body) : body ?? new Uint8Array();
    const limit = Math.max(1, Math.min(timeoutMs, this.#backend.remainingMs() - TIME_TO_REPORT_MS));
    const host = authority.replace(/:\d+$/, '').toLowerCase();
    try {
      const answer = this.#backend.request({ method, scheme: scheme.toLowerCase(), authority, path, url, headers: list, body: bytes, timeoutMs: limit });
      return new Response(what, host, answer);
    } catch (error) {
      if (error instanceof Failure || !(error instanceof NoAnswer)) throw error;
      throw new HttpError(`${what}: ${error.message}`, { host, kind: error.kind });
    }
  }
}

/** Why there is no answer, in the host's words. */
export class NoAnswer extends Error {
  /** @param {'connect' | 'timeout' | 'broken' | 'unsendable'} kind */
  constructor(kind, reason) {
    super(reason);
    this.kind = kind;
  }
}

export class Response {
  #what;
  #host;

  constructor(what, host, { status, headers, body }) {
    this.#what = what;
    this.#host = host;
    Object.assign(this, { status, headers, body });
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  header(name) {
    return this.headers.find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
  }

  text() {
    return decodeText(this.body, `${this.#what}: the answer's body`);
  }

  json() {
    return decodeJson(this.body, `${this.#what}: the answer's body`);
  }

  /** Itself, if its status is one of success. 429 and 503 are an unavailable host. */
  orThrow() {
    if (this.ok) return this;
    const after = this.header('retry-after');
    const retryAfterMs = /^\d{1,9}$/.test(after ?? '') ? Number(after) * 1000 : undefined;
    throw new HttpError(`${this.#what}: answered ${this.status}`, { host: this.#host, kind: 'status', status: this.status, retryAfterMs });
  }
}
