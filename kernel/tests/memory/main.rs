//! The physical memory allocator and the page tables, on the host: physical memory is an arena.

mod arena;
mod extents;
mod paging;
mod pins;
mod random;
