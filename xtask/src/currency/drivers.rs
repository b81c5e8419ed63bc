//! Drivers take lists as they come: they join nothing, loop over nothing, and have no pointers.
//!
//! In many systems each driver looks at each pair of neighbours in a list, to find out what it can say
//! in one descriptor. Here the list is made that way, and cut by its cursor, once for all drivers.
//! That it stays so, is a matter of what drivers do *not* contain:
//!
//! - something that joins: a call of `try_merge`, or a comparison of where one range ends with where
//!   another one starts;
//! - a loop over ranges. [Some files](EMITTERS) have one, each for a reason: a device must be told of
//!   the ranges somewhere;
//! - a public interface with a pointer, with bytes, or with pages ([`frames`](super::frames)).
//!
//! This is about what the sources say and not about types, so it goes by names: of methods, and of the
//! variables of loops.

use syn::visit::{self, Visit};
use syn::{
    BinOp, Expr, ExprBinary, ExprCall, ExprForLoop, ExprLoop, ExprMethodCall, ExprWhile, ItemTrait,
    Pat, Signature, Type, TypePtr, TypeSlice, Visibility,
};

use super::{Offence, line_of};

/// Where drivers are.
pub(super) const DRIVERS: [&str; 3] = [
    "drivers/nvme/src",
    "drivers/virtio/src",
    "kernel/src/drivers",
];

/// Where the interfaces are that drivers have towards others.
pub(super) const INTERFACES: [&str; 5] = [
    "drivers/nvme/src",
    "drivers/virtio/src",
    "kernel/src/drivers",
    "kernel/src/block",
    "kernel/src/net",
];

/// Files of drivers with loops over ranges, and why.
pub(super) const EMITTERS: [(&str, &str); 8] = [
    ("drivers/nvme/src/prp.rs", "the ranges become PRPs"),
    (
        "drivers/nvme/src/sgl.rs",
        "the ranges become SGL descriptors",
    ),
    (
        "drivers/nvme/src/host_memory.rs",
        "the ranges become descriptors of memory that is lent",
    ),
    (
        "drivers/nvme/src/own_memory.rs",
        "which ranges a controller takes for its own, only it knows",
    ),
    (
        "drivers/nvme/src/protection/memory.rs",
        "the CPU reads the bytes, to compute their guards",
    ),
    (
        "drivers/virtio/src/chain.rs",
        "the ranges become a chain of descriptors",
    ),
    (
        "drivers/virtio/src/plain/pieces.rs",
        "so do those of devices that are asked now and then",
    ),
    (
        "drivers/virtio/src/gpu/entries.rs",
        "the ranges behind a picture become the entries of a command",
    ),
];

/// Interfaces that have bytes, and why.
pub(super) const VIEWS: [(&str, &str); 1] = [(
    "View",
    "whoever computes guards by the CPU must see the bytes, and nothing of it goes to a device",
)];

/// Methods that say where a range ends, and those that say where one starts.
const ENDS: [&str; 3] = ["last", "end", "len"];
const STARTS: [&str; 2] = ["addr", "start"];

/// Methods by which one comes from range to range.
const STEPS: [&str; 4] = ["next_joined", "next_within", "next_run", "phyrs"];

/// What a range is called, where one is.
const RANGES: [&str; 5] = ["range", "phyr", "piece", "segment", "extent"];

/// Code of a driver that joins ranges.
#[derive(Default)]
pub(super) struct Joins(pub(super) Vec<Offence>);

impl<'ast> Visit<'ast> for Joins {
    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if call.method == "try_merge" || call.method == "from_inclusive" {
            let what = "a driver joins ranges".to_owned();
            self.0.push(Offence {
                line: line_of(&call.method),
                what,
            });
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        let compares = matches!(binary.op, BinOp::Eq(_) | BinOp::Ne(_));
        let sides = [&binary.left, &binary.right].map(|side| {
            let mut calls = Calls::default();
            calls.visit_expr(side);
            (calls.has(&ENDS), calls.has(&STARTS))
        });
        let touches = matches!(
            sides,
            [(true, _), (false, true)] | [(false, true), (true, _)]
        );
        if compares && touches {
            let what = "a driver looks whether two ranges touch".to_owned();
            self.0.push(Offence {
                line: line_of(binary),
                what,
            });
        }
        visit::visit_expr_binary(self, binary);
    }

    super::skip_tests!();
}

/// The methods that an expression calls.
#[derive(Default)]
struct Calls(Vec<String>);

impl Calls {
    fn has(&self, names: &[&str]) -> bool {
        self.0.iter().any(|call| names.contains(&call.as_str()))
    }
}

