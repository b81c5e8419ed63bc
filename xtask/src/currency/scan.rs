//! Finds ranges that are written as two numbers in one source file.

use syn::visit::{self, Visit};
use syn::{FnArg, ItemStruct, Pat, ReturnType, Signature, Type, TypeTuple, Visibility};

use super::{Offence, line_of};

/// Integer types that can hold an address or a length of memory.
const INTEGERS: [&str; 4] = ["u64", "usize", "u128", "i64"];

/// Words in a name that make it an address.
const ADDRESSES: [&str; 10] = [
    "addr", "address", "paddr", "phys", "pa", "base", "start", "begin", "first", "from",
];

/// Words in a name that make it a length or an end.
const LENGTHS: [&str; 9] = [
    "len", "length", "size", "end", "bytes", "last", "limit", "to", "count",
];

/// A walk over a file, and the offences so far.
#[derive(Default)]
pub(super) struct Scan(pub(super) Vec<Offence>);

impl Scan {
    fn report(&mut self, line: usize, what: String) {
        self.0.push(Offence { line, what });
    }

    fn look_at_type(&mut self, line: usize, place: &str, of: &Type) {
        let mut tuples = Tuples::default();
        tuples.visit_type(of);
        if tuples.found {
            self.report(line, format!("{place} contains a pair of integers"));
        }
    }

