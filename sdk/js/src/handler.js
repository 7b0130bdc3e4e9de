// From a function to a handler, and from a message to what the host is told.

import { Context } from './context.js';
import { Failure, failureOf } from './failure.js';
import { Message } from './message.js';
import { outcomeOf } from './outcome.js';

/** In place of a schema: the body is its bytes, whatever they are. */
export const raw = Object.freeze({ '~standard': { version: 1, vendor: 'wasq-raw', validate: (value) => ({ value }) } });

export class Handler {
  constructor(work, schema) {
    this.work = work;
    this.schema = schema;
  }
}

/** A handler: of a function, or of a schema for the body and a function. */
export function wasq(...parts) {
  const work = parts.pop();
  const [schema] = parts;
  if (typeof work !== 'function') throw new TypeError('a handler is a function of a body and a context: wasq((order, cx) => { … })');
  if (schema !== undefined && schema?.['~standard'] === undefined) throw new TypeError('the schema is none: make it with object({ … }), or with zod, valibot or arktype');
  return new Handler(work, schema);
}

/** Runs a handler on one message. Gives an outcome, or throws a failure. */
export async function run(handler, parts, backend) {
  const cx = new Context(new Message(parts), backend);
  try {
    const body = handler.schema === raw ? cx.message.body : cx.message.json(handler.schema);
    return outcomeOf(await handler.work(body, cx));
  } catch (error) {
    const stack = (error?.cause ?? error)?.stack;
    if (!(error instanceof Failure && error.cause === undefined) && stack) cx.log.error(stackText(error?.cause ?? error), {});
    throw failureOf(error);
  }
}

/** An error with its stack. SpiderMonkey's stack does not begin with the error, as V8's does. */
const stackText = (error) => (String(error.stack).includes(error.message) ? error.stack : `${error.name}: ${error.message}\n${error.stack}`);
