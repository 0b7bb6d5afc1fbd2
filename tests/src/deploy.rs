//! Deploying through the control API, and looking at what became of it.

use std::path::Path;

use bytes::Bytes;
use http::Method;
use samovar_model::api::{Artifact, Deploy, Deployed, FunctionDetail, NamedStats, Problem, RevisionList, StatsList};
use samovar_model::manifest::FunctionTable;
use samovar_model::{Digest, FunctionStats, HostStats, LogLine};
use serde_json::json;

use crate::api::Api;
use crate::call::Answer;
use crate::paths::{guest, repository};
use crate::wait::eventually;

/// A function that is about to be deployed.
pub struct Function<'a> {
    api: &'a Api,
    name: String,
    component: Bytes,
    settings: String,
}

/// A deploy that was refused.
#[derive(Debug)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// The problem.
    pub problem: Problem,
}

impl Api {
    /// Deploys a guest under its own name, with the default settings.
    pub async fn deploy(&self, guest: &str) -> Deployed {
        self.function(guest).deploy().await
    }

    /// A function of this name; its component is the guest of the same name until [`Function::guest`] says otherwise.
    pub fn function(&self, name: &str) -> Function<'_> {
        Function { api: self, name: name.to_owned(), component: Bytes::new(), settings: String::new() }
    }

    /// A function's statistics.
    pub async fn stats(&self, name: &str) -> FunctionStats {
        let answer = self.control_call(&format!("/v1/functions/{name}/stats")).send().await;
        serde_json::from_str::<NamedStats>(answer.ok()).expect("statistics").stats
    }

    /// Waits until nothing of the function is under way: a guest may work on after the caller has all of its answer.
    pub async fn settled(&self, name: &str) {
        eventually("no instance is busy", async || self.stats(name).await.busy, |busy| *busy == 0).await;
    }

    /// How much of what the host has is in use.
    pub async fn host(&self) -> HostStats {
        let answer = self.control_call("/v1/stats").send().await;
        serde_json::from_str::<StatsList>(answer.ok()).expect("statistics").host.expect("one host")
    }

    /// A function's log so far.
    pub async fn logs(&self, name: &str) -> Vec<LogLine> {
        let answer = self.control_call(&format!("/v1/functions/{name}/logs")).send().await;
        answer.ok().lines().map(|line| serde_json::from_str(line).expect("a log line")).collect()
    }

    /// A function as it is now.
    pub async fn show(&self, name: &str) -> FunctionDetail {
        let answer = self.control_call(&format!("/v1/functions/{name}")).send().await;
        serde_json::from_str(answer.ok()).expect("a function")
    }

    /// The same, of a platform that may be gone.
    ///
    /// # Errors
    /// When there is no answer, or another one.
    pub async fn try_show(&self, name: &str) -> Result<FunctionDetail, String> {
        let answer = self.control_call(&format!("/v1/functions/{name}")).try_send().await?;
        serde_json::from_slice(&answer.body).map_err(|error| format!("{error} in {:?}", answer.body))
    }

    /// A function's revisions: their numbers, newest first.
    pub async fn revisions(&self, name: &str) -> Vec<u64> {
        let answer = self.control_call(&format!("/v1/functions/{name}/revisions")).send().await;
        let list: RevisionList = serde_json::from_str(answer.ok()).expect("revisions");
        list.revisions.iter().map(|revision| revision.revision.0).collect()
    }

    /// Goes back to the revision `number`, or the one before.
    pub async fn rollback(&self, name: &str, number: Option<u64>) -> Answer {
        let body = json!({ "revision": number });
        self.control_call(&format!("/v1/functions/{name}/rollback")).json(&body).send().await
    }

    /// Deletes a function.
    pub async fn delete(&self, name: &str) -> Answer {
        self.control_call(&format!("/v1/functions/{name}")).method(Method::DELETE).send().await
    }

    /// Uploads a component.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn upload(&self, component: Bytes) -> Result<Digest, Refused> {
        let answer = self.try_upload(component).await.unwrap_or_else(|error| panic!("{error}"));
        if answer.status != 201 {
            return Err(Refused::new(&answer));
        }
        Ok(serde_json::from_slice::<Artifact>(&answer.body).expect("an artifact").digest)
    }

    /// Uploads a component to a platform that may be gone.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_upload(&self, component: Bytes) -> Result<Answer, String> {
        self.control_call("/v1/artifacts").header("content-type", "application/wasm").body(component).try_send().await
    }

    /// Makes an uploaded component the one that answers, on a platform that may be gone.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_activate(&self, name: &str, artifact: Digest, settings: &str) -> Result<Answer, String> {
        let settings: FunctionTable = toml::from_str(settings).expect("settings in TOML");
        let body = serde_json::to_string(&Deploy { artifact, settings, wait: false }).expect("plain data");
        self.control_call(&format!("/v1/functions/{name}/revisions")).json(&body).try_send().await
    }
}

