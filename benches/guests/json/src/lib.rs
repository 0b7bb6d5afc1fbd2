//! An order: prices raised by a tenth, each item marked, the sum added. `benches/peers` has the same in JavaScript.

use samovar_sdk::{Json, handler};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
struct Order {
    customer: String,
    items: Vec<Item>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    id: u64,
    name: String,
    price_cents: u64,
    quantity: u64,
    tags: Vec<String>,
    #[serde(default)]
    checked: bool,
}

#[derive(Debug, Serialize)]
struct Priced {
    customer: String,
    items: Vec<Item>,
    total_cents: u64,
}

#[handler]
async fn json(Json(order): Json<Order>) -> Json<Priced> {
    let mut items = order.items;
    let mut total_cents = 0;
    for item in &mut items {
        item.price_cents += item.price_cents / 10;
        item.checked = true;
        total_cents += item.price_cents * item.quantity;
    }
    Json(Priced { customer: order.customer, items, total_cents })
}
