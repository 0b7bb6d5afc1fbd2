//! `wasi:config` and `wasi:logging`, lowered by hand, under all their names.

use samovar_model::LogLevel;
use wasmtime::bail;

use super::abi::{Cx, In, Out, give};
use super::values::{Store, align_to};
use super::{Function, functions};
use crate::interfaces::{config, logging};

/// The name under which the functions of an import are looked up that has had several names.
pub(super) fn canonical(interface: &str) -> Option<&'static str> {
    if config::provides(interface) {
        return Some("wasi:config");
    }
    logging::provides(interface).then_some("wasi:logging")
}

pub(super) fn all() -> Vec<Function> {
    let mut all = functions!("wasi:config":
        giving "get" => |cx, at: u32, len: u32, to: u32| {
            let key = In::of(&mut cx)?.string(at, len)?;
            let value = config::read(cx.data(), &key);
            give(&mut cx, to, value)
        };
        giving "get-all" => |cx, to: u32| {
            let all = config::all(cx.data()).to_vec();
            give(&mut cx, to, Ok::<_, config::Error>(all))
        };
    );
    all.extend(functions!("wasi:logging":
        "log" => |cx, number: u32, group: u32, group_len: u32, message: u32, message_len: u32| {
            let mut input = In::of(&mut cx)?;
            let level = level(number)?;
            let (group, message) = (input.string(group, group_len)?, input.string(message, message_len)?);
            logging::say(cx.data(), level, &group, &message);
            Ok(())
        };
    ));
    all
}

fn level(number: u32) -> wasmtime::Result<LogLevel> {
    Ok(match number {
        0 => LogLevel::Trace,
        1 => LogLevel::Debug,
        2 => LogLevel::Info,
        3 => LogLevel::Warn,
        4 => LogLevel::Error,
        5 => LogLevel::Critical,
        other => bail!("there is no level {other}"),
    })
}

impl Store for config::Error {
    const SIZE: u32 = align_to(1, 4) + String::SIZE;
    const ALIGN: u32 = 4;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        let (number, reason) = match self {
            Self::Upstream(reason) => (0, reason),
            Self::Io(reason) => (1, reason),
        };
        out.write(at, [number])?;
        reason.store(out, at + 4)
    }
}
