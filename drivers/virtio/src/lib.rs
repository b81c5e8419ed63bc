//! virtio drivers.
