//! A streaming upload: hashes a body of any size in the memory of one chunk.

use std::fmt::Write;

use samovar_sdk::http::Method;
use samovar_sdk::{Body, Error, Json, Result, handler};
use serde::Serialize;
use sha2::{Digest, Sha256};

#[derive(Debug, Serialize)]
struct Hashed {
    bytes: u64,
    sha256: String,
}

#[handler]
async fn upload_hash(method: Method, mut body: Body) -> Result<Json<Hashed>> {
    if method != Method::POST && method != Method::PUT {
        return Err(Error::bad_request("send the bytes with POST or PUT"));
    }
    let mut hash = Sha256::new();
    let mut bytes = 0;
    while let Some(chunk) = body.chunk().await? {
        hash.update(&chunk);
        bytes += chunk.len() as u64;
    }
    let sha256 = hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    Ok(Json(Hashed { bytes, sha256 }))
}

#[cfg(test)]
mod tests {
    use samovar_sdk::{BodyError, Request, testing};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_streamed_body_is_hashed_whole() {
        let body = Body::from_writer(|mut writer| async move {
            writer.write("a").await;
            writer.write("bc").await;
        });
        let answer = testing::serve(upload_hash, Request::post("/upload-hash").body(body).unwrap());
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(answer.json::<Value>(), json!({ "bytes": 3, "sha256": sha256 }));
    }

    #[test]
    fn an_upload_that_breaks_off_is_no_answer() {
        let body = Body::from_writer(|mut writer| async move {
            writer.write("a").await;
            Err::<(), _>(BodyError::new("gone"))
        });
        let answer = testing::serve(upload_hash, Request::post("/upload-hash").body(body).unwrap());
        assert_eq!(answer.status, 500);
    }

    #[test]
    fn there_is_nothing_to_get() {
        let answer = testing::serve(upload_hash, Request::get("/upload-hash").body(Body::empty()).unwrap());
        assert_eq!(answer.status, 400);
    }
}
