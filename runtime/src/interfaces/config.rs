//! `wasi:config`: what stands in `[function.NAME.config]`, and the secrets that a function is granted, as guests read them.
//!
//! The interface has had several names, all of the same shape, so each of them is linked to the same two functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use samovar_model::Settings;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower, WasmStr};

use super::secrets::GrantedSecrets;
use crate::guest::Guest;

/// Its names: in wasmCloud, in Spin, as proposed last, and in older wasmCloud.
const INTERFACES: [&str; 4] = [
    "wasi:config/store@0.2.0-draft",
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/runtime@0.2.0-draft",
];

/// Whether this import is one of its names.
pub(crate) fn provides(import: &str) -> bool {
    INTERFACES.contains(&import)
}

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for name in INTERFACES {
        let mut store = linker.instance(name)?;
        store.func_wrap("get", get)?;
        store.func_wrap("get-all", get_all)?;
    }
    Ok(())
}

/// What one revision's instances read. Made once per revision.
pub(crate) struct Config {
    values: BTreeMap<String, String>,
    /// The same as `get-all` gives it.
    all: Arc<[(String, String)]>,
    /// Read by name alone: they are in no list.
    secrets: GrantedSecrets,
}

impl Config {
    pub(super) fn new(settings: &Settings, secrets: GrantedSecrets) -> Self {
        let values = settings.config.clone();
        let all = values.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { values, all, secrets }
    }

    /// What a key stands for. The one place where that is decided.
    fn look_up(&self, key: &str) -> Result<Option<String>, String> {
        match self.values.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None => self.secrets.read(key),
        }
    }
}

/// `error`, or `config-error` as it was called.
#[derive(ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "what is read is at hand, so that no reading of it fails; guests expect both cases")]
pub(crate) enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

type Context<'a> = StoreContextMut<'a, Guest>;
type All = Arc<[(String, String)]>;

fn get(context: Context<'_>, (key,): (WasmStr,)) -> wasmtime::Result<(Result<Option<String>, Error>,)> {
    Ok((read(context.data(), &key.to_str(&context)?),))
}

fn get_all(context: Context<'_>, (): ()) -> wasmtime::Result<(Result<All, Error>,)> {
    Ok((Ok(all(context.data())),))
}

/// What a guest is told that asks for a key.
pub(crate) fn read(guest: &Guest, key: &str) -> Result<Option<String>, Error> {
    guest.granted.config.look_up(key).map_err(|reason| {
        // Not every guest tells what it was refused.
        guest.log.notice(reason.clone());
        Error::Upstream(reason)
    })
}

/// What a guest is told that asks for everything.
pub(crate) fn all(guest: &Guest) -> All {
    Arc::clone(&guest.granted.config.all)
}
