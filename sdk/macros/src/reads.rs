//! What a handler reads of its argument of type `Request`, as far as the function's text shows it.
//!
//! Only what is beyond doubt is left out: the argument's name followed by `.uri()`, `.method()` or `.version()`. Any other use of the
//! name may read everything, and so may code that the text does not show: other attributes than the compiler's own, and macros
//! other than the standard library's, by their names.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{FnArg, ItemFn, Pat};

/// Macros that read no more of their arguments than is written there.
const PLAIN_MACROS: [&str; 20] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "eprint",
    "eprintln",
    "format",
    "format_args",
    "matches",
    "panic",
    "print",
    "println",
    "todo",
    "unimplemented",
    "unreachable",
    "vec",
    "write",
    "writeln",
];

/// Attributes that add no code.
const PLAIN_ATTRIBUTES: [&str; 10] =
    ["allow", "cfg", "cold", "deny", "doc", "expect", "forbid", "inline", "must_use", "warn"];

/// Parts of the head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    method: bool,
    path: bool,
    origin: bool,
    all: bool,
}

/// An expression for what the function reads of this argument, if that is a `Request`.
pub(crate) fn of(argument: &FnArg, function: &ItemFn) -> TokenStream {
    let mut found = Found::default();
    let attributes = function.attrs.iter().chain(match argument {
        FnArg::Typed(typed) => &typed.attrs,
        FnArg::Receiver(receiver) => &receiver.attrs,
    });
    for attribute in attributes {
        found.all |= !attribute.path().get_ident().is_some_and(|name| is_one_of(name, &PLAIN_ATTRIBUTES));
    }
    match argument {
        FnArg::Typed(typed) => match &*typed.pat {
            Pat::Wild(_) => {}
            Pat::Ident(plain) if plain.by_ref.is_none() && plain.subpat.is_none() => {
                found.search(function.block.to_token_stream(), &plain_name(&plain.ident));
            }
            _ => found.all = true,
        },
        FnArg::Receiver(_) => found.all = true,
    }
    found.expression()
}

/// A name without the mark that lets a keyword be one.
fn plain_name(name: &Ident) -> String {
    let name = name.to_string();
    name.strip_prefix("r#").map_or(name.clone(), str::to_owned)
}

fn is_one_of(name: &Ident, known: &[&str]) -> bool {
    known.iter().any(|known| name == known)
}

/// Whether a text has this name in it as a word, as in `format!("{request:?}")`.
fn names(text: &str, name: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name)
}

impl Found {
    fn search(&mut self, tokens: TokenStream, name: &str) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        for (index, tree) in trees.iter().enumerate() {
            match (tree, &trees[index + 1..]) {
                (TokenTree::Ident(word), rest) if plain_name(word) == name => self.used(rest),
                (TokenTree::Ident(word), _) if word == "macro_rules" => self.all = true,
                (TokenTree::Ident(word), [TokenTree::Punct(mark), TokenTree::Group(_), ..])
                    if mark.as_char() == '!' =>
                {
                    self.all |= !is_one_of(word, &PLAIN_MACROS);
                }
                (TokenTree::Punct(mark), [TokenTree::Punct(inner), ..]) if mark.as_char() == '#' => {
                    self.all |= inner.as_char() == '!';
                }
                (TokenTree::Punct(mark), [TokenTree::Group(group), ..]) if mark.as_char() == '#' => {
                    let attribute = group.stream().into_iter().next();
                    let is_plain =
                        matches!(&attribute, Some(TokenTree::Ident(name)) if is_one_of(name, &PLAIN_ATTRIBUTES));
                    self.all |= !is_plain;
                }
                (TokenTree::Literal(text), _) => self.all |= names(&text.to_string(), name),
                _ => {}
            }
            if let TokenTree::Group(group) = tree {
                self.search(group.stream(), name);
            }
        }
    }

    /// The name, followed by this.
    fn used(&mut self, rest: &[TokenTree]) {
        match called(rest) {
            Some(("uri", rest)) => match called(rest) {
                Some(("path" | "query" | "path_and_query", _)) => self.path = true,
                _ => self.origin = true,
            },
            Some(("method", _)) => self.method = true,
            Some(("version", _)) => {}
            _ => self.all = true,
        }
    }

    fn expression(self) -> TokenStream {
        if self.all {
            return quote!(::samovar_sdk::Reads::ALL);
        }
        let parts = [(self.method, quote!(METHOD)), (self.path, quote!(PATH)), (self.origin, quote!(URI))];
        let parts = parts.into_iter().filter(|(is_read, _)| *is_read).map(|(_, part)| part);
        quote!(::samovar_sdk::Reads::NOTHING #(.and(::samovar_sdk::Reads::#parts))*)
    }
}

