//! Callers that come back to the host they had: a cookie names it, signed with the cluster's secret.
//!
//! The cookie is a hint. A host that is gone, draining or has no slot to spare is not waited for: the request goes where it
//! would have gone without, and the cookie changes. What a function keeps in memory is lost with its instance anyway.

use http::{HeaderMap, HeaderValue, header};
use samovar_hop::Identity;
use samovar_model::HostId;

/// The cookie's name.
const COOKIE: &str = "samovar-host";
/// What the signature is for.
const PURPOSE: &str = "sticky cookie";

/// The host that a request's cookie names, if a member has signed it.
pub(super) fn hint(head: &HeaderMap, identity: &Identity) -> Option<HostId> {
    let cookies = head.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let value = cookies.flat_map(|cookies| cookies.split(';')).find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })?;
    let (host, signature) = value.split_once('.')?;
    if !identity.verify(PURPOSE, host, signature) {
        return None;
    }
    host.parse().ok()
}

/// Has the caller come back to this host. Nothing where the cluster has no secret: with cookies that anyone can make, anyone
/// could find out hosts' names.
pub(super) fn remember(head: &mut HeaderMap, host: &HostId, identity: &Identity) {
    let Some(signature) = identity.sign(PURPOSE, host.as_str()) else { return };
    let cookie = format!("{COOKIE}={host}.{signature}; Path=/; HttpOnly; SameSite=Lax");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        head.append(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(secret: &str) -> Identity {
        Identity::new(Some(secret), None).unwrap()
    }

    fn cookie(host: &str, identity: &Identity) -> String {
        let mut head = HeaderMap::new();
        remember(&mut head, &host.parse().unwrap(), identity);
        head[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    fn hinted(cookies: &[&str], identity: &Identity) -> Option<String> {
        let values = cookies.iter().map(|value| (header::COOKIE, value.parse().unwrap()));
        hint(&values.collect(), identity).map(|host| host.to_string())
    }

    #[test]
    fn a_cookie_that_was_given_is_understood_among_others() {
        let ours = identity("0123456789abcdef");
        let cookie = cookie("h7", &ours);
        assert_eq!(hinted(&[&format!("a=b; {cookie}; c=d")], &ours).as_deref(), Some("h7"));
        assert_eq!(hinted(&["a=b", &cookie], &ours).as_deref(), Some("h7"));
        assert_eq!(hinted(&["a=b"], &ours), None);
    }

    #[test]
    fn a_cookie_that_somebody_made_is_not() {
        let (ours, theirs) = (identity("0123456789abcdef"), identity("fedcba9876543210"));
        assert_eq!(hinted(&[&cookie("h7", &theirs)], &ours), None);
        assert_eq!(hinted(&[&cookie("h7", &ours).replace("h7", "h8")], &ours), None);
        for broken in ["samovar-host=", "samovar-host=h7", "samovar-host=h7.", "samovar-host=h7.zz"] {
            assert_eq!(hinted(&[broken], &ours), None, "{broken}");
        }
    }
}
