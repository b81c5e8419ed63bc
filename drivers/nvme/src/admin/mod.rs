//! Admin commands as values (NVMe base specification 2.0, section 5).
//!
//! As with [`nvm`](crate::nvm), a builder leaves the command identifier and the memory to the
//! queue. The commands that make and unmake queues are the driver's own business and stand
//! elsewhere.

mod features;
mod identify;
mod log;
mod maintenance;
mod namespaces;
mod settings;

pub use features::{
    Feature, Save, Select, Supported, get_feature, host_memory_buffer, set_feature,
};
pub use identify::{CommandSet, Identify};
pub use log::{LogPage, get_log_page};
pub use maintenance::{
    Commit, Sanitize, SelfTest, device_self_test, firmware_commit, firmware_download, keep_alive,
    sanitize,
};
pub use namespaces::{
    Attachment, Erase, Format, NewNamespace, create_namespace, delete_namespace, format_nvm,
    namespace_attachment,
};
pub use settings::{
    Arbitration, AsynchronousEvents, Coalescing, ErrorRecovery, HostBehaviour, PowerManagement,
    TemperatureThreshold, ThermalManagement, Timestamp, VectorConfiguration,
};
