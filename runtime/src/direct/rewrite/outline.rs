//! What a module says of its functions before their code.

use std::collections::HashMap;

use wasmparser::{CompositeInnerType, ExternalKind, FuncType, Parser, Payload, TypeRef, ValType};

use super::Indirect;

/// The functions of a module that imports nothing else.
#[derive(Default)]
pub(super) struct Outline<'a> {
    /// All types, those of functions with what they say.
    pub(super) types: Vec<Option<FuncType>>,
    /// The type of each function, in order of their indices.
    pub(super) functions: Vec<u32>,
    /// How many functions are imported. They are the first.
    pub(super) imports: u32,
    /// Whether the module has a start function.
    pub(super) has_start: bool,
    exports: HashMap<&'a str, (ExternalKind, u32)>,
}

impl<'a> Outline<'a> {
    /// Reads a valid module.
    pub(super) fn read(module: &'a [u8]) -> Result<Self, Indirect> {
        let mut outline = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        outline.types.extend(group?.into_types().map(|of| match of.composite_type.inner {
                            CompositeInnerType::Func(signature) => Some(signature),
                            _ => None,
                        }));
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let TypeRef::Func(type_index) = import?.ty else {
                            return Err(Indirect::new("its main module imports more than functions"));
                        };
                        outline.functions.push(type_index);
                        outline.imports += 1;
                    }
                }
                Payload::FunctionSection(section) => {
                    for type_index in section {
                        outline.functions.push(type_index?);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        outline.exports.insert(export.name, (export.kind, export.index));
                    }
                }
                Payload::StartSection { .. } => outline.has_start = true,
                // All that is of interest comes before the code.
                Payload::CodeSectionStart { .. } => break,
                _ => {}
            }
        }
        Ok(outline)
    }

    /// How many functions there are.
    pub(super) fn count(&self) -> u32 {
        // No valid module has more than a million.
        self.functions.len() as u32
    }

    /// The type of a function, and what it says.
    pub(super) fn function(&self, index: u32) -> Result<(u32, &FuncType), Indirect> {
        let type_index = self.functions.get(index as usize).copied();
        let signature = type_index.and_then(|index| self.types.get(index as usize)?.as_ref());
        type_index.zip(signature).ok_or_else(|| Indirect::new("it has a function without a type"))
    }

    /// The index of an exported function, if it has this signature.
    pub(super) fn check_function(&self, name: &str, params: &[ValType], results: &[ValType]) -> Result<u32, Indirect> {
        let Some((ExternalKind::Func, index)) = self.exports.get(name) else {
            return Err(Indirect::new(format!("its main module does not export a function `{name}`")));
        };
        let (_, signature) = self.function(*index)?;
        if signature.params() != params || signature.results() != results {
            return Err(Indirect::new(format!("the function `{name}` of its main module is not of the usual type")));
        }
        Ok(*index)
    }

    pub(super) fn check_memory(&self, name: &str) -> Result<(), Indirect> {
        match self.exports.get(name) {
            Some((ExternalKind::Memory, _)) => Ok(()),
            _ => Err(Indirect::new(format!("its main module does not export a memory `{name}`"))),
        }
    }
}
