//! What the machine allows a host: mappings, address space, open files and memory, each of which bounds something.
//!
//! | limit | what takes it up |
//! | --- | --- |
//! | `vm.max_map_count` | an instance has a stack (2 mappings) and a memory (up to 4); loaded code has a few |
//! | address space (`ulimit -v`, or 128 TiB) | each memory reserves 4 GiB, whether it is used or not |
//! | open files (`ulimit -n`) | a connection is one, and loaded code is one |
//! | memory (the cgroup's, or the machine's) | everything |
//!
//! Read once, at start.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

/// What a memory reserves: 4 GiB, and 32 MiB of guard behind it, as wasmtime has them by default.
const MEMORY_RESERVATION: u64 = (4 << 30) + (32 << 20);

/// Mappings that an instance's memory is made of: before the component's data, the data, behind it, and what is not accessible.
pub(crate) const MAPS_PER_MEMORY: u64 = 4;

/// Mappings of a stack, in use or not: itself and its guard.
const MAPS_PER_STACK: u64 = 2;

/// Mappings of a loaded component: its code, and what is before and behind it.
pub(crate) const MAPS_PER_COMPONENT: u64 = 3;

/// Mappings for everything else: libraries, threads, the heap.
const MAPS_RESERVED: u64 = 700;

/// Open files for everything else: the registry, logs, listeners, the control API.
const FILES_RESERVED: u64 = 512;

/// Fewer loaded components than this make no host.
const MIN_COMPONENTS: u64 = 256;

/// Address space of a process on the processors that Samovar runs on, when nothing limits it: 47 bits.
const ADDRESS_SPACE: u64 = 1 << 47;

/// What the machine allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Mappings of one process: `vm.max_map_count`.
    pub max_map_count: u64,
    /// Bytes of address space.
    pub address_space_bytes: u64,
    /// Open files.
    pub open_files: u64,
    /// Bytes of memory: the cgroup's limit, where it has one, or else the machine's.
    pub memory_bytes: u64,
}

/// What the engines and the cache of code are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Instances alive at once on the host.
    pub instances: u32,
    /// How many of them may be of WASI 0.3.
    pub wasi03: u32,
    /// Components loaded at once, while few instances are alive.
    pub components: u32,
    /// Mappings that live instances and loaded components share.
    pub mappings: u64,
}

/// A limit that leaves less room than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// `vm.max_map_count`: this would do.
    Mappings(u64),
    /// `ulimit -v`, or the processor's: this many bytes would do.
    AddressSpace(u64),
}

impl Machine {
    /// Looks at this machine. What cannot be told counts as unlimited.
    pub fn look() -> Self {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
        let limit = |resource| getrlimit(resource).current.unwrap_or(u64::MAX);
        Self {
            max_map_count: number("/proc/sys/vm/max_map_count").unwrap_or(u64::MAX),
            address_space_bytes: limit(Resource::As).min(ADDRESS_SPACE),
            open_files: limit(Resource::Nofile),
            memory_bytes: cgroup_limit().unwrap_or(u64::MAX).min(ram().unwrap_or(u64::MAX)),
        }
    }

    /// The memory that a host may use unless it is told otherwise: all but an eighth, and but 64 MiB at the least, which is left
    /// to the kernel's side of things.
    pub fn memory_budget(&self) -> u64 {
        self.memory_bytes.saturating_sub((self.memory_bytes / 8).max(64 << 20)).max(64 << 20)
    }

    /// The instances that a host is made for unless it is told otherwise: 10,000, where a quarter of the memory budget would
    /// hold them idle.
    pub fn instances(&self, memory_budget: u64) -> u32 {
        let held = memory_budget / 4 / crate::memory::INSTANCE_BYTES;
        u32::try_from(held).unwrap_or(u32::MAX).clamp(100, 10_000)
    }

