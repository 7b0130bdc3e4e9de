//! The `#[handler]` attribute. Its documentation is in `wasq-sdk`, which re-exports it.

mod expand;
mod manifest;

use proc_macro::TokenStream;

// Documented where it is re-exported: rustdoc would show both texts.
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand::handler(arguments.into(), function.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
