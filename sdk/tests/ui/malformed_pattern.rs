use samovar_sdk::{Path, handler};

#[handler("/cart/:id")]
async fn cart(Path(id): Path<u32>) -> String {
    id.to_string()
}

fn main() {}
