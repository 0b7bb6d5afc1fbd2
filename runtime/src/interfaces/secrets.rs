//! Secrets as guests read them: by the same interface as their configuration, by name, and only those that are granted.
//!
//! A value is opened for each read and not kept, so a read gives the newest one that this host knows of. What the guest is given
//! is in its memory from then on: that is wiped before another function's instance gets it.

use std::collections::BTreeSet;
use std::sync::Arc;

use samovar_cluster::Vault;
use samovar_model::{SecretName, Settings};

/// The secrets that one revision's instances may read. Made once per revision.
pub(crate) struct GrantedSecrets {
    names: BTreeSet<SecretName>,
    vault: Option<Arc<Vault>>,
}

impl GrantedSecrets {
    pub(super) fn new(settings: &Settings, vault: Option<Arc<Vault>>) -> Self {
        Self { names: settings.secrets.clone(), vault }
    }

    /// What a key stands for: nothing, when no secret of this name is granted.
    ///
    /// # Errors
    /// Why a granted secret cannot be read, in words for the function's author and its log. They have no value in them.
    pub(super) fn read(&self, key: &str) -> Result<Option<String>, String> {
        let Some(name) = self.names.iter().find(|name| name.as_str() == key) else { return Ok(None) };
        let Some(vault) = &self.vault else { return Err(format!("secret `{name}`: this host has no secrets")) };
        let value = vault.read(name).map_err(|error| error.to_string())?;
        Ok(Some(value.expose().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use samovar_cluster::embedded::{DataDir, EmbeddedSecrets};
    use samovar_cluster::secrets::{SecretKeys, SecretValue};
    use samovar_model::manifest::FunctionTable;

    use super::*;

    fn granted(names: &[&str], vault: Option<&Arc<Vault>>) -> GrantedSecrets {
        let secrets = names.iter().map(|&name| name.to_owned()).collect();
        let settings = FunctionTable { secrets, ..Default::default() }
            .settings(&"shop".parse().expect("valid in a test"))
            .expect("valid in a test");
        GrantedSecrets::new(&settings, vault.cloned())
    }

    #[tokio::test]
    async fn only_what_is_granted_is_read_and_always_the_newest_value() {
        let temp = tempfile::tempdir().expect("valid in a test");
        let store =
            EmbeddedSecrets::open(&DataDir::open(temp.path()).expect("valid in a test")).expect("valid in a test");
        let vault = Vault::new(Arc::new(store), Ok(SecretKeys::parse(&"1".repeat(64)).expect("valid in a test")));
        let set = async |name: &str, value: &str| {
            let value = SecretValue::new(value.into()).expect("valid in a test");
            vault.set(&name.parse().expect("valid in a test"), &value).await.expect("valid in a test");
        };
        set("STRIPE_KEY", "one").await;
        set("ADMIN", "other").await;
        let shop = granted(&["STRIPE_KEY", "MISSING"], Some(&vault));
        assert_eq!(shop.read("STRIPE_KEY"), Ok(Some("one".to_owned())));
        set("STRIPE_KEY", "two").await;
        assert_eq!(shop.read("STRIPE_KEY"), Ok(Some("two".to_owned())));
        for key in ["ADMIN", "stripe_key", "", "NOTHING"] {
            assert_eq!(shop.read(key), Ok(None), "{key}");
        }
        let missing = Err("secret `MISSING` is not set: samovar secret set MISSING".to_owned());
        assert_eq!(shop.read("MISSING"), missing);
        vault.remove(&"STRIPE_KEY".parse().expect("valid in a test")).await.expect("valid in a test");
        assert!(shop.read("STRIPE_KEY").is_err());
        assert_eq!(granted(&["A"], None).read("A"), Err("secret `A`: this host has no secrets".to_owned()));
    }
}
