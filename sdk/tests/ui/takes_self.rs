use samovar_sdk::handler;

struct App;

impl App {
    #[handler]
    async fn hello(&self) -> &'static str {
        "hello"
    }
}

fn main() {}