    fn look_at_neighbours(&mut self, line: usize, place: &str, named: &[(String, &Type)]) {
        for pair in named.windows(2) {
            let [(first, first_type), (second, second_type)] = pair else {
                continue;
            };
            let integers = is_integer(first_type) && is_integer(second_type);
            if integers && has_word(first, &ADDRESSES) && has_word(second, &LENGTHS) {
                self.report(line, format!("{place} has `{first}` and `{second}`"));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Scan {
    fn visit_signature(&mut self, signature: &'ast Signature) {
        let line = line_of(signature);
        let place = format!("`fn {}`", signature.ident);
        let mut named = Vec::new();
        for input in &signature.inputs {
            let FnArg::Typed(input) = input else { continue };
            self.look_at_type(line, &format!("a parameter of {place}"), &input.ty);
            let name = match &*input.pat {
                Pat::Ident(pattern) => pattern.ident.to_string(),
                _ => String::new(),
            };
            named.push((name, &*input.ty));
        }
        if let ReturnType::Type(_, result) = &signature.output {
            self.look_at_type(line, &format!("the result of {place}"), result);
        }
        self.look_at_neighbours(line, &place, &named);
        visit::visit_signature(self, signature);
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        let place = format!("`struct {}`", item.ident);
        let mut named = Vec::new();
        for field in &item.fields {
            if matches!(field.vis, Visibility::Inherited) {
                continue;
            }
            let line = line_of(&field.ty);
            self.look_at_type(line, &format!("a field of {place}"), &field.ty);
            let name = field.ident.as_ref().map(ToString::to_string);
            named.push((name.unwrap_or_default(), &field.ty));
        }
        self.look_at_neighbours(line_of(&item.ident), &place, &named);
        visit::visit_item_struct(self, item);
    }

    super::skip_tests!();
}

/// Whether there is a pair of integers in a type.
#[derive(Default)]
struct Tuples {
    found: bool,
}

impl<'ast> Visit<'ast> for Tuples {
    fn visit_type_tuple(&mut self, tuple: &'ast TypeTuple) {
        self.found |= tuple.elems.len() == 2 && tuple.elems.iter().all(is_integer);
        visit::visit_type_tuple(self, tuple);
    }
}

fn is_integer(of: &Type) -> bool {
    match of {
        Type::Path(path) => INTEGERS.iter().any(|name| path.path.is_ident(name)),
        Type::Paren(inner) => is_integer(&inner.elem),
        _ => false,
    }
}

/// Whether one of the words of `a_name_like_this` is in the list.
fn has_word(name: &str, list: &[&str]) -> bool {
    name.split('_').any(|word| list.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::super::PAIRS;
    use super::*;
    use anyhow::Result;

    fn scan(source: &str) -> Result<Vec<Offence>> {
        PAIRS.offences(source)
    }

    fn offences(source: &str) -> usize {
        scan(source).unwrap().len()
    }

    #[test]
    fn phyrs_are_fine() {
        let source = "
            pub fn map(virt: VirtAddr, range: Phyr) -> Result<Mapping, MapError> { todo() }
            pub struct Request { pub len: u64, pub align: u64, pub below: Option<PhysAddr> }
            impl Phyr { pub const fn new(addr: PhysAddr, len: u64) -> Self { x } }
            fn split(self, offset: u64, len: u64) -> Option<(Self, Self)> { x }";
        assert_eq!(offences(source), 0);
    }

    #[test]
    fn pairs_of_integers_are_found_wherever_they_hide() {
        for source in [
            "fn f(range: (u64, u64)) {}",
            "fn f() -> (usize, usize) { x }",
            "fn f(list: &mut Vec<Option<(u64, usize)>>) {}",
            "fn f(each: impl FnMut((u64, u64)) -> bool) {}",
            "trait T { fn f(&self) -> Result<(u64, u64), E>; }",
            "impl T for S { fn f(&self, r: [(u64, usize); 4]) {} }",
            "pub struct S { pub ranges: Vec<(u64, u64)> }",
            "pub struct S(pub (u64, usize));",
            "mod inner { pub(crate) fn f() -> Option<(u64, u64)> { x } }",
        ] {
            assert_eq!(offences(source), 1, "{source}");
        }
    }

    #[test]
    fn neighbours_named_like_a_range_are_found() {
        for source in [
            "fn f(addr: u64, len: u64) {}",
            "fn f(&self, phys_start: u64, size: usize) {}",
            "fn f(x: u8, base: usize, end: usize) {}",
            "extern \"C\" fn f(start: u64, end: u64) {}",
            "pub struct S { pub base: u64, pub size: u64 }",
        ] {
            assert_eq!(offences(source), 1, "{source}");
        }
    }

    #[test]
    fn other_numbers_are_nobody_s_business() {
        for source in [
            "fn f(lba: u64, blocks: u64) {}",
            "fn f(a: (u64, bool)) {}",
            "fn f(a: (u8, u8)) {}",
            "fn f(addr: PhysAddr, len: u64) {}",
            "fn f(len: u64, addr: u64) {}",
            "fn f(addr: u64, flags: u8, len: u64) {}",
            "struct Private { base: u64, size: u64 }",
        ] {
            assert_eq!(offences(source), 0, "{source}");
        }
    }

    #[test]
    fn tests_may_do_as_they_like() {
        let source = "
            #[cfg(test)] mod tests { fn f(r: (u64, u64)) {} }
            #[test] fn f() { fn g(addr: u64, len: u64) {} }";
        assert_eq!(offences(source), 0);
        assert_eq!(
            offences("#[cfg(phyros)] mod real { fn f(r: (u64, u64)) {} }"),
            1
        );
    }

    #[test]
    fn the_line_is_the_signature_s() {
        let found = scan("\n/// Doc.\n#[inline]\npub fn f(\n    range: (u64, u64),\n) {}").unwrap();
        let what = "a parameter of `fn f` contains a pair of integers".to_owned();
        assert_eq!(found, [Offence { line: 4, what }]);
    }

    #[test]
    fn an_excuse_says_what_the_numbers_are() {
        let excused = "// Not memory: ticks.\n#[inline]\nfn f() -> (u64, u64) { x }";
        assert_eq!(offences(excused), 0);
        let field =
            "pub struct S {\n    /// Doc.\n    // Not memory: ticks.\n    pub a: (u64, u64),\n}";
        assert_eq!(offences(field), 0);
        let neighbours = "// Not memory: blocks.\npub struct S { pub start: u64, pub len: u64 }";
        assert_eq!(offences(neighbours), 0);
        assert_eq!(
            offences("// Not memory:\nfn f() -> (u64, u64) { x }"),
            1,
            "no reason"
        );
        assert_eq!(
            offences("// Not memory: x.\n\nfn f() -> (u64, u64) { x }"),
            1,
            "too far"
        );
    }

    #[test]
    fn what_does_not_parse_is_an_error() {
        assert!(scan("fn f(").is_err());
    }
}
