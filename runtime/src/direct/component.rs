//! Takes apart a component of the shape that the usual tools make: one core module, the main one, linked to functions
//! of the host.
//!
//! Beside the main module there are at most three small ones, which have no part in what the component does: a shim and
//! its fixups, through which functions that need the main module's memory are linked, and one that calls `_initialize`
//! at start. Of such a component the main module is all that has to run. Where there are others, which share the memory with
//! it, all of them are joined to one (`join.rs`). Whatever differs from the shape is refused, and keeps running as a component.

mod join;
mod modules;
mod spaces;

use std::borrow::Cow;
use std::fmt;

use wasmparser::{
    CanonicalOption, ComponentExternalKind, Export, ExternalKind, Instance, InstantiationArg, Validator, WasmFeatures,
};

use modules::Imported;
use spaces::{Aliased, CoreFunction, Function, Lift, Made, Spaces};

/// What the name of the instance begins with that exports the component's handler.
pub(super) const HANDLER: &str = "wasi:http/incoming-handler@0.2.";

/// More than there are functions here; to find out what each of them is takes longer the more there are.
const MAX_IMPORTS: usize = 1_000;

/// The name of the shim's table, for it and for its fixups.
const SHIM_TABLE: &str = "$imports";

/// The name that the main module's memory must have.
const MEMORY: &str = "memory";

/// The custom section without which there is no DWARF: its offsets of code would be wrong once the code has moved.
const DEBUG_INFO: &str = ".debug_info";

/// Why a component cannot be linked directly.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Indirect(String);

impl Indirect {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<wasmparser::BinaryReaderError> for Indirect {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self(format!("it is not valid: {error}"))
    }
}

/// What a core import of the main module stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// A function of an interface that the component imports.
    Function {
        /// As the component names it: `wasi:http/types@0.2.12`.
        interface: &'a str,
        /// As the interface names it: `[method]fields.append`.
        name: &'a str,
    },
    /// Drops a handle of a resource of the host.
    Drop {
        /// As the component names it: `wasi:http/types@0.2.12`.
        interface: &'a str,
        /// As the interface names it: `fields`.
        resource: &'a str,
    },
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function { interface, name } => write!(out, "`{name}` of `{interface}`"),
            Self::Drop { interface, resource } => write!(out, "dropping `{resource}` of `{interface}`"),
        }
    }
}

/// A function of the host, as the main module imports it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Linked<'a> {
    pub(super) target: Target<'a>,
    /// The main module's export that it allocates with, if it has to.
    pub(super) realloc: Option<Cow<'a, str>>,
}

/// What a component is made of, apart from what only links it.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// The main module, which imports nothing but functions.
    pub(super) module: Cow<'a, [u8]>,
    /// What it imports, in order.
    pub(super) imports: Vec<Linked<'a>>,
    /// Its export that handles a request.
    pub(super) handler: Cow<'a, str>,
    /// Its export that is called once, before all others.
    pub(super) initialize: Option<Cow<'a, str>>,
}

/// Takes a component apart.
///
/// # Errors
/// With the reason, when it has not the shape that can be linked directly.
pub(super) fn take_apart(component: &[u8]) -> Result<Parts<'_>, Indirect> {
    let spaces = Spaces::read(component)?;
    let lift = handler(&spaces)?;
    of_one(&spaces, lift).or_else(|of_one| {
        join::join(&spaces, lift).map_err(|joined| Indirect(format!("{of_one}; as several modules: {joined}")))
    })
}

/// Takes a component of one module and those that only link it apart.
fn of_one<'a>(spaces: &Spaces<'a>, lift: &Lift) -> Result<Parts<'a>, Indirect> {
    let CoreFunction::Export(Aliased { instance: main, name: handler }) = *spaces.core_function(lift.function)? else {
        return Err(Indirect::new("its handler is not an export of a core module"));
    };
    let Instance::Instantiate { module_index, args } = spaces.core_instance(main)? else {
        return Err(Indirect::new("its handler is not an export of a core module"));
    };
    if !handler.starts_with(HANDLER) {
        return Err(Indirect::new(format!("the core function of its handler is called `{handler}`")));
    }
    let module = spaces.module(*module_index)?;
    let imports = modules::imports(module)?;
    if imports.len() > MAX_IMPORTS {
        return Err(Indirect::new(format!("its main module has {} imports, {MAX_IMPORTS} at most", imports.len())));
    }
    let roles = Roles::assign(spaces, main, args)?;
    check_lift(&roles, lift)?;
    let imports = imports.iter().map(|import| roles.target(import)).collect::<Result<_, _>>()?;
    // Last, since it reads all of the code, which most components that are refused need not wait for.
    validate(module)?;
    let initialize = roles.initialize.map(Cow::Borrowed);
    Ok(Parts { module: module.into(), imports, handler: handler.into(), initialize })
}

