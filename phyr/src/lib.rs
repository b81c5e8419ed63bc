//! the physical range as the only currency for memory.
