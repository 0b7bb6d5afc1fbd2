//! The two engines, and the thread that ticks their epochs.
//!
//! Components of WASI 0.2 run on an engine without concurrency support, where a call costs least. Components of WASI 0.3
//! need it. Both pool what an instance is made of, so that making one is a matter of microseconds.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use samovar_model::ComponentKind;

use crate::machine::{Capacity, STACKS_PER_WASI03};
use crate::turn;

/// The time between two epochs: the grain in which a guest's time on a core is counted, and in which it is noticed that it has
/// held a thread for long enough.
pub const TICK: Duration = Duration::from_millis(1);

/// The engines of one host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Engines {
    wasi02: Engine,
    wasi03: Engine,
}

impl Engines {
    /// Makes both engines with room for these instances, and starts the tick, which comes this often.
    pub(crate) fn start(capacity: Capacity, memory_budget_bytes: u64, every: Duration) -> wasmtime::Result<Self> {
        let keep_bytes = keep_resident(capacity.instances, memory_budget_bytes);
        let wasi02 = Size { instances: capacity.instances, stacks: capacity.instances, keep_bytes };
        let stacks = u64::from(capacity.wasi03) * STACKS_PER_WASI03;
        let stacks = u32::try_from(stacks).unwrap_or(u32::MAX);
        let wasi03 = Size { instances: capacity.wasi03, stacks, keep_bytes };
        let engines = Self { wasi02: engine(&wasi02, false)?, wasi03: engine(&wasi03, true)? };
        tick(&engines, every)?;
        Ok(engines)
    }

    /// What both pools keep resident in places that are free, for the next instance to have.
    pub(crate) fn reusable_bytes(&self) -> u64 {
        let of = |engine: &Engine| {
            let metrics = engine.pooling_allocator_metrics()?;
            let stacks = metrics.unused_stack_bytes_resident().unwrap_or(0);
            Some((metrics.unused_memory_bytes_resident() + metrics.unused_table_bytes_resident() + stacks) as u64)
        };
        of(&self.wasi02).unwrap_or(0) + of(&self.wasi03).unwrap_or(0)
    }

    /// The engine for components of this kind.
    pub(crate) fn of(&self, kind: ComponentKind) -> &Engine {
        match kind {
            ComponentKind::Wasi02 => &self.wasi02,
            ComponentKind::Wasi03 => &self.wasi03,
        }
    }
}

/// A number that changes whenever code compiled for this engine earlier could not be run by it.
pub(crate) fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// The size of one engine's pool.
struct Size {
    instances: u32,
    stacks: u32,
    /// What a memory's place keeps resident for the next instance.
    keep_bytes: usize,
}

/// What each free place of a memory may keep resident: up to 1 MiB, and all of them together no more than a quarter of the
/// budget.
fn keep_resident(instances: u32, memory_budget_bytes: u64) -> usize {
    let each = memory_budget_bytes / 4 / u64::from(instances.max(1));
    // Whole pages of any size that a page has.
    usize::try_from(each.clamp(64 << 10, 1 << 20)).unwrap_or(1 << 20) & !0xffff
}

fn engine(size: &Size, concurrency: bool) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(size)));
    config.epoch_interruption(true);
    config.concurrency_support(concurrency);
    config.wasm_component_model_async(concurrency);
    if !cfg!(windows) {
        // For other programs' unwinders alone: wasmtime follows frame pointers, and stops a panic where the guest called the host.
        // Whoever loads code pays for every function of it.
        config.native_unwind_info(false);
    }
    // Stacks are used by one tenant after the other: leave nothing on them.
    config.async_stack_zeroing(true);
    Engine::new(&config)
}

fn pool(size: &Size) -> PoolingAllocationConfig {
    let instances = size.instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances);
    // A component holds several core instances: 3 or 4 with the usual adapters, more in Python's.
    pool.total_core_instances(instances.saturating_mul(8));
    // Each reserves 4 GiB of address space. A component with two memories takes two instances' places.
    pool.total_memories(instances);
    pool.total_tables(instances.saturating_mul(4));
    pool.total_stacks(size.stacks);
    pool.total_gc_heaps(instances);
    pool.max_core_instance_size(4 << 20);
    pool.max_component_instance_size(4 << 20);
    pool.max_tables_per_module(8);
    // No single component may take the place of many: the largest in use, Python's, has some dozens of modules.
    pool.max_core_instances_per_component(200);
    pool.max_memories_per_component(20);
    pool.max_tables_per_component(50);
    pool.table_elements(100_000);
    pool.async_stack_keep_resident(16 << 10);
    if swap_is_off() {
        // The kernel tells which pages were written, and only those are reset. Pages that were swapped out escape this scan
        // in wasmtime 48.0.8 and would leak to the slot's next tenant, hence the condition.
        pool.pagemap_scan(Enabled::Auto);
        pool.linear_memory_keep_resident(size.keep_bytes);
        pool.table_keep_resident(64 << 10);
    }
    pool
}

/// Whether no swap is active, as far as can be told.
fn swap_is_off() -> bool {
    // The file has one line of headings, and a line for every active swap.
    std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() <= 1)
}

/// Advances both engines' epochs from a thread of its own, since a guest that spins could keep a timer from firing. Ends when
/// the engines are gone.
fn tick(engines: &Engines, every: Duration) -> wasmtime::Result<()> {
    let (wasi02, wasi03) = (engines.wasi02.weak(), engines.wasi03.weak());
    std::thread::Builder::new().name("samovar-tick".into()).spawn(move || {
        while let (Some(wasi02), Some(wasi03)) = (wasi02.upgrade(), wasi03.upgrade()) {
            wasi02.increment_epoch();
            wasi03.increment_epoch();
            turn::begin_epoch();
            drop((wasi02, wasi03));
            std::thread::sleep(every);
        }
    })?;
    Ok(())
}
