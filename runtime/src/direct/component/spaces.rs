//! The index spaces of a component's outermost level, as far as linking it directly needs them.
//!
//! What is of no interest takes its place too, so that every index means what it should.

use std::iter;

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExport, ComponentExternalKind, ComponentImport,
    ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Encoding, ExternalKind, Instance, Parser, Payload,
    TypeBounds, Validator,
};

use super::{DEBUG_INFO, FEATURES, Indirect, Target};

/// What a component defines.
#[derive(Default)]
pub(super) struct Spaces<'a> {
    /// Those that are not in the component itself are `None`.
    pub(super) modules: Vec<Option<&'a [u8]>>,
    pub(super) core_instances: Vec<Instance<'a>>,
    pub(super) exports: Vec<ComponentExport<'a>>,
    core_functions: Vec<CoreFunction<'a>>,
    core_memories: Vec<Option<Aliased<'a>>>,
    core_tables: Vec<Option<Aliased<'a>>>,
    core_globals: Vec<Option<Aliased<'a>>>,
    functions: Vec<Function<'a>>,
    instances: Vec<Made<'a>>,
    /// Of a type that an imported instance exports, the instance's name and its own.
    types: Vec<Option<(&'a str, &'a str)>>,
}

/// An export of a core instance.
#[derive(Clone, Copy)]
pub(super) struct Aliased<'a> {
    pub(super) instance: u32,
    pub(super) name: &'a str,
}

pub(super) enum CoreFunction<'a> {
    /// A function of components, for core code to call.
    Lowered {
        function: u32,
        options: Box<[CanonicalOption]>,
    },
    /// Drops a handle of the resource of this interface and name, if it is one.
    Drop(Option<(&'a str, &'a str)>),
    Export(Aliased<'a>),
    Other,
}

#[derive(Clone)]
pub(super) enum Function<'a> {
    /// A function of an instance that is imported.
    Imported {
        interface: &'a str,
        name: &'a str,
    },
    Lifted(Lift),
    Other,
}

/// A core function, for components to call.
#[derive(Clone)]
pub(super) struct Lift {
    pub(super) function: u32,
    pub(super) options: Box<[CanonicalOption]>,
}

/// What an instance of components is made of.
#[derive(Clone, Copy)]
pub(super) enum Made<'a> {
    /// By the host, which has it under this name.
    Imported(&'a str),
    /// Of nothing but this function, and types.
    OfFunction(u32),
    Other,
}

