//! A host with functions, called without sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use samovar_cluster::KeyValue;
use samovar_model::{Fault, LogLine, RequestId};
use samovar_runtime::{Linking, Reach};

use crate::host::{Deployed, TestHost, guest};
use crate::in_memory::InMemory;

pub(crate) struct Rig {
    pub(crate) store: Arc<InMemory>,
    host: TestHost,
    requests: AtomicU64,
}

/// A function of the rig's host.
pub(crate) struct Function<'a> {
    rig: &'a Rig,
    deployed: Deployed,
}

impl Rig {
    pub(crate) fn start() -> Self {
        let store = Arc::new(InMemory::new());
        Self::with(store.clone(), Some(store))
    }

    pub(crate) fn without_a_store() -> Self {
        Self::with(Arc::new(InMemory::new()), None)
    }

    fn with(store: Arc<InMemory>, key_value: Option<Arc<dyn KeyValue>>) -> Self {
        let reach = Reach { key_value, ..Reach::default() };
        Self { store, host: TestHost::start(Linking::default(), reach), requests: AtomicU64::new(1) }
    }

    /// The manifest's only function, whose component is this guest.
    pub(crate) async fn function(&self, component: &str, manifest: &str) -> Function<'_> {
        Function { rig: self, deployed: self.host.deploy(&guest(component), manifest).await }
    }
}

impl Function<'_> {
    /// Calls it, and waits for the whole answer.
    pub(crate) async fn try_call(&self, query: &str) -> Result<(u16, String), Fault> {
        let request = Request::get(format!("http://host.example/?{query}")).header("host", "host.example");
        let request = request.body(Empty::new()).expect("a request");
        let id = RequestId::from_number(self.rig.requests.fetch_add(1, Ordering::Relaxed).into());
        let answer = self.rig.host.host.invoke(Arc::clone(&self.deployed.revision), request, id).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a whole body").to_bytes();
        Ok((status, String::from_utf8(body.to_vec()).expect("text").trim_end().to_owned()))
    }

    /// The text of an answer, whatever its status.
    pub(crate) async fn call(&self, query: &str) -> String {
        self.try_call(query).await.expect("an answer").1
    }

    /// Its log so far.
    pub(crate) async fn log(&self) -> Vec<LogLine> {
        self.rig.host.log(&self.deployed.name).await
    }
}