/// What WebAssembly may use here: not more than wasmtime allows in components of WASI 0.2 without being told to.
pub(super) const FEATURES: WasmFeatures =
    WasmFeatures::WASM3.difference(WasmFeatures::THREADS).union(WasmFeatures::COMPONENT_MODEL);

/// Checks a whole module, its code included.
pub(super) fn validate(module: &[u8]) -> Result<(), Indirect> {
    Validator::new_with_features(FEATURES).validate_all(module)?;
    Ok(())
}

/// The function that is exported as the handler. Nobody calls what else is exported.
fn handler<'s>(spaces: &'s Spaces<'_>) -> Result<&'s Lift, Indirect> {
    let mut found = None;
    for export in &spaces.exports {
        // Drafts are not released versions: wasmtime knows what to say to them.
        let patch = export.name.name.strip_prefix(HANDLER);
        let is_handler = patch.is_some_and(|patch| patch.bytes().all(|digit| digit.is_ascii_digit()))
            && export.kind == ComponentExternalKind::Instance;
        if is_handler && found.replace(export.index).is_some() {
            return Err(Indirect::new("it exports two handlers"));
        }
    }
    let index = found.ok_or_else(|| Indirect::new(format!("it does not export `{HANDLER}x`")))?;
    match spaces.instance(index)? {
        Made::OfFunction(function) => match spaces.function(function)? {
            Function::Lifted(lift) => Ok(lift),
            _ => Err(Indirect::new("its handler is not a function of its own")),
        },
        _ => Err(Indirect::new("its handler is not made of one function of its own")),
    }
}

/// Checks that calling the handler is calling its core function, and no more.
fn check_lift(roles: &Roles<'_, '_>, lift: &Lift) -> Result<(), Indirect> {
    for option in &lift.options {
        match option {
            CanonicalOption::UTF8 | CanonicalOption::Realloc(_) => {}
            CanonicalOption::Memory(memory) => roles.check_memory(*memory)?,
            other => return Err(Indirect::new(format!("its handler is lifted with {other:?}"))),
        }
    }
    Ok(())
}

/// The core instances of a component, by what each is for.
struct Roles<'s, 'a> {
    spaces: &'s Spaces<'a>,
    main: u32,
    arguments: &'s [InstantiationArg<'a>],
    shim: Option<Shim<'a>>,
    fixups: Option<Fixups<'s, 'a>>,
    initialize: Option<&'a str>,
}

/// The instance whose functions call through its table.
struct Shim<'a> {
    instance: u32,
    /// For each exported function, the place in the table that it calls.
    places: Vec<(&'a str, u32)>,
}

/// The instance that fills the shim's table.
struct Fixups<'s, 'a> {
    /// What it imports for each place in the table, from the first.
    imports: Vec<&'a str>,
    /// What is given to it.
    given: &'s [Export<'a>],
}

