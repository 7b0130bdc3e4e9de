// Write wasq handlers in TypeScript and JavaScript. The README has the first one.

export { Failure, reject, retry, unavailable } from './failure.js';
export { Handler, raw, wasq } from './handler.js';
export { HttpError } from './http.js';
export { Outcome, discard, done, snooze } from './outcome.js';
export { array, boolean, integer, number, object, oneOf, optional, record, string, unknown } from './schema.js';