impl<'a> Spaces<'a> {
    /// Reads a component. All that it says is valid, except that the code of its modules has not been looked at.
    pub(super) fn read(component: &'a [u8]) -> Result<Self, Indirect> {
        let mut spaces = Self::default();
        let mut validator = Validator::new_with_features(FEATURES);
        let mut parser = Parser::new(0);
        parser.set_features(FEATURES);
        let mut depth = 0_u32;
        for payload in parser.parse_all(component) {
            let payload = payload?;
            validator.payload(&payload)?;
            match payload {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(Indirect::new("it is not a component"));
                }
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                payload if depth == 1 => spaces.section(payload, component)?,
                payload => check_nested(&payload)?,
            }
        }
        Ok(spaces)
    }

    fn section(&mut self, payload: Payload<'a>, component: &'a [u8]) -> Result<(), Indirect> {
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => self.modules.push(component.get(unchecked_range)),
            Payload::InstanceSection(section) => each(section, |instance| self.core_instances.push(instance))?,
            Payload::ComponentInstanceSection(section) => each(section, |i| self.instances.push(made(&i)))?,
            Payload::ComponentAliasSection(section) => each(section, |alias| self.alias(alias))?,
            Payload::ComponentTypeSection(section) => {
                self.types.extend(iter::repeat_n(None, section.count() as usize));
            }
            Payload::ComponentCanonicalSection(section) => each(section, |function| self.canonical(function))?,
            Payload::ComponentImportSection(section) => each(section, |import| self.import(&import))?,
            Payload::ComponentExportSection(section) => each(section, |export| self.export(export))?,
            Payload::CustomSection(section) if section.name() == DEBUG_INFO => {
                return Err(Indirect::new("it has debug information"));
            }
            Payload::CustomSection(_) | Payload::CoreTypeSection(_) | Payload::ComponentSection { .. } => {}
            _ => return Err(Indirect::new("it has a section that is not of the usual ones")),
        }
        Ok(())
    }

    fn import(&mut self, import: &ComponentImport<'a>) {
        match import.ty {
            ComponentTypeRef::Module(_) => self.modules.push(None),
            ComponentTypeRef::Func(_) => self.functions.push(Function::Other),
            ComponentTypeRef::Type(TypeBounds::Eq(of)) => {
                self.types.push(self.types.get(of as usize).copied().flatten())
            }
            ComponentTypeRef::Type(TypeBounds::SubResource) => self.types.push(None),
            ComponentTypeRef::Instance(_) => self.instances.push(Made::Imported(import.name.name)),
            ComponentTypeRef::Value(_) | ComponentTypeRef::Component(_) => {}
        }
    }

    /// What is exported is defined anew by that, with an index of its own.
    fn export(&mut self, export: ComponentExport<'a>) {
        let index = export.index as usize;
        match export.kind {
            ComponentExternalKind::Module => self.modules.push(None),
            ComponentExternalKind::Func => {
                self.functions.push(self.functions.get(index).cloned().unwrap_or(Function::Other));
            }
            ComponentExternalKind::Type => self.types.push(self.types.get(index).copied().flatten()),
            ComponentExternalKind::Instance => {
                self.instances.push(self.instances.get(index).copied().unwrap_or(Made::Other));
            }
            ComponentExternalKind::Value | ComponentExternalKind::Component => {}
        }
        self.exports.push(export);
    }

    fn alias(&mut self, alias: ComponentAlias<'a>) {
        match alias {
            ComponentAlias::InstanceExport { kind, instance_index, name } => {
                let interface = match self.instances.get(instance_index as usize) {
                    Some(Made::Imported(interface)) => Some(*interface),
                    _ => None,
                };
                match kind {
                    ComponentExternalKind::Module => self.modules.push(None),
                    ComponentExternalKind::Func => self
                        .functions
                        .push(interface.map_or(Function::Other, |interface| Function::Imported { interface, name })),
                    ComponentExternalKind::Type => self.types.push(interface.map(|interface| (interface, name))),
                    ComponentExternalKind::Instance => self.instances.push(Made::Other),
                    ComponentExternalKind::Value | ComponentExternalKind::Component => {}
                }
            }
            ComponentAlias::CoreInstanceExport { kind, instance_index: instance, name } => match kind {
                ExternalKind::Func | ExternalKind::FuncExact => {
                    self.core_functions.push(CoreFunction::Export(Aliased { instance, name }));
                }
                ExternalKind::Table => self.core_tables.push(Some(Aliased { instance, name })),
                ExternalKind::Memory => self.core_memories.push(Some(Aliased { instance, name })),
                ExternalKind::Global => self.core_globals.push(Some(Aliased { instance, name })),
                ExternalKind::Tag => {}
            },
            ComponentAlias::Outer { kind, .. } => match kind {
                ComponentOuterAliasKind::CoreModule => self.modules.push(None),
                ComponentOuterAliasKind::Type => self.types.push(None),
                ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Component => {}
            },
        }
    }

    fn canonical(&mut self, function: CanonicalFunction) {
        let core_function = match function {
            CanonicalFunction::Lift { core_func_index: function, options, .. } => {
                self.functions.push(Function::Lifted(Lift { function, options }));
                return;
            }
            CanonicalFunction::Lower { func_index: function, options } => CoreFunction::Lowered { function, options },
            CanonicalFunction::ResourceDrop { resource } => {
                CoreFunction::Drop(self.types.get(resource as usize).copied().flatten())
            }
            // All others are for core code to call.
            _ => CoreFunction::Other,
        };
        self.core_functions.push(core_function);
    }

    /// The function of the host that a core function is, if it is one.
    ///
    /// # Errors
    /// When it is a function of components, and not of an interface.
    pub(super) fn target(&self, function: &CoreFunction<'a>) -> Result<Option<Target<'a>>, Indirect> {
        Ok(match *function {
            CoreFunction::Lowered { function, .. } => match *self.function(function)? {
                Function::Imported { interface, name } => Some(Target::Function { interface, name }),
                _ => return Err(Indirect::new("it lowers a function that is not one of an interface")),
            },
            CoreFunction::Drop(Some((interface, resource))) => Some(Target::Drop { interface, resource }),
            _ => None,
        })
    }

    pub(super) fn module(&self, index: u32) -> Result<&'a [u8], Indirect> {
        at(&self.modules, index)?.ok_or_else(|| Indirect::new("it uses a core module that is not its own"))
    }

    pub(super) fn core_instance(&self, index: u32) -> Result<&Instance<'a>, Indirect> {
        at(&self.core_instances, index)
    }

    pub(super) fn core_function(&self, index: u32) -> Result<&CoreFunction<'a>, Indirect> {
        at(&self.core_functions, index)
    }

    pub(super) fn core_memory(&self, index: u32) -> Result<Option<Aliased<'a>>, Indirect> {
        at(&self.core_memories, index).copied()
    }

    pub(super) fn core_table(&self, index: u32) -> Result<Option<Aliased<'a>>, Indirect> {
        at(&self.core_tables, index).copied()
    }

    pub(super) fn core_global(&self, index: u32) -> Result<Option<Aliased<'a>>, Indirect> {
        at(&self.core_globals, index).copied()
    }

    pub(super) fn function(&self, index: u32) -> Result<&Function<'a>, Indirect> {
        at(&self.functions, index)
    }

    pub(super) fn instance(&self, index: u32) -> Result<Made<'a>, Indirect> {
        at(&self.instances, index).copied()
    }
}

