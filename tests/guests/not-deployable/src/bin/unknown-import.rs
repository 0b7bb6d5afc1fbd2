//! A handler that imports an interface nobody provides.

use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: "
        package samovar:guests;
        world painter { import acme:paint/brush@1.0.0; }
        package acme:paint@1.0.0 { interface brush { stroke: func(colour: string); } }
    ",
    generate_all,
});

struct Guest;
wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(_request: IncomingRequest, _response: ResponseOutparam) {
        acme::paint::brush::stroke("teal");
    }
}

fn main() {}
