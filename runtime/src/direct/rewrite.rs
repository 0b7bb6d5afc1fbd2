//! Makes of a component's main module one that is linked to functions of the host alone.
//!
//! A function of the host that gives the guest values of any length ("giving") does not call back into the guest to
//! have memory for them, which would cost more than all the rest. It says in its result how much it needs next, and
//! returns. A function in the new module, the glue, allocates that and calls [`GIVE_NAME`] with it, until no more is
//! needed:
//!
//! ```text
//! (func $glue (param ...)
//!   needs = import(...)
//!   while needs != 0 {
//!     needs = give(realloc(0, 0, needs >> 32, needs as i32)))
//! ```
//!
//! What no function here can have a handle of ("absent"), a file or a socket, needs no function of the host either: whatever
//! is called with a handle of one ends in [`ABSENT_NAME`], which says that there is none.
//!
//! Imports keep their indices, `give` comes after the last of them, and glue after all functions that were there.
//! Wherever an import that has glue was named, its glue is.

mod outline;

use std::collections::BTreeMap;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    BlockType, CodeSection, Function, FunctionSection, ImportSection, IndirectNameMap, Module, NameMap, NameSection,
    SectionId, StartSection, TypeSection, ValType,
};
use wasmparser::{
    CodeSectionReader, CustomSectionReader, FunctionSectionReader, ImportSectionReader, Name, Parser, TypeSectionReader,
};

use super::component::{Indirect, Parts, Target, validate};
use outline::Outline;

/// The module of the functions that are called by glue alone.
pub(super) const GLUE_MODULE: &str = "samovar:direct";

/// The name of the function that is told what was allocated for it, of type `(i32) -> (i64)`.
pub(super) const GIVE_NAME: &str = "give";

/// The name of the function that ends an invocation for a handle that it cannot have, of type `(i32) -> ()`.
pub(super) const ABSENT_NAME: &str = "absent";

/// What the names of custom sections begin with that say something of single instructions, by offsets that change.
const CODE_METADATA: &str = "metadata.code.";

/// What the host's side of a function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// It returns what it returns.
    Plain,
    /// It gives values that need memory of the guest. The last parameter of the lowered function says where they go,
    /// and it has no result. The host's has: the size of what it needs next, and in the upper half its alignment, or 0.
    Giving,
    /// There is none: the first parameter is a handle that nobody has.
    Absent,
}

/// The host's side of a function.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) module: String,
    pub(super) name: String,
    pub(super) shape: Shape,
}

/// Makes the new module. It exports what the old one did.
///
/// `import` says what the host has for each import, if anything.
///
/// # Errors
/// With the reason, when it cannot be done.
pub(super) fn rewrite(parts: &Parts<'_>, import: impl Fn(&Target<'_>) -> Option<Import>) -> Result<Vec<u8>, Indirect> {
    let found = |target| import(target).ok_or_else(|| Indirect::new(format!("{target} is not linked directly")));
    let imports = parts.imports.iter().map(|linked| found(&linked.target)).collect::<Result<Vec<_>, _>>()?;
    let mut rewriting = Rewriting::plan(parts, imports)?;
    let mut module = Module::new();
    rewriting.parse_core_module(&mut module, Parser::new(0), &parts.module).map_err(|error| match error {
        reencode::Error::UserError(indirect) => indirect,
        reencode::Error::ParseError(error) => error.into(),
        other => Indirect::new(other.to_string()),
    })?;
    let module = module.finish();
    validate(&module)?;
    Ok(module)
}

/// A module on its way to the new one.
struct Rewriting<'a> {
    outline: Outline<'a>,
    imports: Vec<Import>,
    /// For each import, the new index of its glue, if it has any.
    glue_of: Vec<Option<u32>>,
    glue: Vec<Glue>,
    /// The function to call at start, by its old index, unless the module has one already.
    start: Option<u32>,
}

/// A function that stands before an import.
struct Glue {
    import: u32,
    type_index: u32,
    params: Vec<ValType>,
    /// What allocates for a giving one, by its old index. Absent ones need none.
    realloc: Option<u32>,
}

