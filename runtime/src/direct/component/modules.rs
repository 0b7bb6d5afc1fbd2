//! The core modules of a component: what the main one imports, and whether the small ones that link it are what they
//! seem.

use wasmparser::{
    ElementItems, ElementKind, ExternalKind, FunctionBody, Operator, Parser, Payload, TableInit, TypeRef,
};

use super::{DEBUG_INFO, FEATURES, Indirect, SHIM_TABLE, validate};

/// What a module names when it imports a function.
#[derive(Clone, Copy)]
pub(super) struct Imported<'a> {
    pub(super) module: &'a str,
    pub(super) name: &'a str,
}

/// What the main module imports: functions only.
pub(super) fn imports(module: &[u8]) -> Result<Vec<Imported<'_>>, Indirect> {
    let mut imports = Vec::new();
    for payload in payloads(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let (module, name) = (import.module, import.name);
                    match import.ty {
                        TypeRef::Func(_) => imports.push(Imported { module, name }),
                        _ => return Err(Indirect::new(format!("it imports `{name}`, which is not a function"))),
                    }
                }
            }
            Payload::CustomSection(section) if section.name() == DEBUG_INFO => {
                return Err(Indirect::new("its main module has debug information"));
            }
            _ => {}
        }
    }
    Ok(imports)
}

/// For each function that the shim exports, the place in its table that it calls.
pub(super) fn shim(module: &[u8]) -> Result<Vec<(&str, u32)>, Indirect> {
    let unusual = || Indirect::new("it has another module beside the main one, which is not a shim");
    // Its functions are small, and understood only if they are valid.
    validate(module)?;
    let (mut types, mut places, mut exports) = (Vec::new(), Vec::new(), Vec::new());
    for payload in payloads(module) {
        match payload? {
            Payload::FunctionSection(section) => types = section.into_iter().collect::<Result<_, _>>()?,
            Payload::TableSection(section) => {
                if section.count() != 1 || !matches!(first(section)?.map(|table| table.init), Some(TableInit::RefNull))
                {
                    return Err(unusual());
                }
            }
            Payload::ExportSection(section) => exports = section.into_iter().collect::<Result<_, _>>()?,
            Payload::CodeSectionEntry(body) => {
                let own_type = types.get(places.len()).ok_or_else(unusual)?;
                places.push(place(&body, *own_type)?.ok_or_else(unusual)?);
            }
            payload if is_inert(&payload) => {}
            _ => return Err(unusual()),
        }
    }
    let mut functions = Vec::with_capacity(places.len());
    for export in exports {
        match export.kind {
            ExternalKind::Func => {
                functions.push((export.name, *places.get(export.index as usize).ok_or_else(unusual)?));
            }
            ExternalKind::Table if export.name == SHIM_TABLE => {}
            _ => return Err(unusual()),
        }
    }
    Ok(functions)
}

/// The place in table 0 that a function calls, if it hands over all that it is given and does nothing else.
fn place(body: &FunctionBody<'_>, own_type: u32) -> Result<Option<u32>, Indirect> {
    let mut operators = body.get_operators_reader()?;
    let mut parameters = 0;
    let place = loop {
        match operators.read()? {
            Operator::LocalGet { local_index } if local_index == parameters => parameters += 1,
            Operator::I32Const { value } => break value,
            _ => return Ok(None),
        }
    };
    let calls = matches!(
        operators.read()?,
        Operator::CallIndirect { type_index, table_index: 0 } if type_index == own_type
    );
    let ends = matches!(operators.read()?, Operator::End);
    Ok(if calls && ends { u32::try_from(place).ok() } else { None })
}

/// What fills a table, from its first place, and does nothing else.
pub(super) struct Fixups<'a> {
    pub(super) table: Imported<'a>,
    pub(super) functions: Vec<Imported<'a>>,
}

/// What the fixups put into the shim's table.
pub(super) fn fixups(module: &[u8]) -> Result<Fixups<'_>, Indirect> {
    let unusual = || Indirect::new("it has another module beside the main one, which is not a shim's fixups");
    let (mut functions, mut table, mut filled) = (Vec::new(), None, None);
    for payload in payloads(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let imported = Imported { module: import.module, name: import.name };
                    match import.ty {
                        TypeRef::Func(_) => functions.push(imported),
                        TypeRef::Table(_) if table.is_none() => table = Some(imported),
                        _ => return Err(unusual()),
                    }
                }
            }
            Payload::ElementSection(section) if section.count() == 1 => {
                let element = first(section)?.ok_or_else(unusual)?;
                let ElementKind::Active { table_index: None | Some(0), offset_expr } = element.kind else {
                    return Err(unusual());
                };
                let mut offset = offset_expr.get_operators_reader();
                if !matches!((offset.read()?, offset.read()?), (Operator::I32Const { value: 0 }, Operator::End)) {
                    return Err(unusual());
                }
                let ElementItems::Functions(items) = element.items else { return Err(unusual()) };
                filled = Some(items);
            }
            payload if is_inert(&payload) => {}
            _ => return Err(unusual()),
        }
    }
    let (Some(filled), Some(table)) = (filled, table) else { return Err(unusual()) };
    let function = |item: wasmparser::Result<u32>| functions.get(item? as usize).copied().ok_or_else(unusual);
    Ok(Fixups { table, functions: filled.into_iter().map(function).collect::<Result<_, Indirect>>()? })
}

/// Checks that a module only calls the function that it imports, when it starts.
pub(super) fn check_initializer(module: &[u8]) -> Result<(), Indirect> {
    let unusual = || Indirect::new("it has another module beside the main one, which does not just initialize it");
    let mut starts = false;
    for payload in payloads(module) {
        match payload? {
            Payload::ImportSection(section) if section.count() == 1 => {
                let import = section.into_imports().next().transpose()?.ok_or_else(unusual)?;
                if !matches!((import.module, import.name, import.ty), ("", "", TypeRef::Func(_))) {
                    return Err(unusual());
                }
            }
            Payload::StartSection { func: 0, .. } => starts = true,
            payload if is_inert(&payload) => {}
            _ => return Err(unusual()),
        }
    }
    if starts { Ok(()) } else { Err(unusual()) }
}

pub(super) fn payloads(module: &[u8]) -> impl Iterator<Item = wasmparser::Result<Payload<'_>>> {
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    parser.parse_all(module)
}

/// Whether a section does nothing by itself, and defines nothing that another does not show.
fn is_inert(payload: &Payload<'_>) -> bool {
    matches!(
        payload,
        Payload::Version { .. }
            | Payload::TypeSection(_)
            | Payload::CodeSectionStart { .. }
            | Payload::CustomSection(_)
            | Payload::End(_)
    )
}

fn first<'a, T: wasmparser::FromReader<'a>>(section: wasmparser::SectionLimited<'a, T>) -> Result<Option<T>, Indirect> {
    Ok(section.into_iter().next().transpose()?)
}
