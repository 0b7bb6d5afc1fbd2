//! Cookies that only the function itself can read and write: encrypted and signed in one (AES-256-GCM, by the `cookie` crate), and
//! bound to their name.

use cookie::{Cookie, CookieJar, Key};
use http::{HeaderMap, header};

use crate::{Error, Result, secret};

/// The shortest key: what AES-256 takes.
const MIN_KEY_BYTES: usize = 32;

/// The keys of the secret, the newest first.
#[derive(Default)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// Reads the secret: one key, or several with spaces or line breaks between them.
    pub(super) fn read(name: &str) -> Result<Self> {
        let secret = secret::get(name)?;
        let keys: Vec<&str> = secret.expose().split_whitespace().collect();
        match keys.iter().map(|key| key.len()).min() {
            Some(MIN_KEY_BYTES..) => {}
            // Neither is it said which characters there are: this goes to a log.
            shortest => {
                let found = shortest.unwrap_or(0);
                return Err(Error::internal(format!(
                    "secret `{name}`: a key of {found} characters, {MIN_KEY_BYTES} at least: set it to the output of `openssl rand -hex 32`"
                )));
            }
        }
        Ok(Self(keys.into_iter().map(|key| Key::derive_from(key.as_bytes())).collect()))
    }

    /// What the caller's cookie of this name says, if one of the keys has sealed it.
    pub(super) fn open(&self, headers: &HeaderMap, name: &str) -> Option<String> {
        let sent = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut cookies = sent.flat_map(Cookie::split_parse).flatten().filter(|cookie| cookie.name() == name);
        cookies.find_map(|cookie| {
            let open = |key| CookieJar::new().private(key).decrypt(cookie.clone().into_owned());
            self.0.iter().find_map(open).map(|open| open.value().to_owned())
        })
    }

    /// A cookie whose value is sealed with the newest key.
    pub(super) fn seal(&self, cookie: Cookie<'static>) -> Cookie<'static> {
        let (name, mut jar) = (cookie.name().to_owned(), CookieJar::new());
        if let Some(newest) = self.0.first() {
            jar.private_mut(newest).add(cookie);
        }
        jar.get(&name).cloned().unwrap_or_else(|| Cookie::new(name, ""))
    }
}

/// A session's name that nobody can guess: 128 random bits.
pub(super) fn random_id() -> String {
    // The crate's own source of randomness, which is the platform's.
    Key::generate().signing()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
