//! The arguments of `#[vm_test(…)]`.

use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitInt, LitStr, Token};

/// What stands in the parentheses.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) machine: Option<LitStr>,
    /// The text that the panic's message must contain; empty for any panic.
    pub(crate) should_panic: Option<LitStr>,
    pub(crate) timeout: Option<u32>,
    /// Why it does not run by itself; may be empty.
    pub(crate) ignore: Option<LitStr>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            let twice = match key.to_string().as_str() {
                "machine" => arguments.machine.replace(value(input)?).is_some(),
                "should_panic" => arguments
                    .should_panic
                    .replace(value_or_nothing(input, &key)?)
                    .is_some(),
                "ignore" => arguments
                    .ignore
                    .replace(value_or_nothing(input, &key)?)
                    .is_some(),
                "timeout" => arguments.timeout.replace(seconds(input)?).is_some(),
                _ => {
                    let known = "known are `machine`, `should_panic`, `timeout` and `ignore`";
                    return Err(Error::new(key.span(), format!("unknown argument; {known}")));
                }
            };
            if twice {
                return Err(Error::new(key.span(), format!("`{key}` is given twice")));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

fn value(input: ParseStream<'_>) -> syn::Result<LitStr> {
    input.parse::<Token![=]>()?;
    input.parse()
}

/// `key = "text"`, or `key` alone.
fn value_or_nothing(input: ParseStream<'_>, key: &Ident) -> syn::Result<LitStr> {
    if input.peek(Token![=]) {
        value(input)
    } else {
        Ok(LitStr::new("", key.span()))
    }
}

fn seconds(input: ParseStream<'_>) -> syn::Result<u32> {
    input.parse::<Token![=]>()?;
    let literal: LitInt = input.parse()?;
    match literal.base10_parse()? {
        0 => Err(Error::new(
            literal.span(),
            "no test is over within 0 seconds",
        )),
        seconds => Ok(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn words_may_stand_alone_or_with_a_text() {
        let arguments: Arguments = syn::parse2(quote!(should_panic, ignore = "slow",)).unwrap();
        assert_eq!(arguments.should_panic.unwrap().value(), "");
        assert_eq!(arguments.ignore.unwrap().value(), "slow");
        assert!(arguments.machine.is_none() && arguments.timeout.is_none());
    }

    #[test]
    fn mistakes_are_named() {
        let error = |tokens| syn::parse2::<Arguments>(tokens).err().unwrap().to_string();
        assert!(error(quote!(machin = "nvme")).contains("known are `machine`"));
        assert!(error(quote!(timeout = 5, timeout = 6)).contains("given twice"));
        assert!(error(quote!(timeout = 0)).contains("0 seconds"));
    }
}
