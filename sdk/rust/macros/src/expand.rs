//! From a function to the export of a component.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result};

use crate::manifest::{self, Manifest};

/// The function as it was, and beside it the export and the manifest's section.
pub fn handler(arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[handler]` takes no arguments: settings are in plugin.toml"));
    }
    let function: ItemFn = syn::parse2(function)?;
    check(&function)?;
    let name = &function.sig.ident;
    let manifest = match manifest::read() {
        Manifest::Good => quote! {
            // The path is the macro's own, so that a change of the file compiles the handler anew.
            const TEXT: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.toml"));

            #[cfg(target_arch = "wasm32")]
            #[used]
            #[unsafe(link_section = "wasq:manifest")]
            static MANIFEST: [u8; TEXT.len()] = *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.toml"));
        },
        // Only a component needs one: a function in a test or an example runs without.
        Manifest::Missing(advice) => quote! {
            #[cfg(target_arch = "wasm32")]
            compile_error!(#advice);
        },
        Manifest::Bad(advice) => quote! { compile_error!(#advice); },
    };

    Ok(quote! {
        #function

        // The export of a component and a section of it can only be written in unsafe attributes.
        #[allow(unsafe_code)]
        const _: () = {
            #manifest

            // Without this, a signature that does not fit would be found by a component's build
            // only.
            const _: fn() = || ::wasq_sdk::__private::assert_handler(#name);

            #[cfg(target_arch = "wasm32")]
            struct Component;

            #[cfg(target_arch = "wasm32")]
            impl ::wasq_sdk::__private::Guest for Component {
                fn handle(
                    message: ::wasq_sdk::__private::WireMessage,
                ) -> ::core::result::Result<::wasq_sdk::__private::WireOutcome, ::wasq_sdk::__private::WireFailure> {
                    ::wasq_sdk::__private::handle(#name, message)
                }
            }

            #[cfg(target_arch = "wasm32")]
            ::wasq_sdk::__private::export_handler!(Component with_types_in ::wasq_sdk::__private::bindings);
        };
    })
}

/// What can be said of the signature without types, in words that are better than the compiler's.
fn check(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(token) = &signature.asyncness {
        return Err(Error::new_spanned(
            token,
            "a handler is not `async`: it has an instance to itself, and may block in it",
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(&signature.generics, "a handler has no generic parameters"));
    }
    if let Some(receiver) = signature.receiver() {
        return Err(Error::new_spanned(receiver, "a handler is a function, not a method"));
    }
    if !(1..=2).contains(&signature.inputs.len()) {
        return Err(Error::new_spanned(
            signature,
            "a handler takes `(body: T, cx: &Context)`, where T is the message's body, or `(cx: &Context)`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_refused(arguments: TokenStream, function: TokenStream, expect: &str) {
        let error = handler(arguments, function).expect_err("this is no handler").to_string();
        assert!(error.contains(expect), "{error:?} does not contain {expect:?}");
    }

    #[test]
    fn a_signature_that_does_not_fit_says_what_would() {
        check_refused(
            quote!(),
            quote!(
                async fn f(cx: &Context) {}
            ),
            "not `async`",
        );
        check_refused(
            quote!(),
            quote!(
                fn f<T>(body: T, cx: &Context) {}
            ),
            "no generic parameters",
        );
        check_refused(
            quote!(),
            quote!(
                fn f(&self, cx: &Context) {}
            ),
            "not a method",
        );
        check_refused(
            quote!(),
            quote!(
                fn f() {}
            ),
            "(body: T, cx: &Context)",
        );
        check_refused(
            quote!(),
            quote!(
                fn f(a: A, b: B, cx: &Context) {}
            ),
            "(body: T, cx: &Context)",
        );
        check_refused(
            quote!(timeout = 3),
            quote!(
                fn f(cx: &Context) {}
            ),
            "settings are in plugin.toml",
        );
    }
}