fn at<T>(space: &[T], index: u32) -> Result<&T, Indirect> {
    space.get(index as usize).ok_or_else(|| Indirect::new("it uses an index of nothing"))
}

/// Does this with each item of a section.
fn each<'a, T: wasmparser::FromReader<'a>>(
    section: wasmparser::SectionLimited<'a, T>,
    mut with: impl FnMut(T),
) -> Result<(), Indirect> {
    for item in section {
        with(item?);
    }
    Ok(())
}

/// An instance that is given one function, no other instance and no code, has nowhere else to take a function from.
fn made<'a>(instance: &ComponentInstance<'a>) -> Made<'a> {
    let items: Vec<_> = match instance {
        ComponentInstance::Instantiate { args, .. } => args.iter().map(|arg| (arg.kind, arg.index)).collect(),
        ComponentInstance::FromExports(exports) => exports.iter().map(|export| (export.kind, export.index)).collect(),
    };
    let mut others = items.iter().filter(|(kind, _)| *kind != ComponentExternalKind::Type);
    match (others.next(), others.next()) {
        (Some((ComponentExternalKind::Func, function)), None) => Made::OfFunction(*function),
        _ => Made::Other,
    }
}

/// A component within may only name what it is given. What is in a module is looked at elsewhere.
fn check_nested(payload: &Payload<'_>) -> Result<(), Indirect> {
    match payload {
        Payload::ModuleSection { .. }
        | Payload::InstanceSection(_)
        | Payload::ComponentCanonicalSection(_)
        | Payload::ComponentStartSection { .. } => Err(Indirect::new("it has code in a component within")),
        _ => Ok(()),
    }
}
