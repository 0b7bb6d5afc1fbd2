//! Calls functions of the host in every way there is, and answers what they gave: `?case=NAME`, with `?n` for a case that is many.
//! Without a case it answers the names of them all and how many each is, one a line.
//!
//! What a case answers is the same however the host links the guest, so nothing of it is a handle, a moment or a random number.

mod allocator;
mod calls;
mod codes;
mod fields;
mod handles;
mod incoming;
mod memory;
mod misuse;
mod outgoing;
mod raw;
mod streams;
mod surroundings;

use guests_wasi02::{answer, handler, number, query};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

/// Writes each call and what it gave, one a line.
macro_rules! tell {
    ($told:expr; $($call:expr),+ $(,)?) => {$(
        $told.push_str(&format!("{} = {:?}\n", stringify!($call), $call));
    )+};
}
use tell;

/// For what is called only to see what the host does.
fn ignore<T>(_: T) {}

struct Case {
    name: &'static str,
    /// How many it is: `?n` is below this.
    count: usize,
    run: Run,
}

enum Run {
    /// Tells what functions gave.
    Tells(fn(&IncomingRequest) -> String),
    /// Answers by itself.
    Answers(fn(IncomingRequest, ResponseOutparam)),
    /// Does what must end the invocation.
    Ends(fn(usize, &IncomingRequest, ResponseOutparam)),
}

const fn tells(name: &'static str, run: fn(&IncomingRequest) -> String) -> Case {
    Case { name, count: 1, run: Run::Tells(run) }
}

const fn answers(name: &'static str, count: usize, run: fn(IncomingRequest, ResponseOutparam)) -> Case {
    Case { name, count, run: Run::Answers(run) }
}

const fn ends(name: &'static str, count: usize, run: fn(usize, &IncomingRequest, ResponseOutparam)) -> Case {
    Case { name, count, run: Run::Ends(run) }
}

const CASES: &[Case] = &[
    tells("fields-made", fields::made),
    tells("fields-read", fields::read),
    tells("fields-changed", fields::changed),
    tells("fields-cloned", fields::cloned),
    tells("fields-immutable", fields::immutable),
    tells("fields-many", fields::many),
    tells("fields-nearly-too-large", fields::nearly_too_large),
    tells("request-facts", incoming::facts),
    tells("request-consumed", incoming::consumed),
    tells("body-read", incoming::read),
    tells("body-waited-for", incoming::waited_for),
    tells("body-skipped", incoming::skipped),
    tells("body-dropped", incoming::dropped),
    tells("trailers-after-all", incoming::trailers_after_all),
    tells("trailers-after-some", incoming::trailers_after_some),
    tells("trailers-after-nothing", incoming::trailers_after_nothing),
    tells("outgoing-request", outgoing::request),
    tells("outgoing-request-body", outgoing::request_body),
    tells("request-options", outgoing::options),
    tells("outgoing-response", outgoing::response),
    tells("outgoing-body", outgoing::body),
    tells("outgoing-body-of-a-length", outgoing::body_of_a_length),
    tells("output-stream", streams::written),
    tells("output-stream-without-a-reader", streams::unread),
    tells("output-stream-spliced", streams::spliced),
    tells("polled", streams::polled),
    tells("polled-many", streams::polled_many),
    tells("environment", surroundings::environment),
    tells("standard-streams", surroundings::standard_streams),
    tells("terminals", surroundings::terminals),
    tells("clocks", surroundings::clocks),
    tells("random", surroundings::random),
    tells("call", calls::call),
    tells("call-waited-for", calls::waited_for),
    tells("call-in-pieces", calls::in_pieces),
    tells("call-with-everything", calls::with_everything),
    tells("call-refused", calls::refused),
    tells("call-that-breaks-off", calls::that_breaks_off),
    tells("call-given-up", calls::given_up),
    tells("narrow", memory::narrow),
    tells("just-enough", memory::just_enough),
    answers("status", outgoing::STATUSES.len(), outgoing::status),
    answers("no-body", 1, outgoing::no_body),
    answers("trailers", outgoing::TRAILERS, outgoing::trailers),
    answers("in-pieces", 1, streams::in_pieces),
    answers("error", codes::COUNT, codes::error),
    answers("error-in-numbers", memory::ERRORS.len(), memory::error_in_numbers),
    answers("not-set", 1, outgoing::not_set),
    answers("exit", 2, surroundings::exit),
    ends("unknown-handle", handles::COUNT, handles::unknown),
    ends("wrong-handle", handles::COUNT, handles::of_another_type),
    ends("dropped-handle", handles::COUNT, handles::dropped),
    ends("any-handle", handles::COUNT, handles::any),
    ends("given-away", misuse::GIVEN_AWAY_COUNT, misuse::given_away),
    ends("misused", misuse::MISUSED_COUNT, misuse::misused),
    ends("bad-memory", memory::COUNT, memory::bad),
    ends("too-much", memory::TOO_MUCH, memory::too_much),
    ends("bad-number", memory::BAD_NUMBERS, memory::bad_number),
    ends("allocator", 1, allocator::calls_the_host),
];

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let Some(name) = query(&request, "case") else {
        let all: String = CASES.iter().map(|case| format!("{} {}\n", case.name, case.count)).collect();
        return answer(out, 200, &all);
    };
    let n = usize::try_from(number(&request, "n", 0)).expect("a small number");
    let Some(case) = CASES.iter().find(|case| case.name == name && n < case.count) else {
        return answer(out, 404, "no such case\n");
    };
    match case.run {
        Run::Tells(run) => answer(out, 200, &run(&request)),
        Run::Answers(run) => run(request, out),
        Run::Ends(run) => {
            run(n, &request, out);
            // Neither the answer nor the end of the invocation: it went on.
            println!("went on after {name} {n}");
        }
    }
}

handler!(handle);
