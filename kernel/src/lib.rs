//! The operating system as a library.
