//! How a process joins its cluster: from options, the environment, and a file, in this order.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use samovar_cluster::nats::{ClientCertificate, NatsConfig};
use samovar_cluster::redis::RedisConfig;
use samovar_hop::{Identity, TlsFiles};
use serde::Deserialize;

use super::secret_keys::Keys;
use crate::Usage;

/// The secret itself. It has no option: what stands on a command line can be read by everyone on the machine.
const SECRET: &str = "SAMOVAR_CLUSTER_SECRET";

/// What every member of a cluster is told. The same keys, with `_`, stand in the file of `--cluster-config`.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct MemberOptions {
    /// Join the cluster at these NATS servers, as in nats://10.0.0.1:4222 or tls://nats.example; several, with commas between
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "SAMOVAR_JOIN", hide_env_values = true)]
    join: Vec<String>,
    /// What the cluster's names in NATS begin with, so that several can share servers [default: samovar]
    #[arg(long, value_name = "NAME", env = "SAMOVAR_NAMESPACE", hide_env_values = true)]
    namespace: Option<String>,
    /// How many NATS servers keep what the cluster stores: 1, 3 or 5; counts for the first member alone [default: 1]
    #[arg(long, value_name = "NUMBER", env = "SAMOVAR_REPLICAS", hide_env_values = true)]
    replicas: Option<usize>,
    /// Credentials for NATS: a file with JWT and seed
    #[arg(long, value_name = "FILE", env = "SAMOVAR_NATS_CREDENTIALS", hide_env_values = true)]
    nats_credentials: Option<PathBuf>,
    /// The authority of the NATS servers' certificates; giving it makes TLS a must
    #[arg(long, value_name = "FILE", env = "SAMOVAR_NATS_CA", hide_env_values = true)]
    nats_ca: Option<PathBuf>,
    /// This process's certificate for NATS
    #[arg(long, value_name = "FILE", env = "SAMOVAR_NATS_CERT", hide_env_values = true)]
    nats_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", env = "SAMOVAR_NATS_KEY", hide_env_values = true)]
    nats_key: Option<PathBuf>,
    /// The secret that all members share, made by `openssl rand -hex 32`; or the secret itself in SAMOVAR_CLUSTER_SECRET
    #[arg(long, value_name = "FILE", env = "SAMOVAR_CLUSTER_SECRET_FILE", hide_env_values = true)]
    cluster_secret_file: Option<PathBuf>,
    /// The authority of members' certificates, for mutual TLS between them
    #[arg(long, value_name = "FILE", env = "SAMOVAR_CLUSTER_CA", hide_env_values = true)]
    cluster_ca: Option<PathBuf>,
    /// This member's certificate; a host's names its advertised address
    #[arg(long, value_name = "FILE", env = "SAMOVAR_CLUSTER_CERT", hide_env_values = true)]
    cluster_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", env = "SAMOVAR_CLUSTER_KEY", hide_env_values = true)]
    cluster_key: Option<PathBuf>,
    /// Where functions' buckets are kept, as in redis://10.0.0.1:6379, or rediss:// for TLS [default: with everything else, in
    /// NATS, or without --join in the data directory]
    #[arg(long, value_name = "URL", env = "SAMOVAR_KV", hide_env_values = true)]
    kv: Option<String>,
    /// A TOML file with any of these options, where they are not given otherwise
    #[arg(long, value_name = "FILE", env = "SAMOVAR_CLUSTER_CONFIG", hide_env_values = true)]
    #[serde(skip)]
    cluster_config: Option<PathBuf>,
}

/// How to reach the cluster, and what to prove oneself with.
pub(crate) struct Membership {
    pub(crate) nats: NatsConfig,
    pub(crate) identity: Identity,
    /// Of a process that has to do with secrets, as a gateway has not.
    pub(crate) secret_keys: Option<Keys>,
    /// Where buckets are, if not in NATS.
    pub(crate) redis: Option<RedisConfig>,
}

impl Membership {
    /// The same for a process that has to do with secrets.
    pub(crate) fn with_secrets(self, keys: Keys) -> Self {
        Self { secret_keys: Some(keys), ..self }
    }
}

impl MemberOptions {
    /// Whether a cluster is to be joined at all.
    pub(crate) fn wants_cluster(&self) -> anyhow::Result<bool> {
        Ok(!self.merged()?.join.is_empty())
    }

