//! A control API: where it listens, and the token it wants. What is done through it stands in [`crate::deploy`].

use std::net::SocketAddr;
use std::path::Path;

use crate::call::{Call, Client};
use crate::cli::Cli;

/// The control API of a platform.
#[derive(Clone)]
pub struct Api {
    pub(crate) client: Client,
    control: SocketAddr,
    token: String,
}

impl Api {
    /// The one that listens there and keeps its token in `data_dir`.
    pub(crate) fn new(client: Client, control: SocketAddr, data_dir: &Path) -> Self {
        let token = std::fs::read_to_string(data_dir.join("token"));
        let token = token.expect("the token file is there once it accepts").trim().to_owned();
        Self { client, control, token }
    }

    /// The same API by connections of its own, for another runtime.
    pub(crate) fn apart(&self) -> Self {
        Self { client: Client::new(), ..self.clone() }
    }

    /// Where the control API listens.
    pub fn control(&self) -> SocketAddr {
        self.control
    }

    /// A call to the control API, with the token.
    pub fn control_call(&self, path: &str) -> Call {
        let bearer = format!("Bearer {}", self.token);
        Call::new(self.client.clone(), self.control, path).header("authorization", &bearer)
    }

    /// A call to the control API without a token.
    pub fn control_call_without_token(&self, path: &str) -> Call {
        Call::new(self.client.clone(), self.control, path)
    }

    /// The command line, told where this platform is.
    pub fn cli(&self, args: &[&str]) -> Cli {
        Cli::new(args).env("SAMOVAR_CONTROL", &format!("http://{}", self.control)).env("SAMOVAR_TOKEN", &self.token)
    }
}
