//! Tries to reach out of its sandbox, and answers what became of each attempt, one a line.

use guests_wasi02::{answer, handler};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let attempts = [
        ("read /etc/passwd", std::fs::read("/etc/passwd").map(drop)),
        ("read .", std::fs::read_dir(".").map(drop)),
        ("write x", std::fs::write("x", "x")),
        ("write /tmp/x", std::fs::write("/tmp/x", "x")),
    ];
    let report: String = attempts.into_iter().map(|(what, outcome)| format!("{what}: {outcome:?}\n")).collect();
    answer(out, 200, &report);
}

handler!(handle);
