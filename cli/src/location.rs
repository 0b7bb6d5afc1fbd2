//! Finds the platform: the control API's address and the token for it, from options, the environment or the data directory
//! of a `samovar up` on this machine.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use http::{HeaderValue, Uri};
use samovar_cluster::embedded::DataDir;
use serde::Deserialize;

use crate::Usage;
use crate::args::Global;

/// Where the control API listens unless told otherwise.
pub(crate) const DEFAULT_CONTROL: &str = "http://127.0.0.1:8081";

/// What `samovar up` leaves in its data directory once it listens.
const ENDPOINTS: &str = "endpoints.json";

/// The token's file there.
const TOKEN: &str = "token";

/// The directory that is used when it is in the current one.
const LOCAL_DIR: &str = ".samovar";

#[derive(Debug, Deserialize)]
struct Endpoints {
    /// Absent where the process has no control API: a host's or gateway's directory.
    control: Option<String>,
}

/// The control API, and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// Its address, without a slash at the end.
    pub(crate) control: String,
    /// The token, if one was found.
    pub(crate) token: Option<String>,
    /// Where the token comes from, or where it was looked for.
    pub(crate) token_source: TokenSource,
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenSource {
    /// `--token` or `SAMOVAR_TOKEN`.
    Given,
    /// A data directory.
    Found(PathBuf),
    /// None of these data directories has one.
    Missing(Vec<PathBuf>),
    /// The address is not this machine's: a token that was only found is not sent there.
    NotSent,
}

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("the token from --token or SAMOVAR_TOKEN"),
            Self::Found(dir) => write!(f, "the token in {}", dir.display()),
            Self::Missing(dirs) => {
                let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
                write!(f, "no token: there is none in {}", dirs.join(" or "))
            }
            Self::NotSent => f.write_str("no token: one that is found on this machine is not sent to another"),
        }
    }
}

impl Location {
    /// Looks in the options (which clap fills from the environment too), then in the data directory.
    ///
    /// # Errors
    /// When the address is not a URL, or a file that is there cannot be read.
    pub(crate) fn find(global: &Global) -> anyhow::Result<Self> {
        let dirs = match &global.data_dir {
            Some(dir) => vec![dir.clone()],
            None => usual_data_dirs(),
        };
        Self::find_in(global, &dirs)
    }

    fn find_in(global: &Global, dirs: &[PathBuf]) -> anyhow::Result<Self> {
        let dir = dirs.iter().find(|dir| dir.join(TOKEN).exists() || dir.join(ENDPOINTS).exists());
        let listening = match dir {
            Some(dir) => endpoints(dir)?.and_then(|endpoints| endpoints.control),
            None => None,
        };
        let given = global.control.clone();
        let control = given.or_else(|| listening.clone()).unwrap_or_else(|| DEFAULT_CONTROL.to_owned());
        let control = control.trim_end_matches('/').to_owned();
        let uri = check_url(&control)?;
        let ours = is_loopback(&uri) || listening.is_some_and(|url| url.trim_end_matches('/') == control);
        let (token, token_source) = match (&global.token, dir) {
            (Some(token), _) => (Some(token.clone()), TokenSource::Given),
            (None, None) => (None, TokenSource::Missing(dirs.to_vec())),
            (None, Some(_)) if !ours => (None, TokenSource::NotSent),
            (None, Some(dir)) if !dir.join(TOKEN).exists() => (None, TokenSource::Missing(dirs.to_vec())),
            (None, Some(dir)) => (Some(DataDir::read_token(dir)?), TokenSource::Found(dir.clone())),
        };
        // Never shown: it is a secret.
        if token.as_ref().is_some_and(|token| HeaderValue::from_str(token).is_err()) {
            return Err(Usage("the token has characters that no token has: give --token on one line".to_owned()).into());
        }
        Ok(Self { control, token, token_source })
    }
}

