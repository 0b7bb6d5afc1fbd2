//! The allocator of a function: for each small size a short list of free blocks, in front of the system's allocator.
//!
//! A request makes some dozens of small allocations and gives nearly all of them back before it ends, so the next one of the
//! same size finds a block where the last one left it, in few instructions. The lists are short: what does not fit
//! goes back to the system's allocator, which joins neighbours again.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::{NonNull, null_mut};

/// From one size to the next.
const STEP: usize = 16;
/// What wasi-libc's allocator (dlmalloc) keeps of each step for itself: its blocks have room for 12, 28, 44, ... bytes. With the
/// same sizes here nothing is lost, and whichever block it gave out for so many bytes, even not by way of this allocator,
/// has the room of its list's blocks. (The host's strings come by way of `cabi_realloc`, which need not be Rust's.)
const OVERHEAD: usize = 4;
/// What the system's allocator aligns every block to without being asked.
const ALIGN: usize = 8;
const LISTS: usize = 64;
/// The largest size that has a list.
const LARGEST: usize = size_of(LISTS - 1);
/// How much a list keeps: with all lists full, 128 KiB.
const KEPT_BYTES: usize = 2048;

/// Lists of free blocks in front of another allocator.
pub(super) struct Allocator<A> {
    lists: UnsafeCell<[List; LISTS]>,
    system: A,
}

#[derive(Clone, Copy)]
struct List {
    first: Option<NonNull<Free>>,
    bytes: usize,
}

/// A block that nobody uses.
struct Free {
    next: Option<NonNull<Free>>,
}

// SAFETY: a component has one thread. Elsewhere this type is only used by the tests below, each with one of its own.
unsafe impl<A> Sync for Allocator<A> {}

impl<A> Allocator<A> {
    pub(super) const fn new(system: A) -> Self {
        Self { lists: UnsafeCell::new([List { first: None, bytes: 0 }; LISTS]), system }
    }
}

/// The list for blocks of this layout.
#[inline]
fn list_of(layout: Layout) -> Option<usize> {
    let has_list = layout.size() <= LARGEST && layout.align() <= ALIGN;
    has_list.then(|| (layout.size() + OVERHEAD - 1) / STEP)
}

/// The size of this list's blocks.
#[inline]
const fn size_of(list: usize) -> usize {
    (list + 1) * STEP - OVERHEAD
}

/// What they are made with.
fn layout_of(list: usize) -> Layout {
    Layout::from_size_align(size_of(list), ALIGN).expect("a small size and a power of two")
}

