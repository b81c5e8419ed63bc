//! What there is to be had, as the server asks for it.

use super::path::Path;
use alloc::borrow::Cow;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::Future;
use kernel::block::BlockError;
use kernel::dma::Memory;

/// Where paths lead.
pub trait Site {
    /// What resources are read from.
    type Source: Source;

    /// What a path leads to.
    fn find(&self, path: &Path) -> impl Future<Output = Result<Found<Self::Source>, Trouble>>;
}

/// Bytes that are somewhere, and can be fetched into memory.
pub trait Source {
    /// Bytes from `at` on, in memory of their own: at least one and at most `most`, of those that there
    /// are. The caller asks for none beyond the length of the [`Resource`].
    fn fetch(&self, at: u64, most: usize) -> impl Future<Output = Result<Memory, BlockError>>;
}

/// What is at the end of a path.
#[derive(Debug)]
pub enum Found<S> {
    /// Bytes.
    Resource(Resource<S>),
    /// A folder, and what is in it.
    Folder(Vec<Entry>),
    /// Something that was made just now.
    Page {
        /// What it is.
        kind: &'static str,
        /// Its bytes.
        bytes: Cow<'static, [u8]>,
    },
}

/// Bytes that can be asked for in part, and known again.
#[derive(Debug)]
pub struct Resource<S> {
    /// Where they are.
    pub source: S,
    /// How many they are.
    pub len: u64,
    /// What they are.
    pub kind: &'static str,
    /// What this version of them is known by, with quotes. Two versions never have the same.
    pub tag: Option<Rc<str>>,
    /// When they were changed, in seconds since 1970 began.
    pub modified: Option<i64>,
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: Vec<u8>,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Its bytes.
    pub len: Option<u64>,
    /// When it was changed, in seconds since 1970 began.
    pub modified: Option<i64>,
}

/// Why there is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing is there.
    NotFound,
    /// Something is there that is not given out.
    Forbidden,
    /// Not at this moment: there is no memory.
    Busy,
    /// It cannot be read. The client is told why.
    Failed(String),
}