fn check_url(url: &str) -> anyhow::Result<Uri> {
    let uri: Option<Uri> = url.parse().ok();
    let usable = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    uri.filter(usable).ok_or_else(|| Usage(format!("--control {url}: write a URL, as in {DEFAULT_CONTROL}")).into())
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn endpoints(dir: &Path) -> anyhow::Result<Option<Endpoints>> {
    let file = dir.join(ENDPOINTS);
    if !file.exists() {
        return Ok(None);
    }
    let read = || anyhow::Ok(serde_json::from_slice(&std::fs::read(&file)?)?);
    read().map(Some).with_context(|| format!("cannot read {}", file.display()))
}

/// `.samovar` here and in every directory above (projects lie below the directory where the platform was started), then the
/// place for an installed binary.
fn usual_data_dirs() -> Vec<PathBuf> {
    let here = env::current_dir().unwrap_or_default();
    let local = here.ancestors().map(|dir| dir.join(LOCAL_DIR)).filter(|dir| dir.is_dir());
    let mut dirs: Vec<PathBuf> = local.collect();
    if dirs.is_empty() {
        dirs.push(PathBuf::from(LOCAL_DIR));
    }
    dirs.extend(state_dir());
    dirs
}

/// Where `samovar up` keeps its state unless told otherwise: `.samovar` here if it is there, or if this binary was built in a
/// source tree; for an installed one the XDG state directory, where the client finds it from anywhere.
pub(crate) fn default_data_dir() -> PathBuf {
    let local = PathBuf::from(LOCAL_DIR);
    let built_in_tree =
        env::current_exe().is_ok_and(|exe| exe.ancestors().any(|dir| dir.join("CACHEDIR.TAG").is_file()));
    match state_dir() {
        Some(dir) if !local.is_dir() && !built_in_tree => dir,
        _ => local,
    }
}

/// The XDG state directory's part for Samovar.
fn state_dir() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local").join("state")))?;
    Some(base.join("samovar"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_dir(token: &str, control: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), token).unwrap();
        std::fs::write(dir.path().join(ENDPOINTS), format!(r#"{{"gateway":"http://x","control":"{control}"}}"#))
            .unwrap();
        dir
    }

    #[test]
    fn options_come_before_what_the_data_directory_says() {
        let dir = data_dir("secret\n", "http://127.0.0.1:9999");
        let dirs = [PathBuf::from("/nowhere"), dir.path().to_owned()];
        let found = Location::find_in(&Global::default(), &dirs).unwrap();
        assert_eq!(found.control, "http://127.0.0.1:9999");
        assert_eq!(found.token.as_deref(), Some("secret"));

        let global = Global { control: Some("http://localhost:1/".into()), token: Some("t".into()), data_dir: None };
        let found = Location::find_in(&global, &dirs).unwrap();
        assert_eq!((found.control.as_str(), found.token.as_deref()), ("http://localhost:1", Some("t")));
        assert_eq!(found.token_source, TokenSource::Given);
    }

    #[test]
    fn without_a_data_directory_the_default_address_is_tried_without_a_token() {
        let found = Location::find_in(&Global::default(), &[PathBuf::from("/nowhere")]).unwrap();
        assert_eq!(found.control, DEFAULT_CONTROL);
        assert_eq!(found.token_source.to_string(), "no token: there is none in /nowhere");
    }

    #[test]
    fn a_token_that_was_only_found_is_not_sent_to_another_machine() {
        let dir = data_dir("secret", "http://10.0.0.1:8081");
        let dirs = [dir.path().to_owned()];
        let to = |url: &str| {
            let global = Global { control: Some(url.to_owned()), ..Global::default() };
            Location::find_in(&global, &dirs).unwrap().token
        };
        assert_eq!(to("http://10.0.0.1:8081").as_deref(), Some("secret"));
        assert_eq!(to("http://[::1]:8081").as_deref(), Some("secret"));
        assert_eq!(to("https://control.example.com"), None);
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_wrong_usage_and_not_shown() {
        let global = Global { token: Some("sec\nret".to_owned()), ..Global::default() };
        let error = Location::find_in(&global, &[]).unwrap_err();
        assert!(error.is::<Usage>() && !error.to_string().contains("sec"), "{error}");
    }

    #[test]
    fn an_address_that_is_no_url_is_wrong_usage() {
        for bad in ["127.0.0.1:8081", "ftp://a", "nonsense"] {
            let global = Global { control: Some(bad.to_owned()), ..Global::default() };
            let error = Location::find_in(&global, &[]).unwrap_err();
            assert!(error.is::<Usage>(), "{bad}: {error}");
        }
    }
}