// SAFETY: a block comes from `system`, with the layout of its list or else with its own, and goes back there with the same
// one; one that came from the system by another way has the room of its list's blocks (OVERHEAD). While it is in a list nobody
// else has it. No list is borrowed while `system` is called.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Allocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(index) = list_of(layout) else { return unsafe { self.system.alloc(layout) } };
        let list = unsafe { &mut (*self.lists.get())[index] };
        match list.first {
            Some(block) => {
                list.first = unsafe { block.as_ref() }.next;
                list.bytes -= size_of(index);
                block.as_ptr().cast()
            }
            None => unsafe { self.system.alloc(layout_of(index)) },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(index) = list_of(layout) else { return unsafe { self.system.dealloc(block, layout) } };
        let list = unsafe { &mut (*self.lists.get())[index] };
        if list.bytes + size_of(index) > KEPT_BYTES {
            return unsafe { self.system.dealloc(block, layout_of(index)) };
        }
        let free = block.cast::<Free>();
        unsafe { free.write(Free { next: list.first }) };
        list.first = NonNull::new(free);
        list.bytes += size_of(index);
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if list_of(layout).is_none() {
            return unsafe { self.system.alloc_zeroed(layout) };
        }
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return null_mut() };
        match (list_of(layout), list_of(wanted)) {
            (None, None) => unsafe { self.system.realloc(block, layout, size) },
            (has, wants) if has == wants => block,
            _ => {
                let moved = unsafe { self.alloc(wanted) };
                if !moved.is_null() {
                    unsafe {
                        moved.copy_from_nonoverlapping(block, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                }
                moved
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;

    /// The system's allocator, which knows what it gave out, and refuses what it did not give out with that layout.
    #[derive(Default)]
    struct Checked(RefCell<HashMap<usize, Layout>>);

    unsafe impl GlobalAlloc for Checked {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let block = unsafe { System.alloc(layout) };
            assert!(self.0.borrow_mut().insert(block as usize, layout).is_none());
            block
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            assert_eq!(self.0.borrow_mut().remove(&(block as usize)), Some(layout));
            unsafe { System.dealloc(block, layout) };
        }
    }

    impl Allocator<Checked> {
        fn checked() -> Self {
            Self::new(Checked::default())
        }

        fn taken(&self) -> usize {
            self.system.0.borrow().len()
        }
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    /// A block in use, all of it filled with one byte.
    struct Block {
        at: *mut u8,
        layout: Layout,
        filled_with: u8,
    }

    impl Block {
        fn fill(at: *mut u8, layout: Layout, filled_with: u8) -> Self {
            assert!(!at.is_null() && (at as usize).is_multiple_of(layout.align()), "{layout:?} at {at:?}");
            unsafe { at.write_bytes(filled_with, layout.size()) };
            Self { at, layout, filled_with }
        }

        fn assert_filled(&self, bytes: usize) {
            let content = unsafe { std::slice::from_raw_parts(self.at, bytes) };
            assert!(content.iter().all(|byte| *byte == self.filled_with), "{:?} was written to", self.layout);
        }
    }

    #[test]
    fn nobody_else_writes_to_a_block_in_use() {
        let allocator = Allocator::checked();
        let mut random = 7_u64;
        let mut draw = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        let mut blocks: Vec<Block> = Vec::new();
        for step in 0..100_000 {
            let filled_with = (step % 251) as u8;
            match draw(3) {
                0 if blocks.len() < 200 => {
                    let layout = layout(1 + draw(1_300), 1 << draw(6));
                    let at = unsafe { allocator.alloc(layout) };
                    blocks.push(Block::fill(at, layout, filled_with));
                }
                1 if !blocks.is_empty() => {
                    let block = blocks.swap_remove(draw(blocks.len()));
                    block.assert_filled(block.layout.size());
                    unsafe { allocator.dealloc(block.at, block.layout) };
                }
                2 if !blocks.is_empty() => {
                    let index = draw(blocks.len());
                    let block = &mut blocks[index];
                    let size = 1 + draw(1_300);
                    block.at = unsafe { allocator.realloc(block.at, block.layout, size) };
                    block.assert_filled(block.layout.size().min(size));
                    *block = Block::fill(block.at, layout(size, block.layout.align()), filled_with);
                }
                _ => {}
            }
        }
        for block in blocks {
            block.assert_filled(block.layout.size());
            unsafe { allocator.dealloc(block.at, block.layout) };
        }
        let kept: usize = allocator.system.0.borrow().values().map(Layout::size).sum();
        assert!(kept <= LISTS * KEPT_BYTES, "{kept} bytes are kept");
    }

    #[test]
    fn a_block_that_was_given_back_is_the_next_one_of_its_size() {
        let allocator = Allocator::checked();
        unsafe {
            let block = allocator.alloc(layout(20, 4));
            allocator.dealloc(block, layout(20, 4));
            assert_ne!(allocator.alloc(layout(29, 8)), block);
            assert_eq!(allocator.alloc(layout(28, 8)), block);
            assert_ne!(allocator.alloc(layout(28, 8)), block);
        }
        assert_eq!(allocator.taken(), 3);
    }

    #[test]
    fn a_list_keeps_only_so_many_and_nothing_large() {
        let allocator = Allocator::checked();
        let of_size = |size| {
            let blocks: Vec<_> = (0..1_000).map(|_| unsafe { allocator.alloc(layout(size, 8)) }).collect();
            for block in blocks {
                unsafe { allocator.dealloc(block, layout(size, 8)) };
            }
            allocator.taken()
        };
        let small = KEPT_BYTES / 12;
        assert_eq!(of_size(12), small);
        assert_eq!(of_size(LARGEST), small + 2);
        assert_eq!(of_size(LARGEST + 1), small + 2);
    }

    #[test]
    fn zeroed_blocks_are_zeroed_though_used_before() {
        let allocator = Allocator::checked();
        for size in [1, 100, LARGEST, LARGEST + 1] {
            let layout = layout(size, 8);
            unsafe {
                let used = Block::fill(allocator.alloc(layout), layout, 0xff);
                allocator.dealloc(used.at, layout);
                let zeroed = Block { at: allocator.alloc_zeroed(layout), layout, filled_with: 0 };
                zeroed.assert_filled(size);
            }
        }
    }
}
