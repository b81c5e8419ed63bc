//! Structures that host and controller exchange through memory.
//!
//! Layouts only: what a field is for and where it sits. They are the one thing that the
//! driver shares with the model controller that it is tested against.
//!
//! None of them is ever laid over shared memory. The driver reads whole words from there
//! and decodes them, so that a device which changes memory at the wrong moment can change
//! a value but never the ground the driver stands on.

mod entry;
mod fields;
mod identify;
mod lists;
mod logs;
mod namespace;
mod power;
mod zoned;

pub use entry::{CompletionEntry, DwordZero, SubmissionEntry};
pub use identify::IdentifyController;
pub use lists::{Descriptors, command_sets, controller_list, controllers, namespace_list};
pub use logs::{
    ActiveFirmware, CommandEffects, CriticalWarning, Effects, ErrorEntry, FirmwareSlots, Health,
    SanitizeLog, SanitizeState,
};
pub use namespace::{ExtendedLbaFormat, IdentifyNamespace, LbaFormat, NvmController, NvmNamespace};
pub use power::{PowerFlags, PowerState};
pub use zoned::{
    ZoneAttributes, ZoneDescriptor, ZoneFormat, ZoneReport, ZonedController, ZonedNamespace,
};
