//! All controllers on a command line, with what they hang on: block nodes below them, ports and
//! switches before them.

use std::path::Path;

use super::device::namespace_device;
use super::{Namespace, Nvme, Place};
use crate::machine::line::{Line, escape, join};
use crate::machine::store;

/// Chassis of the ports without a controller: behind all others.
const EMPTY_CHASSIS: u8 = 100;

/// Adds all controllers, with the ports and switches before them, and ports without one.
pub(in crate::machine) fn add_all(line: &mut Line, controllers: &[Nvme], empty_slots: u8) {
    if empty_slots != 0 || controllers.iter().any(|nvme| nvme.place != Place::Root) {
        // Otherwise QEMU plugs and unplugs by ACPI methods, and keeps the ports out of it.
        let native = "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off";
        line.add("-global", native);
    }
    if controllers.iter().any(|nvme| nvme.subsystem) {
        line.add("-device", "nvme-subsys,id=subsystem,nqn=phyros");
    }
    let mut disk = 0;
    let mut late = Vec::new();
    for (index, nvme) in controllers.iter().enumerate() {
        for (number, namespace) in nvme.namespaces.iter().enumerate() {
            add_node(line, disk + number, namespace);
        }
        if let Some(backing) = &nvme.persistent {
            store::add_backing(line, &format!("persistent{index}"), backing);
        }
        add_way(line, index, nvme.place);
        if nvme.plugged {
            let id = nvme.name(index);
            line.add("-device", &nvme.device(index, disk, &id));
        }
        if nvme.is_split() {
            let namespaces = nvme.namespaces.iter().enumerate();
            late.extend(namespaces.map(|(number, namespace)| {
                namespace_device(nvme, namespace, index, disk + number, number + 1)
            }));
        }
        disk += nvme.namespaces.len();
    }
    for index in 0..empty_slots {
        let chassis = EMPTY_CHASSIS + index;
        let port = format!("pcie-root-port,id=slot{index},chassis={chassis},slot={chassis}");
        line.add("-device", &port);
    }
    // A shared namespace goes to all controllers that are there.
    for namespace in late {
        line.add("-device", &namespace);
    }
}

/// Adds the nodes of a namespace's contents.
fn add_node(line: &mut Line, disk: usize, namespace: &Namespace) {
    if let Some(latency) = namespace.latency {
        let size = std::fs::metadata(&namespace.image).map_or(0, |file| file.len());
        let node = format!(
            "node-name=disk{disk},driver=null-co,size={size},latency-ns={latency},read-zeroes=on"
        );
        line.add("-blockdev", &node);
        return;
    }
    let read_only = if namespace.read_only { "on" } else { "off" };
    let file = format!("node-name=file{disk},driver=file,read-only={read_only},filename=");
    line.add("-blockdev", &join(&[&file, &escape(&namespace.image)]));
    let format = image_format(&namespace.image);
    let node =
        format!("node-name=disk{disk},driver={format},read-only={read_only},file=file{disk}");
    line.add("-blockdev", &node);
}

/// Adds the ports and switches before a controller.
fn add_way(line: &mut Line, index: usize, place: Place) {
    if place == Place::Root {
        return;
    }
    let chassis = 2 * index + 1;
    let port = format!("pcie-root-port,id=port{index},chassis={chassis},slot={chassis}");
    line.add("-device", &port);
    if place == Place::Switch {
        let up = format!("x3130-upstream,id=up{index},bus=port{index}");
        line.add("-device", &up);
        let behind = chassis + 1;
        let down = format!("xio3130-downstream,id=down{index},bus=up{index}");
        line.add("-device", &format!("{down},chassis={behind},slot={behind}"));
    }
}

/// QEMU's name for the format of an image.
pub(crate) fn image_format(image: &Path) -> &'static str {
    use std::io::Read;
    let mut magic = [0; 4];
    let read = std::fs::File::open(image).and_then(|mut file| file.read_exact(&mut magic));
    if read.is_ok() && magic == *b"QFI\xfb" {
        "qcow2"
    } else {
        "raw"
    }
}
