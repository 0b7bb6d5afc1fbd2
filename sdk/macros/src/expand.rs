//! The code beside the function.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ItemFn, Result, ReturnType, Type};

use crate::options::Options;
use crate::{reads, signature};

pub(crate) fn expand(options: &Options, function: &ItemFn) -> Result<TokenStream> {
    match options {
        Options::Plain => handler(function, None),
        Options::Pattern(pattern) => {
            let text = pattern.value();
            handler(function, Some(&text))
        }
        Options::Axum(word) => axum(word, function),
    }
}

fn handler(function: &ItemFn, pattern: Option<&str>) -> Result<TokenStream> {
    let types = signature::check(function)?;
    let name = &function.sig.ident;
    let mut reads = all_reads(function, &types);
    if pattern.is_some() {
        reads.extend(quote!(.and(::samovar_sdk::Reads::PATH)));
    }
    let uses_request = !types.is_empty() || pattern.is_some();
    let arguments: Vec<Ident> = (0..types.len()).map(|index| format_ident!("argument_{index}")).collect();
    let matched = pattern.map(|pattern| {
        quote! {
            static PATTERN: ::std::sync::LazyLock<::samovar_sdk::__private::Pattern> =
                ::std::sync::LazyLock::new(|| ::samovar_sdk::__private::checked_pattern(#pattern));
            let request = match ::samovar_sdk::__private::match_path(&PATTERN, request) {
                ::core::result::Result::Ok(request) => request,
                ::core::result::Result::Err(error) => return ::samovar_sdk::IntoResponse::into_response(error),
            };
        }
    });
    let taken = take(&types, &arguments);
    let answer = answer(function, quote!(#name(#(#arguments),*).await));
    Ok(export(&reads, uses_request, quote!(#matched #taken #answer)))
}

/// What all arguments read together.
fn all_reads(function: &ItemFn, types: &[&Type]) -> TokenStream {
    let mut sum = quote!(::samovar_sdk::Reads::NOTHING);
    let Some((last_type, head_types)) = types.split_last() else { return sum };
    for r#type in head_types {
        let span = r#type.span();
        sum.extend(quote_spanned!(span=> .and({
            type Argument = #r#type;
            <Argument as ::samovar_sdk::FromRequestParts>::READS
        })));
    }
    let of_request = function.sig.inputs.last().map(|argument| reads::of(argument, function));
    let span = last_type.span();
    sum.extend(quote_spanned!(span=> .and({
        type Argument = #last_type;
        if <Argument as ::samovar_sdk::FromRequest<_>>::IS_REQUEST {
            #of_request
        } else {
            <Argument as ::samovar_sdk::FromRequest<_>>::READS
        }
    })));
    sum
}

/// Takes each argument with its own extractor.
fn take(types: &[&Type], arguments: &[Ident]) -> TokenStream {
    let Some((last_type, head_types)) = types.split_last() else { return TokenStream::new() };
    let Some((last, head)) = arguments.split_last() else { return TokenStream::new() };
    let whole = extract(
        last_type,
        last,
        |span| quote_spanned!(span=> <Argument as ::samovar_sdk::FromRequest<_>>::from_request(request).await),
    );
    if head_types.is_empty() {
        return whole;
    }
    let heads = head_types.iter().zip(head).map(|(r#type, argument)| {
        extract(r#type, argument, |span| {
            quote_spanned!(span=> <Argument as ::samovar_sdk::FromRequestParts>::from_request_parts(&mut parts).await)
        })
    });
    quote! {
        let (mut parts, body) = request.into_parts();
        #(#heads)*
        let request = ::samovar_sdk::Request::from_parts(parts, body);
        #whole
    }
}

/// All of it under the span of the argument's type, and the type under one name, so that one mistake is one error.
fn extract(r#type: &Type, argument: &Ident, from: impl FnOnce(Span) -> TokenStream) -> TokenStream {
    let span = r#type.span();
    let from = from(span);
    quote_spanned! {span=>
        let #argument = {
            type Argument = #r#type;
            match #from {
                ::core::result::Result::Ok(value) => value,
                ::core::result::Result::Err(error) => return ::samovar_sdk::IntoResponse::into_response(error),
            }
        };
    }
}

fn answer(function: &ItemFn, call: TokenStream) -> TokenStream {
    match &function.sig.output {
        ReturnType::Default => quote! {
            ::samovar_sdk::IntoResponse::into_response(#call)
        },
        ReturnType::Type(_, r#type) => {
            let into = quote_spanned!(r#type.span()=> <#r#type as ::samovar_sdk::IntoResponse>::into_response);
            // `impl IntoResponse` cannot be named.
            match &**r#type {
                Type::ImplTrait(_) => quote!(::samovar_sdk::IntoResponse::into_response(#call)),
                _ => quote!(#into(#call)),
            }
        }
    }
}

/// The router is made at the first request of the instance, and cloned for each: a clone of it is a pointer.
fn axum(word: &Ident, function: &ItemFn) -> Result<TokenStream> {
    if !cfg!(feature = "axum") {
        return Err(Error::new(word.span(), "switch on the feature: samovar-sdk = { …, features = [\"axum\"] }"));
    }
    signature::check_axum(function)?;
    let name = &function.sig.ident;
    Ok(export(
        &quote!(::samovar_sdk::Reads::ALL),
        true,
        quote! {
            static ROUTER: ::std::sync::LazyLock<::samovar_sdk::__private::axum::Router> = ::std::sync::LazyLock::new(#name);
            ::samovar_sdk::axum::serve(ROUTER.clone(), request).await
        },
    ))
}

/// The name of the function says to a reader of `defined multiple times` what is wrong.
fn export(reads: &TokenStream, uses_request: bool, body: TokenStream) -> TokenStream {
    let request = if uses_request { quote!(request) } else { quote!(_request) };
    quote! {
        #[doc(hidden)]
        #[allow(dead_code, reason = "a native build only checks it")]
        async fn __a_crate_has_one_samovar_handler(#request: ::samovar_sdk::Request) -> ::samovar_sdk::Response {
            #body
        }

        const _: () = {
            #[allow(dead_code, reason = "a native build only checks it")]
            struct __SamovarExported;

            impl ::samovar_sdk::__private::Export for __SamovarExported {
                const READS: ::samovar_sdk::Reads = #reads;

                fn respond(
                    request: ::samovar_sdk::Request,
                ) -> impl ::core::future::Future<Output = ::samovar_sdk::Response> {
                    __a_crate_has_one_samovar_handler(request)
                }
            }

            ::samovar_sdk::__export!(__SamovarExported);
        };
    }
}
