import assert from 'node:assert/strict';
import { test } from 'node:test';
import { test as message } from '@wasq/sdk/testing';

import { handler } from '../src/handler';

const API = 'https://analytics.example/events';
const host = (kind: string, body: object) =>
  message(body).kind(kind).variable('analytics_api', API).reply('POST', API, { status: 202 });

test('an order is an event without the customer', async () => {
  const order = {
    order_id: 'A-1001',
    customer: { email: 'ada@example.com', name: 'Ada' },
    items: [{ sku: 'MUG-BLUE', quantity: 2 }, { sku: 'CAP', quantity: 1 }],
    total_cents: 3503,
    currency: 'EUR',
    placed_at: '2026-01-02T03:04:05Z',
  };
  const ran = host('order_completed', order);
  assert.equal((await ran.run(handler)).kind, 'done');
  const { id, ...event } = ran.requests[0].json;
  assert.equal(id, ran.requests[0].headers['idempotency-key']);
  assert.deepEqual(event, {
    event: 'order_completed',
    at: '2026-01-02T03:04:05Z',
    properties: { total_cents: 3503, currency: 'EUR', items: 3 },
  });
});

test('a page view is an event', async () => {
  const ran = host('page_viewed', { path: '/mugs', viewed_at: '2026-01-02T03:04:05Z' });
  assert.equal((await ran.run(handler)).kind, 'done');
  assert.deepEqual(ran.requests[0].json.properties, { path: '/mugs', referrer: null });
});

test('what does not fit, and what is no event, is rejected', async () => {
  assert.equal((await host('order_completed', { items: 'none' }).run(handler)).kind, 'reject');
  assert.deepEqual(await host('other', {}).run(handler), {
    kind: 'reject',
    reason: 'there is no event for messages of type `other`',
  });
});
