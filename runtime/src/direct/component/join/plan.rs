//! Where everything comes to be in the joined module, and the module itself.

use std::collections::BTreeMap;

use wasm_encoder::reencode;
use wasm_encoder::{
    CodeSection, DataCountSection, DataSection, ElementSection, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, ImportSection, MemorySection, Module, NameMap, NameSection, StartSection,
    TableSection, TypeSection, ValType,
};

use super::super::{Indirect, MAX_IMPORTS, MEMORY};
use super::HANDLER_NAME;
use super::layout::Kind;
use super::linking::{Found, Linking};
use super::moving::{Error, Moving, each};

/// What handles a request, by joined indices.
pub(super) struct Handler {
    pub(super) function: u32,
    /// What is called when it has returned.
    pub(super) after: Option<u32>,
}
/// A function of the host that a piece imports.
pub(super) struct HostImport {
    /// By the component's index.
    pub(super) core_function: u32,
    /// Its type in the joined module.
    type_index: u32,
}

/// The indices that everything has in the joined module.
pub(super) struct Plan<'l, 's, 'a> {
    linking: &'l Linking<'s, 'a>,
    pub(super) imports: Vec<HostImport>,
    pieces: Vec<Indices>,
}

/// What the indices of one piece become.
#[derive(Default)]
pub(super) struct Indices {
    /// The first of its types, its segments of elements and of data.
    pub(super) types: u32,
    pub(super) elements: u32,
    pub(super) data: u32,
    /// Of each kind, its imports first.
    spaces: BTreeMap<Kind, Vec<u32>>,
}

impl<'l, 's, 'a> Plan<'l, 's, 'a> {
    pub(super) fn new(linking: &'l Linking<'s, 'a>) -> Result<Self, Indirect> {
        let mut plan = Self { linking, imports: Vec::new(), pieces: Vec::new() };
        let (mut types, mut elements, mut data) = (0, 0, 0);
        // Where each import comes from, kind by kind, and the joined index of each import of the host.
        let mut origins = Vec::new();
        for (index, piece) in linking.pieces.iter().enumerate() {
            let mut of_piece = BTreeMap::<Kind, Vec<(Found, u32)>>::new();
            for kind in Kind::ALL {
                for import in piece.layout.imported(kind) {
                    let origin = linking.origin(kind, linking.import(index, import, 0)?)?;
                    let host = plan.imports.len() as u32;
                    if let Found::Host(core_function) = origin {
                        let type_index = types + piece.layout.imports[import].type_index;
                        plan.imports.push(HostImport { core_function, type_index });
                    }
                    of_piece.entry(kind).or_default().push((origin, host));
                }
            }
            origins.push(of_piece);
            plan.pieces.push(Indices { types, elements, data, spaces: BTreeMap::new() });
            types += piece.layout.types;
            elements += piece.layout.elements;
            data += piece.layout.data;
        }
        if plan.imports.len() > MAX_IMPORTS {
            return Err(Indirect(format!(
                "its modules import {} functions, {MAX_IMPORTS} at most",
                plan.imports.len()
            )));
        }
        for kind in Kind::ALL {
            // Imports come first, and only functions are imported.
            let mut next = if kind == Kind::Function { plan.imports.len() as u32 } else { 0 };
            let mut first = Vec::new();
            for piece in &linking.pieces {
                first.push(next);
                next += piece.layout.defined(kind);
            }
            for (index, piece) in linking.pieces.iter().enumerate() {
                let imported = origins[index].remove(&kind).unwrap_or_default();
                let imported = imported.into_iter().map(|(origin, host)| match origin {
                    Found::Host(_) => host,
                    Found::In { piece, index } => {
                        first[piece] + index - linking.pieces[piece].layout.imported(kind).count() as u32
                    }
                });
                let own = first[index]..first[index] + piece.layout.defined(kind);
                plan.pieces[index].spaces.insert(kind, imported.chain(own).collect());
            }
        }
        Ok(plan)
    }

    /// The joined index of a function that a module has.
    pub(super) fn own_function(&self, found: Found) -> Result<u32, Indirect> {
        match self.linking.origin(Kind::Function, found)? {
            Found::In { piece, index } => self.pieces[piece].at(Kind::Function, index),
            Found::Host(_) => Err(Indirect::new("a function of the host is in a place of the module's own")),
        }
    }

