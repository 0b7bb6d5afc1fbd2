//! Where requests can go by one snapshot of the registry: by route, and by the function's name for those that have no route.

use std::collections::BTreeMap;
use std::sync::Arc;

use samovar_cluster::Snapshot;
use samovar_model::{FunctionName, Revision, Route};

use crate::dispatcher::Dispatcher;
use crate::routes::RouteTable;

/// The revision of a function that answers.
pub(crate) struct Callee {
    pub(crate) function: FunctionName,
    pub(crate) revision: Arc<Revision>,
}

/// Where a request goes: what its dispatcher wants, and whom that reaches.
pub(crate) struct Routed<T> {
    pub(crate) target: T,
    pub(crate) callee: Arc<Callee>,
}

impl<T: Clone> Clone for Routed<T> {
    fn clone(&self) -> Self {
        Self { target: self.target.clone(), callee: Arc::clone(&self.callee) }
    }
}

/// Everything that can be reached.
pub(crate) struct Targets<T> {
    pub(crate) routes: RouteTable<Routed<T>>,
    pub(crate) functions: BTreeMap<FunctionName, Routed<T>>,
}

impl<T: Clone> Default for Targets<T> {
    fn default() -> Self {
        Self { routes: RouteTable::default(), functions: BTreeMap::new() }
    }
}

impl<T: Clone> Targets<T> {
    /// What can be reached by this snapshot.
    pub(crate) fn of<D: Dispatcher<Target = T>>(snapshot: &Snapshot, dispatcher: &D) -> Self {
        let functions = snapshot.functions.values().map(|function| {
            let revision = function.current();
            let target = dispatcher.target(&function.name, revision, snapshot.version);
            let callee = Arc::new(Callee { function: function.name.clone(), revision: Arc::clone(revision) });
            (function.name.clone(), Routed { target, callee })
        });
        let functions: BTreeMap<FunctionName, Routed<T>> = functions.collect();
        let routes = functions.values().flat_map(|routed| {
            let to = move |route: &Route| match route.sticky {
                true => Routed { target: dispatcher.sticky(routed.target.clone()), ..routed.clone() },
                false => routed.clone(),
            };
            routed.callee.revision.settings.routes.iter().map(move |route| (route, to(route)))
        });
        Self { routes: RouteTable::new(routes), functions }
    }
}
