use samovar_sdk::handler;

struct Order {
    amount: u32,
}

#[handler]
async fn order(order: Order) -> String {
    order.amount.to_string()
}

fn main() {}
