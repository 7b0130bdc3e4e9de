// Messages that belong together, and one that is sent when all of them have ended.

import { reject } from './failure.js';
import { decodeJson } from './json.js';

export class Group {
  #name;
  #send;

  constructor(name, send) {
    this.#name = name;
    this.#send = send;
  }

  /** A member: as `cx.send`. */
  send(queue, kind, body, options) {
    this.#send(queue, kind, body, options, { group: this.#name });
  }

  /** What is sent, once, when every member has ended. */
  followWith(queue, kind, body, { onFailure = 'send', ...options } = {}) {
    this.#send(queue, kind, body, options, { group: this.#name, onFailure });
  }
}

export class EndedGroup {
  #read;

  constructor({ name, done, discarded, deadLettered }, read) {
    Object.assign(this, { name, done, discarded, deadLettered });
    this.#read = read;
  }

  /** Its members, in the order in which each handler sent its own. */
  *members() {
    for (let first = 0; ;) {
      const page = this.#read(first);
      if (page.length === 0) return;
      yield* page;
      first += page.length;
    }
  }

  /** The results of its members of this type that are done. */
  results(kind) {
    const results = [];
    for (const { kind: of, end } of this.members()) {
      if (of !== kind || end?.tag !== 'done') continue;
      if (!end.result) throw reject(`the result of a \`${kind}\`: there is none`);
      results.push(decodeJson(end.result, `the result of a \`${kind}\``));
    }
    return results;
  }
}
