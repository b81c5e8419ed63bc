//! A controller, a virtio disk and a namespace as the argument of `-device`.

use std::fmt::Write;

use super::{Format, Interface, Namespace, Nvme, Place};

impl Nvme {
    /// The argument of `-device`, and of `device_add`.
    ///
    /// `index` is its place among the controllers, `disk` the number of its first disk, `id` its name.
    pub fn device(&self, index: usize, disk: usize, id: &str) -> String {
        if self.interface != Interface::Nvme {
            return self.virtio_device(index, disk, id);
        }
        let mut text = format!("nvme,id={id}");
        // Controllers of one subsystem say that they are the same device.
        let serial = if self.subsystem { 0 } else { index };
        let _ = write!(text, ",serial=phyros{serial}");
        if self.subsystem {
            text += ",subsys=subsystem";
        } else if !self.is_split() {
            let _ = write!(text, ",drive=disk{disk}");
        }
        let _ = write!(text, ",bus={}", self.bus(index));
        // Only what differs from QEMU's own: so `-global nvme.…` still has a say.
        if !self.is_split() {
            text += &block_size(&self.namespaces[0].format);
            text += write_cache(self.write_cache);
        }
        // What was torn out never lets go of its disk. Whoever follows must share it.
        if self.place == Place::RootPort && !self.is_split() {
            text += ",share-rw=on";
        }
        let numbers = [
            ("mdts", self.mdts.map(u32::from)),
            ("cmb_size_mb", Some(self.memory_mib).filter(|mib| *mib != 0)),
            ("max_ioqpairs", self.queues),
            ("msix_qsize", self.vectors.map(u32::from)),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                let _ = write!(text, ",{name}={number}");
            }
        }
        if self.persistent.is_some() {
            let _ = write!(text, ",pmrdev=persistent{index}");
        }
        if self.ioeventfd {
            text += ",ioeventfd=on";
        }
        text
    }

    /// The argument of `-device` for a virtio disk.
    fn virtio_device(&self, index: usize, disk: usize, id: &str) -> String {
        let bus = self.bus(index);
        let model = match self.interface {
            Interface::VirtioWindow => "virtio-blk-device",
            _ => "virtio-blk-pci",
        };
        let mut text = format!("{model},id={id},serial=phyros{index},drive=disk{disk},bus={bus}");
        text += &block_size(&self.namespaces[0].format);
        text += write_cache(self.write_cache);
        if self.place == Place::RootPort {
            text += ",share-rw=on";
        }
        if self.interface == Interface::ModernVirtio {
            text += ",disable-legacy=on";
        }
        if self.asks_iommu {
            text += ",iommu_platform=on";
        }
        if self.packed {
            text += ",packed=on";
        }
        let numbers = [
            ("num-queues", self.queues),
            ("vectors", self.vectors.map(u32::from)),
            ("queue-size", self.ring.map(u32::from)),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                let _ = write!(text, ",{name}={number}");
            }
        }
        for feature in &self.without {
            let _ = write!(text, ",{feature}=off");
        }
        text
    }
}

/// The argument of `-device` for a namespace of a controller.
pub(super) fn namespace_device(
    controller: &Nvme,
    namespace: &Namespace,
    index: usize,
    disk: usize,
    number: usize,
) -> String {
    let format = &namespace.format;
    let mut text =
        format!("nvme-ns,id=namespace{disk},drive=disk{disk},bus=nvme{index},nsid={number}");
    text += &block_size(format);
    text += write_cache(controller.write_cache);
    let mut add = |name: &str, number: u64| {
        if number != 0 {
            let _ = write!(text, ",{name}={number}");
        }
    };
    add("ms", format.metadata.into());
    add("mset", format.interleaved.into());
    add("pi", format.protection.kind.into());
    add("pil", format.protection.first.into());
    add("pif", if format.protection.wide { 2 } else { 0 });
    if let Some(blocks) = format.copy {
        add("mssrl", blocks.into());
        add("mcl", blocks.into());
    }
    if let Some(zone) = format.zone {
        let _ = write!(text, ",zoned=on,zoned.zone_size={zone}");
        for limit in ["active", "open"] {
            let _ = write!(text, ",zoned.max_{limit}={}", format.active_zones);
        }
    }
    if format.copy.is_some() {
        text += ",msrc=0"; // one less than the number of ranges
    }
    if namespace.detached {
        text += ",detached=on";
    }
    text
}

fn block_size(format: &Format) -> String {
    match format.lba {
        512 => String::new(),
        lba => format!(",logical_block_size={lba},physical_block_size={lba}"),
    }
}

fn write_cache(cache: Option<bool>) -> &'static str {
    match cache {
        None => "",
        Some(true) => ",write-cache=on",
        Some(false) => ",write-cache=off",
    }
}
