use samovar_sdk::{Request, handler};

#[handler]
async fn hello(request: &Request) -> String {
    request.uri().path().to_owned()
}

fn main() {}
