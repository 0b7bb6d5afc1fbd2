//! The routing table: finds the function that a request belongs to. The most specific route wins.
//!
//! A route is more specific the more its host says (a name, then a wildcard, the longer first, then any host), and then, from
//! left to right, by each segment of its path: a literal, then `{param}`, then `{*rest}`. A route whose methods do not
//! include the request's is passed over, and a less specific one may take the request.

use std::collections::HashMap;

use http::Method;
use samovar_model::{Methods, Route, Segment};

/// Routes to targets of type `T`. Built once, then only read.
#[derive(Debug, Clone)]
pub struct RouteTable<T> {
    named: HashMap<String, Node<T>>,
    /// By the name below which every name matches; the longest first.
    wildcard: Vec<(String, Node<T>)>,
    any: Node<T>,
}

/// What a table says of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a, T> {
    /// The request belongs here.
    Target(&'a T),
    /// The path is known, but not with this method; these would do.
    WrongMethod(Vec<Method>),
    /// Nobody has this path.
    Nothing,
}

#[derive(Debug, Clone)]
struct Node<T> {
    literals: HashMap<Box<str>, Node<T>>,
    param: Option<Box<Node<T>>>,
    /// Routes that end here with `{*rest}`.
    rest: Vec<Leaf<T>>,
    /// Routes that end here.
    ends: Vec<Leaf<T>>,
}

#[derive(Debug, Clone)]
struct Leaf<T> {
    methods: Methods,
    target: T,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { literals: HashMap::new(), param: None, rest: Vec::new(), ends: Vec::new() }
    }
}

impl<T: Clone> Default for RouteTable<T> {
    fn default() -> Self {
        Self { named: HashMap::new(), wildcard: Vec::new(), any: Node::default() }
    }
}

impl<T: Clone> RouteTable<T> {
    /// A table of these routes. Clashes were refused when they were deployed; of two that clash, the first wins.
    pub fn new<'a>(routes: impl IntoIterator<Item = (&'a Route, T)>) -> Self {
        let mut table = Self::default();
        for (route, target) in routes {
            table.insert(route, target);
        }
        table.wildcard.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        table
    }

    fn insert(&mut self, route: &Route, target: T) {
        let mut node = match &route.host {
            None => &mut self.any,
            Some(host) => match host.wildcard_of() {
                None => self.named.entry(host.as_str().to_owned()).or_default(),
                Some(name) => {
                    let known = self.wildcard.iter().position(|(known, _)| known == name);
                    let index = known.unwrap_or(self.wildcard.len());
                    if known.is_none() {
                        self.wildcard.push((name.to_owned(), Node::default()));
                    }
                    &mut self.wildcard[index].1
                }
            },
        };
        let leaf = Leaf { methods: route.methods.clone(), target };
        for segment in route.path.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Param(_) => node.param.get_or_insert_default(),
                Segment::Rest(_) => {
                    node.rest.push(leaf);
                    return;
                }
            };
        }
        node.ends.push(leaf);
    }

    /// Finds where a request belongs. `host` is its authority, with or without a port; `path` begins with `/`.
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Found<'_, T> {
        let mut search = Search { method, allowed: Vec::new() };
        let Some(path) = path.strip_prefix('/') else { return Found::Nothing };
        if !(self.named.is_empty() && self.wildcard.is_empty()) {
            let host = host_name(host).to_ascii_lowercase();
            let below = |name: &str| host.strip_suffix(name).is_some_and(|head| head.len() > 1 && head.ends_with('.'));
            let named = self.named.get(&host);
            let wildcard = self.wildcard.iter().filter(|(name, _)| below(name)).map(|(_, node)| node);
            for node in named.into_iter().chain(wildcard) {
                if let Some(target) = search.descend(node, Some(path)) {
                    return Found::Target(target);
                }
            }
        }
        match search.descend(&self.any, Some(path)) {
            Some(target) => Found::Target(target),
            None if search.allowed.is_empty() => Found::Nothing,
            None => Found::WrongMethod(search.allowed),
        }
    }
}

/// An authority without its port.
fn host_name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    }
}

struct Search<'m> {
    method: &'m Method,
    /// Methods of routes that match but for the method.
    allowed: Vec<Method>,
}

impl Search<'_> {
    /// `left` is what is left of the path after a slash; none when the path has ended.
    fn descend<'t, T>(&mut self, node: &'t Node<T>, left: Option<&str>) -> Option<&'t T> {
        let Some(left) = left else { return self.choose(&node.ends) };
        let (segment, left_after) = match left.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (left, None),
        };
        if let Some(child) = node.literals.get(segment)
            && let Some(target) = self.descend(child, left_after)
        {
            return Some(target);
        }
        if !segment.is_empty()
            && let Some(child) = &node.param
            && let Some(target) = self.descend(child, left_after)
        {
            return Some(target);
        }
        self.choose(&node.rest)
    }

    fn choose<'t, T>(&mut self, leaves: &'t [Leaf<T>]) -> Option<&'t T> {
        let chosen = leaves.iter().find(|leaf| leaf.methods.allow(self.method));
        if chosen.is_none() {
            for method in leaves.iter().flat_map(|leaf| leaf.methods.named()) {
                if !self.allowed.contains(method) {
                    self.allowed.push(method.clone());
                }
                if method == Method::GET && !self.allowed.contains(&Method::HEAD) {
                    self.allowed.push(Method::HEAD);
                }
            }
        }
        chosen.map(|leaf| &leaf.target)
    }
}

#[cfg(test)]
mod tests;
