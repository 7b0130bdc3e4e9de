import { array, integer, object, optional, reject, string, wasq, type Message } from '@wasq/sdk';

const OrderCompleted = object({
  items: array(object({ quantity: integer() })),
  total_cents: integer(),
  currency: string(),
  placed_at: string(),
});
const PageViewed = object({ path: string(), referrer: optional(string()), viewed_at: string() });

/** Reports what happens in the shop to the analytics service, without saying who did it. */
export const handler = wasq((_, cx) => {
  // The service counts an id once.
  const event = { id: cx.idempotencyKey, event: cx.message.kind, ...eventOf(cx.message) };
  cx.http.post(cx.variable('analytics_api'), { json: event, key: true }).orThrow();
});

function eventOf(message: Message) {
  switch (message.kind) {
    case 'order_completed': {
      const { items, total_cents, currency, placed_at } = message.json(OrderCompleted);
      const quantity = items.reduce((sum, item) => sum + item.quantity, 0);
      return { at: placed_at, properties: { total_cents, currency, items: quantity } };
    }
    case 'page_viewed': {
      const { path, referrer = null, viewed_at } = message.json(PageViewed);
      return { at: viewed_at, properties: { path, referrer } };
    }
    default:
      throw reject(`there is no event for messages of type \`${message.kind}\``);
  }
}
