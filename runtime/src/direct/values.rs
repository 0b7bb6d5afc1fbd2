//! How values of the interfaces' types lie in a guest's memory: numbers, handles, strings, lists, tuples, options and results. Those
//! of one interface alone are where its functions are.

use bytes::Bytes;
use wasmtime::bail;
use wasmtime::component::Resource;

use super::abi::{In, Items, Out};

/// The next multiple of `align`.
pub(super) const fn align_to(at: u32, align: u32) -> u32 {
    at.div_ceil(align) * align
}

pub(super) const fn max(a: u32, b: u32) -> u32 {
    if a > b { a } else { b }
}

/// A value that is written to a guest's memory.
pub(super) trait Store: Sized {
    const SIZE: u32;
    const ALIGN: u32;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()>;

    /// Several of it, one after the other.
    fn items(values: Vec<Self>) -> wasmtime::Result<Items>
    where
        Self: Send + 'static,
    {
        let count = u32::try_from(values.len())?;
        let Some(bytes) = count.checked_mul(Self::SIZE) else { bail!("a list of {count} values is too long") };
        let write = move |out: &mut Out<'_>, at: u32| {
            let mut next = at;
            for value in values {
                value.store(out, next)?;
                next = next.wrapping_add(Self::SIZE);
            }
            Ok(())
        };
        Ok(Items::Values { count, bytes, align: Self::ALIGN, write: Box::new(write) })
    }
}

/// A value that is read from a guest's memory.
pub(super) trait Load: Sized {
    const SIZE: u32;
    const ALIGN: u32;

    fn load(input: &mut In<'_>, at: u32) -> wasmtime::Result<Self>;
}

macro_rules! number {
    ($($number:ty)*) => {$(
        impl Store for $number {
            const SIZE: u32 = size_of::<Self>() as u32;
            const ALIGN: u32 = size_of::<Self>() as u32;

            fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
                out.write(at, self.to_le_bytes())
            }
        }
    )*};
}

number!(u16 u32 u64);

impl Store for u8 {
    const SIZE: u32 = 1;
    const ALIGN: u32 = 1;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        out.write(at, [self])
    }

    fn items(values: Vec<Self>) -> wasmtime::Result<Items> {
        Ok(Items::Bytes(values.into()))
    }
}

impl Store for () {
    const SIZE: u32 = 0;
    const ALIGN: u32 = 1;

    fn store(self, _: &mut Out<'_>, _: u32) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl<T: 'static> Store for Resource<T> {
    const SIZE: u32 = 4;
    const ALIGN: u32 = 4;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        self.rep().store(out, at)
    }
}

impl Store for Bytes {
    const SIZE: u32 = 8;
    const ALIGN: u32 = 4;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        out.later(at, Items::Bytes(self))
    }
}

impl Store for String {
    const SIZE: u32 = 8;
    const ALIGN: u32 = 4;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        out.later(at, Items::Bytes(self.into()))
    }
}

impl<T: Store + Send + 'static> Store for Vec<T> {
    const SIZE: u32 = 8;
    const ALIGN: u32 = 4;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        out.later(at, T::items(self)?)
    }
}

impl<A: Store, B: Store> Store for (A, B) {
    const SIZE: u32 = align_to(align_to(A::SIZE, B::ALIGN) + B::SIZE, Self::ALIGN);
    const ALIGN: u32 = max(A::ALIGN, B::ALIGN);

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        self.0.store(out, at)?;
        self.1.store(out, at + align_to(A::SIZE, B::ALIGN))
    }
}

impl<T: Store> Store for Option<T> {
    const SIZE: u32 = align_to(align_to(1, T::ALIGN) + T::SIZE, T::ALIGN);
    const ALIGN: u32 = T::ALIGN;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        out.write(at, [u8::from(self.is_some())])?;
        self.map_or(Ok(()), |value| value.store(out, at + align_to(1, T::ALIGN)))
    }
}

impl<T: Store, E: Store> Store for Result<T, E> {
    const SIZE: u32 = align_to(align_to(1, Self::ALIGN) + max(T::SIZE, E::SIZE), Self::ALIGN);
    const ALIGN: u32 = max(T::ALIGN, E::ALIGN);

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        let payload = at + align_to(1, Self::ALIGN);
        out.write(at, [u8::from(self.is_err())])?;
        match self {
            Ok(value) => value.store(out, payload),
            Err(error) => error.store(out, payload),
        }
    }
}

impl Load for u32 {
    const SIZE: u32 = 4;
    const ALIGN: u32 = 4;

    fn load(input: &mut In<'_>, at: u32) -> wasmtime::Result<Self> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(input.slice(at, 4)?);
        Ok(Self::from_le_bytes(bytes))
    }
}

/// A handle that stays the guest's own.
impl<T: 'static> Load for Resource<T> {
    const SIZE: u32 = 4;
    const ALIGN: u32 = 4;

    fn load(input: &mut In<'_>, at: u32) -> wasmtime::Result<Self> {
        u32::load(input, at).map(Self::new_borrow)
    }
}

impl Load for Vec<u8> {
    const SIZE: u32 = 8;
    const ALIGN: u32 = 4;

    fn load(input: &mut In<'_>, at: u32) -> wasmtime::Result<Self> {
        let (start, len) = (u32::load(input, at)?, u32::load(input, at + 4)?);
        Ok(input.bytes(start, len)?.to_vec())
    }
}

impl Load for String {
    const SIZE: u32 = 8;
    const ALIGN: u32 = 4;

    fn load(input: &mut In<'_>, at: u32) -> wasmtime::Result<Self> {
        let (start, len) = (u32::load(input, at)?, u32::load(input, at + 4)?);
        input.string(start, len)
    }
}

impl<A: Load, B: Load> Load for (A, B) {
    const SIZE: u32 = align_to(align_to(A::SIZE, B::ALIGN) + B::SIZE, Self::ALIGN);
    const ALIGN: u32 = max(A::ALIGN, B::ALIGN);

    fn load(input: &mut In<'_>, at: u32) -> wasmtime::Result<Self> {
        Ok((A::load(input, at)?, B::load(input, at + align_to(A::SIZE, B::ALIGN))?))
    }
}
