//! The servers' addresses, and the login that stands in one of them. What is shown anywhere has no login.

use async_nats::{ConnectOptions, ServerAddr};

use super::NatsError;

/// Where the servers are, and what they are told of who connects.
pub(super) struct Servers {
    /// Without a login.
    pub(super) addresses: Vec<ServerAddr>,
    pub(super) login: Option<Login>,
}

/// Who connects.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    Password { user: String, password: String },
    Token(String),
}

impl Servers {
    /// Reads addresses as in `nats://10.0.0.1:4222`, `nats://user:password@host` or `nats://token@host`. The first login
    /// counts for all servers, also for those that the servers name themselves.
    ///
    /// # Errors
    /// With an address that is none.
    pub(super) fn read(texts: &[String]) -> Result<Self, NatsError> {
        let mut servers = Self { addresses: Vec::new(), login: None };
        for text in texts {
            let refuse = |reason: String| NatsError::Config(format!("server {}: {reason}", without_login(text)));
            let address = text.parse::<ServerAddr>().map_err(|error| refuse(error.to_string()))?;
            if address.host().is_empty() || address.is_websocket() {
                return Err(refuse("use an address as in nats://10.0.0.1:4222 or tls://nats.example".to_owned()));
            }
            let login = Login::of(&address).map_err(|reason| refuse(reason.to_owned()))?;
            servers.login = servers.login.or(login);
            let mut url = address.into_inner();
            if url.set_username("").and(url.set_password(None)).is_err() {
                return Err(refuse("it cannot have a user".to_owned()));
            }
            servers.addresses.push(ServerAddr::from_url(url).map_err(|error| refuse(error.to_string()))?);
        }
        Ok(servers)
    }
}

/// An address as it can be shown.
pub(super) fn without_login(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

impl Login {
    fn of(address: &ServerAddr) -> Result<Option<Self>, &'static str> {
        let no_text = "its user or password is not text after percent-decoding";
        let decode = |part: &str| percent_decoded(part).ok_or(no_text);
        Ok(match (address.username(), address.password()) {
            (None, None) => None,
            (None, Some(_)) => return Err("it has a password and no user"),
            (Some(token), None) => Some(Self::Token(decode(token)?)),
            (Some(user), Some(password)) => Some(Self::Password { user: decode(user)?, password: decode(password)? }),
        })
    }

    pub(super) fn add_to(&self, options: ConnectOptions) -> ConnectOptions {
        match self.clone() {
            Self::Password { user, password } => options.user_and_password(user, password),
            Self::Token(token) => options.token(token),
        }
    }

    /// What it is called where it is refused.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Password { user, .. } => format!("user `{user}` with the password in the URL"),
            Self::Token(_) => "the token in the URL".to_owned(),
        }
    }
}

/// Users and passwords in a URL stand for any bytes by `%` and two digits.
fn percent_decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| first == b'%');
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<(Vec<String>, Option<Login>), String> {
        let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
        let servers = Servers::read(&texts).map_err(|error| error.to_string())?;
        Ok((servers.addresses.iter().map(|address| address.as_url_str().to_owned()).collect(), servers.login))
    }

    fn password(user: &str, password: &str) -> Login {
        Login::Password { user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn the_first_login_counts_and_stays_in_no_address() {
        let (addresses, login) =
            read(&["nats://one:1", "tls://me:p%40ss%2Fw%C3%B6rd@two", "nats://other:secret@[fd00::7]:3", "four:4"])
                .unwrap();
        assert_eq!(addresses, ["nats://one:1", "tls://two", "nats://[fd00::7]:3", "nats://four:4"]);
        assert!(login == Some(password("me", "p@ss/wörd")));
        assert!(read(&["nats://s3cr3t@host:4222"]).unwrap().1 == Some(Login::Token("s3cr3t".to_owned())));
        assert!(read(&["me:100%@host:4222"]).unwrap().1 == Some(password("me", "100%")));
        assert!(read(&["nats://host"]).unwrap().1.is_none());
    }

    #[test]
    fn an_address_that_is_none_is_named_without_its_login() {
        for text in ["http://me:hunter2@host:4222", "nats://me:hunter2@host:port", "nats://:hunter2@host:4222"] {
            let refusal = read(&[text]).err().unwrap();
            assert!(refusal.contains("host:") && !refusal.contains("hunter2"), "{refusal}");
        }
        assert_eq!(without_login("nats://me:p@ss@host:1"), "nats://host:1");
        assert_eq!(without_login("me:p@ss@host"), "host");
        assert_eq!(without_login("host:1"), "host:1");
    }
}