impl Function<'_> {
    /// Takes the component of another guest.
    pub fn guest(self, name: &str) -> Self {
        self.file(&guest(name))
    }

    /// Takes the component in this file.
    pub fn file(self, path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.component(bytes)
    }

    /// Takes the component that is written as text in this file of `tests/guests/wat`.
    pub fn wat(self, name: &str) -> Self {
        let path = repository().join("tests/guests/wat").join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.wat_text(&text)
    }

    /// Takes the component that is written as this text.
    pub fn wat_text(self, text: &str) -> Self {
        self.component(wat::parse_str(text).unwrap_or_else(|error| panic!("{error}")))
    }

    /// Takes these bytes as the component.
    pub fn component(mut self, bytes: impl Into<Bytes>) -> Self {
        self.component = bytes.into();
        self
    }

    /// Adds settings, as they would stand under `[function.NAME]` with dotted keys: `limits.timeout = "1s"`.
    pub fn with(mut self, settings: &str) -> Self {
        self.settings += settings;
        self.settings.push('\n');
        self
    }

    /// Deploys it.
    ///
    /// # Errors
    /// When the component or the settings are refused.
    pub async fn try_deploy(self) -> Result<Deployed, Refused> {
        let component = match self.component.is_empty() {
            true => std::fs::read(guest(&self.name)).expect("the guest can be read").into(),
            false => self.component,
        };
        let artifact = self.api.upload(component).await?;
        let answer = self.api.try_activate(&self.name, artifact, &self.settings).await;
        let answer = answer.unwrap_or_else(|error| panic!("{error}"));
        if !answer.status.is_success() {
            return Err(Refused::new(&answer));
        }
        Ok(serde_json::from_slice(&answer.body).expect("the outcome of a deploy"))
    }

    /// Deploys it.
    pub async fn deploy(self) -> Deployed {
        let name = self.name.clone();
        self.try_deploy().await.unwrap_or_else(|refused| panic!("{name}: {refused:?}"))
    }
}

impl Refused {
    fn new(answer: &Answer) -> Self {
        let problem = serde_json::from_slice(&answer.body);
        let problem = problem.unwrap_or_else(|_| panic!("not a problem document: {:?}", answer.body));
        Self { status: answer.status.as_u16(), problem }
    }
}

/// The smallest core module: the magic number and the version.
pub fn core_module() -> Bytes {
    Bytes::from_static(b"\0asm\x01\0\0\0")
}

/// The same component with a custom section more: other bytes, the same behaviour.
pub fn with_custom_section(component: &[u8], text: &str) -> Vec<u8> {
    let name = b"build";
    let size = 1 + name.len() + text.len();
    assert!(size < 128, "the size must fit one byte of LEB128");
    let mut bytes = component.to_vec();
    bytes.extend([0, u8::try_from(size).expect("checked"), u8::try_from(name.len()).expect("short")]);
    bytes.extend(name);
    bytes.extend(text.as_bytes());
    bytes
}