impl<'s, 'a> Roles<'s, 'a> {
    fn assign(spaces: &'s Spaces<'a>, main: u32, arguments: &'s [InstantiationArg<'a>]) -> Result<Self, Indirect> {
        let mut roles = Self { spaces, main, arguments, shim: None, fixups: None, initialize: None };
        let mut instantiated = 0;
        for (index, instance) in (0..).zip(&spaces.core_instances) {
            let Instance::Instantiate { module_index, args } = instance else { continue };
            instantiated += 1;
            if index != main {
                roles.assign_small(index, *module_index, args)?;
            }
        }
        if spaces.modules.len() != instantiated {
            return Err(Indirect::new("not every core module is instantiated once"));
        }
        Ok(roles)
    }

    /// Finds out what an instance other than the main one is for.
    fn assign_small(&mut self, index: u32, module: u32, args: &'s [InstantiationArg<'a>]) -> Result<(), Indirect> {
        let module = self.spaces.module(module)?;
        let taken = match args {
            [] => self.shim.replace(Shim { instance: index, places: modules::shim(module)? }).is_some(),
            [argument] if argument.name.is_empty() => match self.given(argument)? {
                [only] if only.name.is_empty() => self.initialize.replace(self.initializes(module, only)?).is_some(),
                given => self.fixups.replace(self.fixes_up(module, given)?).is_some(),
            },
            _ => return Err(Indirect::new("it has another module beside the main one and those that link it")),
        };
        if taken { Err(Indirect::new("it has two modules for the same purpose")) } else { Ok(()) }
    }

    /// The export of the main module that this module calls when it starts.
    fn initializes(&self, module: &[u8], given: &Export<'a>) -> Result<&'a str, Indirect> {
        modules::check_initializer(module)?;
        if given.kind != ExternalKind::Func {
            return Err(Indirect::new("what is called at start is not a function"));
        }
        match self.spaces.core_function(given.index)? {
            CoreFunction::Export(Aliased { instance, name }) if *instance == self.main => Ok(name),
            _ => Err(Indirect::new("what is called at start is not an export of the main module")),
        }
    }

    fn fixes_up(&self, module: &'a [u8], given: &'s [Export<'a>]) -> Result<Fixups<'s, 'a>, Indirect> {
        let modules::Fixups { table, functions } = modules::fixups(module)?;
        if functions.iter().chain([&table]).any(|import| !import.module.is_empty()) {
            return Err(Indirect::new("it has another module beside the main one, which is not a shim's fixups"));
        }
        let imports = functions.iter().map(|import| import.name).collect();
        let table = exported(given, ExternalKind::Table, table.name)?;
        let table = self.spaces.core_table(table)?;
        let is_shims = table
            .is_some_and(|of| of.name == SHIM_TABLE && Some(of.instance) == self.shim.as_ref().map(|s| s.instance));
        if is_shims {
            Ok(Fixups { imports, given })
        } else {
            Err(Indirect::new("the table that is filled is not the shim's"))
        }
    }

    /// What an import of the main module stands for.
    fn target(&self, import: &Imported<'a>) -> Result<Linked<'a>, Indirect> {
        let argument = self.arguments.iter().find(|argument| argument.name == import.module);
        let argument = argument.ok_or_else(|| Indirect::new(format!("nothing is given as `{}`", import.module)))?;
        let mut function =
            self.spaces.core_function(exported(self.given(argument)?, ExternalKind::Func, import.name)?)?;
        if let CoreFunction::Export(alias) = function {
            function = self.spaces.core_function(self.through_shim(alias)?)?;
        }
        let realloc = match function {
            CoreFunction::Lowered { options, .. } => self.check_lower(options)?,
            _ => None,
        };
        let target = self.spaces.target(function)?.ok_or_else(|| {
            Indirect(format!("`{}` of `{}` is not a function of the host", import.name, import.module))
        })?;
        Ok(Linked { target, realloc: realloc.map(Cow::Borrowed) })
    }

    /// The core function that a function of the shim ends up calling.
    fn through_shim(&self, alias: &Aliased<'a>) -> Result<u32, Indirect> {
        let not_linked = || Indirect::new(format!("`{}` is linked neither by the host nor by the shim", alias.name));
        let shim = self.shim.as_ref().filter(|shim| shim.instance == alias.instance).ok_or_else(not_linked)?;
        let fixups = self.fixups.as_ref().ok_or_else(not_linked)?;
        let (_, place) = shim.places.iter().find(|(name, _)| *name == alias.name).ok_or_else(not_linked)?;
        let import = fixups.imports.get(*place as usize).ok_or_else(not_linked)?;
        exported(fixups.given, ExternalKind::Func, import)
    }

    /// Checks how a function is lowered. Answers what it allocates with.
    fn check_lower(&self, options: &[CanonicalOption]) -> Result<Option<&'a str>, Indirect> {
        let mut realloc = None;
        for option in options {
            match option {
                CanonicalOption::UTF8 => {}
                CanonicalOption::Memory(memory) => self.check_memory(*memory)?,
                CanonicalOption::Realloc(function) => match self.spaces.core_function(*function)? {
                    CoreFunction::Export(Aliased { instance, name }) if *instance == self.main => realloc = Some(*name),
                    _ => return Err(Indirect::new("it allocates with a function that is not the main module's")),
                },
                other => return Err(Indirect::new(format!("it lowers a function with {other:?}"))),
            }
        }
        Ok(realloc)
    }

    fn check_memory(&self, memory: u32) -> Result<(), Indirect> {
        match self.spaces.core_memory(memory)? {
            Some(of) if of.instance == self.main && of.name == MEMORY => Ok(()),
            _ => Err(Indirect::new("it uses a memory that is not the `memory` of the main module")),
        }
    }

    /// The exports of an instance that is an argument, and that consists of exports of others.
    fn given(&self, argument: &InstantiationArg<'a>) -> Result<&'s [Export<'a>], Indirect> {
        match self.spaces.core_instance(argument.index)? {
            Instance::FromExports(exports) => Ok(exports),
            Instance::Instantiate { .. } => {
                Err(Indirect::new(format!("a whole core module is given as `{}`", argument.name)))
            }
        }
    }
}

/// The index of an export.
fn exported(exports: &[Export<'_>], kind: ExternalKind, name: &str) -> Result<u32, Indirect> {
    let found = exports.iter().find(|export| export.kind == kind && export.name == name);
    found.map(|export| export.index).ok_or_else(|| Indirect::new(format!("nothing is given as `{name}`")))
}

#[cfg(test)]
mod tests;
