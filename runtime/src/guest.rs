//! What belongs to one instance on the host's side: the data of its wasmtime store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use samovar_model::{LogStream, MAX_VALUE_BYTES, Settings};
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::direct::Linked;
use crate::instance::{Holding, Place};
use crate::interfaces::Granted;
use crate::interfaces::calls::Caller;
use crate::interfaces::clock::CoarseClock;
use crate::interfaces::outbound::Hooks;
use crate::interfaces::stdio::{GuestOutput, InstanceLog};
use crate::memory::HostShort;
use crate::turn::{self, Slice};

// What an instance may make the host keep for it: memory that `limits.memory` does not count. Together they hold one
// instance to tens of MiB, whatever it does in one invocation.

/// The most host resources (streams, requests, pollables) that an instance may hold at once, and more for each request that
/// it may take at once beside the first.
const MAX_RESOURCES: usize = 500;
const MAX_RESOURCES_PER_REQUEST: usize = 100;

/// The most handles of the component model, of which each resource needs one; streams, futures and tasks of WASI 0.3, too.
const MAX_HANDLES: usize = 5_000;

/// What one call of the host may hand over, in the host's own form of it. The largest that is of use is a piece of a body.
pub(crate) const MAX_CALL_BYTES: usize = 96 << 10;

/// The same for a function that has a bucket. A value that is too long to be kept should be an error that says so, not the end
/// of the invocation: twice the longest one comes that far.
pub(crate) const MAX_VALUE_CALL_BYTES: usize = 2 * MAX_VALUE_BYTES + MAX_CALL_BYTES;

/// The error that tells of more than that, of guests that are linked directly; wasmtime's own begins with the same words.
pub(crate) const TOO_MUCH: &str = "too much data is handed over in one call of the host";

/// Names and values of one set of headers, with 32 to 40 bytes for each as in wasmtime's count.
const MAX_FIELDS_BYTES: usize = 32 << 10;

/// Random bytes that one call may ask for: they are made while nobody else gets the thread, in about a millisecond for one MiB.
const MAX_RANDOM_BYTES: u64 = 4 << 20;

/// Takes a number, so that no resource has it.
struct Nothing;

/// The data of an instance's store.
pub(crate) struct Guest {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    may_call: bool,
    pub(crate) memory: MemoryMeter,
    cpu: CpuMeter,
    pub(crate) log: Arc<InstanceLog>,
    pub(crate) granted: Arc<Granted>,
    /// What the guest may hand over in one call.
    pub(crate) max_call_bytes: usize,
    /// Of a guest that is linked directly.
    pub(crate) linked: Linked,
}

impl Guest {
    /// A store for one instance, with limits set and the CPU meter running.
    pub(crate) fn store(engine: &Engine, settings: &Settings, granted: &Arc<Granted>, place: Place) -> Store<Self> {
        let Place { id: instance, holding } = place;
        let log = InstanceLog::new(granted.log.clone(), instance);
        let mut wasi = WasiCtx::builder();
        wasi.stdout(GuestOutput::new(Arc::clone(&log), LogStream::Stdout));
        wasi.stderr(GuestOutput::new(Arc::clone(&log), LogStream::Stderr));
        wasi.max_random_size(MAX_RANDOM_BYTES);
        wasi.wall_clock(CoarseClock);
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        for (name, value) in &settings.env {
            wasi.env(name, value);
        }
        let max_call_bytes = if granted.buckets.is_empty() { MAX_CALL_BYTES } else { MAX_VALUE_CALL_BYTES };
        let mut table = ResourceTable::new();
        let more_requests = settings.scale.concurrency.saturating_sub(1) as usize;
        table.set_max_capacity(MAX_RESOURCES + more_requests * MAX_RESOURCES_PER_REQUEST);
        // A guest that is linked directly has the table's numbers as handles, and to some of them 0 is none.
        drop(table.push(Nothing));
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELDS_BYTES);
        let guest = Self {
            table,
            wasi: wasi.build(),
            http,
            may_call: granted.outbound.may_call(),
            hooks: Hooks::new(Arc::clone(&granted.outbound), instance),
            memory: MemoryMeter::new(settings.limits.memory.as_bytes(), holding),
            cpu: CpuMeter::new(settings.limits.cpu.as_duration()),
            log,
            granted: Arc::clone(granted),
            max_call_bytes,
            linked: Linked::default(),
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(max_call_bytes);
        store.set_max_component_handles(MAX_HANDLES);
        store.epoch_deadline_callback(|mut context| Ok(context.data_mut().cpu.tick()));
        store.set_epoch_deadline(1);
        store
    }

