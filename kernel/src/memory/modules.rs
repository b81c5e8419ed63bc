//! Modules of persistent memory: RAM that keeps its content, found by the firmware's tables.
//!
//! Nothing has to be driven: the memory is there, at the addresses that the tables say. It is not in the
//! direct map and not the allocator's. What a device has written is in the module when the device says that it is
//! done; what the CPU writes goes past its caches, so a fence is all that has to follow.

use super::is_ram;
use super::paging::Cache;
use super::regions::{self, Kind, Provider};
use super::window::PAGE;
use crate::println;
use crate::storage::Name;
use alloc::sync::Arc;
use phyr::Phyr;

/// Gives out the modules that the firmware reports.
pub(crate) fn start(reported: &[Phyr]) {
    for module in reported {
        if is_ram(*module) || !module.is_aligned(PAGE) {
            println!("acpi: there is no persistent memory at {module}");
            continue;
        }
        let name = Name::numbered("pmem");
        // Write-combining and not write-back: so no line of a cache has to be flushed for what is
        // written to last.
        let (cache, keeper) = (Cache::WriteCombining, Arc::new(()));
        // SAFETY: the firmware reports memory, none of which is RAM of the allocator; enumeration
        // places no device there, and nothing else maps it.
        let provider = unsafe { Provider::new(name, Kind::Persistent, *module, cache, keeper) };
        regions::add(provider);
    }
}
