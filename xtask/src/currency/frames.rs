//! Page frames in signatures: a page, or many, where a range could be.
//!
//! A page frame is an address that stands for 4096 bytes without saying so. It hides as a type (`Pfn`), as a
//! name (`page: PhysAddr`), and as a list of addresses, each of which is one.

use syn::visit::{self, Visit};
use syn::{FnArg, GenericArgument, ItemStruct, Pat, PathArguments, Signature, Type, Visibility};

use super::{Offence, line_of};

/// Types that are page frames.
const TYPES: [&str; 8] = [
    "Pfn",
    "Page",
    "PageFrame",
    "PhysFrame",
    "PhysPage",
    "FrameNumber",
    "PageNumber",
    "PageStruct",
];

/// Names that are numbers of page frames, whatever their type.
const NUMBERS: [&str; 6] = [
    "pfn",
    "ppn",
    "frame_number",
    "page_number",
    "page_frame",
    "page_address",
];

/// Names that are page frames, if they are addresses.
const ADDRESSES: [&str; 2] = ["page", "frame"];

/// Types that can hold an address.
const ADDRESS_TYPES: [&str; 3] = ["u64", "PhysAddr", "DmaAddr"];

/// All page frames in signatures and public fields.
#[derive(Default)]
pub(super) struct Frames(pub(super) Vec<Offence>);

impl Frames {
    fn look(&mut self, line: usize, place: &str, name: &str, of: &Type) {
        let is_frame =
            NUMBERS.contains(&name) || ADDRESSES.contains(&name) && names(of, &ADDRESS_TYPES);
        let mut inside = Inside::default();
        inside.visit_type(of);
        if is_frame || inside.found {
            self.0.push(Offence {
                line,
                what: format!("{place} has a page frame"),
            });
        }
    }
}

impl<'ast> Visit<'ast> for Frames {
    fn visit_signature(&mut self, signature: &'ast Signature) {
        let line = line_of(signature);
        let place = format!("`fn {}`", signature.ident);
        for input in &signature.inputs {
            let FnArg::Typed(input) = input else { continue };
            let name = match &*input.pat {
                Pat::Ident(pattern) => pattern.ident.to_string(),
                _ => String::new(),
            };
            self.look(line, &place, &name, &input.ty);
        }
        if let syn::ReturnType::Type(_, result) = &signature.output {
            self.look(line, &place, "", result);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        let place = format!("`struct {}`", item.ident);
        let public = |field: &&syn::Field| !matches!(field.vis, Visibility::Inherited);
        for field in item.fields.iter().filter(public) {
            let name = field.ident.as_ref().map(ToString::to_string);
            let line = line_of(&field.ty);
            self.look(line, &place, &name.unwrap_or_default(), &field.ty);
        }
        visit::visit_item_struct(self, item);
    }

    super::skip_tests!();
}

/// Whether a type has a page frame in it.
#[derive(Default)]
struct Inside {
    found: bool,
}

impl<'ast> Visit<'ast> for Inside {
    fn visit_type(&mut self, of: &'ast Type) {
        let list = match of {
            Type::Slice(slice) => Some(&*slice.elem),
            Type::Array(array) => Some(&*array.elem),
            Type::Path(path) => match path.path.segments.last() {
                Some(last) if last.ident == "Vec" => match &last.arguments {
                    PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
                        Some(GenericArgument::Type(each)) => Some(each),
                        _ => None,
                    },
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        let addresses = list.is_some_and(|each| names(each, &["PhysAddr", "DmaAddr"]));
        self.found |= addresses || names(of, &TYPES);
        visit::visit_type(self, of);
    }
}

/// Whether a type is one of these.
fn names(of: &Type, list: &[&str]) -> bool {
    let Type::Path(path) = of else {
        return false;
    };
    let last = path.path.segments.last();
    last.is_some_and(|last| list.iter().any(|name| last.ident == name))
}