    /// The capacity for this many instances, or as many as the machine allows, and which limits stand in the way.
    pub fn capacity(&self, instances: u32) -> (Capacity, Vec<Shortage>) {
        let asked = u64::from(instances);
        let mut shortages = Vec::new();
        let maps = self.max_map_count.saturating_sub(MAPS_RESERVED + MIN_COMPONENTS * MAPS_PER_COMPONENT);
        // Where mappings are short, a sixteenth of the instances may be of WASI 0.3, whose stacks are mapped from the start.
        let of_maps = maps / Self::maps(16, 1) * 16;
        if of_maps < asked {
            let needed = Self::maps(asked.next_multiple_of(16), asked.div_ceil(16))
                + MAPS_RESERVED
                + MIN_COMPONENTS * MAPS_PER_COMPONENT;
            shortages.push(Shortage::Mappings(needed));
        }
        // Memories of both engines; a tenth of the address space is for everything else.
        let address_space = self.address_space_bytes / 10 * 9;
        let of_space = address_space / (2 * MEMORY_RESERVATION);
        if of_space < asked {
            shortages.push(Shortage::AddressSpace((asked.saturating_mul(2 * MEMORY_RESERVATION) / 9 + 1) * 10));
        }
        let instances = asked.min(of_maps).min(of_space).max(1);
        // What mappings are left may be stacks of WASI 0.3.
        let left = maps.saturating_sub(Self::maps(instances, 0));
        let wasi03 = (left / Self::maps(0, 1)).clamp(1, instances);
        // Stacks are mapped from the start, all else as it is needed.
        let stacks = instances * MAPS_PER_STACK + Self::maps(0, wasi03);
        let mappings =
            self.max_map_count.saturating_sub(MAPS_RESERVED + stacks).max(MIN_COMPONENTS * MAPS_PER_COMPONENT);
        let files = self.open_files.saturating_sub(FILES_RESERVED) / 2;
        let components = (mappings / MAPS_PER_COMPONENT).min(files.max(MIN_COMPONENTS));
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let capacity =
            Capacity { instances: count(instances), wasi03: count(wasi03), components: count(components), mappings };
        (capacity, shortages)
    }

    /// Mappings for so many live instances, of which any may be of WASI 0.2, and for the stacks of so many of WASI 0.3.
    fn maps(instances: u64, wasi03: u64) -> u64 {
        let live = instances.saturating_mul(MAPS_PER_MEMORY + MAPS_PER_STACK);
        live.saturating_add(wasi03.saturating_mul(STACKS_PER_WASI03 * MAPS_PER_STACK))
    }
}

/// Stacks for each instance of WASI 0.3: one for each of its calls that runs or waits on a stack of its own.
pub(crate) const STACKS_PER_WASI03: u64 = 2;

/// The machine's memory.
fn ram() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// The lowest memory limit of this process's cgroup and those above it, where there is one.
fn cgroup_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    lowest_limit(&own, Path::new("/sys/fs/cgroup"))
}