impl<'ast> Visit<'ast> for Calls {
    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.0.push(call.method.to_string());
        visit::visit_expr_method_call(self, call);
    }
}

/// Loops of a driver over ranges.
#[derive(Default)]
pub(super) struct Loops {
    pub(super) found: Vec<Offence>,
    /// The line where the innermost loop begins, if there is one.
    inside: Option<usize>,
}

impl Loops {
    fn report(&mut self, line: usize) {
        let what = "a loop over ranges".to_owned();
        let offence = Offence { line, what };
        if !self.found.contains(&offence) {
            self.found.push(offence);
        }
    }

    fn within(&mut self, line: usize, look: impl FnOnce(&mut Self)) {
        let outer = self.inside.replace(line);
        look(self);
        self.inside = outer;
    }
}

impl<'ast> Visit<'ast> for Loops {
    fn visit_expr_for_loop(&mut self, each: &'ast ExprForLoop) {
        let mut names = Names::default();
        names.visit_pat(&each.pat);
        let line = line_of(each);
        if names.0.iter().any(|name| RANGES.contains(&name.as_str())) {
            self.report(line);
        }
        self.within(line, |this| visit::visit_expr_for_loop(this, each));
    }

    fn visit_expr_while(&mut self, each: &'ast ExprWhile) {
        self.within(line_of(each), |this| visit::visit_expr_while(this, each));
    }

    fn visit_expr_loop(&mut self, each: &'ast ExprLoop) {
        self.within(line_of(each), |this| visit::visit_expr_loop(this, each));
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let method = call.method.to_string();
        // An iterator's `next` has no argument, a cursor's has.
        let steps = method == "next" && !call.args.is_empty() || STEPS.contains(&method.as_str());
        let each = method == "for_each" && call.args.iter().any(takes_range);
        match self.inside {
            Some(line) if steps => self.report(line),
            _ if each => self.report(line_of(&call.method)),
            _ => {}
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        let name = match &*call.func {
            Expr::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        if let (Some(line), Some("next")) = (self.inside, name.as_deref()) {
            self.report(line);
        }
        visit::visit_expr_call(self, call);
    }

    super::skip_tests!();
}

/// Whether a closure is given a range.
fn takes_range(argument: &Expr) -> bool {
    let Expr::Closure(closure) = argument else {
        return false;
    };
    let mut names = Names::default();
    closure
        .inputs
        .iter()
        .for_each(|input| names.visit_pat(input));
    names.0.iter().any(|name| RANGES.contains(&name.as_str()))
}

/// The names that a pattern binds.
#[derive(Default)]
struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_pat(&mut self, pattern: &'ast Pat) {
        if let Pat::Ident(name) = pattern {
            self.0.push(name.ident.to_string());
        }
        visit::visit_pat(self, pattern);
    }
}

/// Public interfaces with pointers or bytes.
#[derive(Default)]
pub(super) struct Interfaces(pub(super) Vec<Offence>);

impl<'ast> Visit<'ast> for Interfaces {
    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        let is_public = matches!(item.vis, Visibility::Public(_));
        if !is_public || VIEWS.iter().any(|(name, _)| item.ident == name) {
            return;
        }
        let mut raw = Raw::default();
        for part in &item.items {
            if let syn::TraitItem::Fn(function) = part {
                raw.signature(&function.sig);
            }
        }
        self.0.extend(raw.found);
    }

    super::skip_tests!();
}

/// Pointers and bytes in signatures.
#[derive(Default)]
struct Raw {
    found: Vec<Offence>,
    place: String,
}

impl Raw {
    fn signature(&mut self, signature: &Signature) {
        self.place = signature.ident.to_string();
        self.visit_signature(signature);
    }

    fn report(&mut self, line: usize, what: &str) {
        let what = format!("`fn {}` has {what}", self.place);
        self.found.push(Offence { line, what });
    }
}

impl<'ast> Visit<'ast> for Raw {
    fn visit_type_ptr(&mut self, pointer: &'ast TypePtr) {
        self.report(line_of(pointer), "a pointer");
    }

    fn visit_type_slice(&mut self, slice: &'ast TypeSlice) {
        if matches!(&*slice.elem, Type::Path(path) if path.path.is_ident("u8")) {
            self.report(line_of(slice), "bytes");
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path
            .segments
            .last()
            .is_some_and(|last| last.ident == "NonNull")
        {
            self.report(line_of(path), "a pointer");
        }
        visit::visit_path(self, path);
    }
}
