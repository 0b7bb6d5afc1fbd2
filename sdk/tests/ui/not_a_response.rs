use samovar_sdk::handler;

struct Receipt {
    _total: u32,
}

#[handler]
async fn order() -> Receipt {
    Receipt { _total: 3 }
}

fn main() {}
