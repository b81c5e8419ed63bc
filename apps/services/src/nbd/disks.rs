//! All disks of a machine, given out.
//!
//! Disks come and go. An export is made when its disk is first seen, and is the same for all connections
//! from then on, since what they write must be kept apart in one place.

use super::export::{Export, Exports};
use super::limits::Counters;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::block::BlockDevice;
use kernel::lock::Mutex;

/// All disks of a machine.
pub struct Disks {
    look: fn() -> Vec<Arc<dyn BlockDevice>>,
    writable: AtomicBool,
    counters: Arc<Counters>,
    known: Mutex<Vec<Arc<Export>>>,
}

impl Disks {
    /// Those that a function finds. They cannot be written, until [that](Self::set_writable) is said.
    pub const fn new(look: fn() -> Vec<Arc<dyn BlockDevice>>, counters: Arc<Counters>) -> Self {
        Self {
            look,
            writable: AtomicBool::new(false),
            counters,
            known: Mutex::new(Vec::new()),
        }
    }
}

impl Disks {
    /// What was done to all of them.
    pub const fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// From now on all of them can be written, or none.
    pub fn set_writable(&self, writable: bool) {
        self.writable.store(writable, Ordering::Relaxed);
        for export in &*self.known.lock() {
            export.set_writable(writable);
        }
    }
}

impl Exports for Disks {
    fn all(&self) -> Vec<Arc<Export>> {
        let devices = (self.look)();
        let mut known = self.known.lock();
        let writable = self.writable.load(Ordering::Relaxed);
        let is = |export: &Arc<Export>, device: &Arc<dyn BlockDevice>| {
            Arc::ptr_eq(export.device(), device)
        };
        let (kept, gone): (Vec<_>, Vec<_>) = known
            .drain(..)
            .partition(|export| devices.iter().any(|device| is(export, device)));
        let mut all = kept;
        for device in devices {
            if !all.iter().any(|export| is(export, &device)) {
                let export = Export::new(device, writable, self.counters.clone());
                all.push(Arc::new(export));
            }
        }
        known.clone_from(&all);
        drop(known);
        // A device ends here perhaps, and that is not for under a lock.
        drop(gone);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::block::RamDisk;
    use std::cell::RefCell;

    thread_local! {
        static THERE: RefCell<Vec<Arc<dyn BlockDevice>>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn an_export_is_the_same_for_as_long_as_its_disk_is_there() {
        let add = |name: &str| {
            let disk = Arc::new(RamDisk::new(name, 512, vec![0; 512]));
            THERE.with(|there| there.borrow_mut().push(disk));
        };
        let counters = Arc::new(Counters::new(1));
        let disks = Disks::new(|| THERE.with(|there| there.borrow().clone()), counters);
        assert!(disks.all().is_empty() && disks.find(b"").is_none());
        add("a");
        let first = disks.find(b"a").unwrap();
        add("b");
        assert_eq!(disks.all().len(), 2);
        assert!(Arc::ptr_eq(&first, &disks.find(b"").unwrap()));
        assert_eq!(disks.find(b"b").unwrap().name(), "b");
        // Also those that are known already.
        let can = |name: &[u8]| disks.find(name).unwrap().abilities(0, false).writable;
        assert!(!can(b"a"));
        disks.set_writable(true);
        add("c");
        assert!(can(b"a") && can(b"c"));
        THERE.with(|there| there.borrow_mut().remove(0));
        assert!(disks.find(b"a").is_none());
        add("a");
        assert!(!Arc::ptr_eq(&first, &disks.find(b"a").unwrap()));
    }
}
