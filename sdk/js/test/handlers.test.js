// What handlers meet in a test of their own. How the same looks to the host, tests/it/languages
// shows.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { array, boolean, integer, number, object, oneOf, optional, raw, record, reject, snooze, string, unavailable, wasq } from '../src/index.js';
import { test as message } from '../src/testing.js';

const ends = async (work, expect, body = {}) => assert.deepEqual(await message(body).run(wasq(work)), expect);

test('whatever a handler gives or throws is an end', async () => {
  await ends(() => undefined, { kind: 'done', result: undefined });
  await ends(async () => ({ id: 1 }), { kind: 'done', result: { id: 1 } });
  await ends(() => snooze(5), { kind: 'snooze', afterMs: 5 });
  await ends(() => { throw reject('no'); }, { kind: 'reject', reason: 'no' });
  await ends(async () => { throw unavailable('mail', 'down', { afterMs: 7 }); }, { kind: 'unavailable', reason: 'down', afterMs: 7, dependency: 'mail' });
  await ends(() => { throw new TypeError('x'); }, { kind: 'retry', reason: 'TypeError: x' });
  await ends(() => { throw 'text'; }, { kind: 'retry', reason: 'threw text' });
  await ends(() => 10n, { kind: 'reject', reason: 'the result has no JSON: Do not know how to serialize a BigInt' });
});

test('a body that does not fit names the field, and never what it had', async () => {
  const Item = object({ sku: string(), quantity: integer() });
  const Order = object({ id: string(), paid: optional(boolean()), kind: oneOf('a', 'b'), items: array(Item), weights: record(number()) });
  const good = { id: 'i', kind: 'a', items: [], weights: { x: 1.5 }, more: 'left out' };
  const check = async (change, reason) => {
    const ended = await message({ ...good, ...change }).run(wasq(Order, (order) => order));
    assert.equal(ended.reason, reason);
    assert.ok(!String(ended.reason).includes('secret'));
  };
  await check({}, undefined);
  await check({ id: undefined }, 'body: field `id`: missing');
  await check({ id: null }, 'body: field `id`: expected a string, found null');
  await check({ paid: null }, undefined);
  await check({ kind: 'secret' }, 'body: field `kind`: expected one of a, b');
  await check({ items: { a: 'secret' } }, 'body: field `items`: expected a list, found an object');
  await check({ items: [{ sku: 's', quantity: 1 }, { sku: 's', quantity: 'secret' }] }, 'body: field `items[1].quantity`: expected an integer, found a string');
  await check({ items: [{ sku: 's', quantity: 2 ** 53 }] }, 'body: field `items[0].quantity`: an integer of more than 53 bits does not fit a number');
  await check({ weights: { x: 'secret' } }, 'body: field `weights.x`: expected a number, found a string');
  const text = async (body, reason) => assert.deepEqual(await message(new TextEncoder().encode(body)).run(wasq(Order, () => {})), { kind: 'reject', reason });
  await text('[1]', 'body: expected an object, found a list');
  const broken = await message(new TextEncoder().encode('{"secret"')).run(wasq(() => {}));
  assert.match(broken.reason, /^body: not JSON( at position \d+)?$/);
});

test('any standard schema will do, and raw bodies are bytes', async () => {
  const even = { '~standard': { version: 1, vendor: 'another', validate: (value) => (value.n % 2 ? { issues: [{ message: 'odd', path: ['n'] }] } : { value }) } };
  assert.equal((await message({ n: 1 }).run(wasq(even, () => {}))).reason, 'body: field `n`: odd');
  const bytes = new Uint8Array([0, 255]);
  assert.deepEqual(await message(bytes).run(wasq(raw, (body) => [...body])), { kind: 'done', result: [0, 255] });
  assert.throws(() => wasq(), /a handler is a function/);
  assert.throws(() => wasq({}, () => {}), /the schema is none/);
});

