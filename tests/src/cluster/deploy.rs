//! Deploying to a cluster by the command line, as a user does: with and without `--wait`.

use std::path::PathBuf;

use samovar_model::api::Deployed;

use super::Cluster;
use crate::cli::Printed;
use crate::paths::guest;
use crate::wait::within;

/// A function that is about to be deployed by `samovar deploy`.
pub struct Deploy<'a> {
    cluster: &'a Cluster,
    project: PathBuf,
    control: usize,
    wait: bool,
}

impl Cluster {
    /// Deploys a guest under its own name, with the default settings, through the API. It is acknowledged then, and gateways
    /// may not route to it yet.
    pub async fn deploy(&self, guest: &str) -> Deployed {
        let api = self.api();
        api.function(guest).deploy().await
    }

    /// The same, with `--wait`.
    pub async fn deploy_and_wait(&self, name: &str, settings: &str) {
        self.deploying(name, name, settings).wait().run().await.expect("the deploy is acknowledged and routed");
    }

    /// A deploy of a guest as the function `name` with settings as in [`crate::Function::with`], by the command line.
    pub fn deploying(&self, name: &str, component: &str, settings: &str) -> Deploy<'_> {
        let project = self.dir.path().join("projects").join(name);
        std::fs::create_dir_all(&project).expect("the directory is ours");
        let artifact = guest(component);
        let settings: String = settings.lines().map(|line| format!("{line}\n")).collect();
        let manifest = format!("[function.{name}]\nartifact = '{}'\n{settings}", artifact.display());
        std::fs::write(project.join("samovar.toml"), manifest).expect("the directory is ours");
        Deploy { cluster: self, project, control: 0, wait: false }
    }
}

impl Deploy<'_> {
    /// Waits until every gateway routes to it.
    #[must_use]
    pub fn wait(mut self) -> Self {
        self.wait = true;
        self
    }

    /// Goes through this control process.
    #[must_use]
    pub fn through(mut self, control: usize) -> Self {
        self.control = control;
        self
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    /// With what it printed, when it does not say that the deploy was acknowledged.
    pub async fn run(self) -> Result<(), Printed> {
        let project = self.project.display().to_string();
        let args = ["deploy", &project, "--no-build", "--wait"];
        let args = if self.wait { &args[..] } else { &args[..3] };
        let printed = within("the deploy", self.cluster.api_of(self.control).cli(args).run()).await;
        if printed.code == 0 { Ok(()) } else { Err(printed) }
    }
}
