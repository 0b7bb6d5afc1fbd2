//! Values on their way into a guest's memory and out of it, as the component model's canonical ABI lays them out
//! (<https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md>: `load`, `store`, `alignment`, `elem_size`).
//!
//! Nothing here trusts the guest: every address is checked against its memory, and what it may hand over in one call is bounded.
//!
//! Strings and lists need memory that only the guest can allocate. The host cannot call it from within a call: instead a function
//! that gives such values answers how much memory it needs next, and `rewrite.rs` has put code into the guest that allocates
//! it and calls [`given`], until nothing more is needed.

use std::collections::VecDeque;

use bytes::Bytes;
use wasmtime::{Caller, Extern, Memory, bail, ensure};

use super::values::{Load, Store};
use crate::guest::{Guest, TOO_MUCH};

/// The caller of a host function.
pub(super) type Cx<'a> = Caller<'a, Guest>;

/// What an instance that is linked directly keeps on the host's side.
#[derive(Default)]
pub(crate) struct Linked {
    /// The guest's memory, once it is there.
    memory: Option<Memory>,
    /// What waits for memory of the guest.
    pending: Pending,
}

impl Linked {
    /// Drops what an invocation has not taken: it is nobody else's.
    pub(crate) fn clear(&mut self) {
        self.pending.0.clear();
    }
}

/// Values that wait for memory of the guest, in the order in which they are to be written.
#[derive(Default)]
struct Pending(VecDeque<Later>);

/// A list or a string that waits.
struct Later {
    /// Where its address and length go.
    at: u32,
    items: Items,
}

/// Writes a list where the guest has allocated memory for it.
type Write = Box<dyn FnOnce(&mut Out<'_>, u32) -> wasmtime::Result<()> + Send>;

/// What a list is made of.
pub(super) enum Items {
    Bytes(Bytes),
    Values { count: u32, bytes: u32, align: u32, write: Write },
}

impl Items {
    fn is_empty(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Values { bytes, .. } => *bytes == 0,
        }
    }

    fn align(&self) -> u32 {
        match self {
            Self::Bytes(_) => 1,
            Self::Values { align, .. } => *align,
        }
    }
}

impl Pending {
    /// What is needed next: its size in the lower half, its alignment in the upper one; 0 when nothing is.
    fn need(&self) -> wasmtime::Result<u64> {
        let Some(later) = self.0.front() else { return Ok(0) };
        let size = match &later.items {
            Items::Bytes(bytes) => u32::try_from(bytes.len())?,
            Items::Values { bytes, .. } => *bytes,
        };
        Ok(u64::from(later.items.align()) << 32 | u64::from(size))
    }
}

/// The guest has allocated what was needed.
pub(super) fn given(mut caller: Cx<'_>, at: u32) -> wasmtime::Result<u64> {
    let memory = memory(&mut caller)?;
    let (memory, guest) = memory.data_and_store_mut(&mut caller);
    let pending = &mut guest.linked.pending;
    let Some(Later { at: header, items }) = pending.0.pop_front() else { bail!("the guest gave memory unasked") };
    let mut out = Out { memory, pending };
    let count = match items {
        Items::Bytes(bytes) => {
            out.slice(at, bytes.len())?.copy_from_slice(&bytes);
            u32::try_from(bytes.len())?
        }
        Items::Values { count, bytes, align, write } => {
            out.fits(at, align, bytes)?;
            write(&mut out, at)?;
            count
        }
    };
    (at, count).store(&mut out, header)?;
    pending.need()
}

/// The guest's memory.
fn memory(caller: &mut Cx<'_>) -> wasmtime::Result<Memory> {
    if let Some(memory) = caller.data().linked.memory {
        return Ok(memory);
    }
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else { bail!("the guest has no memory") };
    caller.data_mut().linked.memory = Some(memory);
    Ok(memory)
}

/// Writes a result that needs no memory beside its own.
pub(super) fn put<V: Store>(caller: &mut Cx<'_>, at: u32, value: V) -> wasmtime::Result<()> {
    let memory = memory(caller)?;
    let (memory, guest) = memory.data_and_store_mut(caller);
    let mut out = Out { memory, pending: &mut guest.linked.pending };
    out.fits(at, V::ALIGN, V::SIZE)?;
    value.store(&mut out, at)
}

