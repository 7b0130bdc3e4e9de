// Write wasq handlers in TypeScript and JavaScript. The README has the first one.

/** Standard Schema (https://standardschema.dev): what zod, valibot and arktype make, and the functions below. */
export interface StandardSchema<Output = unknown> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => { readonly value: Output; readonly issues?: undefined } | { readonly issues: ReadonlyArray<{ readonly message: string; readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined }> } | Promise<unknown>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}
export type Infer<Schema> = Schema extends StandardSchema<infer Output> ? Output : never;

interface Optional<Output> extends StandardSchema<Output | undefined> { readonly isOptional: true }
type Fields = Record<string, StandardSchema>;
type Simplify<T> = { [Key in keyof T]: T[Key] };
type Shape<F extends Fields> = Simplify<
  { [Key in keyof F as F[Key] extends Optional<unknown> ? never : Key]: Infer<F[Key]> } &
  { [Key in keyof F as F[Key] extends Optional<unknown> ? Key : never]?: Infer<F[Key]> }
>;

export function string(): StandardSchema<string>;
export function number(): StandardSchema<number>;
/** An integer of at most 53 bits. Longer ones are sent as strings. */
export function integer(): StandardSchema<number>;
export function boolean(): StandardSchema<boolean>;
export function unknown(): StandardSchema<unknown>;
/** One of these values. */
export function oneOf<const Value extends string | number>(...values: Value[]): StandardSchema<Value>;
/** A field that may be missing, or null. */
export function optional<Output>(inner: StandardSchema<Output>): Optional<Output>;
export function array<Output>(inner: StandardSchema<Output>): StandardSchema<Output[]>;
/** An object whose values are all of one schema. */
export function record<Output>(inner: StandardSchema<Output>): StandardSchema<Record<string, Output>>;
/** An object with these fields. Others are left out. */
export function object<const F extends Fields>(fields: F): StandardSchema<Shape<F>>;
/** In place of a schema: the body is its bytes, whatever they are. */
export const raw: StandardSchema<Uint8Array>;

/** A handler, as `wasq` makes it. */
export class Handler<Body = unknown> {
  private constructor();
  private readonly body: Body;
}

/** What a handler gives: nothing, an outcome, or a result, which the ledger keeps as JSON (at most 4 KiB by default). */
type Work<Body> = (body: Body, cx: Context) => unknown;

/** Makes a handler: `export const handler = wasq(schema, (order, cx) => { … })`. A body that does not fit the schema is rejected. */
export function wasq<Output>(schema: StandardSchema<Output>, work: Work<Output>): Handler<Output>;
/** The same without a schema: the body is taken as it is. */
export function wasq<Body = unknown>(work: Work<Body>): Handler<Body>;

/** The work was not done, on purpose. Anything else that is thrown is a retry. */
export class Failure extends Error {
  readonly kind: 'retry' | 'unavailable' | 'reject';
  readonly reason: string;
  readonly afterMs?: number;
  readonly dependency?: string;
}
/** Try again later, by the manifest's backoff or in `afterMs`; counts an attempt. */
export function retry(reason: string, options?: { afterMs?: number }): Failure;
/** This message can never succeed: dead-letter it now. */
export function reject(reason: string): Failure;
/** A dependency is down: try again when it is back, without counting an attempt. */
export function unavailable(dependency: string, reason: string, options?: { afterMs?: number }): Failure;

/** The work needs no further attempt. */
export class Outcome {
  readonly kind: 'done' | 'discard' | 'snooze';
}
/** Done, with this result. */
export function done(result?: unknown): Outcome;
/** Not worth doing, for this reason, which the host logs. */
export function discard(reason: string): Outcome;
/** Not yet: delivered again after so many milliseconds, without counting an attempt. */
export function snooze(ms: number): Outcome;

export interface Message {
  /** The id of this delivery. Use `cx.idempotencyKey` to recognise a message. */
  readonly id: string;
  readonly kind: string;
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly attributes: Readonly<Record<string, string | Uint8Array>>;
  text(): string;
  json(): unknown;
  json<Output>(schema: StandardSchema<Output>): Output;
}

export interface SendOptions {
  /** Rounded up to a second; at most 136 years. */
  delayMs?: number;
  /** In place of a delay: about this time. */
  at?: Date;
  /** The message group, for a FIFO queue or a fair queue. */
  group?: string;
  attributes?: Record<string, string | number | bigint | Uint8Array>;
}

