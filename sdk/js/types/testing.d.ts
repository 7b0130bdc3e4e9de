// Handlers in a test: a host in memory that records what the handler asked of it. No WebAssembly.

import type { Handler } from './index.js';

export type Ended =
  | { kind: 'done'; result?: any }
  | { kind: 'discard'; reason: string }
  | { kind: 'snooze'; afterMs: number }
  | { kind: 'retry' | 'reject' | 'unavailable'; reason: string; afterMs?: number; dependency?: string };

export interface SentRequest { method: string; url: string; headers: Record<string, string>; bytes: Uint8Array; readonly json: any }
export interface SentMessage { queue: string; kind: string; delayS: number; group?: string; attributes: Record<string, string | Uint8Array>; bytes: Uint8Array; readonly body: any; part?: { group?: string; onFailure?: string } }
export interface LogRecord { level: 'trace' | 'debug' | 'info' | 'warn' | 'error'; target: string; message: string; fields: Record<string, string> }
export interface TestMember { queue: string; kind: string; end?: { tag: 'done'; result?: unknown } | { tag: 'discarded' | 'dead-lettered'; reason: string } }

export interface Test {
  kind(kind: string): this;
  attribute(name: string, value: string | Uint8Array): this;
  contentType(type: string): this;
  variable(name: string, value: string): this;
  attempt(attempt: number): this;
  remainingMs(ms: number): this;
  sentAt(date: Date): this;
  /** The answer to the next request of this method to this URL. */
  reply(method: string, url: string, answer?: { status?: number; headers?: Record<string, string>; json?: unknown; body?: string }): this;
  /** No answer to the next request of this method to this URL. */
  noAnswer(method: string, url: string, reason: string, kind?: 'connect' | 'timeout' | 'broken' | 'unsendable'): this;
  /** A step that an earlier attempt has recorded. */
  step(name: string, value: unknown): this;
  /** An answer from outside; `null` is a wait whose time is over. */
  answered(name: string, value: unknown): this;
  /** The group whose end the message follows, with its members. */
  endedGroup(name: string, members: TestMember[]): this;
  /** Runs a handler as the host does. Gives how it ended. */
  run(handler: Handler<any>): Promise<Ended>;
  readonly requests: SentRequest[];
  readonly sent: SentMessage[];
  readonly logged: LogRecord[];
  readonly steps: Record<string, any>;
}

/** A message with this body (JSON, or bytes as they are), and the host that delivers it. */
export function test(body?: unknown): Test;
