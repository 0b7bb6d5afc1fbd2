use samovar_sdk::handler;

#[handler(axum)]
async fn app() -> axum::Router {
    axum::Router::new()
}

fn main() {}
