use samovar_sdk::{FromRequest, handler};

#[handler]
async fn hello<T: FromRequest>(_argument: T) -> &'static str {
    "hello"
}

fn main() {}
