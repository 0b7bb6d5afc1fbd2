//! What tests of several commands need: captured output, made-up functions, and a control API that answers what it is told.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::Router;
use samovar_model::api::{FunctionDetail, FunctionSummary};
use samovar_model::manifest::Manifest;
use samovar_model::{ComponentKind, Digest, RevisionNumber};

use crate::args::Global;
use crate::console::Console;

/// The token that the control API of tests accepts.
pub(crate) const TOKEN: &str = "secret";

/// What a command has written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Captured {
    out: Buffer,
    notes: Buffer,
}

#[derive(Debug, Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Captured {
    /// A console that writes here.
    pub(crate) fn console(&self) -> Console {
        Console::capturing(self.out.clone(), self.notes.clone())
    }

    /// What went to stdout.
    pub(crate) fn out(&self) -> String {
        self.out.text()
    }

    /// What went to stderr.
    pub(crate) fn notes(&self) -> String {
        self.notes.text()
    }
}

/// The function of a manifest, as the control API would describe it a moment after its first deploy.
pub(crate) fn function(manifest: &str) -> FunctionDetail {
    let (name, table) = Manifest::parse(manifest).unwrap().function.pop_first().unwrap();
    let name: samovar_model::FunctionName = name.parse().unwrap();
    let settings = table.settings(&name).unwrap();
    let urls = settings.routes.iter().map(|route| format!("http://gateway{}", route.path.example())).collect();
    let summary = FunctionSummary {
        name,
        revision: RevisionNumber(1),
        created: jiff::Timestamp::now(),
        artifact: Digest::of(b"component"),
        size_bytes: 73_000,
        kind: ComponentKind::Wasi02,
        urls,
    };
    FunctionDetail { summary, settings }
}

/// Serves a router on a free port until the test ends; the address.
pub(crate) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

/// The options that point to a control API.
pub(crate) fn pointing_to(control: &str) -> Global {
    Global { control: Some(control.to_owned()), token: Some(TOKEN.to_owned()), data_dir: None }
}
