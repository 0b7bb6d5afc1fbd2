//! What a handler reads of its argument of type `Request`, as far as the function's text shows it.
//!
//! Only what is beyond doubt is left out: the argument's name followed by `.uri()`, `.method()` or `.version()`, wherever it stands,
//! in a macro's arguments too. Any other use of the name may read everything.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Block, FnArg, Pat};

/// Parts of the head; in the order of growth where one includes the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    method: bool,
    path: bool,
    origin: bool,
    all: bool,
}

/// An expression for what the function reads of this argument, if that is a `Request`.
pub(crate) fn of(argument: &FnArg, block: &Block) -> TokenStream {
    let FnArg::Typed(typed) = argument else { return quote!(::samovar_sdk::Reads::ALL) };
    let found = match &*typed.pat {
        Pat::Wild(_) => Found::default(),
        Pat::Ident(plain) if plain.by_ref.is_none() && plain.subpat.is_none() => {
            Found::in_tokens(block.to_token_stream(), &plain.ident)
        }
        _ => Found { all: true, ..Found::default() },
    };
    found.expression()
}

impl Found {
    fn in_tokens(tokens: TokenStream, name: &Ident) -> Self {
        let mut found = Self::default();
        found.search(tokens, &name.to_string());
        found
    }

    fn search(&mut self, tokens: TokenStream, name: &str) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        for (index, tree) in trees.iter().enumerate() {
            match tree {
                TokenTree::Group(group) => self.search(group.stream(), name),
                TokenTree::Ident(word) if word == name => self.used(&trees[index + 1..]),
                // A macro may find names in a text, as in `format!("{request:?}")`.
                TokenTree::Literal(literal) if literal.to_string().contains(name) => self.all = true,
                _ => {}
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
        let expression = of(&function.sig.inputs[0], &function.block).to_string();
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
        ] {
            assert_eq!(read(&format!("fn f(r: Request) {{ {body} }}")), "ALL", "{body}");
        }
        assert_eq!(read("fn f(Wrapped(r): Wrapped) { r.uri().path() }"), "ALL");
        assert_eq!(read("fn f(r @ Request { .. }: Request) { r.uri().path() }"), "ALL");
    }
}