impl<'a> Rewriting<'a> {
    fn plan(parts: &'a Parts<'_>, imports: Vec<Import>) -> Result<Self, Indirect> {
        let outline = Outline::read(&parts.module)?;
        outline.check_function(&parts.handler, &[wasmparser::ValType::I32; 2], &[])?;
        outline.check_memory("memory")?;
        if imports.len() != outline.imports as usize {
            return Err(Indirect::new("its main module does not import what it is given"));
        }
        let start = parts.initialize.as_ref().map(|name| outline.check_function(name, &[], &[])).transpose()?;
        if start.is_some() && outline.has_start {
            return Err(Indirect::new("its main module has a start function, and one that initializes it"));
        }
        let mut glue = Vec::new();
        for (index, (import, linked)) in (0..).zip(imports.iter().zip(&parts.imports)) {
            match import.shape {
                Shape::Plain => {}
                Shape::Giving => {
                    let nothing = || Indirect::new("it has nothing to allocate with");
                    let name = linked.realloc.as_ref().ok_or_else(nothing)?;
                    let i32 = wasmparser::ValType::I32;
                    let realloc = outline.check_function(name, &[i32; 4], &[i32])?;
                    glue.push(Glue::giving(index, import, &outline, realloc)?);
                }
                Shape::Absent => glue.push(Glue::of(index, &outline)?),
            }
        }
        if !glue.is_empty() && outline.functions.len() == imports.len() {
            return Err(Indirect::new("its main module has no function of its own"));
        }
        let mut glue_of = vec![None; imports.len()];
        // After all functions, and after the one more import.
        for (new, glue) in (outline.count() + 1..).zip(&glue) {
            glue_of[glue.import as usize] = Some(new);
        }
        Ok(Self { outline, imports, glue_of, glue, start })
    }

    /// The new index of a function, `None` if there is no such function.
    fn moved(&self, function: u32) -> Option<u32> {
        match self.glue_of.get(function as usize) {
            Some(glue) => Some(glue.unwrap_or(function)),
            None if function >= self.outline.count() => None,
            None if self.glue.is_empty() => Some(function),
            None => Some(function + 1),
        }
    }

    /// The index of the type that `give` has. That of `absent` follows, and those of the giving imports, in order.
    fn give_type(&self) -> u32 {
        self.outline.types.len() as u32
    }

    /// The index of `give`.
    fn give(&self) -> u32 {
        self.outline.imports
    }
}

impl Glue {
    fn of(import: u32, outline: &Outline<'_>) -> Result<Self, Indirect> {
        let (type_index, signature) = outline.function(import)?;
        let params = signature.params().iter().map(|param| ValType::try_from(*param)).collect::<Result<_, _>>();
        let params = params.map_err(|error| Indirect::new(error.to_string()))?;
        Ok(Self { import, type_index, params, realloc: None })
    }

    fn giving(index: u32, import: &Import, outline: &Outline<'_>, realloc: u32) -> Result<Self, Indirect> {
        let (_, signature) = outline.function(index)?;
        if signature.params().last() != Some(&wasmparser::ValType::I32) || !signature.results().is_empty() {
            return Err(Indirect::new(format!("`{}` of `{}` has nowhere to give to", import.name, import.module)));
        }
        Ok(Self { realloc: Some(realloc), ..Self::of(index, outline)? })
    }

    /// Says that there is nothing with this handle.
    fn refusal(&self) -> Function {
        let mut function = Function::new([]);
        let mut code = function.instructions();
        match self.params.first() {
            Some(ValType::I32) => code.local_get(0),
            _ => code.i32_const(0),
        };
        code.call(self.import).unreachable().end();
        function
    }

    /// See the top of this file.
    fn body(&self, realloc: u32, give: u32) -> Function {
        let needs = self.params.len() as u32;
        let mut function = Function::new([(1, ValType::I64)]);
        let mut code = function.instructions();
        for param in 0..needs {
            code.local_get(param);
        }
        code.call(self.import).local_set(needs);
        code.block(BlockType::Empty).loop_(BlockType::Empty);
        code.local_get(needs).i64_eqz().br_if(1);
        code.i32_const(0).i32_const(0);
        code.local_get(needs).i64_const(32).i64_shr_u().i32_wrap_i64();
        code.local_get(needs).i32_wrap_i64();
        code.call(realloc).call(give).local_set(needs);
        code.br(0).end().end().end();
        function
    }
}

