//! Joins the core modules of a component into one.
//!
//! A language's runtime comes as several modules that share one memory: a main module and an adapter for WASI 0.1 (JavaScript),
//! or one for each library (Python). A component makes instances of them one after the other, gives each what others export, and
//! closes the circles with a shim. None of that depends on what happens at run time, so one module can be made that has all their
//! functions, tables and globals, in which what was an import of one and an export of another has one index. It calls directly what was
//! called through two pointers, and one instance of it is one instance, not twenty.
//!
//! Active segments keep their order, and run before any code does, as they did: a module that begins with code of its own may only be
//! the last.
mod layout;
mod linking;
mod moving;
mod plan;

use std::borrow::Cow;
use std::collections::BTreeMap;

use wasmparser::CanonicalOption;

use super::spaces::{CoreFunction, Lift, Spaces};
use super::{Indirect, Linked, Parts, validate};
use linking::Linking;
use plan::{Handler, Plan};

/// The name of the handler's export, which modules that are joined do not agree on.
const HANDLER_NAME: &str = "wasi:http/incoming-handler@0.2.0#handle";

/// The name of the function that is called at start.
const INITIALIZE: &str = "samovar:initialize";

/// What the names begin with of functions that allocate.
const REALLOC: &str = "samovar:realloc-";
/// Joins a component's modules.
///
/// # Errors
/// With the reason, when they are not linked in the usual way.
pub(super) fn join<'a>(spaces: &Spaces<'a>, lift: &Lift) -> Result<Parts<'a>, Indirect> {
    let linking = Linking::read(spaces)?;
    let plan = Plan::new(&linking)?;
    let mut handler = Handler { function: plan.own_function(linking.core_function(lift.function)?)?, after: None };
    for option in &lift.options {
        match option {
            // It is given nothing, since the handler returns nothing.
            CanonicalOption::PostReturn(after) => {
                handler.after = Some(plan.own_function(linking.core_function(*after)?)?);
            }
            option => linking.check_option(option)?,
        }
    }
    let initialize = linking.initialize.map(|found| plan.own_function(found)).transpose()?;
    let mut names = BTreeMap::new();
    names.extend(initialize.map(|function| (INITIALIZE.to_owned(), function)));
    let mut imports = Vec::with_capacity(plan.imports.len());
    for import in &plan.imports {
        let function = spaces.core_function(import.core_function)?;
        let target = spaces.target(function)?.ok_or_else(|| Indirect::new("it imports what is not the host's"))?;
        let mut realloc = None;
        if let CoreFunction::Lowered { options, .. } = function {
            for option in options {
                linking.check_option(option)?;
                if let CanonicalOption::Realloc(function) = option {
                    let function = plan.own_function(linking.core_function(*function)?)?;
                    let name = format!("{REALLOC}{function}");
                    names.insert(name.clone(), function);
                    realloc = Some(Cow::Owned(name));
                }
            }
        }
        imports.push(Linked { target, realloc });
    }
    for piece in &linking.pieces {
        validate(piece.module)?;
    }
    let module = plan.encode(&handler, &names)?;
    let initialize = initialize.map(|_| Cow::Borrowed(INITIALIZE));
    Ok(Parts { module: module.into(), imports, handler: HANDLER_NAME.into(), initialize })
}

#[cfg(test)]
mod tests;
