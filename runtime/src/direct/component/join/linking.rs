//! How a component's core modules are linked: which instances there are, and what each is given.

use std::collections::HashMap;

use wasmparser::{CanonicalOption, ExternalKind, Instance, InstantiationArg};

use super::super::modules::{self, Imported};
use super::super::spaces::{Aliased, CoreFunction, Spaces};
use super::super::{Indirect, SHIM_TABLE, Shim, exported};
use super::layout::{self, Kind, Layout};

/// More than any runtime has, all modules' together.
const MAX_ALL_IMPORTS: usize = 10_000;

/// From one module to the next, as often as a function may be handed on: a circle of imports has no end.
const MAX_STEPS: usize = 12;
/// The instances of a component's modules, and what each is given.
pub(super) struct Linking<'s, 'a> {
    spaces: &'s Spaces<'a>,
    /// All but those that only link others.
    pub(super) pieces: Vec<Piece<'s, 'a>>,
    /// The pieces by the indices of their instances.
    by_instance: HashMap<u32, usize>,
    shim: Option<Shim<'a>>,
    /// What fills the shim's table.
    fixups: Option<Fixups<'s, 'a>>,
    /// What is called once at start.
    pub(super) initialize: Option<Found>,
}

/// What is in the shim's table, and the arguments that it is named by.
struct Fixups<'s, 'a> {
    functions: Vec<Imported<'a>>,
    args: &'s [InstantiationArg<'a>],
}

/// An instance that becomes a part of the joined module.
pub(super) struct Piece<'s, 'a> {
    pub(super) module: &'a [u8],
    pub(super) layout: Layout<'a>,
    args: &'s [InstantiationArg<'a>],
}

/// Where something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A core function of the host, by the component's index.
    Host(u32),
    /// What a piece has under this index, which may be an import of it.
    In { piece: usize, index: u32 },
}

impl<'s, 'a> Linking<'s, 'a> {
    pub(super) fn read(spaces: &'s Spaces<'a>) -> Result<Self, Indirect> {
        let mut linking = Self {
            spaces,
            pieces: Vec::new(),
            by_instance: HashMap::new(),
            shim: None,
            fixups: None,
            initialize: None,
        };
        let mut initializer = None;
        for (index, instance) in (0..).zip(&spaces.core_instances) {
            let Instance::Instantiate { module_index, args } = instance else { continue };
            let module = spaces.module(*module_index)?;
            if initializer.is_some() {
                return Err(Indirect::new("it has a module after the one that initializes"));
            }
            match &**args {
                [] if linking.shim.is_none() && linking.is_shim(index, module) => {}
                args if linking.is_fixups(args, module)? => {}
                [argument] if argument.name.is_empty() && modules::check_initializer(module).is_ok() => {
                    initializer = Some(argument);
                }
                args => {
                    linking.by_instance.insert(index, linking.pieces.len());
                    linking.pieces.push(Piece { module, layout: Layout::read(module)?, args });
                }
            }
        }
        let imports: usize = linking.pieces.iter().map(|piece| piece.layout.imports.len()).sum();
        if imports > MAX_ALL_IMPORTS {
            return Err(Indirect(format!("its modules have {imports} imports, {MAX_ALL_IMPORTS} at most")));
        }
        if let Some(argument) = initializer {
            linking.initialize = Some(linking.export_of(Kind::Function, argument.index, "", 0)?);
        }
        Ok(linking)
    }

    fn is_shim(&mut self, instance: u32, module: &'a [u8]) -> bool {
        let places = modules::shim(module).ok().filter(|places| !places.is_empty());
        self.shim = places.map(|places| Shim { instance, places });
        self.shim.is_some()
    }

