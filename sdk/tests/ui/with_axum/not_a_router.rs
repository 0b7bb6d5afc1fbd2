use samovar_sdk::handler;

#[handler(axum)]
fn app() -> &'static str {
    "hello"
}

fn main() {}
