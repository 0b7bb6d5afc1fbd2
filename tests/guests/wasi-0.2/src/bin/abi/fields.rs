//! `fields` of `wasi:http/types`.

use super::tell;
use wasip2::http::types::{Fields, HeaderError, IncomingRequest};

type Entries = Vec<(String, Vec<u8>)>;

fn entries(list: &[(&str, &[u8])]) -> Entries {
    list.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
}

fn from_list(list: &[(&str, &[u8])]) -> Result<Entries, HeaderError> {
    Fields::from_list(&entries(list)).map(|fields| fields.entries())
}

/// One value, several, empty ones, and ones that are no text.
fn some() -> Fields {
    let list =
        entries(&[("one", b"1"), ("several", b"a"), ("Several", b""), ("several", b"\x80\xff\t b"), ("empty", b"")]);
    Fields::from_list(&list).expect("valid headers")
}

pub fn made(_: &IncomingRequest) -> String {
    let mut told = String::new();
    tell!(told;
        Fields::new().entries(),
        from_list(&[]),
        from_list(&[("a", b"1")]),
        from_list(&[("A-b", b"1"), ("a", b""), ("a-B", b"\x80\xff\t ")]),
        from_list(&[("", b"1")]),
        from_list(&[("a b", b"1")]),
        from_list(&[("é", b"1")]),
        from_list(&[("a", b"1\n2")]),
        from_list(&[("a", b"\0")]),
        from_list(&[("a", b"1"), ("b", b"\r"), ("c", b"3")]),
        from_list(&[("connection", b"close")]),
        from_list(&[("Host", b"a.example")]),
        from_list(&[("transfer-encoding", b"chunked")]),
        from_list(&[("content-length", b"many"), ("content-length", b"few")]),
    );
    told
}

pub fn read(_: &IncomingRequest) -> String {
    let (mut told, fields) = (String::new(), some());
    tell!(told;
        fields.entries(),
        fields.get("one"),
        fields.get("SEVERAL"),
        fields.get("empty"),
        fields.get("none"),
        fields.get("no name"),
        fields.get(""),
        fields.has("One"),
        fields.has("empty"),
        fields.has("none"),
        fields.has("no name"),
        fields.has(""),
    );
    told
}

pub fn changed(_: &IncomingRequest) -> String {
    let (mut told, fields) = (String::new(), some());
    tell!(told;
        fields.set("one", &[b"2".to_vec(), Vec::new(), b"\xfe".to_vec()]),
        fields.get("one"),
        fields.set("several", &[]),
        fields.get("several"),
        fields.has("several"),
        fields.set("new", &[b"n".to_vec()]),
        fields.set("no name", &[b"n".to_vec()]),
        fields.set("new", &[b"n".to_vec(), b"\n".to_vec()]),
        fields.set("", &[]),
        fields.set("upgrade", &[b"h2c".to_vec()]),
        fields.append("New", b"m"),
        fields.append("new", b""),
        fields.append("newer", b"\x01"),
        fields.append("no name", b"n"),
        fields.append("keep-alive", b"n"),
        fields.append("", b""),
        fields.entries(),
        fields.delete("ONE"),
        fields.delete("one"),
        fields.delete("no name"),
        fields.delete("connection"),
        fields.delete(""),
        fields.entries(),
    );
    told
}

pub fn cloned(request: &IncomingRequest) -> String {
    let (mut told, fields) = (String::new(), some());
    let clone = fields.clone();
    tell!(told;
        clone.append("one", b"2"),
        clone.delete("several"),
        clone.entries(),
        fields.entries(),
    );
    drop(fields);
    let of_immutable = request.headers().clone();
    tell!(told;
        clone.entries(),
        of_immutable.set("x-new", &[b"n".to_vec()]),
        of_immutable.get("x-new"),
        Fields::new().clone().entries(),
    );
    told
}

pub fn immutable(request: &IncomingRequest) -> String {
    let (mut told, headers) = (String::new(), request.headers());
    tell!(told;
        headers.entries(),
        headers.get("x-several"),
        headers.get("host"),
        headers.has("host"),
        headers.set("x-new", &[b"n".to_vec()]),
        headers.set("no name", &[]),
        headers.append("x-new", b"n"),
        headers.append("no name", b"n"),
        headers.delete("x-several"),
        headers.delete("no name"),
        request.headers().has("x-new"),
    );
    told
}

pub fn many(_: &IncomingRequest) -> String {
    let mut told = String::new();
    let named: Entries = (0..50).map(|i| (format!("x-{i}"), format!("value {i}").into_bytes())).collect();
    let fields = Fields::from_list(&named).expect("valid headers");
    for i in 0..150 {
        fields.append("x-again", &vec![b'v'; i]).expect("a valid value");
    }
    let lengths: Vec<usize> = fields.get("x-again").iter().map(Vec::len).collect();
    tell!(told; fields.entries(), lengths, fields.clone().entries() == fields.entries());
    told
}

/// Nearly as much as one may hold: more ends the invocation.
pub fn nearly_too_large(_: &IncomingRequest) -> String {
    let (mut told, fields) = (String::new(), Fields::new());
    for _ in 0..31 {
        fields.append("x", &[b'x'; 990]).expect("a valid value");
    }
    let lengths: Vec<usize> = fields.get("x").iter().map(Vec::len).collect();
    tell!(told;
        lengths,
        fields.clone().entries().len(),
        fields.delete("x"),
        fields.set("y", &vec![vec![b'y'; 990]; 31]),
        fields.get("y").len(),
        from_list(&[("x", &[b'x'; 32_000])]).map(|entries| entries.len()),
    );
    told
}
