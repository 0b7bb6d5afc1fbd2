//! What a handler's signature must look like, and in which words it is said when it does not.

use proc_macro2::TokenStream;
use syn::spanned::Spanned;
use syn::{Error, FnArg, GenericParam, ItemFn, Result, Signature, Type};

/// The attribute stands on something else than a function.
pub(crate) fn not_a_function(item: &TokenStream, error: Error) -> Error {
    let keywords = ["struct", "enum", "impl", "mod", "trait", "const", "static", "type", "use"];
    let other = item.clone().into_iter().find_map(|token| match token {
        proc_macro2::TokenTree::Ident(word) if keywords.contains(&word.to_string().as_str()) => Some(word),
        _ => None,
    });
    let is_function = item.clone().into_iter().any(|token| token.to_string() == "fn");
    match other {
        Some(word) if !is_function => {
            Error::new(word.span(), format!("#[handler] goes on an `async fn`, not on a `{word}`"))
        }
        _ => error,
    }
}

/// The types of the arguments.
pub(crate) fn check(function: &ItemFn) -> Result<Vec<&Type>> {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        let name = &signature.ident;
        return Err(Error::new(
            signature.fn_token.span,
            format!("a handler is an `async fn`: write `async fn {name}(…)`"),
        ));
    }
    check_plain(signature)?;
    signature.inputs.iter().map(argument).collect()
}

/// A plain function that makes an axum router.
pub(crate) fn check_axum(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(word) = &signature.asyncness {
        return Err(Error::new(word.span, "with `axum` the function makes the router, and is not async"));
    }
    if let Some(argument) = signature.inputs.first() {
        return Err(Error::new(
            argument.span(),
            "with `axum` the function takes nothing, and returns an `axum::Router`",
        ));
    }
    check_plain(signature)
}

fn check_plain(signature: &Signature) -> Result<()> {
    if let Some(word) = &signature.constness {
        return Err(Error::new(word.span, "a handler cannot be `const`"));
    }
    if let Some(word) = &signature.unsafety {
        return Err(Error::new(word.span, "a handler cannot be `unsafe`: the platform calls it without knowing it"));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new(
            abi.span(),
            "a handler is a Rust function: leave `extern` out, the attribute exports it",
        ));
    }
    if let Some(parameter) = signature.generics.params.first() {
        let what = match parameter {
            GenericParam::Lifetime(_) => "take borrowed arguments: take owned types",
            GenericParam::Type(_) | GenericParam::Const(_) => "be generic: name the types",
        };
        return Err(Error::new(parameter.span(), format!("a handler cannot {what}")));
    }
    Ok(())
}

fn argument(argument: &FnArg) -> Result<&Type> {
    match argument {
        FnArg::Receiver(receiver) => Err(Error::new(
            receiver.span(),
            "a handler is a free function, and cannot take `self`: keep state in a `static`",
        )),
        FnArg::Typed(typed) => match &*typed.ty {
            Type::Reference(reference) => Err(Error::new(
                reference.span(),
                "a handler's arguments are owned: take `Request`, `String` or `Json<T>` by value, without `&`",
            )),
            Type::ImplTrait(any) => Err(Error::new(any.span(), "a handler cannot be generic: name the type")),
            owned => Ok(owned),
        },
    }
}
