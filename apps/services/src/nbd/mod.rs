//! Disks over NBD.
