//! Components that are linked directly: run as the one core module that they are made of, with functions of the host that are
//! lowered here, by hand.
//!
//! A component of WASI 0.2 is, as a rule, one core module with a list of host functions. Between the two stands the component
//! model: handles, lifting, lowering, and checks of what was lent, some 2,300 instructions for each call into the host, of which
//! the functions themselves are a fifth. Where a component has this form (`component.rs` says when), none of that is needed to keep it
//! in its sandbox: the core module can touch nothing but its own memory and the functions that it is given.
//!
//! What differs for the guest: nothing that the component model promises. Handles are the numbers of its own resource table, so a
//! made-up one reaches what the guest has anyway, or ends the invocation. **This is for each function here to see to**: wasmtime's own
//! code may take it for granted that a handle is of the type that it was made for, so it is looked up by this type before anything
//! else is done with it (`io::subscribe` is where that matters).
//!
//! Components of several core modules, as languages with a runtime have them, are joined to one first (`component/join.rs`).
//!
//! Whatever has another form, or imports what is not in the list here, runs as a component; so does one with debugging
//! information, which would no longer fit its code.
//!
//! - `component.rs`: takes a component apart; `rewrite.rs`: makes the core module that is compiled
//! - `abi.rs`: what goes into a guest's memory and comes out of it; `values.rs`: how it lies there; `http.rs`, `errors.rs`, `io.rs`, `cli.rs`, `said.rs`,
//!   `absent.rs`: the functions

mod abi;
mod absent;
mod cli;
mod component;
mod errors;
mod http;
mod io;
mod rewrite;
mod said;
mod values;

use std::collections::HashMap;
use std::sync::LazyLock;

use wasmtime::component::Resource;
use wasmtime::{Engine, InstancePre, Linker, Module, Store, TypedFunc, bail};

pub(crate) use self::abi::Linked;
pub(crate) use self::component::Indirect;
use self::component::Target;
use self::rewrite::{Import, Shape};
use crate::guest::Guest;

/// Counts the changes of what is compiled, and of what it and the host say to each other: code of another version is not run.
pub(crate) const VERSION: u32 = 2;

/// A function of the host.
struct Function {
    /// Without a version: all of 0.2 are the same to those who use what is there.
    interface: &'static str,
    name: &'static str,
    /// Whether it gives values that need memory of the guest.
    gives: bool,
    link: fn(&mut Linker<Guest>, &str) -> wasmtime::Result<()>,
}

/// Functions of one interface, as `giving? waiting? "name" => |cx, argument: type, ..| result;`.
macro_rules! functions {
    (@each $all:ident $interface:literal) => {};
    (@each $all:ident $interface:literal waiting giving $name:literal => |$cx:ident $(, $arg:ident: $ty:ty)*| $body:expr; $($rest:tt)*) => {
        functions!(@waiting $all $interface $name true |$cx $(, $arg: $ty)*| $body);
        functions!(@each $all $interface $($rest)*)
    };
    (@each $all:ident $interface:literal waiting $name:literal => |$cx:ident $(, $arg:ident: $ty:ty)*| $body:expr; $($rest:tt)*) => {
        functions!(@waiting $all $interface $name false |$cx $(, $arg: $ty)*| $body);
        functions!(@each $all $interface $($rest)*)
    };
    (@each $all:ident $interface:literal giving $name:literal => |$cx:ident $(, $arg:ident: $ty:ty)*| $body:expr; $($rest:tt)*) => {
        functions!(@plain $all $interface $name true |$cx $(, $arg: $ty)*| $body);
        functions!(@each $all $interface $($rest)*)
    };
    (@each $all:ident $interface:literal $name:literal => |$cx:ident $(, $arg:ident: $ty:ty)*| $body:expr; $($rest:tt)*) => {
        functions!(@plain $all $interface $name false |$cx $(, $arg: $ty)*| $body);
        functions!(@each $all $interface $($rest)*)
    };
    (@plain $all:ident $interface:literal $name:literal $gives:literal |$cx:ident $(, $arg:ident: $ty:ty)*| $body:expr) => {
        $all.push(Function {
            interface: $interface,
            name: $name,
            gives: $gives,
            link: |linker, module| {
                let function = |mut $cx: Cx<'_> $(, $arg: $ty)*| -> wasmtime::Result<_> {
                    crate::direct::abi::enter(&$cx)?;
                    $body
                };
                linker.func_wrap(module, $name, function).map(drop)
            },
        })
    };
    (@waiting $all:ident $interface:literal $name:literal $gives:literal |$cx:ident $(, $arg:ident: $ty:ty)*| $body:expr) => {
        $all.push(Function {
            interface: $interface,
            name: $name,
            gives: $gives,
            link: |linker, module| {
                linker.func_wrap_async(module, $name, |mut $cx: Cx<'_>, ($($arg,)*): ($($ty,)*)| {
                    Box::new(async move {
                        crate::direct::abi::enter(&$cx)?;
                        let outcome: wasmtime::Result<_> = $body;
                        outcome
                    })
                }).map(drop)
            },
        })
    };
    ($interface:literal: $($rest:tt)*) => {{
        let mut all: Vec<Function> = Vec::new();
        functions!(@each all $interface $($rest)*);
        all
    }};
}
use functions;

