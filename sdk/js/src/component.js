// The export of a component, and the host behind it: the only file that the contract's modules are
// imported in, but for wasi-http.js. `wasq-build` makes the component's entry from it.

import * as delivery from 'wasq:worker/delivery@0.2.0';
import * as groups from 'wasq:worker/groups@0.2.0';
import * as log from 'wasq:worker/log@0.2.0';
import * as outbox from 'wasq:worker/outbox@0.2.0';
import * as steps from 'wasq:worker/steps@0.2.0';
import * as waits from 'wasq:worker/waits@0.2.0';
import { getEnvironment } from 'wasi:cli/environment@0.2.0';
// `wasq-build` puts no-http.js in its place where the manifest names no host.
import { request } from './wasi-http.js';

import { Failure, HostError } from './failure.js';
import { Handler, run } from './handler.js';

/** What an import of the contract gives; its error is a refusal of the host's. */
function call(work) {
  try {
    return work();
  } catch (error) {
    const payload = error?.payload;
    throw payload?.tag ? new HostError(payload.tag, payload.val) : error;
  }
}

function sendOptions({ delayS, group, attributes }) {
  if (delayS === 0 && group === undefined && attributes.length === 0) return undefined;
  const options = new outbox.SendOptions();
  options.setDelayS(delayS);
  if (group !== undefined) options.setGroup(group);
  for (const attribute of attributes) options.setAttribute(attribute);
  return options;
}

const backend = {
  attempt: delivery.attempt,
  remainingMs: delivery.remainingMs,
  idempotencyKey: delivery.idempotencyKey,
  sentAtMs: () => Number(delivery.sentAtMs()),
  variables: getEnvironment,
  step: (name) => call(() => steps.get(name)),
  recordStep: (name, value) => call(() => steps.put(name, value)),
  send: (message) => call(() => {
    const { queue: name, kind, body, part } = message;
    const queue = name === '' || name === 'self' ? { tag: 'origin' } : { tag: 'named', val: name };
    const options = sendOptions(message);
    if (!part) return outbox.send(queue, kind, body, options);
    if (!part.onFailure) return groups.add(part.group, queue, kind, body, options);
    return groups.followWith(part.group, part.onFailure, queue, kind, body, options);
  }),
  wait: (name, timeoutMs) => {
    const { tag, val } = call(() => waits.wait(name, milliseconds(timeoutMs)));
    if (tag === 'pending') return { state: 'pending', token: val };
    return tag === 'answered' ? { state: 'answered', body: val } : { state: 'timed-out' };
  },
  endedGroup: () => groups.ended(),
  members: (first) => call(() => groups.members(first)).map(({ queue, kind, end }) => ({ queue, kind, end: end && memberEnd(end) })),
  logEnabled: log.enabled,
  logWrite: log.write,
  request,
};

const memberEnd = ({ tag, val }) => (tag === 'done' ? { tag, result: val } : { tag, reason: val });
const milliseconds = (ms) => BigInt(Math.max(0, Math.trunc(ms)));

/** console's functions write to the host's log. */
function installConsole() {
  const text = (value) => {
    if (typeof value === 'string') return value;
    if (value instanceof Error) return value.stack ? `${value.name}: ${value.message}\n${value.stack}` : String(value);
    try {
      return JSON.stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const levels = { trace: 'trace', debug: 'debug', log: 'info', info: 'info', warn: 'warn', error: 'error' };
  for (const [name, level] of Object.entries(levels)) {
    console[name] = (...values) => {
      if (log.enabled(level)) log.write(level, 'console', values.map(text).join(' '), []);
    };
  }
}

const OUTCOMES = {
  done: (result) => ({ tag: 'done', val: result }),
  discard: (reason) => ({ tag: 'discard', val: String(reason) }),
  snooze: (ms) => ({ tag: 'snooze', val: milliseconds(ms) }),
};
const FAILURES = {
  retry: ({ reason }) => ({ tag: 'retry', val: reason }),
  reject: ({ reason }) => ({ tag: 'reject', val: reason }),
  unavailable: ({ dependency, reason }) => ({ tag: 'unavailable', val: { dependency, reason } }),
};

/** The component's export `message-handler` for a handler. It runs in the build, too, so what is no handler is found there. */
export function component(handler) {
  if (!(handler instanceof Handler)) throw new TypeError('the module exports no `handler`: export const handler = wasq((order, cx) => { … })');
  return { handle: (message) => handle(handler, message) };
}

async function handle(handler, { id, kind, body, contentType, attributes }) {
  installConsole();
  const values = Object.fromEntries(attributes.map(({ name, value }) => [name, value.val]));
  try {
    const { kind: end, value } = await run(handler, { id, kind, body, contentType, attributes: values }, backend);
    return OUTCOMES[end](value);
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    if (failure.afterMs !== undefined) delivery.retryAfter(milliseconds(failure.afterMs));
    throw FAILURES[failure.kind](failure);
  }
}
