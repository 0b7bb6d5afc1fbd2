use samovar_sdk::Body;

fn main() {
    let _body = Body::from_writer(|mut writer| async move {
        writer.write("text").await;
        5
    });
}