/// All of them, by interface and name.
static FUNCTIONS: LazyLock<HashMap<(&'static str, &'static str), Function>> = LazyLock::new(|| {
    let all = [http::all(), io::all(), cli::all(), said::all(), absent::all()].into_iter().flatten();
    all.map(|function| ((function.interface, function.name), function)).collect()
});

/// The guest's handle of a resource that stays its own.
fn borrow<T: 'static>(id: u32) -> Resource<T> {
    Resource::new_borrow(id)
}

/// The guest's handle of a resource that it gives up.
fn own<T: 'static>(id: u32) -> Resource<T> {
    Resource::new_own(id)
}

/// The core module that does what this component does, for [`DirectPre::new`].
///
/// # Errors
/// Why there is none: the component is to be run as such.
pub(crate) fn module_of(component: &[u8]) -> Result<Vec<u8>, Indirect> {
    rewrite::rewrite(&component::take_apart(component)?, import)
}

fn import(target: &Target<'_>) -> Option<Import> {
    let (interface, name) = match *target {
        Target::Function { interface, name } => (interface, name.to_owned()),
        Target::Drop { interface, resource } => (interface, format!("[resource-drop]{resource}")),
    };
    let interface = match said::canonical(interface) {
        Some(interface) => interface,
        None => released(interface)?,
    };
    let shape = match FUNCTIONS.get(&(interface, name.as_str())) {
        Some(function) if function.gives => Shape::Giving,
        Some(_) => Shape::Plain,
        None if absent::is_of_nothing(interface, &name) => Shape::Absent,
        None => return None,
    };
    Some(Import { module: interface.to_owned(), name, shape })
}

/// An interface without its version, if that is a release of 0.2: drafts of it had other functions under the same names.
fn released(interface: &str) -> Option<&str> {
    let (interface, version) = interface.split_once('@')?;
    let patch = version.strip_prefix("0.2.")?;
    patch.bytes().all(|digit| digit.is_ascii_digit()).then_some(interface)
}

/// A linker with all functions that a module made by [`module_of`] may import. Made once per engine.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    for function in FUNCTIONS.values() {
        (function.link)(&mut linker, function.interface)?;
    }
    linker.func_wrap(rewrite::GLUE_MODULE, rewrite::GIVE_NAME, abi::given)?;
    linker.func_wrap(rewrite::GLUE_MODULE, rewrite::ABSENT_NAME, absent::refuse)?;
    Ok(linker)
}

/// A module that is ready to be instantiated.
#[derive(Clone)]
pub(crate) struct DirectPre {
    pre: InstancePre<Guest>,
    /// The name of the handler's export.
    handler: String,
}

/// The handler of an instance.
pub(crate) struct Direct(TypedFunc<(u32, u32), ()>);

impl DirectPre {
    /// Links a module.
    ///
    /// # Errors
    /// When it was made by another version.
    pub(crate) fn new(linker: &Linker<Guest>, module: &Module) -> wasmtime::Result<Self> {
        let mut handlers =
            module.exports().map(|export| export.name()).filter(|name| name.starts_with(component::HANDLER));
        let (Some(handler), None) = (handlers.next(), handlers.next()) else {
            bail!("the module has not one handler");
        };
        Ok(Self { pre: linker.instantiate_pre(module)?, handler: handler.to_owned() })
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.pre.module().engine()
    }

    pub(crate) async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Direct> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        instance.get_typed_func(store, &self.handler).map(Direct)
    }
}

impl Direct {
    /// Calls the handler with a request and the place for its answer.
    pub(crate) async fn call<R: 'static, O: 'static>(
        &self,
        store: &mut Store<Guest>,
        request: Resource<R>,
        outparam: Resource<O>,
    ) -> wasmtime::Result<()> {
        let outcome = self.0.call_async(&mut *store, (request.rep(), outparam.rep())).await;
        store.data_mut().linked.clear();
        outcome
    }
}
