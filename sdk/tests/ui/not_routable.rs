use samovar_sdk::Router;

fn list() -> &'static str {
    "a list"
}

fn main() {
    let _router = Router::new().get("/", list);
}