    /// Says that an invocation begins; `alone` when no other runs in the instance.
    pub(crate) fn begin(&mut self, alone: bool) {
        self.cpu.begin(alone);
        if alone {
            self.hooks.begin();
        }
    }

    /// What the guest holds handles of.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Whether it may call other functions, and so is to be told who calls it.
    pub(crate) fn may_call(&self) -> bool {
        self.may_call
    }

    /// Says which invocation begins; `alone` when no other runs in the instance.
    pub(crate) fn called_by(&mut self, alone: bool, caller: Caller) {
        self.hooks.called_by(alone, caller);
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Counts the time a guest is on a core.
///
/// A tick is charged to whichever guest runs when the epoch advances: exact on average. One that computes on is charged what
/// its thread was on a core for ([`turn::crossed`]).
pub(crate) struct CpuMeter {
    used: Duration,
    budget: Duration,
    /// What one invocation may use.
    per_invocation: Duration,
    slice: Slice,
}

impl CpuMeter {
    fn new(limit: Duration) -> Self {
        Self { used: Duration::ZERO, budget: limit, per_invocation: limit, slice: Slice::default() }
    }

    /// Gives the budget of one invocation; `alone` when no other runs in the instance.
    fn begin(&mut self, alone: bool) {
        if alone {
            self.used = Duration::ZERO;
            self.budget = self.per_invocation;
            self.slice = Slice::default();
        } else {
            self.budget = self.budget.saturating_add(self.per_invocation);
        }
    }

    fn tick(&mut self) -> UpdateDeadline {
        let crossing = turn::crossed(&mut self.slice);
        self.used += crossing.charge;
        if self.used > self.budget {
            UpdateDeadline::Interrupt
        } else if crossing.used_up {
            UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
        } else {
            UpdateDeadline::Continue(1)
        }
    }
}

/// Adds up an instance's memories and tables, and refuses what is past its limit.
pub(crate) struct MemoryMeter {
    used_bytes: usize,
    limit_bytes: usize,
    /// Whether growth was ever refused: such an instance is not used again. Shared with whoever decides that.
    refused: Arc<AtomicBool>,
    /// The instance's part of the host's memory.
    holding: Arc<Holding>,
}

impl MemoryMeter {
    fn new(limit_bytes: u64, holding: Arc<Holding>) -> Self {
        let limit_bytes = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        Self { used_bytes: 0, limit_bytes, refused: Arc::default(), holding }
    }

    /// Whether growth was ever refused.
    pub(crate) fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// The same, to be looked at while the instance runs elsewhere.
    pub(crate) fn refused_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.refused)
    }

    fn grow(&mut self, current: usize, desired: usize) -> Result<bool, HostShort> {
        let more = desired.saturating_sub(current);
        let used = self.used_bytes.saturating_add(more);
        if used > self.limit_bytes {
            self.refused.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        // What a memory begins with is mostly an image that instances share, or never touched: what is resident tells.
        if current > 0 {
            self.holding.share.grow(more as u64)?;
        }
        self.used_bytes = used;
        Ok(true)
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // An error stops the guest on the spot, rather than leave it to what it does without the memory.
        Ok(self.grow(current, desired)?)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = size_of::<usize>();
        Ok(self.grow(current.saturating_mul(bytes), desired.saturating_mul(bytes))?)
    }
}
