// Messages to send when the handler succeeds.

import { reject } from './failure.js';
import { encodeJson } from './json.js';

/** The longest delay: 136 years. */
const DELAY_MAX_S = 2 ** 32 - 1;

/** A message as the host takes it. */
export function outgoing(place, queue, kind, body, { delayMs = 0, at, group, attributes = {} } = {}, part) {
  const delay = at === undefined ? delayMs : Math.max(0, at.getTime() - Date.now());
  const delayS = Math.ceil(delay / 1000);
  if (!(delayS >= 0 && delayS <= DELAY_MAX_S)) throw reject(`${place}: a delay of ${delay} ms is not from 0 to ${DELAY_MAX_S} s`);
  return {
    queue,
    kind,
    body: body instanceof Uint8Array ? body : encodeJson(body, `${place}: the body`),
    delayS,
    group,
    attributes: Object.entries(attributes).map(([name, value]) => ({ name, value: attribute(value) })),
    part,
  };
}

function attribute(value) {
  if (value instanceof Uint8Array) return { tag: 'binary', val: value };
  return typeof value === 'number' || typeof value === 'bigint' ? { tag: 'number', val: String(value) } : { tag: 'text', val: String(value) };
}