    /// Writes the joined module, with these exports besides the handler.
    pub(super) fn encode(&self, handler: &Handler, names: &BTreeMap<String, u32>) -> Result<Vec<u8>, Indirect> {
        self.write(handler, names).map_err(|error| match error {
            reencode::Error::UserError(indirect) => indirect,
            reencode::Error::ParseError(error) => error.into(),
            other => Indirect(other.to_string()),
        })
    }

    fn write(&self, handler: &Handler, names: &BTreeMap<String, u32>) -> Result<Vec<u8>, Error> {
        let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
        let (mut functions, mut tables, mut memories) =
            (FunctionSection::new(), TableSection::new(), MemorySection::new());
        let (mut globals, mut elements, mut code, mut data) =
            (GlobalSection::new(), ElementSection::new(), CodeSection::new(), DataSection::new());
        let mut start = None;
        let (mut constants, mut named, mut counts_data) = (Vec::new(), BTreeMap::new(), false);
        for import in &self.imports {
            // What it is called is told by `Parts::imports`.
            imports.import("", "", EntityType::Function(import.type_index));
        }
        for (piece, indices) in self.linking.pieces.iter().zip(&self.pieces) {
            let layout = &piece.layout;
            if start.is_some() {
                return Err(Error::UserError(Indirect::new("a module that is not the last begins with code")));
            }
            let mut moving = Moving { indices, constants: &mut constants };
            each(&layout.sections.types, |section| {
                reencode::utils::parse_type_section(&mut moving, &mut types, section)
            })?;
            each(&layout.sections.functions, |s| {
                reencode::utils::parse_function_section(&mut moving, &mut functions, s)
            })?;
            each(&layout.sections.tables, |s| reencode::utils::parse_table_section(&mut moving, &mut tables, s))?;
            each(&layout.sections.memories, |s| reencode::utils::parse_memory_section(&mut moving, &mut memories, s))?;
            each(&layout.sections.globals, |section| moving.globals(&mut globals, section))?;
            each(&layout.sections.elements, |s| reencode::utils::parse_element_section(&mut moving, &mut elements, s))?;
            each(&layout.sections.code, |s| reencode::utils::parse_code_section(&mut moving, &mut code, s))?;
            each(&layout.sections.data, |s| reencode::utils::parse_data_section(&mut moving, &mut data, s))?;
            start = layout
                .start
                .map(|function| indices.at(Kind::Function, function))
                .transpose()
                .map_err(Error::UserError)?;
            counts_data |= layout.counts_data;
            for (function, name) in &layout.names {
                // Names need not be right.
                if let Ok(index) = indices.at(Kind::Function, *function)
                    && index as usize >= self.imports.len()
                {
                    named.insert(index, *name);
                }
            }
        }
        if memories.len() != 1 {
            let reason = format!("it has {} memories, and not one for all modules", memories.len());
            return Err(Error::UserError(Indirect(reason)));
        }
        let mut handling = handler.function;
        if let Some(after) = handler.after {
            handling = self.imports.len() as u32 + functions.len();
            functions.function(self.linking.pieces.iter().map(|piece| piece.layout.types).sum());
            types.ty().function([ValType::I32; 2], []);
            let mut both = Function::new([]);
            both.instructions().local_get(0).local_get(1).call(handler.function).call(after).end();
            code.function(&both);
        }
        let mut exports = ExportSection::new();
        exports.export(MEMORY, ExportKind::Memory, 0);
        exports.export(HANDLER_NAME, ExportKind::Func, handling);
        for (name, function) in names {
            exports.export(name, ExportKind::Func, *function);
        }
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions).section(&tables).section(&memories);
        module.section(&globals).section(&exports);
        if let Some(function_index) = start {
            module.section(&StartSection { function_index });
        }
        module.section(&elements);
        if counts_data {
            module.section(&DataCountSection { count: data.len() });
        }
        module.section(&code).section(&data);
        let mut map = NameMap::new();
        named.iter().for_each(|(index, name)| map.append(*index, name));
        let mut section = NameSection::new();
        section.functions(&map);
        module.section(&section);
        Ok(module.finish())
    }
}

impl Indices {
    /// The joined index of what has this one.
    pub(super) fn at(&self, kind: Kind, index: u32) -> Result<u32, Indirect> {
        let found = self.spaces.get(&kind).and_then(|space| space.get(index as usize));
        found.copied().ok_or_else(|| Indirect::new("it names something that is not there"))
    }
}
