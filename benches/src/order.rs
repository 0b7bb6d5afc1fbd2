//! An order, as the JSON case sends it, and what comes back: prices raised by a tenth, each item marked, the sum added. The guest
//! `json` and hyper alone run this very code; `peers/order.mjs` does the same in JavaScript.

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(crate) struct Order {
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
pub(crate) struct Priced {
    customer: String,
    items: Vec<Item>,
    total_cents: u64,
}

impl Order {
    pub(crate) fn priced(self) -> Priced {
        let Self { customer, mut items } = self;
        let mut total_cents = 0;
        for item in &mut items {
            item.price_cents += item.price_cents / 10;
            item.checked = true;
            total_cents += item.price_cents * item.quantity;
        }
        Priced { customer, items, total_cents }
    }
}