/// `own` is what `/proc/self/cgroup` says: `0::/path` for version 2, `N:memory:/path` for version 1.
fn lowest_limit(own: &str, root: &Path) -> Option<u64> {
    let limits = own.lines().filter_map(|line| {
        let (hierarchy, path) = line.rsplit_once(':')?;
        let (mount, file) = match hierarchy.split_once(':')? {
            ("0", "") => (root.to_owned(), "memory.max"),
            (_, controllers) if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        lowest_up_to(&mount, path, file)
    });
    limits.min()
}

/// Inside a container the cgroup's own path may not be visible, but its mount's root is.
fn lowest_up_to(mount: &Path, path: &str, file: &str) -> Option<u64> {
    let below: PathBuf = mount.join(path.trim_start_matches('/'));
    let dirs = below.ancestors().take_while(|dir| dir.starts_with(mount));
    // `max`, and what version 1 has for it, a number of the order of 2^63, are no limits.
    let limits = dirs.filter_map(|dir| fs::read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok());
    limits.filter(|limit| *limit < 1 << 62).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn machine() -> Machine {
        Machine { max_map_count: 65_530, address_space_bytes: 1 << 47, open_files: 20_000, memory_bytes: 16 * GIB }
    }

    #[test]
    fn a_machine_with_plenty_gives_what_is_asked_for() {
        let plenty = Machine { max_map_count: 1 << 20, open_files: 1 << 20, ..machine() };
        let (capacity, shortages) = plenty.capacity(10_000);
        assert_eq!((capacity.instances, capacity.wasi03), (10_000, 10_000));
        assert!(capacity.components > 10_000, "{capacity:?}");
        assert_eq!(shortages, []);
    }

    #[test]
    fn what_is_short_is_named_with_what_would_do() {
        assert_eq!(machine().capacity(10_000).1, [], "the defaults of Linux do for 10,000");
        let (capacity, shortages) = machine().capacity(14_000);
        let [Shortage::Mappings(needed)] = shortages[..] else { panic!("{shortages:?}") };
        assert!(capacity.instances < 14_000 && capacity.wasi03 >= capacity.instances / 16, "{capacity:?}");
        let (capacity, shortages) = Machine { max_map_count: needed, ..machine() }.capacity(14_000);
        assert_eq!((capacity.instances, shortages), (14_000, Vec::new()));
        let small = Machine { address_space_bytes: 100 * GIB, ..machine() };
        let (capacity, shortages) = small.capacity(100);
        let [Shortage::AddressSpace(needed)] = shortages[..] else { panic!("{shortages:?}") };
        assert_eq!(capacity.instances, 11);
        let (capacity, shortages) = Machine { address_space_bytes: needed, ..small }.capacity(100);
        assert_eq!((capacity.instances, shortages), (100, Vec::new()));
    }

    #[test]
    fn nothing_that_is_given_takes_more_than_there_is() {
        for max_map_count in [5_000, 65_530, 262_144] {
            for asked in [1, 100, 5_000, 100_000] {
                let (capacity, _) = Machine { max_map_count, ..machine() }.capacity(asked);
                let memories = u64::from(capacity.instances) * MAPS_PER_MEMORY;
                let stacks = Machine::maps(capacity.instances.into(), capacity.wasi03.into()) - memories;
                let maps = stacks + capacity.mappings + MAPS_RESERVED;
                assert!(maps <= max_map_count, "{asked} of {max_map_count}: {capacity:?} take {maps}");
                assert!(memories + MIN_COMPONENTS * MAPS_PER_COMPONENT <= capacity.mappings, "{capacity:?}");
                assert!(capacity.instances >= 1 && capacity.components >= 256, "{capacity:?}");
            }
        }
    }

    #[test]
    fn the_memory_budget_leaves_something_to_the_kernel() {
        assert_eq!(machine().memory_budget(), 14 * GIB);
        let small = Machine { memory_bytes: 256 << 20, ..machine() };
        assert_eq!(small.memory_budget(), 192 << 20);
        assert_eq!(small.instances(small.memory_budget()), 512);
        assert_eq!(machine().instances(14 * GIB), 10_000);
    }

    #[test]
    fn the_lowest_limit_of_all_cgroups_above_counts() {
        let root = tempfile::tempdir().expect("a directory");
        let at = |path: &str, text: &str| {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().expect("below the root")).expect("made");
            fs::write(file, text).expect("written");
        };
        at("a/b/memory.max", "max\n");
        at("a/memory.max", "1000000\n");
        at("memory/x/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(lowest_limit("0::/a/b\n", root.path()), Some(1_000_000));
        assert_eq!(lowest_limit("8:memory:/x\n0::/\n", root.path()), None);
        at("memory/memory.limit_in_bytes", "2000000\n");
        assert_eq!(lowest_limit("4:cpu,memory:/x\n0::/a\n", root.path()), Some(1_000_000));
        assert_eq!(lowest_limit("4:cpu,memory:/not/visible\n", root.path()), Some(2_000_000));
    }
}