test('a step is done once, and what fails in it says so', async () => {
  const url = 'https://pay.example/charges';
  const charge = wasq((_, cx) => cx.once('charge', () => cx.http.post(url, { json: {}, key: 'charge' }).orThrow().json()));
  const host = message().reply('POST', url, { json: { id: 'ch_1' } });
  assert.deepEqual([await host.run(charge), await host.run(charge)], [{ kind: 'done', result: { id: 'ch_1' } }, { kind: 'done', result: { id: 'ch_1' } }]);
  assert.equal(host.requests.length, 1);
  assert.equal(host.requests[0].headers['idempotency-key'], `${'0'.repeat(64)}:charge`);
  await ends((_, cx) => cx.once('s', () => { throw new Error('boom'); }), { kind: 'retry', reason: 'step `s`: Error: boom' });
  await ends(async (_, cx) => cx.once('s', async () => { throw reject('no'); }), { kind: 'reject', reason: 'step `s`: no' });
  await ends((_, cx) => cx.once('s', async () => 1), { kind: 'done', result: 1 });
});

test('an answer that is none is told apart by its cause', async () => {
  const get = wasq((_, cx) => cx.http.get('https://a.example/x?secret=1').orThrow().text());
  const ended = async (say) => say(message()).run(get);
  const url = 'https://a.example/x?secret=1';
  assert.deepEqual(await ended((host) => host.reply('GET', url, { body: 'ü' })), { kind: 'done', result: 'ü' });
  assert.deepEqual(await ended((host) => host.reply('GET', url, { status: 500 })), { kind: 'retry', reason: 'GET https://a.example/x: answered 500' });
  assert.deepEqual(await ended((host) => host.reply('GET', url, { status: 503, headers: { 'Retry-After': '7' } })), { kind: 'unavailable', reason: 'GET https://a.example/x: answered 503', afterMs: 7000, dependency: 'a.example' });
  assert.deepEqual(await ended((host) => host.noAnswer('GET', url, 'no connection: refused')), { kind: 'unavailable', reason: 'GET https://a.example/x: no connection: refused', dependency: 'a.example' });
  assert.match((await ended((host) => host)).reason, /the test has no reply to GET/);
});

test('what is sent has its options, and groups their parts', async () => {
  const host = message();
  await host.run(wasq((_, cx) => {
    cx.send('self', 'later', { n: 1 }, { delayMs: 1001, group: 'g', attributes: { a: 'v', n: 7 } });
    const group = cx.group('all');
    group.send('jobs', 'part', 1);
    group.followWith('jobs', 'end', 2, { onFailure: 'cancel' });
  }));
  assert.deepEqual(host.sent.map(({ kind, delayS, group, attributes, part }) => ({ kind, delayS, group, attributes, part })), [
    { kind: 'later', delayS: 2, group: 'g', attributes: { a: 'v', n: '7' }, part: undefined },
    { kind: 'part', delayS: 0, group: undefined, attributes: {}, part: { group: 'all' } },
    { kind: 'end', delayS: 0, group: undefined, attributes: {}, part: { group: 'all', onFailure: 'cancel' } },
  ]);
  await ends((_, cx) => cx.send('self', 'k', 1, { delayMs: -5000 }), { kind: 'reject', reason: 'outbox, `k` to queue `self`: a delay of -5000 ms is not from 0 to 4294967295 s' });
});

test('a wait is pending, answered or over', async () => {
  const wait = wasq((_, cx) => { const it = cx.waitFor('w', 60_000); return it.state === 'pending' ? it.outcome() : [it.state, it.json?.()]; });
  assert.deepEqual(await message().run(wait), { kind: 'snooze', afterMs: 60_000 });
  assert.deepEqual((await message().answered('w', { ok: true }).run(wait)).result, ['answered', { ok: true }]);
  assert.deepEqual((await message().answered('w', null).run(wait)).result, ['timed-out', null]);
});

test('the end of a group has its members and their results', async () => {
  const members = [
    { queue: 'q', kind: 'part', end: { tag: 'done', result: { n: 1 } } },
    { queue: 'q', kind: 'part', end: { tag: 'dead-lettered', reason: 'no' } },
    { queue: 'q', kind: 'other', end: { tag: 'done' } },
  ];
  const ended = await message().endedGroup('all', members).run(wasq((_, cx) => {
    const { name, done, deadLettered } = cx.endedGroup;
    return { name, done, deadLettered, results: cx.endedGroup.results('part') };
  }));
  assert.deepEqual(ended.result, { name: 'all', done: 2, deadLettered: 1, results: [{ n: 1 }] });
  await ends((_, cx) => cx.endedGroup === undefined, { kind: 'done', result: true });
});
