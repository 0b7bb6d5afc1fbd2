//! Where the keys of secrets come from: an option, the environment, or, on one machine, the data directory.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use samovar_cluster::Vault;
use samovar_cluster::embedded::{DataDir, EmbeddedSecrets};
use samovar_cluster::secrets::SecretKeys;

use crate::Usage;

/// The keys themselves. They have no option: what stands on a command line can be read by everyone on the machine.
const KEYS: &str = "SAMOVAR_SECRETS_KEY";

/// What secrets are encrypted with.
#[derive(Debug, Args)]
pub(crate) struct SecretOptions {
    /// The keys that secrets are encrypted with: a file of mode 0600 with a line of `openssl rand -hex 32` (of several, the first
    /// encrypts, all decrypt), or the same in SAMOVAR_SECRETS_KEY; in a cluster the same for every host and control process
    /// [default: on one machine `secrets.key` in the data directory, made at the first start; in a cluster none]
    #[arg(long, value_name = "FILE", env = "SAMOVAR_SECRETS_KEY_FILE", hide_env_values = true)]
    secrets_key_file: Option<PathBuf>,
}

/// Keys, or what to tell those who need some.
pub(crate) type Keys = Result<SecretKeys, String>;

impl SecretOptions {
    /// The secrets of this machine.
    pub(crate) fn on_one_machine(&self, dir: &DataDir) -> anyhow::Result<Arc<Vault>> {
        let store = EmbeddedSecrets::open(dir)?;
        let keys = match self.given()? {
            Some(keys) => Ok(keys),
            None => store.own_keys()?,
        };
        if let Err(help) = &keys {
            tracing::error!("{help}");
        }
        Ok(Vault::new(Arc::new(store), keys))
    }

    /// The keys of a cluster's process.
    pub(crate) fn in_cluster(&self) -> anyhow::Result<Keys> {
        let help = "this process of the cluster has no key for secrets: make one with `umask 077; openssl rand -hex 32 > secrets.key`, and \
                    start every host and control process with --secrets-key-file secrets.key, or with the same text in \
                    SAMOVAR_SECRETS_KEY";
        Ok(self.given()?.ok_or_else(|| help.to_owned()))
    }

    fn given(&self) -> anyhow::Result<Option<SecretKeys>> {
        let given = match (&self.secrets_key_file, std::env::var(KEYS)) {
            (Some(file), _) => SecretKeys::read(file).context("--secrets-key-file").map(Some),
            (None, Ok(text)) => SecretKeys::parse(&text).context(KEYS).map(Some),
            (None, Err(_)) => Ok(None),
        };
        given.map_err(|error| Usage(format!("{error:#}")).into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::NamedTempFile, SecretOptions) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let options = SecretOptions { secrets_key_file: Some(file.path().to_owned()) };
        (file, options)
    }

    #[test]
    fn a_key_file_that_cannot_be_used_is_wrong_usage_that_names_the_option_and_the_file() {
        for (text, mode, expected) in [
            ("1".repeat(64), 0o644, "mode 0644): chmod 600 "),
            ("hunter2".to_owned(), 0o600, "line 1 has 7 characters and is no key"),
            (String::new(), 0o600, "there is no key in it"),
        ] {
            let (file, options) = file(&text, mode);
            let refusal = options.in_cluster().unwrap_err();
            assert!(refusal.is::<Usage>());
            let refusal = refusal.to_string();
            let path = file.path().display().to_string();
            assert!(refusal.starts_with("--secrets-key-file: ") && refusal.contains(&path), "{refusal}");
            assert!(refusal.contains(expected) && !refusal.contains("hunter2"), "{refusal}");
        }
    }

    #[test]
    fn in_a_cluster_no_key_is_made() {
        let help = SecretOptions { secrets_key_file: None }.in_cluster().unwrap().unwrap_err();
        assert!(help.contains("start every host and control process with --secrets-key-file"), "{help}");
    }

    #[tokio::test]
    async fn on_one_machine_a_key_is_made_unless_one_is_given() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        let made = temp.path().join(DataDir::SECRETS_KEY);
        let (_file, options) = file(&"1".repeat(64), 0o600);
        options.on_one_machine(&dir).unwrap().keys().unwrap();
        assert!(!made.exists());
        SecretOptions { secrets_key_file: None }.on_one_machine(&dir).unwrap().keys().unwrap();
        assert!(made.exists());
    }
}
