//! The header `prefer` (RFC 7240), as far as it is about being answered later.

use http::HeaderMap;
use http::header::HeaderName;

/// What a caller would like.
pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");

const RESPOND_ASYNC: &str = "respond-async";

/// Whether the caller need not wait for the answer.
pub(crate) fn asks_for_later(headers: &HeaderMap) -> bool {
    // Nearly no request has the header: this is all that it costs them.
    headers.contains_key(PREFER) && preferences(headers).any(is_respond_async)
}

/// Takes the preference out, which has been granted; what else is preferred is the function's business.
pub(super) fn drop_respond_async(headers: &mut HeaderMap) {
    let left: Vec<&str> = preferences(headers).filter(|preference| !is_respond_async(preference)).collect();
    let left = left.join(", ").parse().ok().filter(|_| !left.is_empty());
    headers.remove(PREFER);
    if let Some(left) = left {
        headers.insert(PREFER, left);
    }
}

fn preferences(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
    // A quoted value may hold a comma: it is then no preference that is known here, and neither are its parts.
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|preference| !preference.is_empty())
}

fn is_respond_async(preference: &str) -> bool {
    preference.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(RESPOND_ASYNC))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines {
            map.append(PREFER, line.parse().unwrap());
        }
        map
    }

    #[test]
    fn the_preference_is_found_among_others_in_any_case() {
        for lines in [
            &["respond-async"][..],
            &["Respond-Async"],
            &["return=minimal, respond-async; wait=10"],
            &["return=minimal", " respond-async ,x"],
        ] {
            assert!(asks_for_later(&headers(lines)), "{lines:?}");
        }
        for lines in [&[][..], &["respond"], &["respond-async=no"], &["wait=10"], &["\"respond-async\""]] {
            assert!(!asks_for_later(&headers(lines)), "{lines:?}");
        }
    }

    #[test]
    fn other_preferences_are_passed_on() {
        let mut map = headers(&["respond-async, return=minimal", "wait=5"]);
        drop_respond_async(&mut map);
        assert_eq!(map.get(PREFER).unwrap(), "return=minimal, wait=5");
        let mut map = headers(&["respond-async"]);
        drop_respond_async(&mut map);
        assert!(map.is_empty());
    }
}
