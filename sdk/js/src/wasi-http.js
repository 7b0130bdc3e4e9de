// A request over wasi:http. It blocks, and keeps the host's words: the engine's `fetch` hides them.

import { handle } from 'wasi:http/outgoing-handler@0.2.0';
import { Fields, OutgoingBody, OutgoingRequest, RequestOptions, httpErrorCode } from 'wasi:http/types@0.2.0';

import { NoAnswer } from './http.js';

const READ_BYTES = 64n * 1024n;
/** WASI's limit for one blocking write. */
const WRITE_BYTES = 4096;
/** The most that is read of an answer's body. */
const ANSWER_MAX_BYTES = 16 * 1024 * 1024;

const latin1 = (bytes) => String.fromCharCode(...bytes);
const free = (resource) => resource[Symbol.dispose]?.();

export function request({ method, scheme, authority, path, headers, body, timeoutMs }) {
  try {
    const pending = send(outgoing(method, scheme, authority, path, headers, body), body, timeoutMs);
    const answer = wait(pending);
    const list = answer.headers().entries().map(([name, value]) => [name, latin1(value)]);
    return { status: answer.status(), headers: list, body: read(answer) };
  } catch (error) {
    throw noAnswer(error);
  }
}

function outgoing(method, scheme, authority, path, headers, body) {
  const list = headers.map(([name, value]) => [name, new TextEncoder().encode(value)]);
  if (body.length) list.push(['content-length', new TextEncoder().encode(String(body.length))]);
  const known = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'].includes(method);
  try {
    const request = new OutgoingRequest(Fields.fromList(list));
    request.setMethod(known ? { tag: method.toLowerCase() } : { tag: 'other', val: method });
    request.setScheme({ tag: scheme === 'https' ? 'HTTPS' : 'HTTP' });
    request.setAuthority(authority);
    request.setPathWithQuery(path);
    return request;
  } catch (error) {
    throw new NoAnswer('unsendable', `its method, URL or a header cannot be sent (${describe(error.payload ?? error)})`);
  }
}

function send(request, body, timeoutMs) {
  const options = new RequestOptions();
  const timeout = BigInt(Math.trunc(timeoutMs)) * 1_000_000n;
  options.setConnectTimeout(timeout);
  options.setFirstByteTimeout(timeout);
  options.setBetweenBytesTimeout(timeout);
  const sink = body.length ? request.body() : undefined;
  const pending = handle(request, options);
  if (sink) {
    const stream = sink.write();
    try {
      for (let at = 0; at < body.length; at += WRITE_BYTES) stream.blockingWriteAndFlush(body.subarray(at, at + WRITE_BYTES));
    } catch (error) {
      // When the stream closes early, the answer says why.
      if (!['closed', 'last-operation-failed'].includes(error.payload?.tag)) throw error;
      return pending;
    } finally {
      free(stream);
    }
    OutgoingBody.finish(sink, undefined);
  }
  return pending;
}

function wait(pending) {
  const ready = pending.subscribe();
  ready.block();
  free(ready);
  // A result in a result: the outer one says whether it was taken before.
  const inner = pending.get()?.val;
  if (inner?.tag === 'ok') return inner.val;
  throw inner?.tag === 'err' ? Object.assign(new Error('no answer'), { payload: inner.val }) : new NoAnswer('broken', 'its answer was taken already');
}

function read(answer) {
  const stream = answer.consume().stream();
  const chunks = [];
  let length = 0;
  for (;;) {
    let chunk;
    try {
      chunk = stream.blockingRead(READ_BYTES);
    } catch (error) {
      if (error.payload?.tag === 'closed') break;
      if (error.payload?.tag !== 'last-operation-failed') throw error;
      const code = httpErrorCode(error.payload.val);
      throw code ? Object.assign(new Error('broken'), { payload: code }) : new NoAnswer('broken', error.payload.val.toDebugString());
    }
    length += chunk.length;
    if (length > ANSWER_MAX_BYTES) throw new NoAnswer('broken', `the answer's body is over the limit of ${ANSWER_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  free(stream);
  const body = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

/** Codes of a request that was never on its way, and others that have words of their own. */
const CONNECT = {
  'DNS-timeout': 'the name was not resolved in time',
  'DNS-error': (payload) => `the name was not resolved: ${payload?.rcode ?? 'no reason'}`,
  'destination-not-found': 'destination not found',
  'destination-unavailable': 'destination unavailable',
  'destination-IP-unroutable': 'no route to its address',
  'connection-refused': 'refused',
  'connection-timeout': "it was not made in time (the host's egress.connect_timeout)",
};
const BROKEN = {
  'HTTP-request-denied': 'the host denied the request: name its scheme, host and port in allowed_outbound_hosts',
  'destination-IP-prohibited': 'its address is a prohibited one',
};

function noAnswer(error) {
  const code = error?.payload;
  if (error instanceof NoAnswer || !code?.tag) return error;
  const connect = CONNECT[code.tag];
  if (connect) return new NoAnswer('connect', `no connection: ${typeof connect === 'string' ? connect : connect(code.val)}`);
  return new NoAnswer('broken', describe(code));
}

const describe = (code) => BROKEN[code.tag] ?? (typeof code.val === 'string' ? code.val : code.tag ?? String(code));