/// The name of the method that is called without arguments here, and what follows.
fn called(tokens: &[TokenTree]) -> Option<(&'static str, &[TokenTree])> {
    let [TokenTree::Punct(dot), TokenTree::Ident(method), TokenTree::Group(arguments), rest @ ..] = tokens else {
        return None;
    };
    let is_call = dot.as_char() == '.' && arguments.delimiter() == Delimiter::Parenthesis;
    let known = ["uri", "method", "version", "path", "query", "path_and_query"];
    let name = known.into_iter().find(|name| method == name)?;
    (is_call && arguments.stream().is_empty()).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(function: &str) -> String {
        let function: syn::ItemFn = syn::parse_str(function).expect("a function");
        let expression = of(&function.sig.inputs[0], &function).to_string();
        expression.replace(' ', "").replace("::samovar_sdk::Reads::", "")
    }

    #[test]
    fn what_is_only_asked_for_its_path_needs_no_more() {
        assert_eq!(read("fn f(req: Request) { format!(\"hello from {}\", req.uri().path()) }"), "NOTHING.and(PATH)");
        assert_eq!(read("fn f(mut r: Request) { (r.uri().query(), r.uri().path_and_query()) }"), "NOTHING.and(PATH)");
        assert_eq!(read("fn f(r: Request) { match r.method() { _ => r.version() } }"), "NOTHING.and(METHOD)");
        assert_eq!(read("fn f(r: Request) { (r.method(), r.uri().host()) }"), "NOTHING.and(METHOD).and(URI)");
        assert_eq!(read("fn f(r: Request) { let uri = r.uri(); uri.path() }"), "NOTHING.and(URI)");
        assert_eq!(read("fn f(_: Request) {}"), "NOTHING");
        assert_eq!(read("fn f(_r: Request) { \"nothing\" }"), "NOTHING");
        assert_eq!(read("#[inline] /// A handler.\nfn f(req: Request) { \"a bad request\" }"), "NOTHING");
        assert_eq!(read("fn f(r: Request) { #[allow(x)] println!(\"{}\", r.method()) }"), "NOTHING.and(METHOD)");
    }

    #[test]
    fn any_other_use_may_read_everything() {
        for body in [
            "r",
            "r.headers()",
            "other(r)",
            "other(&r)",
            "other!(r)",
            "let (parts, body) = r.into_parts();",
            "let q = r; q.uri().path()",
            "r.uri().path(); || async move { r.body() }",
            "r.method",
            "r.method::<T>()",
            "r.uri(1)",
            "r.method().clone(); Some(r)",
            "format!(\"{r:?}\")",
            "format!(r#\"{r:?}\"#)",
            "Wrapped { r }",
            "r::path()",
            "r.\nheaders()",
            "r#r.headers()",
            "include!(\"body.rs\")",
            "log!(r.uri())",
            "std::include!(\"body.rs\")",
            "#[instrument] fn inner() {}",
            "#![instrument]",
            "macro_rules! format { ($r:ident . $m:ident ()) => { $r.headers() } } format!(r.uri())",
        ] {
            assert_eq!(read(&format!("fn f(r: Request) {{ {body} }}")), "ALL", "{body}");
        }
        assert_eq!(read("fn f(r#r: Request) { r.headers() }"), "ALL");
        assert_eq!(read("#[require_token] fn f(r: Request) { r.uri().path() }"), "ALL");
        assert_eq!(read("#[tracing::instrument] fn f(r: Request) { r.uri().path() }"), "ALL");
        assert_eq!(read("fn f(#[other] r: Request) { r.uri().path() }"), "ALL");
        assert_eq!(read("fn f(Wrapped(r): Wrapped) { r.uri().path() }"), "ALL");
        assert_eq!(read("fn f(r @ Request { .. }: Request) { r.uri().path() }"), "ALL");
    }
}