    /// Whether a module fills the shim's table, and does nothing else.
    fn is_fixups(&mut self, args: &'s [InstantiationArg<'a>], module: &'a [u8]) -> Result<bool, Indirect> {
        let (Some(shim), Ok(modules::Fixups { table, functions })) = (&self.shim, modules::fixups(module)) else {
            return Ok(false);
        };
        let mut filled = Some(Aliased { instance: argument(args, table.module)?, name: table.name });
        if let Instance::FromExports(given) = self.spaces.core_instance(argument(args, table.module)?)? {
            filled = self.spaces.core_table(exported(given, ExternalKind::Table, table.name)?)?;
        }
        if !filled.is_some_and(|of| of.instance == shim.instance && of.name == SHIM_TABLE) {
            return Ok(false);
        }
        if self.fixups.replace(Fixups { functions, args }).is_some() {
            return Err(Indirect::new("the shim is filled twice"));
        }
        Ok(true)
    }

    /// What an instance exports.
    fn export_of(&self, kind: Kind, instance: u32, name: &str, steps: usize) -> Result<Found, Indirect> {
        if steps > MAX_STEPS {
            return Err(Indirect(format!("`{name}` is imported in a circle")));
        }
        if let Some(piece) = self.by_instance.get(&instance) {
            let index = self.pieces[*piece].layout.export(kind, name)?;
            return Ok(Found::In { piece: *piece, index });
        }
        match self.spaces.core_instance(instance)? {
            Instance::FromExports(given) => {
                self.component_item(kind, exported(given, kind.external(), name)?, steps + 1)
            }
            Instance::Instantiate { .. } => {
                let unknown = || Indirect(format!("`{name}` is linked by a module that only links others"));
                let shim = self.shim.as_ref().filter(|shim| shim.instance == instance && kind == Kind::Function);
                let (shim, fixups) = shim.zip(self.fixups.as_ref()).ok_or_else(unknown)?;
                let (_, place) = shim.places.iter().find(|(exported, _)| *exported == name).ok_or_else(unknown)?;
                let import = fixups.functions.get(*place as usize).ok_or_else(unknown)?;
                self.export_of(kind, argument(fixups.args, import.module)?, import.name, steps + 1)
            }
        }
    }

    /// What the component knows by this index.
    fn component_item(&self, kind: Kind, index: u32, steps: usize) -> Result<Found, Indirect> {
        let aliased = match kind {
            Kind::Function => match self.spaces.core_function(index)? {
                CoreFunction::Export(aliased) => Some(*aliased),
                CoreFunction::Lowered { .. } | CoreFunction::Drop(_) => return Ok(Found::Host(index)),
                CoreFunction::Other => None,
            },
            Kind::Table => self.spaces.core_table(index)?,
            Kind::Memory => self.spaces.core_memory(index)?,
            Kind::Global => self.spaces.core_global(index)?,
        };
        let Some(Aliased { instance, name }) = aliased else {
            return Err(Indirect::new("it links something that is neither a module's nor the host's"));
        };
        self.export_of(kind, instance, name, steps)
    }

    pub(super) fn core_function(&self, index: u32) -> Result<Found, Indirect> {
        self.component_item(Kind::Function, index, 0)
    }

    /// Where an import of a piece comes from.
    pub(super) fn import(&self, piece: usize, import: usize, steps: usize) -> Result<Found, Indirect> {
        let Piece { layout, args, .. } = &self.pieces[piece];
        let layout::Import { module, name, kind, .. } = &layout.imports[import];
        self.export_of(*kind, argument(args, module)?, name, steps)
    }

    /// Follows imports to where something is defined, or to the host.
    pub(super) fn origin(&self, kind: Kind, mut found: Found) -> Result<Found, Indirect> {
        for steps in 0..MAX_STEPS {
            let Found::In { piece, index } = found else { return Ok(found) };
            let Some(import) = self.pieces[piece].layout.imported(kind).nth(index as usize) else { return Ok(found) };
            found = self.import(piece, import, steps)?;
        }
        Err(Indirect::new("a module imports in a circle"))
    }

    /// Checks how a function is lowered or lifted. There is one memory, which is not to be checked.
    pub(super) fn check_option(&self, option: &CanonicalOption) -> Result<(), Indirect> {
        match option {
            CanonicalOption::UTF8 | CanonicalOption::Memory(_) | CanonicalOption::Realloc(_) => Ok(()),
            other => Err(Indirect(format!("it lowers or lifts a function with {other:?}"))),
        }
    }
}
/// The instance that is given under this name.
fn argument(args: &[InstantiationArg<'_>], name: &str) -> Result<u32, Indirect> {
    let argument = args.iter().find(|argument| argument.name == name);
    argument.map(|argument| argument.index).ok_or_else(|| Indirect(format!("nothing is given as `{name}`")))
}
