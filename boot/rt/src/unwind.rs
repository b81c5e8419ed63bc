//! The unwinder's two symbols.
//!
//! Everything is compiled with `panic=abort`, so neither is ever called.
//! The precompiled `core` and `alloc` still name them in their landing pads.

#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    crate::exit::end(crate::exit::Outcome::Failure)
}
