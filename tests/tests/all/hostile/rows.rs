//! The guests that mean harm, and what each of them comes to.

/// A guest and what is seen of it.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) guest: &'static str,
    /// What it is called with: a query, in which `SILENT` stands for a server that never answers.
    pub(super) query: &'static str,
    /// How much is posted to it.
    pub(super) posted_bytes: usize,
    pub(super) settings: &'static str,
    pub(super) caller: Caller,
    /// What its log says, in any line; empty when there is no line at all.
    pub(super) log: &'static str,
    /// What makes it behave for once, if it can: tells that the hostile calls' instances are gone.
    pub(super) calm: Option<&'static str>,
    /// Whether it is done for after that; or else it is used again.
    pub(super) retired: bool,
}

/// What each caller reads.
#[derive(Clone, Copy)]
pub(super) enum Caller {
    /// A problem document of the function's: status and kind.
    Problem(u16, &'static str),
    /// An answer that breaks off, or a problem instead of it if its head had not been sent: of this kind.
    Broken(&'static str),
    /// An answer that begins like this and breaks off then, for a reason of this kind.
    Half(&'static str, &'static str),
    /// The function's own answer: status and text.
    Answered(u16, &'static str),
}

use Caller::{Answered, Broken, Half, Problem};

const ROW: Row = Row {
    guest: "",
    query: "",
    posted_bytes: 0,
    settings: "",
    caller: Problem(502, "trap"),
    log: "",
    calm: None,
    retired: true,
};

/// Past its budget of CPU time.
const SPINS: Row = Row {
    settings: "limits.cpu = '300ms'\nlimits.timeout = '50s'",
    caller: Problem(504, "cpu-budget"),
    log: "300ms",
    ..ROW
};

/// The same, after its answer.
const SPINS_AFTER: Row = Row { caller: Answered(200, "answered\n"), calm: Some("calm"), ..SPINS };

/// Past its memory.
const ALLOCATES: Row = Row {
    query: "mib=100",
    settings: MEMORY,
    caller: Problem(502, "out-of-memory"),
    log: "64MiB",
    calm: Some("mib=1"),
    ..ROW
};

/// Takes more of the host's resources than it may.
const HOARDS: Row = Row { log: "resource", calm: Some("count=1"), ..ROW };

/// Writes more lines than are kept.
const FLOODS: Row = Row {
    settings: "limits.cpu = '50s'\nlimits.timeout = '55s'",
    log: "lines dropped",
    calm: Some("mib=0"),
    retired: false,
    ..ROW
};

/// Traps, unless it is told to be calm.
const TRAPS: Row = Row { log: "unreachable", calm: Some("calm"), ..ROW };

/// Declares another length than it writes.
const LIES: Row = Row {
    caller: Broken("invalid-response"),
    log: "finish",
    calm: Some("declared=10&actual=10"),
    retired: false,
    ..ROW
};

/// Past its time.
const WAITS: Row = Row { settings: "limits.timeout = '500ms'", caller: Problem(504, "deadline"), log: "500ms", ..ROW };

/// Past its time, for a server that never answers.
const REACHES: Row =
    Row { settings: "limits.timeout = '700ms'\nallow_outbound = ['*']\nallow_private = true", log: "700ms", ..WAITS };

const MEMORY: &str = "limits.memory = '64MiB'";

/// The same for guests of WASI 0.2 and 0.3 where it may differ.
pub(super) const ROWS: &[Row] = &[
    // Time on a core.
    Row { guest: "spin", calm: Some("ms=1"), ..SPINS },
    Row { guest: "spin3", ..SPINS },
    Row { guest: "host-calls", ..SPINS },
    Row { guest: "spin-after", ..SPINS_AFTER },
    Row { guest: "spin-after3", ..SPINS_AFTER },
    Row { guest: "recurse", log: "call stack exhausted", calm: Some("calm"), ..ROW },
    Row { guest: "recurse3", log: "call stack exhausted", calm: Some("calm"), ..ROW },
    Row { guest: "random", query: "mib=64", log: "exceeds limit", calm: Some("mib=1"), ..ROW },
    // Memory.
    Row { guest: "grow", settings: MEMORY, caller: Answered(200, "63 MiB\n"), calm: Some("calm"), ..ROW },
    Row { guest: "allocate", ..ALLOCATES },
    Row { guest: "allocate3", ..ALLOCATES },
    Row { guest: "table.wat", caller: Problem(502, "invalid-response"), log: "without setting a response", ..ROW },
    // What the host keeps for a guest.
    Row { guest: "hoard", query: "what=clocks&count=1000000", ..HOARDS },
    Row { guest: "hoard", query: "what=fields&count=1000000", ..HOARDS },
    Row { guest: "hoard", query: "what=methods&count=1000000", ..HOARDS },
    Row { guest: "hoard", query: "what=bodies&count=1000000", ..HOARDS },
    Row { guest: "hoard3", query: "what=streams&count=1000000", log: "handle", ..HOARDS },
    Row { guest: "hoard3", query: "what=waits&count=100000", log: "handle", ..HOARDS },
    Row { guest: "many-headers", query: "count=100000", log: "too much data", calm: Some("count=10"), ..ROW },
    Row { guest: "many-headers", query: "append&count=100000", log: "exceeds limit", calm: Some("count=10"), ..ROW },
    Row {
        guest: "read-never",
        posted_bytes: 8 << 20,
        caller: Answered(200, "not read\n"),
        calm: Some(""),
        retired: false,
        ..ROW
    },
    // Logs. The first is 1 GiB.
    Row { guest: "flood", query: "mib=256", caller: Answered(200, "wrote 256 MiB\n"), ..FLOODS },
    Row { guest: "flood", query: "mib=16&line=1", caller: Answered(200, "wrote 16 MiB\n"), ..FLOODS },
    Row { guest: "flood", query: "chunk=70000", log: "at once where", calm: Some("mib=0"), ..ROW },
    Row { guest: "flood3", query: "mib=64&chunk=8388608", caller: Answered(200, "wrote 64 MiB\n"), ..FLOODS },
    Row { guest: "long-error", query: "kib=80", caller: Problem(502, "invalid-response"), log: "bytes more", ..ROW },
    // Crashes: before, while and after answering.
    Row { guest: "trap", ..TRAPS },
    Row { guest: "trap3", ..TRAPS },
    Row { guest: "half-body-then-trap", caller: Broken("trap"), calm: None, ..TRAPS },
    Row { guest: "half-body3", query: "trap", caller: Broken("trap"), calm: None, ..TRAPS },
    Row { guest: "trap-after", ..TRAPS },
    Row { guest: "trap-after3", caller: Answered(200, "answered\n"), ..TRAPS },
    Row { guest: "drop-panic", log: "the cup is broken", ..TRAPS },
    Row { guest: "drop-panic", query: "again", log: "the saucer is broken, too", ..TRAPS },
    Row { guest: "exit", query: "code=0", log: "called exit with status 0", ..ROW },
    Row { guest: "exit", query: "code=3", log: "called exit with status 1", ..ROW },
    // Answers that are none.
    Row { guest: "never-set", caller: Problem(502, "invalid-response"), log: "without setting a response", ..ROW },
    Row { guest: "error3", caller: Problem(502, "invalid-response"), log: "answered with an error", ..ROW },
    Row { guest: "early-drop", caller: Broken("invalid-response"), retired: false, ..ROW },
    Row { guest: "declared-length", query: "declared=10&actual=5", ..LIES },
    Row { guest: "declared-length", query: "declared=5&actual=10", ..LIES },
    Row { guest: "declared-length", query: "declared=10&none", log: "", ..LIES },
    Row { guest: "declared-length3", query: "declared=10&actual=5", log: "", ..LIES },
    Row { guest: "declared-length3", query: "declared=10&none", log: "", ..LIES },
    Row { guest: "declared-length3", query: "declared=5&actual=10", log: "", retired: true, ..LIES },
    // Waiting for ever.
    Row { guest: "sleep", query: "ms=18446744073709", calm: Some("ms=0"), ..WAITS },
    Row { guest: "never3", ..WAITS },
    Row { guest: "half-body-then-silence", caller: Half("half", "deadline"), ..WAITS },
    Row { guest: "half-body3", caller: Half("half", "deadline"), ..WAITS },
    Row { guest: "endless-body", caller: Half("xxxx", "deadline"), calm: Some("calm"), ..WAITS },
    Row { guest: "outbound", query: "url=http://SILENT/", ..REACHES },
    Row { guest: "outbound3", query: "url=http://SILENT/", ..REACHES },
    Row { guest: "fan-out", query: "url=http://SILENT&count=150", ..REACHES },
];

impl Row {
    /// What its guest is deployed as: one row's is deleted before the next one's is deployed.
    pub(super) const NAME: &str = "hostile";

    pub(super) fn title(&self) -> String {
        format!("{}?{}", self.guest, self.query)
    }
}
