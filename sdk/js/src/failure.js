// The ways in which a message's work was not done.

/** The work was not done, on purpose. Anything else that is thrown is a retry. */
export class Failure extends Error {
  /**
   * @param {'retry' | 'unavailable' | 'reject'} kind
   * @param {string} reason
   * @param {{ afterMs?: number, dependency?: string }} [more]
   */
  constructor(kind, reason, { afterMs, dependency } = {}) {
    super(reason);
    this.name = 'Failure';
    this.kind = kind;
    this.afterMs = afterMs;
    this.dependency = dependency;
  }

  get reason() {
    return this.message;
  }

  /** The same failure, saying in which part of the work it happened. */
  within(place) {
    return new Failure(this.kind, `${place}: ${this.message}`, { afterMs: this.afterMs, dependency: this.dependency });
  }
}

export const retry = (reason, { afterMs } = {}) => new Failure('retry', reason, { afterMs });
export const reject = (reason) => new Failure('reject', reason);
export const unavailable = (dependency, reason, { afterMs } = {}) => new Failure('unavailable', reason, { afterMs, dependency });

/** A refusal of the host's: `kind` is `limit`, `unavailable`, `denied` or `gone`. */
export class HostError extends Error {
  constructor(kind, reason) {
    super(reason);
    this.name = 'HostError';
    this.kind = kind;
  }

  /** What it is to a handler that does not catch it. */
  toFailure(place) {
    const failure = {
      unavailable: () => unavailable('ledger', this.message),
      denied: () => retry(this.message),
    }[this.kind]?.() ?? reject(this.message);
    return failure.within(place);
  }
}

/** Gives what `work` gives. A refusal of the host's becomes a failure that names the place. */
export function atPlace(place, work) {
  try {
    return work();
  } catch (error) {
    throw error instanceof HostError ? error.toFailure(place) : error;
  }
}

/** What a handler threw, as a failure. */
export function failureOf(error) {
  if (error instanceof Failure) return error;
  if (typeof error?.toFailure === 'function') return error.toFailure();
  return retry(describe(error));
}

/** An error's name and text; what is no error, as text. */
export function describe(error) {
  if (!(error instanceof Error)) return `threw ${typeof error === 'string' ? error : JSON.stringify(error) ?? String(error)}`;
  return error.message ? `${error.name}: ${error.message}` : error.name;
}
