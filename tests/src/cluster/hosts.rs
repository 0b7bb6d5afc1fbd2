//! Hosts as the control processes see them: `samovar hosts`, `drain`, `undrain`.

use std::time::Duration;

use serde_json::Value;

use super::Cluster;
use crate::wait::{eventually, within};

/// How long a control process is given that may be stopped or cut off.
const PATIENCE: Duration = Duration::from_secs(10);

/// One line of `samovar hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSeen {
    /// Its name.
    pub name: String,
    /// `ready`, `draining`, `suspect` or `gone`.
    pub state: String,
    /// The functions whose code it has loaded.
    pub warm: Vec<String>,
}

impl Cluster {
    /// The hosts as a control process sees them.
    ///
    /// # Errors
    /// With what the command said, when it fails.
    pub async fn try_hosts_seen_by(&self, control: usize) -> Result<Vec<HostSeen>, String> {
        let printed = within("`samovar hosts`", self.api_of(control).cli(&["hosts", "--json"]).run()).await;
        if printed.code != 0 {
            return Err(printed.stderr);
        }
        let value: Value = serde_json::from_str(&printed.stdout).map_err(|error| error.to_string())?;
        let text = |host: &Value, key: &str| host[key].as_str().unwrap_or_default().to_lowercase();
        let list = value.as_array().or_else(|| value["hosts"].as_array()).ok_or("no list of hosts")?;
        let seen = |host| HostSeen { name: name(host), state: text(host, "state"), warm: warm(host) };
        let seen = list.iter().map(seen);
        Ok(seen.collect())
    }

    /// What the first control process says of a host; `absent` where it does not list it.
    pub async fn state_of(&self, host: usize) -> String {
        let name = self.members.hosts[host].name();
        let seen = self.try_hosts_seen_by(0).await.unwrap_or_default();
        seen.into_iter().find(|seen| seen.name == name).map_or("absent".to_owned(), |seen| seen.state)
    }

    /// The host that has most of these functions. Waits until each of them is known to be somewhere: hosts tell it with their
    /// leases.
    pub async fn host_with_most_of(&self, functions: &[String]) -> usize {
        let hosts = async || self.try_hosts_seen_by(0).await.unwrap_or_default();
        let known =
            |hosts: &Vec<HostSeen>| functions.iter().all(|name| hosts.iter().any(|host| host.warm.contains(name)));
        let seen = eventually("the hosts tell what they have", hosts, known).await;
        let number = |host: &&HostSeen| host.warm.iter().filter(|name| functions.contains(name)).count();
        let most = seen.iter().max_by_key(number).expect("there are hosts");
        let own = self.members.hosts.iter().position(|host| host.name() == most.name);
        own.expect("the control process lists hosts of the cluster")
    }

    /// Waits until the first control process says this of a host.
    pub async fn host_is(&self, host: usize, state: &str) {
        eventually("the host's state", async || self.state_of(host).await, |seen| seen == state).await;
    }

    /// Has a host drained: it takes nothing new, until [`Self::undrain`].
    pub async fn drain(&self, host: usize) {
        self.try_drain(host).await.expect("the host is there");
    }

    /// The end of [`Self::drain`].
    pub async fn undrain(&self, host: usize) {
        self.try_undrain(host).await.expect("the host is there");
    }

    /// [`Self::drain`] where it may fail.
    ///
    /// # Errors
    /// With what the command said.
    pub async fn try_drain(&self, host: usize) -> Result<(), String> {
        self.ask("drain", host).await
    }

    /// [`Self::undrain`] where it may fail.
    ///
    /// # Errors
    /// With what the command said.
    pub async fn try_undrain(&self, host: usize) -> Result<(), String> {
        self.ask("undrain", host).await
    }

    /// Asks one control process after the other until one does it.
    async fn ask(&self, command: &str, host: usize) -> Result<(), String> {
        let mut said = String::new();
        for control in 0..self.members.controls.len() {
            let asking = self.api_of(control).cli(&[command, self.members.hosts[host].name()]).run();
            match tokio::time::timeout(PATIENCE, asking).await {
                Ok(printed) if printed.code == 0 => return Ok(()),
                Ok(printed) => said = printed.stderr,
                Err(_) => said = format!("no answer within {PATIENCE:?}"),
            }
        }
        Err(said)
    }
}

fn name(host: &Value) -> String {
    host["name"].as_str().unwrap_or_default().to_owned()
}

fn warm(host: &Value) -> Vec<String> {
    let names = host["warm"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}
