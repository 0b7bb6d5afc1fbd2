//! Compiled code: made once at deploy, kept on disk, mapped at first use, and let go by [`cache`] when the budget is used up.
//!
//! A file is named by the artifact's digest, the engine's compatibility and how components are linked, so that an upgrade never
//! maps what it cannot run. Compiling happens on threads of lowered priority: serving goes first on a busy machine.

pub(crate) mod attempts;
pub(crate) mod cache;
mod greedy_dual;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use samovar_model::api::ComponentInfo;
use samovar_model::{ComponentKind, Digest};
use tokio::sync::{Mutex, OwnedMutexGuard};
use wasmtime::Module;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::component::inspect;
use crate::config::Linking;
use crate::direct::{self, DirectPre};
use crate::engine::{Engines, compatibility};
use crate::guest::Guest;
use crate::instance::wasi02::Pre02;
use crate::interfaces;
use cache::Loaded;

/// Why code could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CodeError {
    /// The component cannot run here, in words for the person who deploys it.
    #[error("{0}")]
    Refused(String),
    /// The disk said no.
    #[error("compiled code at {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: Arc<std::io::Error>,
    },
}

/// What a loaded component takes besides its file: its description, and what it is linked with.
const LINKED_BYTES: u64 = 96 << 10;

/// A component that is ready to be instantiated.
pub(crate) enum Code {
    /// Exports `wasi:http/incoming-handler@0.2.x`.
    Wasi02(Pre02),
    /// Exports `wasi:http/handler@0.3.x`.
    Wasi03(ServicePre<Guest>),
}

impl Code {
    /// Which interface the component exports.
    pub(crate) fn kind(&self) -> ComponentKind {
        match self {
            Self::Wasi02(_) => ComponentKind::Wasi02,
            Self::Wasi03(_) => ComponentKind::Wasi03,
        }
    }
}

/// What compiling a component told.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// What the component is.
    pub component: ComponentInfo,
    /// How long compiling took, in milliseconds; 0 when the code was there already.
    pub compile_millis: u64,
}

/// As what a component is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One of WASI 0.2, as its core module.
    Direct,
    Wasi02,
    Wasi03,
}

impl Form {
    /// Where the code of a component of this kind can be, what is to be preferred first.
    fn of(kind: ComponentKind, linking: Linking) -> &'static [Self] {
        match (kind, linking) {
            (ComponentKind::Wasi02, Linking::Direct) => &[Self::Direct, Self::Wasi02],
            (ComponentKind::Wasi02, Linking::Component) => &[Self::Wasi02],
            (ComponentKind::Wasi03, _) => &[Self::Wasi03],
        }
    }

    /// Of the engine that runs it.
    fn kind(self) -> ComponentKind {
        match self {
            Self::Direct | Self::Wasi02 => ComponentKind::Wasi02,
            Self::Wasi03 => ComponentKind::Wasi03,
        }
    }
}

/// Compiled code on disk.
pub(crate) struct CodeFile {
    form: Form,
    path: PathBuf,
    pub(crate) bytes: u64,
}

/// What the names of files end in.
struct Endings {
    direct: String,
    wasi02: String,
    wasi03: String,
}

impl Endings {
    fn new(engines: &Engines, linking: Linking) -> Self {
        let of = |kind| compatibility(engines.of(kind));
        let (wasi02, wasi03) = (of(ComponentKind::Wasi02), of(ComponentKind::Wasi03));
        // Another version may link directly what this one does not.
        let version = if linking == Linking::Direct { direct::VERSION } else { 0 };
        Self {
            direct: format!("{wasi02:016x}.{version}.direct.cwasm"),
            wasi02: format!("{wasi02:016x}.{version}.cwasm"),
            wasi03: format!("{wasi03:016x}.cwasm"),
        }
    }

    fn of(&self, form: Form) -> &str {
        match form {
            Form::Direct => &self.direct,
            Form::Wasi02 => &self.wasi02,
            Form::Wasi03 => &self.wasi03,
        }
    }
}

/// Compiles components and loads what it compiled.
pub(crate) struct CodeStore {
    dir: PathBuf,
    engines: Engines,
    linking: Linking,
    /// What the names of files end in.
    endings: Endings,
    wasi02: Linker<Guest>,
    direct: wasmtime::Linker<Guest>,
    wasi03: Linker<Guest>,
    /// Compiles on threads of its own, at lowered priority.
    pool: rayon::ThreadPool,
    /// One compilation at a time: each uses every core already.
    compiling: Arc<Mutex<()>>,
}

