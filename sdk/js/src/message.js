// What a producer sent.

import { reject } from './failure.js';
import { decodeJson, decodeText } from './json.js';
import { pathText } from './schema.js';

export class Message {
  /** @param {{ id: string, kind: string, body: Uint8Array, contentType: string, attributes: Record<string, string | Uint8Array> }} parts */
  constructor({ id, kind, body, contentType, attributes }) {
    Object.assign(this, { id, kind, body, contentType, attributes });
  }

  text() {
    return decodeText(this.body, 'body');
  }

  /** The body read as JSON; with a schema, checked. */
  json(schema) {
    const value = decodeJson(this.body, 'body');
    if (!schema) return value;
    const result = schema['~standard'].validate(value);
    if (typeof result?.then === 'function') throw new TypeError('the schema of a body is asynchronous, and a body is read synchronously');
    if (!result.issues) return result.value;
    const [issue] = result.issues;
    const path = pathText(issue.path);
    throw reject(path ? `body: field \`${path}\`: ${issue.message}` : `body: ${issue.message}`);
  }
}
