//! For tests: a terminal that is an array.

mod terminal;

pub(crate) use terminal::{Glass, Wire};
