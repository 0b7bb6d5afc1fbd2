use samovar_sdk::handler;

#[handler(GET)]
async fn hello() -> &'static str {
    "hello"
}

fn main() {}