/// Writes a result; answers what memory the rest of it needs.
pub(super) fn give<V: Store>(caller: &mut Cx<'_>, at: u32, value: V) -> wasmtime::Result<u64> {
    put(caller, at, value)?;
    caller.data().linked.pending.need()
}

/// Checks that the host may be called: the canonical ABI forbids it while the guest allocates memory for what the host gives.
pub(super) fn enter(caller: &Cx<'_>) -> wasmtime::Result<()> {
    ensure!(caller.data().linked.pending.0.is_empty(), "the host was called while it waited for memory");
    Ok(())
}

/// Reads what the guest hands over in one call.
pub(super) struct In<'a> {
    memory: &'a [u8],
    /// How many bytes more it may hand over.
    left: usize,
}

impl<'a> In<'a> {
    pub(super) fn of(caller: &'a mut Cx<'_>) -> wasmtime::Result<Self> {
        let memory = memory(caller)?;
        let left = caller.data().max_call_bytes;
        Ok(Self { memory: memory.data(caller), left })
    }

    pub(super) fn slice(&self, at: u32, len: u32) -> wasmtime::Result<&'a [u8]> {
        let range = at as usize..(at as usize).saturating_add(len as usize);
        let Some(slice) = self.memory.get(range) else { bail!("{len} bytes at {at} are not in the guest's memory") };
        Ok(slice)
    }

    fn charge(&mut self, bytes: usize) -> wasmtime::Result<()> {
        let Some(left) = self.left.checked_sub(bytes) else { bail!("{TOO_MUCH}") };
        self.left = left;
        Ok(())
    }

    /// A list of bytes.
    pub(super) fn bytes(&mut self, at: u32, len: u32) -> wasmtime::Result<&'a [u8]> {
        self.charge(len as usize)?;
        self.slice(at, len)
    }

    pub(super) fn string(&mut self, at: u32, len: u32) -> wasmtime::Result<String> {
        Ok(std::str::from_utf8(self.bytes(at, len)?)?.to_owned())
    }

    pub(super) fn list<T: Load>(&mut self, at: u32, count: u32) -> wasmtime::Result<Vec<T>> {
        aligned(at, T::ALIGN)?;
        let Some(bytes) = count.checked_mul(T::SIZE) else { bail!("{TOO_MUCH}") };
        self.charge((count as usize).saturating_mul(size_of::<T>()).max(bytes as usize))?;
        self.slice(at, bytes)?;
        (0..count).map(|index| T::load(self, at + index * T::SIZE)).collect()
    }
}

/// Where results are written.
pub(super) struct Out<'a> {
    memory: &'a mut [u8],
    pending: &'a mut Pending,
}

impl Out<'_> {
    fn slice(&mut self, at: u32, len: usize) -> wasmtime::Result<&mut [u8]> {
        let range = at as usize..(at as usize).saturating_add(len);
        let Some(slice) = self.memory.get_mut(range) else {
            bail!("{len} bytes at {at} are not in the guest's memory")
        };
        Ok(slice)
    }

    /// Checks that a value of this size can be written there, so that no address of its parts is past the end of them all.
    fn fits(&mut self, at: u32, align: u32, size: u32) -> wasmtime::Result<()> {
        aligned(at, align)?;
        self.slice(at, size as usize).map(drop)
    }

    pub(super) fn write<const N: usize>(&mut self, at: u32, bytes: [u8; N]) -> wasmtime::Result<()> {
        self.slice(at, N)?.copy_from_slice(&bytes);
        Ok(())
    }

    /// Has a list written when there is memory for it, and its address and length at `at`.
    pub(super) fn later(&mut self, at: u32, items: Items) -> wasmtime::Result<()> {
        if items.is_empty() {
            // An address that points to nothing, and is not null.
            return (items.align(), 0_u32).store(self, at);
        }
        self.pending.0.push_back(Later { at, items });
        Ok(())
    }
}

fn aligned(at: u32, align: u32) -> wasmtime::Result<()> {
    ensure!(at.is_multiple_of(align), "the guest's address {at} is not a multiple of {align}");
    Ok(())
}
