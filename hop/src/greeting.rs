//! The two requests that every connection begins with, by which each end proves that it knows the cluster's secret, without
//! sending it.
//!
//! ```text
//! member -> host    POST /hello  Hello { nonce }
//! host -> member    Welcome { host, epoch, nonce, proof of "host" over both nonces, the name and the epoch }
//! member -> host    POST /proof  Proof { proof of "member" over the same }
//! ```
//! A proof is an HMAC-SHA-256 under the secret. Both nonces are new for each connection, so that a proof that was listened to is
//! worth nothing on another one.

use ring::rand::{SecureRandom as _, SystemRandom};
use samovar_model::{BootEpoch, HostId};
use serde::{Deserialize, Serialize};

use crate::identity::Identity;

/// Counts changes of what is said on a connection that the other end would not understand.
pub(crate) const PROTOCOL: u32 = 1;

/// Where a connection begins.
pub(crate) const HELLO_PATH: &str = "/hello";
/// Where the caller proves itself.
pub(crate) const PROOF_PATH: &str = "/proof";
/// More than any greeting has.
pub(crate) const MAX_GREETING_BYTES: usize = 4 << 10;

/// The caller's first words.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) nonce: String,
}

/// The host's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// What is spoken on the connection.
    pub(crate) protocol: u32,
    /// Who answers.
    pub host: HostId,
    /// Which run of it.
    pub epoch: BootEpoch,
    /// Samovar's version there.
    pub version: String,
    pub(crate) nonce: String,
    /// Absent where the certificate is proof enough.
    pub(crate) proof: Option<String>,
}

/// The caller's proof; absent as above.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) proof: Option<String>,
}

/// Which end a proof is of: one end's is not taken for the other's.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Host,
    Member,
}

/// 32 random bytes as hexadecimal text.
pub(crate) fn nonce() -> String {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("the system has random numbers");
    hex::encode(bytes)
}

/// What a proof is over.
fn words(end: End, hello: &str, welcome: &Welcome) -> String {
    let end = match end {
        End::Host => "host",
        End::Member => "member",
    };
    let Welcome { protocol, host, epoch, nonce, .. } = welcome;
    format!("samovar hop\n{protocol}\n{end}\n{hello}\n{nonce}\n{host}\n{epoch}")
}

/// One end's proof, where the cluster has a secret.
pub(crate) fn prove(identity: &Identity, end: End, hello: &str, welcome: &Welcome) -> Option<String> {
    identity.prove(&words(end, hello, welcome))
}

/// Whether the other end's proof holds. Without a secret the certificate, which was verified before, is the proof.
pub(crate) fn holds(identity: &Identity, end: End, hello: &str, welcome: &Welcome, proof: Option<&str>) -> bool {
    if !identity.has_secret() {
        return true;
    }
    proof.is_some_and(|proof| identity.is_proof(&words(end, hello, welcome), proof))
}
