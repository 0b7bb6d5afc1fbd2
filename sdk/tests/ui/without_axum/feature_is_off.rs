use samovar_sdk::handler;

#[handler(axum)]
fn app() {}

fn main() {}
