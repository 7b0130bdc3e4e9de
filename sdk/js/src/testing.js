// Handlers in a test of Node's own runner: a host in memory that records what the handler asked of
// it. No WebAssembly.

import { Failure } from './failure.js';
import { Handler, run } from './handler.js';
import { NoAnswer } from './http.js';
import { encodeText } from './json.js';

const json = (value) => encodeText(JSON.stringify(value));

/** A message and the host that delivers it; each function but `run` says more of them, and gives it back. */
export function test(body = {}) {
  return new Test(body);
}

class Test {
  #message;
  #variables = new Map();
  #replies = [];
  #steps = new Map();
  #answers = new Map();
  #ended;
  #delivery = { attempt: 1, remainingMs: 30_000, key: '0'.repeat(64), sentAt: new Date(0) };

  constructor(body) {
    const bytes = body instanceof Uint8Array ? body : json(body);
    this.#message = { id: '00000000-0000-0000-0000-000000000000', kind: 'test', body: bytes, contentType: 'application/json', attributes: {} };
    /** What the handler asked of the host, over all runs. */
    this.requests = [];
    this.sent = [];
    this.logged = [];
  }

  kind(kind) { this.#message.kind = kind; return this; }
  attribute(name, value) { this.#message.attributes[name] = value; return this; }
  contentType(type) { this.#message.contentType = type; return this; }
  variable(name, value) { this.#variables.set(name, value); return this; }
  attempt(attempt) { this.#delivery.attempt = attempt; return this; }
  remainingMs(ms) { this.#delivery.remainingMs = ms; return this; }
  sentAt(date) { this.#delivery.sentAt = date; return this; }
  /** The answer to the next request of this method to this URL. */
  reply(method, url, { status = 200, headers = {}, json: value, body } = {}) {
    this.#replies.push({ method, url, answer: { status, headers: Object.entries(headers), body: value !== undefined ? json(value) : encodeText(body ?? '') } });
    return this;
  }
  /** No answer to the next request of this method to this URL. */
  noAnswer(method, url, reason, kind = 'connect') {
    this.#replies.push({ method, url, fault: new NoAnswer(kind, reason) });
    return this;
  }
  /** A step that an earlier attempt has recorded. */
  step(name, value) { this.#steps.set(name, json(value)); return this; }
  /** An answer from outside; `null` is a wait whose time is over. */
  answered(name, value) {
    this.#answers.set(name, value === null ? { state: 'timed-out' } : { state: 'answered', body: value instanceof Uint8Array ? value : json(value) });
    return this;
  }
  /** The group whose end the message follows, with its members. */
  endedGroup(name, members) {
    const count = (tag) => members.filter(({ end }) => end?.tag === tag).length;
    this.#ended = { name, members, done: count('done'), discarded: count('discarded'), deadLettered: count('dead-lettered') };
    return this;
  }

  /** What earlier runs have recorded, as values. */
  get steps() {
    return Object.fromEntries([...this.#steps].map(([name, bytes]) => [name, JSON.parse(new TextDecoder().decode(bytes))]));
  }

  /** Runs a handler as the host does. Gives how it ended. */
  async run(handler) {
    if (!(handler instanceof Handler)) throw new TypeError('this is no handler: wasq(…) makes one');
    try {
      const { kind, value } = await run(handler, this.#message, this.#backend());
      if (kind === 'done') return { kind, result: value && JSON.parse(new TextDecoder().decode(value)) };
      return kind === 'snooze' ? { kind, afterMs: value } : { kind, reason: value };
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      const { kind, reason, afterMs, dependency } = failure;
      return Object.fromEntries(Object.entries({ kind, reason, afterMs, dependency }).filter(([, value]) => value !== undefined));
    }
  }

  #backend() {
    return {
      attempt: () => this.#delivery.attempt,
      remainingMs: () => this.#delivery.remainingMs,
      idempotencyKey: () => this.#delivery.key,
      sentAtMs: () => this.#delivery.sentAt.getTime(),
      variables: () => [...this.#variables],
      step: (name) => this.#steps.get(name),
      recordStep: (name, value) => void this.#steps.set(name, value),
      send: ({ body, attributes, ...message }) => {
        const text = new TextDecoder().decode(body);
        const values = Object.fromEntries(attributes.map(({ name, value }) => [name, value.val]));
        this.sent.push({ ...message, attributes: values, bytes: body, get body() { return JSON.parse(text); } });
      },
      wait: (name) => this.#answers.get(name) ?? { state: 'pending', token: `token-of-${name}` },
      endedGroup: () => this.#ended,
      members: (first) => this.#ended.members.slice(first, first + 100).map(({ end, ...member }) => ({ ...member, end: end && memberEnd(end) })),
      logEnabled: () => true,
      logWrite: (level, target, message, fields) => void this.logged.push({ level, target, message, fields: Object.fromEntries(fields) }),
      request: ({ method, url, headers, body }) => this.#request(method, url, headers, body),
    };
  }

  #request(method, url, headers, body) {
    const text = new TextDecoder().decode(body);
    this.requests.push({ method, url, headers: Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value])), bytes: body, get json() { return JSON.parse(text); } });
    const at = this.#replies.findIndex((reply) => reply.method === method && reply.url === url);
    if (at < 0) throw new Error(`the test has no reply to ${method} ${url}: say it with .reply('${method}', '${url}', { … })`);
    const [{ answer, fault }] = this.#replies.splice(at, 1);
    if (fault) throw fault;
    return answer;
  }
}

const memberEnd = ({ tag, result, reason }) => (tag === 'done' ? { tag, result: result === undefined ? undefined : json(result) } : { tag, reason });
