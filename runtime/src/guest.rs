//! What belongs to one instance on the host's side: the data of its wasmtime store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use samovar_model::{LogStream, Settings};
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::engine::TICK;
use crate::interfaces::outbound::{Hooks, Outbound};
use crate::interfaces::stdio::{GuestOutput, InstanceLog};
use crate::logs::LogSink;

/// The most host resources (streams, requests, pollables) that one instance may hold at once.
const MAX_RESOURCES: usize = 10_000;

/// The data of an instance's store.
pub(crate) struct Guest {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    pub(crate) memory: MemoryMeter,
    pub(crate) cpu: CpuMeter,
    pub(crate) log: Arc<InstanceLog>,
}

impl Guest {
    /// A store for one instance, with limits set and the CPU meter running.
    pub(crate) fn store(
        engine: &Engine,
        settings: &Settings,
        outbound: &Arc<Outbound>,
        sink: &LogSink,
        instance: u64,
    ) -> Store<Self> {
        let log = InstanceLog::new(sink.clone(), instance);
        let mut wasi = WasiCtx::builder();
        wasi.stdout(GuestOutput::new(Arc::clone(&log), LogStream::Stdout));
        wasi.stderr(GuestOutput::new(Arc::clone(&log), LogStream::Stderr));
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        for (name, value) in &settings.env {
            wasi.env(name, value);
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let guest = Self {
            table,
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            hooks: Hooks { outbound: Arc::clone(outbound), instance },
            memory: MemoryMeter::new(settings.limits.memory.as_bytes()),
            cpu: CpuMeter::new(settings.limits.cpu.as_duration()),
            log,
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.epoch_deadline_callback(|mut context| Ok(context.data_mut().cpu.tick()));
        store.set_epoch_deadline(1);
        store
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

/// Counts the time a guest is on a core, in ticks.
///
/// A tick is charged to whichever guest runs when the epoch advances: exact on average, and within one tick for a guest that
/// computes without pause.
pub(crate) struct CpuMeter {
    used: u32,
    budget: u32,
    /// Ticks that one invocation may use.
    per_invocation: u32,
}

impl CpuMeter {
    fn new(limit: std::time::Duration) -> Self {
        let ticks = limit.as_millis().div_ceil(TICK.as_millis());
        let per_invocation = u32::try_from(ticks).unwrap_or(u32::MAX).max(1);
        Self { used: 0, budget: per_invocation, per_invocation }
    }

    /// Gives the budget of one invocation; `alone` when no other runs in the instance.
    pub(crate) fn begin(&mut self, alone: bool) {
        if alone {
            self.used = 0;
            self.budget = self.per_invocation;
        } else {
            self.budget = self.budget.saturating_add(self.per_invocation);
        }
    }

    fn tick(&mut self) -> UpdateDeadline {
        self.used += 1;
        if self.used > self.budget {
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
        }
    }
}

/// Adds up an instance's memories and tables, and refuses what is past its limit.
pub(crate) struct MemoryMeter {
    used_bytes: usize,
    limit_bytes: usize,
    /// Whether growth was ever refused: such an instance is not used again. Shared with whoever decides that.
    refused: Arc<AtomicBool>,
}

impl MemoryMeter {
    fn new(limit_bytes: u64) -> Self {
        Self { used_bytes: 0, limit_bytes: usize::try_from(limit_bytes).unwrap_or(usize::MAX), refused: Arc::default() }
    }

    /// Whether growth was ever refused.
    pub(crate) fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// The same, to be looked at while the instance runs elsewhere.
    pub(crate) fn refused_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.refused)
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let used = self.used_bytes.saturating_add(desired.saturating_sub(current));
        if used > self.limit_bytes {
            self.refused.store(true, Ordering::Relaxed);
            return false;
        }
        self.used_bytes = used;
        true
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = size_of::<usize>();
        Ok(self.grow(current.saturating_mul(bytes), desired.saturating_mul(bytes)))
    }
}
