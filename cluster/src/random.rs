//! Random bytes of the system, for what nobody may guess.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// That many of them.
pub(crate) fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    match getrandom(&mut bytes, GetRandomFlags::empty())? {
        filled if filled == N => Ok(bytes),
        _ => Err(io::Error::other("the system gave fewer random bytes than asked for")),
    }
}
