//! The `#[vm_test]` attribute.
//!
//! It leaves the function as it is and adds a record of it to the image's list of tests.
//! What the words of `machine` mean is the harness's affair: it explains a wrong one.

mod arguments;

use proc_macro::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, ItemFn};

use crate::arguments::Arguments;

/// Marks a function as an in-VM test.
///
/// All arguments are optional:
///
/// ```text
/// #[vm_test(
///     machine = "nvme,lba=4096",      // what the test needs; the plainest machine otherwise
///     should_panic = "text",          // it is meant to panic with a message that contains this
///     timeout = 20,                   // seconds until it counts as hanging
///     ignore = "why",                 // it runs only with `--ignored`
/// )]
/// fn name() { … }
/// ```
///
/// The function takes nothing and returns `()` or `Result<(), impl Debug>`.
#[proc_macro_attribute]
pub fn vm_test(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(arguments.into(), function.into())
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

fn expand(
    arguments: proc_macro2::TokenStream,
    function: proc_macro2::TokenStream,
) -> syn::Result<proc_macro2::TokenStream> {
    let arguments: Arguments = syn::parse2(arguments)?;
    let function: ItemFn = syn::parse2(function)?;
    check_signature(&function)?;

    let name = &function.sig.ident;
    let machine = arguments.machine.map(|machine| quote!(.on(#machine)));
    let panics = arguments
        .should_panic
        .map(|text| quote!(.should_panic(#text)));
    let timeout = arguments.timeout.map(|seconds| quote!(.within(#seconds)));
    let ignored = arguments.ignore.map(|why| quote!(.ignored(#why)));
    let line = quote_spanned!(name.span()=> line!());
    Ok(quote! {
        #function

        const _: () = {
            #[::vm_test::linkme::distributed_slice(::vm_test::TESTS)]
            #[linkme(crate = ::vm_test::linkme)]
            static TEST: ::vm_test::Test = ::vm_test::Test::new(
                concat!(module_path!(), "::", stringify!(#name)),
                file!(),
                #line,
                || ::vm_test::Outcome::settle(#name()),
            )
            #machine #panics #timeout #ignored;
        };
    })
}

/// A test is called without knowing anything about it.
fn check_signature(function: &ItemFn) -> syn::Result<()> {
    let signature = &function.sig;
    let wrong = if !signature.inputs.is_empty() {
        "an in-VM test takes no arguments"
    } else if !signature.generics.params.is_empty() {
        "an in-VM test is not generic"
    } else if signature.asyncness.is_some() {
        "an in-VM test is not async: block on the future inside"
    } else if matches!(signature.safety, syn::Safety::Unsafe(_)) {
        "an in-VM test is a safe function"
    } else {
        return Ok(());
    };
    Err(Error::new_spanned(signature, wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(arguments: proc_macro2::TokenStream, function: proc_macro2::TokenStream) -> String {
        expand(arguments, function)
            .expect_err("this is no test")
            .to_string()
    }

    #[test]
    fn a_plain_function_keeps_its_text_and_gets_a_record() {
        let expanded = expand(
            quote!(),
            quote!(
                fn plain() {
                    body()
                }
            ),
        )
        .unwrap()
        .to_string();
        assert!(
            expanded.starts_with(
                &quote!(
                    fn plain() {
                        body()
                    }
                )
                .to_string()
            )
        );
        assert!(expanded.contains("distributed_slice"), "{expanded}");
        assert!(!expanded.contains("should_panic"), "{expanded}");
    }

    #[test]
    fn every_argument_reaches_the_record() {
        let arguments = quote!(
            machine = "nvme",
            should_panic = "no",
            timeout = 5,
            ignore = "slow"
        );
        let expanded = expand(
            arguments,
            quote!(
                fn f() {}
            ),
        )
        .unwrap()
        .to_string();
        for part in [
            ".on(\"nvme\")",
            ".should_panic(\"no\")",
            ".within(5",
            ".ignored(\"slow\")",
        ] {
            let expanded = expanded.replace(' ', "");
            assert!(expanded.contains(part), "{part} is missing in {expanded}");
        }
    }

    #[test]
    fn a_function_that_cannot_be_called_blindly_is_refused() {
        assert!(
            refusal(
                quote!(),
                quote!(
                    fn f(x: u8) {}
                )
            )
            .contains("no arguments")
        );
        assert!(
            refusal(
                quote!(),
                quote!(
                    fn f<T>() {}
                )
            )
            .contains("not generic")
        );
        assert!(
            refusal(
                quote!(),
                quote!(
                    async fn f() {}
                )
            )
            .contains("async")
        );
        assert!(
            refusal(
                quote!(),
                quote!(
                    unsafe fn f() {}
                )
            )
            .contains("safe")
        );
    }
}