type Error = reencode::Error<Indirect>;

impl Reencode for Rewriting<'_> {
    type Error = Indirect;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        self.moved_function(function)
    }

    fn parse_type_section(&mut self, types: &mut TypeSection, section: TypeSectionReader<'_>) -> Result<(), Error> {
        reencode::utils::parse_type_section(self, types, section)?;
        if !self.glue.is_empty() {
            types.ty().function([ValType::I32], [ValType::I64]);
            types.ty().function([ValType::I32], []);
        }
        for glue in self.glue.iter().filter(|glue| glue.realloc.is_some()) {
            types.ty().function(glue.params.iter().copied(), [ValType::I64]);
        }
        Ok(())
    }

    fn parse_import_section(&mut self, imports: &mut ImportSection, _: ImportSectionReader<'_>) -> Result<(), Error> {
        let absent_type = self.give_type() + 1;
        let mut giving_types = absent_type + 1..;
        for (import, type_index) in self.imports.iter().zip(&self.outline.functions) {
            let (module, name, type_index) = match import.shape {
                Shape::Plain => (&*import.module, &*import.name, *type_index),
                Shape::Giving => (&*import.module, &*import.name, giving_types.next().unwrap_or(*type_index)),
                Shape::Absent => (GLUE_MODULE, ABSENT_NAME, absent_type),
            };
            imports.import(module, name, wasm_encoder::EntityType::Function(type_index));
        }
        if !self.glue.is_empty() {
            imports.import(GLUE_MODULE, GIVE_NAME, wasm_encoder::EntityType::Function(self.give_type()));
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        reencode::utils::parse_function_section(self, functions, section)?;
        for glue in &self.glue {
            functions.function(glue.type_index);
        }
        Ok(())
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: CodeSectionReader<'_>) -> Result<(), Error> {
        reencode::utils::parse_code_section(self, code, section)?;
        for glue in &self.glue {
            code.function(&match glue.realloc {
                Some(realloc) => glue.body(self.moved_function(realloc)?, self.give()),
                None => glue.refusal(),
            });
        }
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), Error> {
        let is_place = matches!(
            before,
            None | Some(SectionId::Element | SectionId::DataCount | SectionId::Code | SectionId::Data)
        );
        if is_place && let Some(start) = self.start.take() {
            module.section(&StartSection { function_index: self.function_index(start)? });
        }
        Ok(())
    }

    fn parse_custom_section(&mut self, module: &mut Module, section: CustomSectionReader<'_>) -> Result<(), Error> {
        if section.name().starts_with(CODE_METADATA) {
            return Ok(());
        }
        reencode::utils::parse_custom_section(self, module, section)
    }

    /// Names are in the order of indices, also after some have moved to the end.
    fn parse_custom_name_subsection(&mut self, names: &mut NameSection, section: Name<'_>) -> Result<(), Error> {
        match section {
            Name::Function(map) => {
                let mut moved = BTreeMap::new();
                for naming in map {
                    let naming = naming?;
                    moved.extend(self.moved(naming.index).map(|index| (index, naming.name)));
                }
                let mut map = NameMap::new();
                moved.iter().for_each(|(index, name)| map.append(*index, name));
                names.functions(&map);
            }
            Name::Local(map) => names.locals(&self.moved_names(map)?),
            Name::Label(map) => names.labels(&self.moved_names(map)?),
            other => reencode::utils::parse_custom_name_subsection(self, names, other)?,
        }
        Ok(())
    }
}

impl Rewriting<'_> {
    fn moved_function(&self, function: u32) -> Result<u32, Error> {
        self.moved(function).ok_or_else(|| Error::UserError(Indirect::new("it names a function that is not there")))
    }

    /// Names of what functions have.
    fn moved_names(&self, map: wasmparser::IndirectNameMap<'_>) -> Result<IndirectNameMap, Error> {
        let mut moved = BTreeMap::new();
        for naming in map {
            let naming = naming?;
            let names = reencode::utils::name_map(naming.names, Ok::<_, Error>)?;
            moved.extend(self.moved(naming.index).map(|index| (index, names)));
        }
        let mut map = IndirectNameMap::new();
        moved.iter().for_each(|(index, names)| map.append(*index, names));
        Ok(map)
    }
}

#[cfg(test)]
mod tests;
