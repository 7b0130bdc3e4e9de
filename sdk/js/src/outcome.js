// The ways in which a message's work needs no further attempt.

import { encodeJson } from './json.js';

export class Outcome {
  /** @param {'done' | 'discard' | 'snooze'} kind */
  constructor(kind, value) {
    this.kind = kind;
    this.value = value;
  }
}

/** Done; the ledger keeps the result as JSON. */
export const done = (result) => new Outcome('done', result === undefined ? undefined : encodeJson(result, 'the result'));
export const discard = (reason) => new Outcome('discard', reason);
export const snooze = (ms) => new Outcome('snooze', ms);

/** What a handler gave, as an outcome: anything but an outcome is its result. */
export const outcomeOf = (value) => (value instanceof Outcome ? value : done(value ?? undefined));
