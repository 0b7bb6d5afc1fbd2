//! Real work with a real crate: text in, QR code out, as an SVG.

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use samovar_sdk::{Error, Query, Response, Result, handler};
use serde::Deserialize;

#[derive(Deserialize)]
struct Code {
    text: String,
    #[serde(default = "default_size")]
    size: u32,
    #[serde(default)]
    correction: Correction,
}

fn default_size() -> u32 {
    256
}

/// How much of the code may be dirty or torn.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Correction {
    Low,
    #[default]
    Medium,
    Quartile,
    High,
}

#[handler]
async fn qr(Query(code): Query<Code>) -> Result<Response> {
    if !(32..=4096).contains(&code.size) {
        return Err(Error::bad_request(format!("size={}: from 32 to 4096 pixels", code.size)));
    }
    let level = match code.correction {
        Correction::Low => EcLevel::L,
        Correction::Medium => EcLevel::M,
        Correction::Quartile => EcLevel::Q,
        Correction::High => EcLevel::H,
    };
    let image = QrCode::with_error_correction_level(&code.text, level)
        .map_err(|error| Error::unprocessable(format!("{} bytes of text: {error}", code.text.len())))?
        .render::<svg::Color<'_>>()
        .min_dimensions(code.size, code.size)
        .build();
    // The same text always makes the same image.
    Response::new(image)
        .with_header("content-type", "image/svg+xml")?
        .with_header("cache-control", "public, max-age=31536000, immutable")
}

#[cfg(test)]
mod tests {
    use samovar_sdk::testing::{self, Answer};
    use samovar_sdk::{Body, Request};

    use super::*;

    fn get(path: &str) -> Answer {
        testing::serve(qr, Request::get(path).body(Body::empty()).unwrap())
    }

    #[test]
    fn text_becomes_an_svg() {
        let answer = get("/qr?text=hello&size=100");
        assert_eq!(answer.headers["content-type"], "image/svg+xml");
        assert!(answer.text().contains("<svg ") && answer.text().contains("<path "), "{}", answer.text());
        assert_ne!(get("/qr?text=other&size=100").text(), answer.text());
    }

    #[test]
    fn more_correction_makes_a_larger_code() {
        let modules = |path| get(path).text().matches('M').count();
        assert!(modules("/qr?text=hello%20world%20hello&correction=high") > modules("/qr?text=hello%20world%20hello"));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        assert_eq!(get("/qr").status, 400);
        assert_eq!(get("/qr?text=a&size=5000").status, 400);
        assert_eq!(get("/qr?text=a&correction=most").status, 400);
        assert_eq!(get(&format!("/qr?text={}", "a".repeat(5000))).status, 422);
    }
}
