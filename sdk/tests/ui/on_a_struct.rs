use samovar_sdk::handler;

#[handler]
struct Hello {
    name: String,
}

fn main() {}
