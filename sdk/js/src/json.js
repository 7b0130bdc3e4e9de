// JSON to and from bytes, with faults that never quote a body: reasons are logged, and bodies must
// not be.

import { reject } from './failure.js';

export const encodeText = (text) => new TextEncoder().encode(text);

/** A value's JSON. What has none is rejected. */
export function encodeJson(value, what) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw reject(`${what} has no JSON: ${error.message}`);
  }
  if (text === undefined) throw reject(`${what} has no JSON: it is ${typeof value}`);
  return encodeText(text);
}

/** Text that is UTF-8. */
export function decodeText(bytes, what) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw reject(`${what}: not UTF-8`);
  }
}

export function decodeJson(bytes, what) {
  const text = decodeText(bytes, what);
  try {
    return JSON.parse(text);
  } catch (error) {
    const where = /line \d+ column \d+|position \d+/.exec(error.message);
    throw reject(`${what}: not JSON${where ? ` at ${where[0]}` : ''}`);
  }
}
