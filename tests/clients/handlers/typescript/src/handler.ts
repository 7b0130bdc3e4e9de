// Does what its message's body orders, as the handlers in the other languages do.
// tests/it/languages has the cases.

import { array, discard, done, integer, object, optional, reject, retry, snooze, string, unavailable, wasq } from '@wasq/sdk';
import type { Context } from '@wasq/sdk';

const Typed = object({ typed: object({ name: string(), items: array(object({ sku: string(), quantity: integer() })), note: optional(string()) }) });

const orders: Record<string, (order: any, cx: Context) => unknown> = {
  done: () => undefined,
  result: ({ value }) => done(value),
  'echo-body': (_, cx) => ({ text: cx.message.text() }),
  discard: ({ reason }) => discard(reason),
  snooze: ({ ms }) => snooze(ms),
  retry: ({ reason, after_ms }) => { throw retry(reason, { afterMs: after_ms }); },
  unavailable: ({ dependency, reason, after_ms }) => { throw unavailable(dependency, reason, { afterMs: after_ms }); },
  reject: ({ reason }) => { throw reject(reason); },
  error: ({ text }) => { throw new Error(text); },
  typed: (_, cx) => { const { typed } = cx.message.json(Typed); return { name: typed.name, sum: typed.items.reduce((sum, item) => sum + item.quantity, 0) }; },
  once: ({ name, url }, cx) => cx.once(name, () => cx.http.post(url, { json: {}, key: name }).orThrow().json()),
  'once-error': ({ name, text }, cx) => cx.once(name, () => { throw new Error(text); }),
  'once-reject': ({ name, reason }, cx) => cx.once(name, () => { throw reject(reason); }),
  send: ({ queue, kind, body, delay_ms, group, attributes }, cx) => cx.send(queue, kind, body, { delayMs: delay_ms, group, attributes }),
  group: ({ name, members, follow }, cx) => {
    const group = cx.group(name);
    for (const body of members) group.send('self', 'member', body);
    group.followWith('self', 'follow', follow, { onFailure: 'cancel' });
  },
  wait: ({ name }, cx) => { const wait = cx.waitFor(name, 60_000); return wait.state === 'pending' ? wait.outcome() : wait.state; },
  variable: ({ name }, cx) => cx.variable(name),
  delivery: (_, cx) => ({ attempt: cx.attempt, key: cx.idempotencyKey, sent_at_ms: cx.sentAt.getTime(), timely: cx.remainingMs > 0 && cx.remainingMs <= 60_000, id: cx.message.id, kind: cx.message.kind }),
  attributes: (_, cx) => Object.fromEntries(Object.entries(cx.message.attributes).map(([name, value]) => [name, typeof value === 'string' ? value : [...value]])),
  get: ({ url }, cx) => cx.http.get(url, { headers: { 'x-probe': 'ü' } }).orThrow().json(),
  post: ({ url, json, key }, cx) => cx.http.post(url, { json, key }).orThrow().json(),
  log: ({ text }, cx) => { console.warn(text); cx.log.info(text, { field: 1 }); },
};

export const handler = wasq<any>(async (order, cx) => {
  const act = orders[order.do];
  if (!act) throw reject(`no order: ${order.do}`);
  return act(order, cx);
});
