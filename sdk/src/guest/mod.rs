//! The three grounds that a handler runs on: WASI 0.2, WASI 0.3, and a native test. Each has the same few functions, and
//! nothing outside this folder knows which one it is on.

#[cfg(any(test, all(target_family = "wasm", feature = "allocator")))]
mod allocator;
mod head;

#[cfg(all(target_family = "wasm", feature = "allocator"))]
#[global_allocator]
static ALLOCATOR: allocator::Allocator<std::alloc::System> = allocator::Allocator::new(std::alloc::System);

#[cfg(all(target_family = "wasm", not(feature = "wasip3")))]
mod p2;
#[cfg(all(target_family = "wasm", not(feature = "wasip3")))]
pub(crate) use p2::{Incoming, env, send, sleep};
#[cfg(all(target_family = "wasm", not(feature = "wasip3")))]
#[doc(hidden)]
pub use {p2::handle, wasip2};

#[cfg(all(target_family = "wasm", feature = "wasip3"))]
mod p3;
#[cfg(all(target_family = "wasm", feature = "wasip3"))]
pub(crate) use p3::{Incoming, env, send, sleep};
#[cfg(all(target_family = "wasm", feature = "wasip3"))]
#[doc(hidden)]
pub use {p3::handle, wasip3};

#[cfg(target_family = "wasm")]
#[rustfmt::skip]
mod bindings;
#[cfg(target_family = "wasm")]
mod reach;
#[cfg(all(target_family = "wasm", feature = "session"))]
pub(crate) use reach::now;
#[cfg(target_family = "wasm")]
pub(crate) use reach::{Bucket, all_config, config, config as secret, log};

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(all(not(target_family = "wasm"), feature = "session"))]
pub(crate) use crate::testing::now;
#[cfg(not(target_family = "wasm"))]
pub(crate) use native::{Bucket, all_config, config, env, log, secret, send, sleep};

#[cfg(feature = "session")]
pub(crate) use crate::session::keeping;
use crate::{Reads, Request, Response};

/// Without sessions nothing is to be kept once there is an answer.
#[cfg(not(feature = "session"))]
pub(crate) fn keeping<F>(answer: F) -> F {
    answer
}

/// Why the platform does not do something with a bucket.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The function has no such bucket.
    NotGranted,
    /// In the platform's words.
    Other(String),
}

/// What `#[handler]` makes of a function, for the ground to call.
#[doc(hidden)]
pub trait Export {
    /// What the function reads of the request.
    const READS: Reads;

    /// Takes the arguments, calls the function and makes its result a response.
    fn respond(request: Request) -> impl Future<Output = Response>;
}
