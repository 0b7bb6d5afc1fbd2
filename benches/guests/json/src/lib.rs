//! An order, priced, in JSON: the same code as in the yardstick, so that what differs is what is around it.

#[path = "../../../src/order.rs"]
mod order;

use order::{Order, Priced};
use samovar_sdk::{Json, handler};

#[handler]
async fn json(Json(order): Json<Order>) -> Json<Priced> {
    Json(order.priced())
}
