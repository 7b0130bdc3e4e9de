// A component that knows nothing of wasq: it answers requests, as their bodies order.

addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const body = await request.json();
  const { status = 200, headers = {} } = body;
  const text = JSON.stringify({ path: new URL(request.url).pathname, attempt: request.headers.get('wasq-attempt'), body });
  return new Response(status === 204 ? null : text, { status, headers: { 'content-type': 'application/json', ...headers } });
}
