//! Two hosts that get the same functions and the same calls: one links directly what it can, the other nothing.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use samovar_model::{FunctionName, RequestId};
use samovar_runtime::{Linking, Reach};
use wasmtime::{Engine, Precompiled};

use crate::call::Call;
use crate::host::{Deployed, TestHost, guest};
use crate::in_memory::InMemory;
use crate::other::Other;
use crate::outcome::{Line, Outcome};

pub(crate) struct Pair {
    direct: TestHost,
    component: TestHost,
    requests: AtomicU64,
    functions: Mutex<Vec<FunctionName>>,
}

/// A function of both hosts.
pub(crate) struct Function<'a> {
    pair: &'a Pair,
    direct: Deployed,
    component: Deployed,
}

/// Whether crashes are the same in every word, or are told by one host and by wasmtime.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Words {
    Same,
    Different,
}

/// What a host made of a function's component.
fn form(host: &TestHost, function: &Deployed) -> Precompiled {
    let form = Engine::detect_precompiled_file(host.compiled(function)).expect("a file that can be read");
    form.expect("compiled code")
}

impl Pair {
    pub(crate) fn start() -> Self {
        let start = |linking| {
            let reach = Reach {
                key_value: Some(Arc::new(InMemory::new())),
                functions: Some(Arc::new(Other)),
                ..Reach::default()
            };
            TestHost::start(linking, reach)
        };
        Self {
            direct: start(Linking::Direct),
            component: start(Linking::Component),
            requests: AtomicU64::new(1),
            functions: Mutex::default(),
        }
    }

    /// The manifest's only function, with this guest, which must be of the form that can be linked directly.
    pub(crate) async fn function(&self, name: &str, manifest: &str) -> Function<'_> {
        let function = self.deploy(&guest(name), manifest).await;
        assert_eq!(function.forms(), [Precompiled::Module, Precompiled::Component], "{name}");
        function
    }

    /// The same with a component that may be of any form.
    pub(crate) async fn deploy(&self, component: &Path, manifest: &str) -> Function<'_> {
        let direct = self.direct.deploy(component, manifest).await;
        let component = self.component.deploy(component, manifest).await;
        self.functions.lock().expect("no test crashes inside").push(direct.name.clone());
        Function { pair: self, direct, component }
    }

    /// Waits until nothing runs any more, and compares the functions' logs.
    pub(crate) async fn end(self, words: Words) {
        self.direct.host.drain().await;
        self.component.host.drain().await;
        let functions = self.functions.into_inner().expect("no test crashes inside");
        for function in functions {
            let lines = async |host: &TestHost| -> Vec<Line> {
                let lines = host.log(&function).await.into_iter().map(Line::of);
                let lines = lines.map(|line| if words == Words::Different { line.wordless() } else { line });
                let mut lines: Vec<Line> = lines.collect();
                // A guest may still be at work after its answer when the next call is made.
                lines.sort_by(|a, b| a.request.cmp(&b.request));
                lines
            };
            let (direct, component) = (lines(&self.direct).await, lines(&self.component).await);
            for (direct, component) in direct.iter().zip(&component) {
                assert_eq!(direct, component, "{function}: linked directly, and as a component");
            }
            assert_eq!(direct.len(), component.len(), "{function}: linked directly, and as a component");
        }
    }
}

impl Function<'_> {
    /// What each host made of the component.
    pub(crate) fn forms(&self) -> [Precompiled; 2] {
        [form(&self.pair.direct, &self.direct), form(&self.pair.component, &self.component)]
    }

    /// Calls it on both hosts.
    pub(crate) async fn both(&self, call: &Call) -> [Outcome; 2] {
        let id = RequestId::from_number(self.pair.requests.fetch_add(1, Ordering::Relaxed).into());
        let on = async |host: &TestHost, function: &Deployed| {
            let answered = host.host.invoke(Arc::clone(&function.revision), call.request(), id.clone()).await;
            Outcome::of(call, answered).await
        };
        [on(&self.pair.direct, &self.direct).await, on(&self.pair.component, &self.component).await]
    }

    /// Calls it on both hosts, and gives what it came to on either.
    pub(crate) async fn call(&self, call: &Call) -> Outcome {
        let [direct, component] = self.both(call).await;
        assert_eq!(direct, component, "{call}: linked directly, and as a component");
        direct
    }
}
