//! An allocator that calls the host, when it is told to: while the host waits for memory to give something in, that ends the
//! invocation if the host would have to give something again.

use super::raw::{self, Room};
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::random::random::get_random_bytes;

struct Calling;

#[global_allocator]
static ALLOCATOR: Calling = Calling;

/// Whether it is to call the host at the next allocation.
static ARMED: AtomicBool = AtomicBool::new(false);

// SAFETY: the system's own does all the work.
unsafe impl GlobalAlloc for Calling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ARMED.swap(false, Ordering::Relaxed) {
            // SAFETY: the result has room.
            unsafe { raw::get_random_bytes(8, Room::new().at()) };
        }
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

pub fn calls_the_host(_: usize, _: &IncomingRequest, _: ResponseOutparam) {
    ARMED.store(true, Ordering::Relaxed);
    black_box(get_random_bytes(100));
}
