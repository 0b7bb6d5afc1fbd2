use samovar_sdk::handler;

#[handler]
async fn one() -> &'static str {
    "one"
}

#[handler]
async fn two() -> &'static str {
    "two"
}

fn main() {}
