//! `wasi:cli`, `wasi:clocks` and `wasi:random`.

use super::streams::outcome;
use super::tell;
use guests_wasi02::number;
use wasip2::cli::environment::{get_arguments, get_environment, initial_cwd};
use wasip2::cli::stderr::get_stderr;
use wasip2::cli::stdin::get_stdin;
use wasip2::cli::stdout::get_stdout;
use wasip2::cli::terminal_stderr::get_terminal_stderr;
use wasip2::cli::terminal_stdin::get_terminal_stdin;
use wasip2::cli::terminal_stdout::get_terminal_stdout;
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::random::insecure::{get_insecure_random_bytes, get_insecure_random_u64};
use wasip2::random::insecure_seed::insecure_seed;
use wasip2::random::random::{get_random_bytes, get_random_u64};

pub fn environment(_: &IncomingRequest) -> String {
    let mut told = String::new();
    tell!(told; get_environment(), get_arguments(), initial_cwd(), std::env::var("EMPTY"), std::env::args().count());
    told
}

pub fn standard_streams(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let (input, output, errors) = (get_stdin(), get_stdout(), get_stderr());
    tell!(told;
        outcome(input.read(10)),
        outcome(input.blocking_read(10)),
        outcome(input.blocking_skip(10)),
        input.subscribe().ready(),
        outcome(output.check_write()),
        outcome(output.write(b"a line\nhalf a ")),
        outcome(output.write(b"")),
        outcome(output.blocking_write_and_flush(b"line\n\nan empty one before, and no text: \x80\xff\n")),
        outcome(errors.check_write()),
        outcome(errors.write(b"an error\n")),
        outcome(output.write_zeroes(2)),
        outcome(output.blocking_write_zeroes_and_flush(2)),
        outcome(output.flush()),
        outcome(output.blocking_flush()),
        output.subscribe().ready(),
        outcome(output.splice(&input, 10)),
        outcome(get_stdout().write(&vec![b'x'; 3000])),
        outcome(output.write(b"\nlast words without an end")),
        outcome(errors.write(b"last error")),
    );
    println!("and what Rust prints: {}", "y".repeat(100));
    eprintln!("é");
    told
}

pub fn terminals(_: &IncomingRequest) -> String {
    let mut told = String::new();
    tell!(told; get_terminal_stdin().is_some(), get_terminal_stdout().is_some(), get_terminal_stderr().is_some());
    told
}

pub fn clocks(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let (first, second) = (monotonic_clock::now(), monotonic_clock::now());
    let (before, after) = (wall_clock::now(), wall_clock::now());
    tell!(told;
        first > 0 && first <= second,
        monotonic_clock::resolution(),
        wall_clock::resolution(),
        before.seconds > 1_700_000_000 && before.nanoseconds < 1_000_000_000,
        (before.seconds, before.nanoseconds) <= (after.seconds, after.nanoseconds),
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).is_ok_and(|d| d.as_secs() >= before.seconds),
    );
    told
}

pub fn random(_: &IncomingRequest) -> String {
    let mut told = String::new();
    for len in [0, 1, 32, 4097, 1 << 20] {
        tell!(told; get_random_bytes(len).len(), get_insecure_random_bytes(len).len());
    }
    tell!(told;
        get_random_bytes(32) == get_random_bytes(32),
        get_random_u64() == get_random_u64(),
        get_insecure_random_u64() == get_insecure_random_u64(),
        // Of which nothing is promised but that it is there.
        insecure_seed() == (0, 0),
    );
    told
}

/// Well, and badly.
pub fn exit(request: IncomingRequest, _out: ResponseOutparam) {
    println!("on the way out");
    wasip2::cli::exit::exit(if number(&request, "n", 0) == 0 { Ok(()) } else { Err(()) });
}
