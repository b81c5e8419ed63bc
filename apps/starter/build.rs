//! Links the application as a kernel.

include!("../../kernel/link.rs");
