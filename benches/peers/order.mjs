// What benches/guests/json does to an order, in JavaScript.
export function priced(order) {
  let total = 0;
  for (const item of order.items) {
    item.price_cents += Math.floor(item.price_cents / 10);
    item.checked = true;
    total += item.price_cents * item.quantity;
  }
  order.total_cents = total;
  return order;
}
