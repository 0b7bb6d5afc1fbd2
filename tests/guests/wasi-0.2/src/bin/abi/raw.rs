//! Functions of the host as they are lowered, for arguments that the bindings would never make.

#[link(wasm_import_module = "wasi:http/types@0.2.12")]
unsafe extern "C" {
    #[link_name = "[static]fields.from-list"]
    pub fn fields_from_list(list: u32, count: u32, to: u32);
    #[link_name = "[method]fields.get"]
    pub fn fields_get(id: u32, name: u32, len: u32, to: u32);
    #[link_name = "[method]fields.has"]
    pub fn fields_has(id: u32, name: u32, len: u32) -> u32;
    #[link_name = "[method]fields.set"]
    pub fn fields_set(id: u32, name: u32, len: u32, list: u32, count: u32, to: u32);
    #[link_name = "[method]fields.append"]
    pub fn fields_append(id: u32, name: u32, len: u32, value: u32, value_len: u32, to: u32);
    #[link_name = "[method]fields.entries"]
    pub fn fields_entries(id: u32, to: u32);
    #[link_name = "[method]incoming-request.method"]
    pub fn request_method(id: u32, to: u32);
    #[link_name = "[method]incoming-request.consume"]
    pub fn request_consume(id: u32, to: u32);
    #[link_name = "[method]outgoing-request.set-method"]
    pub fn set_method(id: u32, number: u32, name: u32, len: u32) -> u32;
    #[link_name = "[method]outgoing-request.set-path-with-query"]
    pub fn set_path_with_query(id: u32, is_some: u32, path: u32, len: u32) -> u32;
    #[link_name = "[method]outgoing-request.set-scheme"]
    pub fn set_scheme(id: u32, is_some: u32, number: u32, name: u32, len: u32) -> u32;
    #[link_name = "[method]request-options.connect-timeout"]
    pub fn connect_timeout(id: u32, to: u32);
    #[link_name = "[method]request-options.set-connect-timeout"]
    pub fn set_connect_timeout(id: u32, is_some: u32, nanos: u64) -> u32;
    #[link_name = "[method]outgoing-response.set-status-code"]
    pub fn set_status_code(id: u32, status: u32) -> u32;
    #[link_name = "[static]outgoing-body.finish"]
    pub fn body_finish(id: u32, has_trailers: u32, trailers: u32, to: u32);
    #[link_name = "[static]response-outparam.set"]
    pub fn outparam_set(id: u32, is_error: u32, first: u32, a: u32, b: u64, c: u32, d: u32, e: u32, f: u32);
}

#[link(wasm_import_module = "wasi:http/outgoing-handler@0.2.12")]
unsafe extern "C" {
    #[link_name = "handle"]
    pub fn outgoing_handle(request: u32, has_options: u32, options: u32, to: u32);
}

#[link(wasm_import_module = "wasi:io/streams@0.2.12")]
unsafe extern "C" {
    #[link_name = "[method]input-stream.read"]
    pub fn stream_read(id: u32, len: u64, to: u32);
    #[link_name = "[method]output-stream.check-write"]
    pub fn stream_check_write(id: u32, to: u32);
    #[link_name = "[method]output-stream.write"]
    pub fn stream_write(id: u32, bytes: u32, len: u32, to: u32);
}

#[link(wasm_import_module = "wasi:io/poll@0.2.12")]
unsafe extern "C" {
    #[link_name = "poll"]
    pub fn poll(list: u32, count: u32, to: u32);
}

#[link(wasm_import_module = "wasi:cli/exit@0.2.12")]
unsafe extern "C" {
    #[link_name = "exit"]
    pub fn exit(is_error: u32);
}

#[link(wasm_import_module = "wasi:clocks/wall-clock@0.2.12")]
unsafe extern "C" {
    #[link_name = "now"]
    pub fn wall_clock_now(to: u32);
}

#[link(wasm_import_module = "wasi:random/random@0.2.12")]
unsafe extern "C" {
    #[link_name = "get-random-bytes"]
    pub fn get_random_bytes(len: u64, to: u32);
}

/// Room for the largest result, at an address that every result may have.
#[repr(align(8))]
pub struct Room([u8; 64]);

impl Room {
    pub const fn new() -> Self {
        Self([0; 64])
    }

    pub fn at(&mut self) -> u32 {
        address(&self.0)
    }
}

/// Where something is.
pub fn address<T>(slice: &[T]) -> u32 {
    slice.as_ptr() as u32
}

/// How much of something there is.
pub fn len<T>(slice: &[T]) -> u32 {
    slice.len() as u32
}