    /// Everything that was said, read and checked as far as that goes without the cluster.
    pub(crate) fn membership(&self) -> anyhow::Result<Membership> {
        let options = self.merged()?;
        if options.join.is_empty() {
            let help = "--join says which: give the address of a NATS server, as in --join nats://10.0.0.1:4222, or set \
                        SAMOVAR_JOIN; `samovar up` without it runs all on this machine";
            return Err(Usage(format!("this process belongs to a cluster, and {help}")).into());
        }
        let (identity, redis) = (options.identity()?, options.redis_config()?);
        let mut nats = NatsConfig::new(options.join);
        nats.credentials = options.nats_credentials;
        nats.root_ca = options.nats_ca;
        nats.client_certificate = match (options.nats_cert, options.nats_key) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            _ => return Err(Usage("--nats-cert and --nats-key belong together: give both".to_owned()).into()),
        };
        if let Some(namespace) = options.namespace {
            nats.namespace = namespace;
        }
        if let Some(replicas) = options.replicas {
            nats.replicas = replicas;
        }
        Ok(Membership { nats, identity, secret_keys: None, redis })
    }

    /// Where buckets are, if in Redis.
    pub(crate) fn redis(&self) -> anyhow::Result<Option<RedisConfig>> {
        self.merged()?.redis_config()
    }

    fn redis_config(&self) -> anyhow::Result<Option<RedisConfig>> {
        let Some(url) = &self.kv else { return Ok(None) };
        // What else could be read, such as the path of a socket, is no address that all members share.
        if !["redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme)) {
            let help = "--kv says where functions' buckets are kept: give redis://HOST:PORT, or rediss://HOST:PORT for TLS; \
                        leave it out to keep them in NATS, or without --join in the data directory";
            return Err(Usage(help.to_owned()).into());
        }
        let mut config = RedisConfig::new(url.clone());
        if let Some(namespace) = &self.namespace {
            config.namespace.clone_from(namespace);
        }
        config.address().map_err(|error| Usage(format!("--kv: {error}")))?;
        Ok(Some(config))
    }

    fn identity(&self) -> anyhow::Result<Identity> {
        let tls = match (&self.cluster_ca, &self.cluster_cert, &self.cluster_key) {
            (Some(authority), Some(certificate), Some(key)) => {
                Some(TlsFiles { authority: authority.clone(), certificate: certificate.clone(), key: key.clone() })
            }
            (None, None, None) => None,
            _ => {
                let help = "--cluster-ca, --cluster-cert and --cluster-key belong together: give all three";
                return Err(Usage(help.to_owned()).into());
            }
        };
        let secret = match (&self.cluster_secret_file, std::env::var(SECRET)) {
            (Some(file), _) => Some(read(file, "--cluster-secret-file")?),
            (None, Ok(secret)) => Some(secret),
            (None, Err(_)) => None,
        };
        Identity::new(secret.as_deref(), tls.as_ref()).map_err(|error| Usage(error.to_string()).into())
    }

    /// With what the file has, where nothing else was said.
    fn merged(&self) -> anyhow::Result<Self> {
        let Some(path) = &self.cluster_config else { return Ok(self.clone()) };
        let text = read(path, "--cluster-config")?;
        let file: Self = toml::from_str(&text).with_context(|| format!("--cluster-config {}", path.display()))?;
        let given = self.clone();
        Ok(Self {
            join: if given.join.is_empty() { file.join } else { given.join },
            namespace: given.namespace.or(file.namespace),
            replicas: given.replicas.or(file.replicas),
            nats_credentials: given.nats_credentials.or(file.nats_credentials),
            nats_ca: given.nats_ca.or(file.nats_ca),
            nats_cert: given.nats_cert.or(file.nats_cert),
            nats_key: given.nats_key.or(file.nats_key),
            cluster_secret_file: given.cluster_secret_file.or(file.cluster_secret_file),
            cluster_ca: given.cluster_ca.or(file.cluster_ca),
            cluster_cert: given.cluster_cert.or(file.cluster_cert),
            cluster_key: given.cluster_key.or(file.cluster_key),
            kv: given.kv.or(file.kv),
            cluster_config: None,
        })
    }
}

fn read(path: &Path, option: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{option} {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(file: &str) -> (tempfile::TempDir, MemberOptions) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.toml");
        std::fs::write(&path, file).unwrap();
        (dir, MemberOptions { cluster_config: Some(path), ..MemberOptions::default() })
    }

    fn refusal(options: &MemberOptions) -> String {
        match options.membership() {
            Err(error) => format!("{error:#}"),
            Ok(_) => panic!("should be refused: {options:?}"),
        }
    }

    #[test]
    fn an_option_goes_before_the_file() {
        let (dir, mut options) = options("join = [\"nats://file:1\"]\nnamespace = \"file\"\nreplicas = 3\n");
        options.namespace = Some("flag".to_owned());
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "0123456789abcdef0123\n").unwrap();
        options.cluster_secret_file = Some(secret);
        let nats = options.membership().unwrap().nats;
        assert_eq!(
            (nats.servers, nats.namespace, nats.replicas),
            (vec!["nats://file:1".to_owned()], "flag".to_owned(), 3)
        );
    }

    #[test]
    fn mistakes_in_the_file_are_named() {
        let (_dir, options) = options("jion = [\"nats://file:1\"]\n");
        assert!(refusal(&options).contains("unknown field `jion`"), "{}", refusal(&options));
    }

    #[test]
    fn what_belongs_together_is_given_together() {
        let join = vec!["nats://x:1".to_owned()];
        let half = MemberOptions { join: join.clone(), cluster_ca: Some("ca".into()), ..MemberOptions::default() };
        assert!(refusal(&half).contains("give all three"));
        assert!(refusal(&MemberOptions::default()).contains("--join nats://10.0.0.1:4222"));
    }

    #[test]
    fn a_place_for_buckets_is_read_and_its_password_is_never_told() {
        let (_dir, mut options) = options("kv = \"rediss://:hunter2@10.0.0.9\"\nnamespace = \"blue\"\n");
        let redis = options.redis().unwrap().unwrap();
        assert_eq!((redis.address().unwrap(), redis.namespace), ("10.0.0.9:6379".to_owned(), "blue".to_owned()));
        for bad in ["10.0.0.9:6379", "nats://:hunter2@x:1", "redis://:hunter2@x:port", "unix:///run/redis"] {
            options.kv = Some(bad.to_owned());
            let text = format!("{:#}", options.redis().unwrap_err());
            assert!(text.contains("--kv") && text.contains("redis://HOST:PORT") && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused() {
        let (dir, mut options) = options("join = [\"nats://file:1\"]\n");
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "  hunter2\n").unwrap();
        options.cluster_secret_file = Some(secret);
        assert!(refusal(&options).contains("the cluster secret has 7 bytes, and needs 16 or more"));
    }
}
