//! An instance: one instantiated component in one store.

pub(crate) mod wasi02;
pub(crate) mod wasi03;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use samovar_model::{ComponentKind, Fault, Settings};
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::code::Code;
use crate::guest::{MAX_CALL_BYTES, MAX_VALUE_CALL_BYTES, TOO_MUCH};
use crate::interfaces::Granted;
use crate::interfaces::stdio::InstanceLog;
use crate::lane::Lane;
use crate::memory::{Demand, HostMemory, HostShort, NoRoom, Share};
use crate::pool::Pooled;
use crate::room::Seat;
use wasi02::Wasi02;
use wasi03::Wasi03;

/// An instance of either kind.
pub(crate) enum Instance {
    /// Takes one invocation at a time, and is moved into it.
    Wasi02(Box<Wasi02>),
    /// Runs in a task of its own; this is a handle to it.
    Wasi03(Arc<Wasi03>),
}

/// What both kinds of instance have.
pub(crate) struct Identity {
    id: u64,
    uses: AtomicU64,
    /// The id as a header's value, made once.
    pub(crate) header: HeaderValue,
    pub(crate) log: Arc<InstanceLog>,
}

impl Identity {
    fn new(id: u64, log: Arc<InstanceLog>) -> Self {
        Self { id, uses: AtomicU64::new(0), header: HeaderValue::from(id), log }
    }

    fn used(&self) {
        self.uses.fetch_add(1, Ordering::Relaxed);
    }
}

/// What an instance has of its host, given back when nothing of it is left: whatever is to go first stands before it.
pub(crate) struct Holding {
    pub(crate) share: Share,
    /// The right to be there, which it is given once it has been made.
    seat: OnceLock<Seat>,
}

/// What an instance is given to live in: a number that no other instance has, and what it has of its host.
pub(crate) struct Place {
    pub(crate) id: u64,
    pub(crate) holding: Arc<Holding>,
}

/// All that an instance is made of.
pub(crate) struct Blueprint<'a> {
    pub(crate) code: &'a Code,
    pub(crate) settings: &'a Settings,
    pub(crate) granted: &'a Arc<Granted>,
    pub(crate) lane: &'a Arc<Lane>,
    pub(crate) memory: &'a Arc<HostMemory>,
    pub(crate) demand: &'a Arc<Demand>,
}

/// Why an instance could not be made.
pub(crate) enum MakeError {
    /// The host has no place for one more, or none of this kind: evict an idle instance and try again.
    Full(Option<ComponentKind>),
    /// The host is short of memory, and has nothing idle left.
    NoMemory,
    /// The guest's own start-up failed, which has been logged.
    Failed(String),
}

impl Instance {
    /// Makes an instance and runs the guest's start-up.
    ///
    /// # Cancel safety
    /// Dropping the future drops the half-made instance.
    pub(crate) async fn make(blueprint: &Blueprint<'_>, id: u64) -> Result<Self, MakeError> {
        let share = blueprint.memory.enter(blueprint.demand).map_err(|reason| match reason {
            NoRoom::Instances => MakeError::Full(None),
            NoRoom::Memory => MakeError::NoMemory,
        })?;
        let place = Place { id, holding: Arc::new(Holding { share, seat: OnceLock::new() }) };
        let made = match blueprint.code {
            Code::Wasi02(pre) => Wasi02::make(pre, blueprint, place).await.map(|i| Self::Wasi02(Box::new(i))),
            Code::Wasi03(pre) => Wasi03::make(pre, blueprint, place).await.map(|i| Self::Wasi03(Arc::new(i))),
        };
        made.map_err(|error| {
            if error.is::<PoolConcurrencyLimitError>() {
                return MakeError::Full(Some(blueprint.code.kind()));
            }
            if error.is::<HostShort>() {
                return MakeError::NoMemory;
            }
            let text = format!("could not be started: {}", describe(&error));
            blueprint.granted.log.write(id, None, samovar_model::LogStream::Crash, text.clone());
            MakeError::Failed(text)
        })
    }

    pub(crate) fn identity(&self) -> &Identity {
        match self {
            Self::Wasi02(instance) => &instance.identity,
            Self::Wasi03(instance) => &instance.identity,
        }
    }

    /// Whether it may serve again. Not so after it was refused memory: what it then did cannot be known.
    pub(crate) fn may_serve(&self) -> bool {
        match self {
            Self::Wasi02(instance) => !instance.was_refused_memory(),
            Self::Wasi03(instance) => !instance.was_refused_memory() && instance.is_running(),
        }
    }
}

impl Pooled for Instance {
    fn sit(&self, seat: Seat) {
        let holding = match self {
            Self::Wasi02(instance) => &instance.holding,
            Self::Wasi03(instance) => &instance.holding,
        };
        drop(holding.seat.set(seat));
    }

    fn share(&self) -> Option<Self> {
        match self {
            Self::Wasi02(_) => None,
            Self::Wasi03(instance) => Some(Self::Wasi03(Arc::clone(instance))),
        }
    }

    fn id(&self) -> u64 {
        self.identity().id
    }

    fn uses(&self) -> u64 {
        self.identity().uses.load(Ordering::Relaxed)
    }

    fn is_at_work(&self) -> bool {
        match self {
            Self::Wasi02(_) => false,
            Self::Wasi03(instance) => instance.is_at_work(),
        }
    }

    fn is_sound(&self) -> bool {
        self.may_serve()
    }
}

/// What a guest's error means to the caller.
pub(crate) fn fault(error: &wasmtime::Error, settings: &Settings, refused_memory: bool) -> Fault {
    if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
        return Fault::CpuBudget(settings.limits.cpu.as_duration());
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Fault::NoCapacity;
    }
    if error.is::<HostShort>() {
        return Fault::HostMemory { started: true };
    }
    if refused_memory {
        return Fault::OutOfMemory(settings.limits.memory);
    }
    Fault::Trap
}

/// How an invocation ended, as its function's log shows it.
pub(crate) fn reason(fault: &Fault, error: &wasmtime::Error) -> String {
    match fault {
        Fault::Trap => describe(error),
        _ => format!("{fault}: {}", describe(error)),
    }
}

/// A guest's error as its log shows it: the reason first, then the wasm backtrace.
pub(crate) fn describe(error: &wasmtime::Error) -> String {
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return format!("called exit with status {}", exit.0);
    }
    let mut reason = error.root_cause().to_string();
    if reason.contains("fuel allocated for hostcalls") || reason == TOO_MUCH {
        // wasmtime's words alone tell a function's author nothing of what to change.
        let (usual, values) = (MAX_CALL_BYTES >> 10, MAX_VALUE_CALL_BYTES >> 20);
        reason += &format!(
            "; one call takes {usual} KiB, or {values} MiB where the function has a bucket: send less at once"
        );
    }
    let backtrace = error.downcast_ref::<wasmtime::WasmBacktrace>().map(ToString::to_string).unwrap_or_default();
    match backtrace.trim_end() {
        "" => reason,
        frames => format!("{reason}\n{frames}"),
    }
}
