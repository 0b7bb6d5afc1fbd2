//! The `#[handler]` attribute of `samovar-sdk`, where it is documented.
//!
//! The function stays as it is. Beside it goes a type that takes the arguments from a request, calls it, and makes its result a
//! response; on wasm that type is exported. What can be wrong is said where it stands: one check for each argument and for the
//! return type, with the span of that type.

mod expand;
mod options;
mod reads;
mod signature;

use proc_macro::TokenStream;

/// See `samovar_sdk::handler`.
#[proc_macro_attribute]
pub fn handler(options: TokenStream, item: TokenStream) -> TokenStream {
    let original = proc_macro2::TokenStream::from(item);
    let glue = expanded(options, &original).unwrap_or_else(|error| error.to_compile_error());
    // With the function beside an error, no second error says that the function is missing.
    quote::quote!(#original #glue).into()
}

fn expanded(options: TokenStream, item: &proc_macro2::TokenStream) -> syn::Result<proc_macro2::TokenStream> {
    let options = syn::parse::<options::Options>(options)?;
    let function = syn::parse2::<syn::ItemFn>(item.clone()).map_err(|error| signature::not_a_function(item, error))?;
    expand::expand(&options, &function)
}