export interface Group {
  /** A member: as `cx.send`. */
  send(queue: string, kind: string, body: unknown, options?: SendOptions): void;
  /** What is sent, once, when every member has ended. `onFailure` is what a dead-lettered member means: it has ended (`send`, the default), the group waits for its replay, or the group ends at once. */
  followWith(queue: string, kind: string, body: unknown, options?: SendOptions & { onFailure?: 'send' | 'wait' | 'cancel' }): void;
}

export type MemberEnd = { tag: 'done'; result?: Uint8Array } | { tag: 'discarded' | 'dead-lettered'; reason: string };
export interface Member { readonly queue: string; readonly kind: string; readonly end?: MemberEnd }

export interface EndedGroup {
  readonly name: string;
  readonly done: number;
  readonly discarded: number;
  readonly deadLettered: number;
  members(): Iterable<Member>;
  /** The results of its members of this type that are done. */
  results<T = unknown>(kind: string): T[];
}

export type Waiting =
  | { state: 'pending'; token: string; /** How the handler ends, to wait. */ outcome(): Outcome }
  | { state: 'answered'; body: Uint8Array; json<T = unknown>(): T }
  | { state: 'timed-out' };

export interface RequestOptions {
  headers?: Record<string, string>;
  json?: unknown;
  body?: Uint8Array | string;
  /** The header `idempotency-key`: the message's own, or that of one of several effects by its name. */
  key?: boolean | string;
  /** From the connection to the last byte; 10 s by default, and never longer than the handler's own time. */
  timeoutMs?: number;
}

export interface Response {
  readonly status: number;
  readonly ok: boolean;
  readonly headers: ReadonlyArray<readonly [string, string]>;
  readonly body: Uint8Array;
  header(name: string): string | undefined;
  text(): string;
  json<T = any>(): T;
  /** Itself, if its status is one of success; else it throws. 429 and 503 are an unavailable host. */
  orThrow(): Response;
}

/** No usable answer. One that is not caught is a retry, or unavailable where its host is down. */
export class HttpError extends Error {
  readonly host: string;
  readonly kind: 'connect' | 'timeout' | 'broken' | 'unsendable' | 'status';
  readonly status?: number;
  readonly retryAfterMs?: number;
}

/** HTTP to the hosts that the manifest's `allowed_outbound_hosts` names. It blocks: a handler has its instance to itself. */
export interface Http {
  get(url: string, options?: RequestOptions): Response;
  post(url: string, options?: RequestOptions): Response;
  put(url: string, options?: RequestOptions): Response;
  patch(url: string, options?: RequestOptions): Response;
  delete(url: string, options?: RequestOptions): Response;
  request(method: string, url: string, options?: RequestOptions): Response;
}

type Write = (text: string, fields?: Record<string, unknown>) => void;

/** One delivery of a message. */
export interface Context {
  readonly message: Message;
  readonly http: Http;
  /** Records in the host's log. `console` writes there, too. */
  readonly log: { readonly trace: Write; readonly debug: Write; readonly info: Write; readonly warn: Write; readonly error: Write };
  /** 1 for the first. */
  readonly attempt: number;
  /** Milliseconds until the host stops this handler. */
  readonly remainingMs: number;
  /** The same in every delivery of this message. */
  readonly idempotencyKey: string;
  readonly sentAt: Date;
  /** A variable of the manifest, or the operator's value in its place. */
  variable(name: string): string;
  /** Does a part of the work once: a later attempt gets what it gave, as JSON has it. */
  once<T>(name: string, work: () => Promise<T>): T | Promise<T>;
  once<T>(name: string, work: () => T): T;
  /** Sends a message when this handler succeeds. `self` is the queue that this message came from. */
  send(queue: string, kind: string, body: unknown, options?: SendOptions): void;
  /** A group of messages, under a name of this plugin's own. */
  group(name: string): Group;
  /** The group that this message is a member of. */
  readonly ownGroup: Group;
  /** The group whose end this message follows. */
  readonly endedGroup: EndedGroup | undefined;
  /** Waits for an answer from outside, without running. */
  waitFor(name: string, timeoutMs: number): Waiting;
}
