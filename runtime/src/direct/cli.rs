//! `wasi:cli`, `wasi:clocks` and `wasi:random` of WASI 0.2, lowered by hand.

use wasmtime::bail;
use wasmtime::component::Resource;
use wasmtime_wasi::cli::WasiCliView as _;
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::bindings::cli::environment::Host as _;
use wasmtime_wasi::p2::bindings::cli::exit::Host as _;
use wasmtime_wasi::p2::bindings::cli::stderr::Host as _;
use wasmtime_wasi::p2::bindings::cli::stdin::Host as _;
use wasmtime_wasi::p2::bindings::cli::stdout::Host as _;
use wasmtime_wasi::p2::bindings::cli::terminal_stderr::Host as _;
use wasmtime_wasi::p2::bindings::cli::terminal_stdin::Host as _;
use wasmtime_wasi::p2::bindings::cli::terminal_stdout::Host as _;
use wasmtime_wasi::p2::bindings::cli::{terminal_input::TerminalInput, terminal_output::TerminalOutput};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as MonotonicClock;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::{Datetime, Host as WallClock};
use wasmtime_wasi::p2::bindings::random::insecure::Host as _;
use wasmtime_wasi::p2::bindings::random::insecure_seed::Host as _;
use wasmtime_wasi::p2::bindings::random::random::Host as _;
use wasmtime_wasi::random::WasiRandomView as _;

use super::abi::{Cx, Out, give, put};
use super::values::Store;
use super::{Function, functions, own};

pub(super) fn all() -> Vec<Function> {
    [surroundings(), standard_streams(), terminals(), clocks(), random()].into_iter().flatten().collect()
}

fn surroundings() -> Vec<Function> {
    let mut all = functions!("wasi:cli/environment":
        giving "get-environment" => |cx, to: u32| {
            let variables = cx.data_mut().cli().get_environment()?;
            give(&mut cx, to, variables)
        };
        giving "get-arguments" => |cx, to: u32| {
            let arguments = cx.data_mut().cli().get_arguments()?;
            give(&mut cx, to, arguments)
        };
        giving "initial-cwd" => |cx, to: u32| {
            let directory = cx.data_mut().cli().initial_cwd()?;
            give(&mut cx, to, directory)
        };
    );
    all.extend(functions!("wasi:cli/exit":
        "exit" => |cx, is_error: u32| {
            match is_error {
                0 => cx.data_mut().cli().exit(Ok(())),
                1 => cx.data_mut().cli().exit(Err(())),
                other => bail!("a result is ok or an error, and not {other}"),
            }
        };
    ));
    all
}

fn standard_streams() -> Vec<Function> {
    let mut all = functions!("wasi:cli/stdin":
        "get-stdin" => |cx| Ok(cx.data_mut().cli().get_stdin()?.rep());
    );
    all.extend(functions!("wasi:cli/stdout":
        "get-stdout" => |cx| Ok(cx.data_mut().cli().get_stdout()?.rep());
    ));
    all.extend(functions!("wasi:cli/stderr":
        "get-stderr" => |cx| Ok(cx.data_mut().cli().get_stderr()?.rep());
    ));
    all
}

fn terminals() -> Vec<Function> {
    let mut all = functions!("wasi:cli/terminal-stdin":
        "get-terminal-stdin" => |cx, to: u32| {
            let terminal = cx.data_mut().cli().get_terminal_stdin()?;
            put(&mut cx, to, terminal)
        };
    );
    all.extend(functions!("wasi:cli/terminal-stdout":
        "get-terminal-stdout" => |cx, to: u32| {
            let terminal = cx.data_mut().cli().get_terminal_stdout()?;
            put(&mut cx, to, terminal)
        };
    ));
    all.extend(functions!("wasi:cli/terminal-stderr":
        "get-terminal-stderr" => |cx, to: u32| {
            let terminal = cx.data_mut().cli().get_terminal_stderr()?;
            put(&mut cx, to, terminal)
        };
    ));
    all.extend(functions!("wasi:cli/terminal-input":
        "[resource-drop]terminal-input" => |cx, id: u32| {
            let terminal: Resource<TerminalInput> = own(id);
            cx.data_mut().table().delete(terminal).map(drop).map_err(Into::into)
        };
    ));
    all.extend(functions!("wasi:cli/terminal-output":
        "[resource-drop]terminal-output" => |cx, id: u32| {
            let terminal: Resource<TerminalOutput> = own(id);
            cx.data_mut().table().delete(terminal).map(drop).map_err(Into::into)
        };
    ));
    all
}

impl Store for Datetime {
    const SIZE: u32 = 16;
    const ALIGN: u32 = 8;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        (self.seconds, self.nanoseconds).store(out, at)
    }
}

fn clocks() -> Vec<Function> {
    let mut all = functions!("wasi:clocks/monotonic-clock":
        "now" => |cx| MonotonicClock::now(&mut cx.data_mut().clocks());
        "resolution" => |cx| MonotonicClock::resolution(&mut cx.data_mut().clocks());
        "subscribe-instant" => |cx, when: u64| Ok(cx.data_mut().clocks().subscribe_instant(when)?.rep());
        "subscribe-duration" => |cx, nanos: u64| Ok(cx.data_mut().clocks().subscribe_duration(nanos)?.rep());
    );
    all.extend(functions!("wasi:clocks/wall-clock":
        "now" => |cx, to: u32| {
            let now = WallClock::now(&mut cx.data_mut().clocks())?;
            put(&mut cx, to, now)
        };
        "resolution" => |cx, to: u32| {
            let resolution = WallClock::resolution(&mut cx.data_mut().clocks())?;
            put(&mut cx, to, resolution)
        };
    ));
    all
}

fn random() -> Vec<Function> {
    let mut all = functions!("wasi:random/random":
        giving "get-random-bytes" => |cx, len: u64, to: u32| {
            let bytes = cx.data_mut().random().get_random_bytes(len)?;
            give(&mut cx, to, bytes)
        };
        "get-random-u64" => |cx| cx.data_mut().random().get_random_u64();
    );
    all.extend(functions!("wasi:random/insecure":
        giving "get-insecure-random-bytes" => |cx, len: u64, to: u32| {
            let bytes = cx.data_mut().random().get_insecure_random_bytes(len)?;
            give(&mut cx, to, bytes)
        };
        "get-insecure-random-u64" => |cx| cx.data_mut().random().get_insecure_random_u64();
    ));
    all.extend(functions!("wasi:random/insecure-seed":
        "insecure-seed" => |cx, to: u32| {
            let seed = cx.data_mut().random().insecure_seed()?;
            put(&mut cx, to, seed)
        };
    ));
    all
}
