use samovar_sdk::{Json, Query, handler};

#[handler]
async fn order(order: Json<u32>, page: Query<(String, String)>) -> String {
    format!("{order:?} {page:?}")
}

fn main() {}
