//! What the operator is told when a server cannot be used, or forbids something: what happened, and what to do.

use async_nats::Server;

use super::NatsConfig;
use super::buckets::Buckets;
use super::servers::Login;

/// By what this process hopes to be let in; it decides what to do when it is not.
pub(super) struct Means {
    credentials: Option<String>,
    login: Option<String>,
    certificate: bool,
}

impl Means {
    pub(super) fn of(config: &NatsConfig, login: Option<&Login>) -> Self {
        Self {
            credentials: config.credentials.as_ref().map(|file| file.display().to_string()),
            login: login.map(Login::shown),
            certificate: config.client_certificate.is_some(),
        }
    }

    /// Why none of the servers can be used, after each has been tried.
    pub(super) fn explain_all(&self, servers: &[Server]) -> String {
        let refused = servers.iter().any(is_refused);
        let explained = servers.iter().filter_map(|server| {
            let reason = match &server.last_error {
                Some(error) => self.explain(error),
                // The client stops at the first server that refuses, and remembers nothing where there is no address.
                None if refused => return None,
                None => "its name does not resolve: is the address right?".to_owned(),
            };
            Some(format!("{}: {reason}", server.addr.as_url_str()))
        });
        explained.collect::<Vec<_>>().join("; ")
    }

    fn explain(&self, error: &str) -> String {
        let has = |words: &[&str]| words.iter().any(|word| error.contains(word));
        let own = if self.certificate {
            "another certificate than that of --nats-cert"
        } else {
            "a certificate: give --nats-cert and --nats-key"
        };
        if is_refusal(error) {
            self.refused()
        } else if has(&["Connection refused"]) {
            "connection refused: does a NATS server run there, and is the address right?".to_owned()
        } else if has(&["timed out"]) {
            "no answer in time: does a NATS server run there, and can it be reached from here?".to_owned()
        } else if has(&["invalid peer certificate"]) {
            format!(
                "the server's certificate is not trusted ({error}): give the authority that signed it with --nats-ca, and \
                 as the host a name that the certificate has"
            )
        } else if has(&["received corrupt message", "InvalidContentType"]) {
            "the server does not speak TLS, which tls://, --nats-ca and --nats-cert ask for".to_owned()
        } else if has(&["CertificateRequired"]) {
            format!("the server asks for {own}")
        } else if has(&["received fatal alert"]) {
            format!("the server broke TLS off ({error}): it may ask for {own}")
        } else if has(&["broken pipe", "reset by peer", "close_notify", "UnexpectedEof", "got nothing"]) {
            format!("the server closed the connection ({error}): its log says why; it may ask for {own}")
        } else if has(&["TLS error"]) {
            format!("{error}: are the files of --nats-ca, --nats-cert and --nats-key right?")
        } else {
            error.to_owned()
        }
    }

    fn refused(&self) -> String {
        let how = "give a file with --nats-credentials, or user and password in the URL, as in \
                   nats://user:password@host:4222";
        match (&self.credentials, &self.login) {
            (Some(file), _) => format!(
                "the server refuses the credentials in {file} (--nats-credentials): give those of a user that it knows, which have not expired or been revoked"
            ),
            (None, Some(login)) => format!("the server refuses {login}"),
            (None, None) if self.certificate => {
                format!("the server knows no user of the certificate of --nats-cert, or asks for credentials: {how}")
            }
            (None, None) => format!("the server asks for credentials: {how}"),
        }
    }
}

/// Whether the server was reached, and did not like who came.
pub(super) fn is_refused(server: &Server) -> bool {
    server.last_error.as_deref().is_some_and(is_refusal)
}

/// The client tells this in words alone.
fn is_refusal(error: &str) -> bool {
    let error = error.to_lowercase();
    error.contains("authorization violation") || error.contains("authentication") || error.contains("signing nonce")
}

/// Something that the server forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    /// What is forbidden, without what is different each time.
    pub(super) what: String,
    /// What it means for this process.
    pub(super) meaning: &'static str,
}

impl Violation {
    /// Reads what a server says as in `Permissions Violation for Publish to "a.b"`.
    pub(super) fn read(error: &str, buckets: &Buckets) -> Option<Self> {
        let at = error.to_lowercase().find("permissions violation")?;
        let Some((before, subject)) = error[at..].split_once('"') else {
            return Some(Self { what: error[at..].to_owned(), meaning: "something that it needs is missing" });
        };
        let subject = subject.split('"').next().unwrap_or_default();
        let of = |name: &str| ["$KV.", "$O."].iter().any(|kind| subject.starts_with(&format!("{kind}{name}.")));
        let meaning = if of(&buckets.hosts.name) {
            "hosts' leases and calls to drain are not stored: other members do not see this host"
        } else if of(&buckets.gateways.name) {
            "the gateway's lease is not stored: `deploy --wait` does not wait for it"
        } else if of(&buckets.functions.name) {
            "deploys, rollbacks and deletes are not stored"
        } else if of(&buckets.secrets.name) {
            "secrets are not set or removed"
        } else if of(&buckets.artifacts.name) {
            "components are not stored"
        } else if of(&buckets.values.name) {
            "what functions write to their buckets is not stored"
        } else if of(&buckets.jobs.name) {
            "jobs are not accepted, and not run"
        } else if of(&buckets.locks.name) {
            "artifacts that nothing refers to are not removed"
        } else if subject.starts_with("$JS.ACK.") {
            "what became of messages is not told, and they come again"
        } else if subject.starts_with("_INBOX.") {
            "no answer of NATS arrives"
        } else if subject.starts_with("$JS.API.") {
            "what is in NATS cannot be read or set up"
        } else {
            "something that it needs is missing"
        };
        Some(Self { what: format!("{before}\"{}\"", family(subject)), meaning })
    }
}

/// The subject without the parts that are different each time.
fn family(subject: &str) -> String {
    let kept = match subject.split('.').collect::<Vec<_>>().as_slice() {
        ["_INBOX", ..] => 1,
        ["$JS", "ACK" | "FC", ..] => 2,
        ["$JS", "API", "CONSUMER", ..] => 5,
        ["$O", ..] => 3,
        all => all.len(),
    };
    let mut parts: Vec<_> = subject.split('.').collect();
    if parts.len() > kept {
        parts.truncate(kept);
        parts.push(">");
    }
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_one_however_often_it_happens() {
        let read = |text: &str| Violation::read(text, &Buckets::of("samovar")).unwrap();
        let publish = |subject: &str| read(&format!("nats: Permissions Violation for Publish to \"{subject}\""));
        assert_eq!(
            publish("$JS.API.CONSUMER.CREATE.KV_samovar_fn.x1.$KV"),
            publish("$JS.API.CONSUMER.CREATE.KV_samovar_fn.x2")
        );
        let inbox = read("permissions violation for Subscription to \"_INBOX.abc.*\"");
        assert_eq!(inbox.what, "permissions violation for Subscription to \"_INBOX.>\"");
        assert_eq!(inbox.meaning, "no answer of NATS arrives");
        let lease = publish("$KV.samovar_host.host-1");
        assert_eq!(lease.what, "Permissions Violation for Publish to \"$KV.samovar_host.host-1\"");
        assert!(lease.meaning.contains("leases"), "{}", lease.meaning);
        assert_eq!(Violation::read("Stale Connection", &Buckets::of("samovar")), None);
    }
}
