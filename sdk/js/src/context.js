// What a handler knows of its delivery, and what it can ask of the host.

import { Failure, atPlace, describe, failureOf, retry } from './failure.js';
import { EndedGroup, Group } from './group.js';
import { Http } from './http.js';
import { decodeJson, encodeJson } from './json.js';
import { outgoing } from './outbox.js';
import { snooze } from './outcome.js';

/** The target of its records. */
const TARGET = 'handler';

export class Context {
  #backend;

  constructor(message, backend) {
    this.#backend = backend;
    this.message = message;
    this.http = new Http(backend);
    const write = (level) => (text, fields = {}) => {
      if (backend.logEnabled(level)) backend.logWrite(level, TARGET, String(text), Object.entries(fields).map(([name, value]) => [name, shown(value)]));
    };
    this.log = { trace: write('trace'), debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  }

  get attempt() { return this.#backend.attempt(); }
  get remainingMs() { return this.#backend.remainingMs(); }
  get idempotencyKey() { return this.#backend.idempotencyKey(); }
  get sentAt() { return new Date(this.#backend.sentAtMs()); }

  variable(name) {
    const found = this.#backend.variables().find(([key]) => key === name);
    if (!found) throw retry(`variable \`${name}\` is not set: declare it under [variables] in plugin.toml`);
    return found[1];
  }

  /** Does a part of the work once: a later attempt gets what it gave. The work may be async; then so is the answer. */
  once(name, work) {
    const place = `step \`${name}\``;
    const known = atPlace(place, () => this.#backend.step(name));
    if (known) {
      try {
        return decodeJson(known, place);
      } catch {
        throw retry(`${place}: what an earlier attempt recorded does not fit this version of the handler`);
      }
    }
    const record = (value) => {
      const bytes = encodeJson(value ?? null, `${place}: its value`);
      atPlace(place, () => this.#backend.recordStep(name, bytes));
      // As a later attempt reads it.
      return decodeJson(bytes, place);
    };
    let value;
    try {
      value = work();
    } catch (error) {
      throw inStep(error, place);
    }
    if (typeof value?.then !== 'function') return record(value);
    return value.then(record, (error) => {
      throw inStep(error, place);
    });
  }

  /** Sends a message when this handler succeeds. `self` is the queue that this message came from. */
  send(queue, kind, body, options) {
    this.#send(queue, kind, body, options);
  }

  group(name) {
    return new Group(name, (...message) => this.#send(...message));
  }

  /** The group that this message is a member of. */
  get ownGroup() {
    return new Group(undefined, (...message) => this.#send(...message));
  }

  /** The group whose end this message follows. */
  get endedGroup() {
    const ended = this.#backend.endedGroup();
    return ended && new EndedGroup(ended, (first) => atPlace("the group's members", () => this.#backend.members(first)));
  }

  /** Waits for an answer from outside, without running. */
  waitFor(name, timeoutMs) {
    const wait = atPlace(`wait \`${name}\``, () => this.#backend.wait(name, timeoutMs));
    if (wait.state === 'pending') return { ...wait, outcome: () => snooze(timeoutMs) };
    if (wait.state !== 'answered') return wait;
    return { ...wait, json: () => decodeJson(wait.body, 'the answer') };
  }

  #send(queue, kind, body, options = {}, part) {
    const place = `outbox, \`${kind}\` to queue \`${queue}\``;
    atPlace(place, () => this.#backend.send(outgoing(place, queue, kind, body, options, part)));
  }
}

/** What was thrown in a step says so. */
function inStep(error, place) {
  if (error instanceof Failure || typeof error?.toFailure === 'function') return failureOf(error).within(place);
  const failure = retry(`${place}: ${describe(error)}`);
  failure.cause = error;
  return failure;
}

const shown = (value) => (typeof value === 'string' ? value : JSON.stringify(value) ?? String(value));

