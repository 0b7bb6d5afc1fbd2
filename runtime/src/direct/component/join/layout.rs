//! What a module has, section by section.

use std::collections::HashMap;

use wasmparser::{
    BinaryReader, CodeSectionReader, DataSectionReader, ElementSectionReader, ExternalKind, FunctionSectionReader,
    GlobalSectionReader, KnownCustom, MemorySectionReader, Name, Payload, TableSectionReader, TypeRef,
    TypeSectionReader,
};

use super::super::modules::payloads;
use super::super::{DEBUG_INFO, Indirect};

/// What has indices of its own kind, and can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Function,
    Table,
    Memory,
    Global,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Function, Self::Table, Self::Memory, Self::Global];

    pub(super) fn external(self) -> ExternalKind {
        match self {
            Self::Function => ExternalKind::Func,
            Self::Table => ExternalKind::Table,
            Self::Memory => ExternalKind::Memory,
            Self::Global => ExternalKind::Global,
        }
    }

    fn of(external: ExternalKind) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.external() == external)
    }
}

/// An import of a module.
pub(super) struct Import<'a> {
    pub(super) module: &'a str,
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    /// Of a function; 0 of others.
    pub(super) type_index: u32,
}

/// The sections of a module that are joined with others'.
#[derive(Default)]
pub(super) struct Sections<'a> {
    pub(super) types: Option<TypeSectionReader<'a>>,
    pub(super) functions: Option<FunctionSectionReader<'a>>,
    pub(super) tables: Option<TableSectionReader<'a>>,
    pub(super) memories: Option<MemorySectionReader<'a>>,
    pub(super) globals: Option<GlobalSectionReader<'a>>,
    pub(super) elements: Option<ElementSectionReader<'a>>,
    pub(super) code: Option<CodeSectionReader<'a>>,
    pub(super) data: Option<DataSectionReader<'a>>,
}

/// A module.
#[derive(Default)]
pub(super) struct Layout<'a> {
    pub(super) imports: Vec<Import<'a>>,
    pub(super) sections: Sections<'a>,
    /// How many types there are, and segments of elements and of data.
    pub(super) types: u32,
    pub(super) elements: u32,
    pub(super) data: u32,
    /// Whether its code names segments of data.
    pub(super) counts_data: bool,
    pub(super) start: Option<u32>,
    /// What functions are called.
    pub(super) names: Vec<(u32, &'a str)>,
    /// The imports of each kind, by where they stand among all.
    imported: HashMap<Kind, Vec<usize>>,
    exports: HashMap<&'a str, (Kind, u32)>,
}

impl<'a> Layout<'a> {
    pub(super) fn read(module: &'a [u8]) -> Result<Self, Indirect> {
        let mut layout = Self::default();
        for payload in payloads(module) {
            layout.section(payload?, module)?;
        }
        Ok(layout)
    }

    fn section(&mut self, payload: Payload<'a>, module: &'a [u8]) -> Result<(), Indirect> {
        let sections = &mut self.sections;
        match payload {
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    self.types += group?.types().len() as u32;
                }
                sections.types = Some(section);
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    self.import(import.module, import.name, import.ty)?;
                }
            }
            Payload::FunctionSection(section) => sections.functions = Some(section),
            Payload::TableSection(section) => sections.tables = Some(section),
            Payload::MemorySection(section) => sections.memories = Some(section),
            Payload::GlobalSection(section) => sections.globals = Some(section),
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    self.exports.extend(Kind::of(export.kind).map(|kind| (export.name, (kind, export.index))));
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(section) => {
                self.elements = section.count();
                sections.elements = Some(section);
            }
            Payload::DataCountSection { .. } => self.counts_data = true,
            Payload::DataSection(section) => {
                self.data = section.count();
                sections.data = Some(section);
            }
            Payload::CodeSectionStart { range, .. } => {
                let code = module.get(range.clone()).ok_or_else(|| Indirect::new("its code is not all there"))?;
                sections.code = Some(CodeSectionReader::new(BinaryReader::new(code, range.start))?);
            }
            Payload::CustomSection(section) if section.name() == DEBUG_INFO => {
                return Err(Indirect::new("one of its modules has debug information"));
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    // What is wrong with names is nobody's concern.
                    for name in names.into_iter().map_while(Result::ok) {
                        if let Name::Function(map) = name {
                            self.names.extend(map.into_iter().map_while(Result::ok).map(|of| (of.index, of.name)));
                        }
                    }
                }
            }
            Payload::Version { .. } | Payload::CodeSectionEntry(_) | Payload::End(_) => {}
            _ => return Err(Indirect::new("one of its modules has a section that is not of the usual ones")),
        }
        Ok(())
    }

    fn import(&mut self, module: &'a str, name: &'a str, of: TypeRef) -> Result<(), Indirect> {
        let (kind, type_index) = match of {
            TypeRef::Func(type_index) => (Kind::Function, type_index),
            TypeRef::Table(_) => (Kind::Table, 0),
            TypeRef::Memory(_) => (Kind::Memory, 0),
            TypeRef::Global(_) => (Kind::Global, 0),
            _ => return Err(Indirect(format!("one of its modules imports `{name}`, which is of an unusual kind"))),
        };
        self.imported.entry(kind).or_default().push(self.imports.len());
        self.imports.push(Import { module, name, kind, type_index });
        Ok(())
    }

    /// The imports of a kind, by where they stand among all.
    pub(super) fn imported(&self, kind: Kind) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.imported.get(&kind).map_or(&[][..], Vec::as_slice).iter().copied()
    }

    /// How many of a kind it has of its own.
    pub(super) fn defined(&self, kind: Kind) -> u32 {
        let sections = &self.sections;
        match kind {
            Kind::Function => sections.functions.as_ref().map_or(0, |section| section.count()),
            Kind::Table => sections.tables.as_ref().map_or(0, |section| section.count()),
            Kind::Memory => sections.memories.as_ref().map_or(0, |section| section.count()),
            Kind::Global => sections.globals.as_ref().map_or(0, |section| section.count()),
        }
    }

    /// The index of what is exported.
    pub(super) fn export(&self, kind: Kind, name: &str) -> Result<u32, Indirect> {
        match self.exports.get(name) {
            Some((of, index)) if *of == kind => Ok(*index),
            _ => Err(Indirect(format!("no module exports the `{name}` that another imports"))),
        }
    }
}
