//! Text that means something: words, sizes, places in a file system, names, dates.
//!
//! All of it is pure: text in, a value or an error out, and the other way round.

pub mod bitmap;
pub mod date;
pub mod location;
pub mod mode;
pub mod name;
pub mod number;
pub mod position;
pub mod size;
pub mod words;

pub use location::Location;
pub use position::Position;
pub use size::Size;
