//! What a call of one function by another has from the invocation that makes it.

use std::time::Instant;

/// How many functions may call one another in a row, so that a cycle ends: the one that a caller reached is at depth 0.
pub const MAX_CALL_DEPTH: u8 = 8;

/// What a call inherits. It travels among a request's extensions, where no caller from outside can put it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lineage {
    /// How many calls of functions by functions led here, this one included; at most [`MAX_CALL_DEPTH`].
    pub depth: u8,
    /// When the invocation that calls must have ended, and so this one.
    pub deadline: Instant,
}
