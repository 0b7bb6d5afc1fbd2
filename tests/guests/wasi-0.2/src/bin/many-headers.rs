//! Answers with `?count` headers: given as one list, or with `?append` one after the other. When the host refuses them,
//! answers 507 and the reason.

use guests_wasi02::{answer, handler, number, query};
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let named = (0..number(&request, "count", 10)).map(|i| (format!("x-{i}"), b"y".to_vec()));
    let fields = if query(&request, "append").is_some() {
        let fields = Fields::new();
        named.into_iter().try_for_each(|(name, value)| fields.append(&name, &value)).map(|()| fields)
    } else {
        Fields::from_list(&named.collect::<Vec<_>>())
    };
    match fields {
        Ok(fields) => {
            let response = OutgoingResponse::new(fields);
            let body = response.body().expect("the first call");
            ResponseOutparam::set(out, Ok(response));
            OutgoingBody::finish(body, None).expect("no content-length was promised");
        }
        Err(error) => answer(out, 507, &format!("{error:?}\n")),
    }
}

handler!(handle);
