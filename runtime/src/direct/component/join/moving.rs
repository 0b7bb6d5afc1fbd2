//! Moves one module to its place in the joined one.

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{ConstExpr, GlobalSection};
use wasmparser::Operator;

use super::super::Indirect;
use super::layout::Kind;
use super::plan::Indices;

pub(super) type Error = reencode::Error<Indirect>;

/// Does this with a section, if there is one.
pub(super) fn each<S: Clone>(section: &Option<S>, with: impl FnOnce(S) -> Result<(), Error>) -> Result<(), Error> {
    section.clone().map_or(Ok(()), with)
}

/// Moves one piece to its place.
pub(super) struct Moving<'m> {
    pub(super) indices: &'m Indices,
    /// The values of the globals so far that never change, by their joined indices: expressions that are evaluated before there is an
    /// instance may name only those that are imported.
    pub(super) constants: &'m mut Vec<Option<Vec<u8>>>,
}

impl Moving<'_> {
    fn at(&self, kind: Kind, index: u32) -> Result<u32, Error> {
        self.indices.at(kind, index).map_err(Error::UserError)
    }

    pub(super) fn globals(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), Error> {
        for global in section {
            let global = global?;
            let value = self.constant(global.init_expr)?;
            globals.global(self.global_type(global.ty)?, &ConstExpr::raw(value.iter().copied()));
            self.constants.push((!global.ty.mutable).then_some(value));
        }
        Ok(())
    }

    /// An expression without its end, in which the values of globals stand for them.
    fn constant(&mut self, expression: wasmparser::ConstExpr<'_>) -> Result<Vec<u8>, Error> {
        let mut operators = expression.get_operators_reader();
        let mut bytes = Vec::new();
        while !operators.is_end_then_eof() {
            match operators.read()? {
                Operator::GlobalGet { global_index } => {
                    let global = self.at(Kind::Global, global_index)? as usize;
                    let value = self.constants.get(global).and_then(Option::as_ref);
                    let unknown = || Error::UserError(Indirect::new("a value depends on a global that may change"));
                    bytes.extend(value.ok_or_else(unknown)?);
                }
                operator => wasm_encoder::Encode::encode(&self.instruction(operator)?, &mut bytes),
            }
        }
        Ok(bytes)
    }
}

impl Reencode for Moving<'_> {
    type Error = Indirect;

    fn type_index(&mut self, index: u32) -> Result<u32, Error> {
        Ok(self.indices.types + index)
    }

    fn function_index(&mut self, index: u32) -> Result<u32, Error> {
        self.at(Kind::Function, index)
    }

    fn table_index(&mut self, index: u32) -> Result<u32, Error> {
        self.at(Kind::Table, index)
    }

    fn memory_index(&mut self, index: u32) -> Result<u32, Error> {
        self.at(Kind::Memory, index)
    }

    fn global_index(&mut self, index: u32) -> Result<u32, Error> {
        self.at(Kind::Global, index)
    }

    fn element_index(&mut self, index: u32) -> Result<u32, Error> {
        Ok(self.indices.elements + index)
    }

    fn data_index(&mut self, index: u32) -> Result<u32, Error> {
        Ok(self.indices.data + index)
    }

    fn const_expr(&mut self, expression: wasmparser::ConstExpr<'_>) -> Result<ConstExpr, Error> {
        self.constant(expression).map(ConstExpr::raw)
    }
}