impl CodeStore {
    /// Opens the store in `dir`, which is made if it is not there.
    pub(crate) fn open(dir: PathBuf, engines: Engines, linking: Linking) -> wasmtime::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .thread_name(|index| format!("samovar-compile-{index}"))
            .start_handler(|_| lower_priority())
            // Whoever waits for the outcome sees that there is none; without this the process would end.
            .panic_handler(|_| tracing::error!("the compiler crashed"))
            .build()?;
        Ok(Self {
            endings: Endings::new(&engines, linking),
            direct: direct::linker(engines.of(ComponentKind::Wasi02))?,
            wasi02: interfaces::linker(engines.of(ComponentKind::Wasi02), ComponentKind::Wasi02)?,
            wasi03: interfaces::linker(engines.of(ComponentKind::Wasi03), ComponentKind::Wasi03)?,
            dir,
            engines,
            linking,
            pool,
            compiling: Arc::default(),
        })
    }

    /// Checks the component in `artifact` and compiles it, unless that was done before.
    ///
    /// # Errors
    /// [`CodeError::Refused`] with the reason when it cannot run.
    pub(crate) async fn compile(self: &Arc<Self>, digest: Digest, artifact: &Path) -> Result<Compiled, CodeError> {
        let turn = Arc::clone(&self.compiling).lock_owned().await;
        self.compile_in_turn(turn, digest, artifact).await
    }

    /// Has the code of a component of this kind on disk: what another caller has compiled meanwhile is not even read.
    ///
    /// # Errors
    /// As [`CodeStore::compile`].
    pub(crate) async fn ensure(
        self: &Arc<Self>,
        digest: Digest,
        kind: ComponentKind,
        artifact: &Path,
    ) -> Result<(), CodeError> {
        let turn = Arc::clone(&self.compiling).lock_owned().await;
        if self.load(digest, kind).is_ok() {
            return Ok(());
        }
        self.compile_in_turn(turn, digest, artifact).await.map(drop)
    }

    /// The component is read only now: those that wait for their turn hold none.
    async fn compile_in_turn(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
        digest: Digest,
        artifact: &Path,
    ) -> Result<Compiled, CodeError> {
        let bytes = tokio::fs::read(artifact).await.map_err(io_error(artifact))?;
        let component = inspect(&bytes).map_err(|error| CodeError::Refused(error.to_string()))?;
        if self.load(digest, component.kind).is_ok() {
            return Ok(Compiled { component, compile_millis: 0 });
        }
        let started = Instant::now();
        let store = Arc::clone(self);
        let (send, receive) = tokio::sync::oneshot::channel();
        let kind = component.kind;
        self.pool.spawn(move || {
            let outcome = store.compile_now(digest, kind, &bytes);
            // The turn ends here, not when the caller goes: two at once would write to the same file.
            drop(turn);
            // The receiver is gone only when the caller is; the code is kept all the same.
            drop(send.send(outcome));
        });
        let crashed = || CodeError::Refused("the compiler crashed on this component".to_owned());
        receive.await.map_err(|_| crashed())??;
        let compile_millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        Ok(Compiled { component, compile_millis })
    }

    fn compile_now(&self, digest: Digest, kind: ComponentKind, bytes: &[u8]) -> Result<(), CodeError> {
        let engine = self.engines.of(kind);
        for form in Form::of(kind, self.linking) {
            if *form == Form::Direct {
                match self.compile_directly(digest, bytes) {
                    Ok(()) => break,
                    Err(reason) => tracing::debug!(%digest, reason, "a component is not linked directly"),
                }
                continue;
            }
            let refused = |error: wasmtime::Error| CodeError::Refused(format!("not a valid component: {error:#}"));
            self.keep(digest, *form, &engine.precompile_component(bytes).map_err(refused)?)?;
        }
        Ok(())
    }

    /// Compiles the component as its one core module, if it is no more than that.
    fn compile_directly(&self, digest: Digest, bytes: &[u8]) -> Result<(), String> {
        let module = direct::module_of(bytes).map_err(|reason| reason.to_string())?;
        let code = self.engines.of(ComponentKind::Wasi02).precompile_module(&module);
        let code = code.map_err(|error| format!("{error:#}"))?;
        self.keep(digest, Form::Direct, &code).map_err(|error| error.to_string())
    }

    /// Writes compiled code.
    fn keep(&self, digest: Digest, form: Form, code: &[u8]) -> Result<(), CodeError> {
        let path = self.path(digest, form);
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        write_durably(&temporary, &path, code).map_err(io_error(&path))?;
        // Whether it links is known only now; a component that does not leaves nothing behind.
        self.load_file(form, &path).map(drop).inspect_err(|_| drop(std::fs::remove_file(&path)))
    }

    /// Maps compiled code.
    ///
    /// # Errors
    /// [`CodeError::Io`] when it has not been compiled, or by another version.
    pub(crate) fn load(&self, digest: Digest, kind: ComponentKind) -> Result<Loaded, CodeError> {
        self.load_found(&self.find(digest, kind)?)
    }

    /// Finds compiled code, which costs one system call or two.
    ///
    /// # Errors
    /// As [`CodeStore::load`].
    pub(crate) fn find(&self, digest: Digest, kind: ComponentKind) -> Result<CodeFile, CodeError> {
        let mut missing = Err(CodeError::Refused("nothing is compiled for it".to_owned()));
        for form in Form::of(kind, self.linking) {
            let path = self.path(digest, *form);
            match std::fs::metadata(&path) {
                Ok(file) => return Ok(CodeFile { form: *form, path, bytes: file.len() }),
                Err(error) => missing = Err(io_error(&path)(error)),
            }
        }
        missing
    }

    /// Maps code that was found: it takes some 100 us for a small function, and some milliseconds for JavaScript or Python.
    ///
    /// # Errors
    /// As [`CodeStore::load`].
    pub(crate) fn load_found(&self, file: &CodeFile) -> Result<Loaded, CodeError> {
        let started = Instant::now();
        let code = self.load_file(file.form, &file.path)?;
        Ok(Loaded { code, size_bytes: file.bytes + LINKED_BYTES, took: started.elapsed() })
    }

    /// Whether there is compiled code to map.
    pub(crate) fn is_compiled(&self, digest: Digest, kind: ComponentKind) -> bool {
        Form::of(kind, self.linking).iter().any(|form| self.path(digest, *form).exists())
    }

    // SAFETY, of both ways: the file was written by `keep`, synced before it got its name, in a directory that only this host can
    // write; its name carries the engine's compatibility.
    #[allow(unsafe_code, reason = "precompiled code is mapped")]
    fn load_file(&self, form: Form, path: &Path) -> Result<Code, CodeError> {
        let refused = |error: wasmtime::Error| CodeError::Refused(format!("{error:#}"));
        let engine = self.engines.of(form.kind());
        if form == Form::Direct {
            // SAFETY: as above.
            let module = unsafe { Module::deserialize_file(engine, path) }.map_err(refused)?;
            return DirectPre::new(&self.direct, &module).map(|pre| Code::Wasi02(Pre02::Direct(pre))).map_err(refused);
        }
        // SAFETY: as above.
        let component = unsafe { Component::deserialize_file(engine, path) }.map_err(refused)?;
        let pre = |linker: &Linker<Guest>| -> Result<InstancePre<Guest>, CodeError> {
            linker.instantiate_pre(&component).map_err(refused)
        };
        Ok(match form.kind() {
            ComponentKind::Wasi02 => {
                Code::Wasi02(Pre02::Component(ProxyPre::new(pre(&self.wasi02)?).map_err(refused)?))
            }
            ComponentKind::Wasi03 => Code::Wasi03(ServicePre::new(pre(&self.wasi03)?).map_err(refused)?),
        })
    }

    fn path(&self, digest: Digest, form: Form) -> PathBuf {
        self.dir.join(format!("{digest}-{}", self.endings.of(form)))
    }

    /// Removes compiled code of artifacts other than these, and what no engine here can run.
    pub(crate) fn collect(&self, keep: &[(Digest, ComponentKind)]) -> std::io::Result<usize> {
        let files = |(digest, kind): &(Digest, ComponentKind)| {
            let (digest, forms) = (*digest, Form::of(*kind, self.linking));
            forms.iter().map(move |form| self.path(digest, *form))
        };
        let keep: std::collections::HashSet<PathBuf> = keep.iter().flat_map(files).collect();
        let mut removed = 0;
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if !keep.contains(&path) {
                std::fs::remove_file(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn io_error(path: &Path) -> impl Fn(std::io::Error) -> CodeError {
    let path = path.to_owned();
    move |error| CodeError::Io { path: path.clone(), error: Arc::new(error) }
}

/// Writes a file that has its name only once all of it is on disk: a half-written one would be run as machine code.
fn write_durably(temporary: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(temporary, path)
}

fn lower_priority() {
    // On Linux this is the calling thread's own niceness, not the whole process's. Not being allowed to is harmless.
    if let Err(error) = rustix::process::nice(10) {
        tracing::debug!(%error, "compiling at ordinary priority");
    }
}
