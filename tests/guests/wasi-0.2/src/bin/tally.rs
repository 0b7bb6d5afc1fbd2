//! Tells the server named by the variable `TALLY` that it runs for `?id`, as `GET /ID/RUN` with a RUN of its own, then
//! works for `?ms`, and answers the id. So the server knows how often each id was run, whatever became of the answers.

use guests_wasi02::{answer, get, handler, number, query, sleep};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let id = query(&request, "id").expect("an id in the query");
    let origin = std::env::var("TALLY").expect("the variable TALLY");
    let run = wasip2::random::random::get_random_u64();
    match get(&format!("{origin}/{id}/{run:016x}")) {
        Ok(response) if response.status() == 200 => {}
        Ok(response) => return answer(out, 500, &format!("the tally says {}\n", response.status())),
        Err(code) => return answer(out, 500, &format!("{code:?}\n")),
    }
    sleep(number(&request, "ms", 0));
    answer(out, 200, &id);
}

handler!(handle);
