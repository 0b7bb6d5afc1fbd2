use samovar_sdk::handler;

#[handler]
async fn order() -> Result<String, std::num::ParseIntError> {
    let number: u32 = "3".parse()?;
    Ok(number.to_string())
}

fn main() {}
