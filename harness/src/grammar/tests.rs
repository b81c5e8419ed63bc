//! Every word is understood, and a wrong one is named.

use std::path::Path;

use super::*;
use crate::machine::Told;
use crate::machine::{Accel, Place, Protection};

#[test]
fn nothing_is_the_plainest_machine() {
    assert_eq!(Needs::parse("").unwrap(), Needs::default());
    assert_eq!(Needs::parse("nvme").unwrap().disks, 1);
}

#[test]
fn every_word_of_the_table_is_understood() {
    let text =
        "nvme, disks=2, lba=4096, mdts=0, disk=gpt, size=32M, switch, ram=6G, firmware=qboot";
    let needs = Needs::parse(text).unwrap();
    let controller = &needs.controller;
    assert_eq!((needs.disks, controller.mdts), (2, Some(0)));
    assert_eq!(needs.namespace.format.lba, 4096);
    assert_eq!((needs.content, needs.disk_size()), (Content::Gpt, 32 << 20));
    assert_eq!((controller.place, needs.ram), (Place::Switch, 6 << 30));
    assert_eq!(needs.firmware, Firmware::Qboot);
    for word in ["lba=512", "mdts=1", "disk=ext4", "bridge", "size=1M"] {
        assert_eq!(Needs::parse(word).unwrap().disks, 1, "{word} implies nvme");
    }
    let plain = Needs::parse("ram=64M,firmware=seabios,smp=4,svm,cpu-without=npt+pae").unwrap();
    assert_eq!((plain.disks, plain.cores, plain.svm), (0, 4, true));
    assert_eq!(plain.without, ["npt", "pae"]);
    assert_eq!(Needs::parse("icount,trace=a").unwrap().disks, 0);
}

#[test]
fn the_words_about_other_devices_are_understood() {
    let needs = Needs::parse("iommu, edu").unwrap();
    assert_eq!((needs.disks, needs.iommu), (0, Some(Vec::new())));
    assert_eq!(needs.devices, ["edu"]);
    let needs = Needs::parse("edu,virtio-iommu").unwrap();
    assert_eq!((needs.disks, needs.iommu), (0, None));
    assert_eq!(needs.devices, ["virtio-iommu-pci", "edu"]);
    let needs = Needs::parse("share").unwrap();
    assert_eq!((needs.disks, needs.share), (0, Some(false)));
    assert_eq!(Needs::parse("share=iommu").unwrap().share, Some(true));
    assert!(Needs::parse("share=x").is_err());
    let needs = Needs::parse("console").unwrap();
    assert_eq!((needs.disks, needs.console), (0, true));
    assert!(Needs::parse("microvm,console").is_err());
    let needs = Needs::parse("entropy,balloon").unwrap();
    assert_eq!((needs.disks, needs.entropy), (0, true));
    let reporting = "virtio-balloon-pci,free-page-reporting=on";
    assert_eq!(needs.devices, [reporting]);
    let needs = Needs::parse("nvme,iommu=caching-mode=on+aw-bits=48").unwrap();
    let properties = ["caching-mode=on", "aw-bits=48"].map(str::to_owned);
    assert_eq!(needs.iommu.unwrap(), properties);
}

#[test]
fn the_words_about_controllers_are_understood() {
    let needs = Needs::parse(
        "spares=2, cmb=4M, queues=2, vectors=3, ioeventfd, vwc=off, trace=a_*+b, icount",
    )
    .unwrap();
    assert_eq!((needs.disks, needs.spares), (1, 2));
    let controller = &needs.controller;
    assert_eq!(controller.place, Place::RootPort);
    assert_eq!((controller.memory_mib, controller.ioeventfd), (4, true));
    assert_eq!((controller.queues, controller.vectors), (Some(2), Some(3)));
    assert_eq!(controller.write_cache, Some(false));
    assert_eq!(needs.trace, ["a_*", "b"]);
    assert!(needs.icount);
    assert_eq!(Needs::parse("spares=1").unwrap().disks, 0);
    let place = Needs::parse("hotplug").unwrap().controller.place;
    assert_eq!(place, Place::RootPort);
}

#[test]
fn the_words_about_namespaces_are_understood() {
    let needs = Needs::parse(
        "namespaces=3, detached, ms=16, interleaved, pi=2, pi-first, guard=64, zoned=2M, \
         active=4, copy=8, latency=1000",
    )
    .unwrap();
    assert_eq!((needs.namespaces, needs.detached), (3, true));
    assert!(
        needs.controller.subsystem,
        "only a subsystem has what is detached"
    );
    assert_eq!(needs.namespace.latency, Some(1000));
    let protection = Protection {
        kind: 2,
        first: true,
        wide: true,
    };
    let format = Format {
        lba: 512,
        metadata: 16,
        interleaved: true,
        protection,
        zone: Some(2 << 20),
        active_zones: 4,
        copy: Some(8),
    };
    assert_eq!(needs.namespace.format, format);
    let format = Needs::parse("zoned").unwrap().namespace.format;
    assert_eq!(format.zone, Some(1 << 20));
}

#[test]
fn the_words_about_virtio_disks_are_understood() {
    let text =
        "virtio=modern, ring=64, packed, without=event_idx+indirect_desc, ro, queues=2, lba=4096";
    let needs = Needs::parse(text).unwrap();
    let disk = &needs.controller;
    assert_eq!(disk.interface, Interface::ModernVirtio);
    assert_eq!((disk.ring, disk.queues), (Some(64), Some(2)));
    assert_eq!(disk.without, ["event_idx", "indirect_desc"]);
    assert!(disk.packed);
    assert!(needs.namespace.read_only);
    let disk = Needs::parse("translated").unwrap().controller;
    assert!(disk.asks_iommu && disk.interface == Interface::ModernVirtio);
    let interface = Needs::parse("virtio").unwrap().controller.interface;
    assert_eq!(interface, Interface::Virtio);
    for wrong in [
        "virtio,namespaces=2",
        "virtio,ms=8",
        "virtio,mdts=1",
        "ring=64",
        "packed",
    ] {
        let error = Needs::parse(wrong).expect_err(wrong).to_string();
        assert!(error.contains(wrong), "{error}");
    }
}

#[test]
fn the_words_about_memory_are_understood() {
    let needs = Needs::parse("ivshmem=1M+8G, nvdimm=64M, display, hole, disks=2, pmr=2M").unwrap();
    assert_eq!(needs.shared, [1 << 20, 8 << 30]);
    assert_eq!((needs.modules.len(), needs.display), (1, Some(16 << 20)));
    assert_eq!((needs.persistent, needs.hole), (Some(2 << 20), true));
    assert_eq!(
        Needs::parse("ivshmem=1M,nvdimm=1M,pmem=1M,unshared,display=8M")
            .unwrap()
            .disks,
        0
    );
    assert_eq!(Needs::parse("pmr=1M").unwrap().disks, 1);
    let folder = tempfile::tempdir().unwrap();
    let needs = Needs::parse("ivshmem=8G,pmr=2M,size=1M").unwrap();
    let machine = needs.prepare(Path::new("k.elf"), Accel::Tcg, folder.path(), 1);
    let files = machine.unwrap().files();
    let sizes: Vec<_> = files
        .iter()
        .map(|(name, path)| (name.as_str(), path.metadata().unwrap().len()))
        .collect();
    assert_eq!(sizes, [("ivshmem0", 8 << 30), ("pmr0", 2 << 20)]);
    let needs = Needs::parse("pmem=1M+2M,unshared,beside=virtio,size=1M").unwrap();
    let machine = needs.prepare(Path::new("k.elf"), Accel::Tcg, folder.path(), 1);
    let machine = machine.unwrap();
    let sizes: Vec<_> = machine.stores.pmem.iter().map(|one| one.size).collect();
    assert_eq!(sizes, [1 << 20, 2 << 20]);
    assert!(machine.stores.pmem.iter().all(|one| one.unshared));
    let interfaces: Vec<_> = machine.disks.iter().map(|disk| disk.interface).collect();
    assert_eq!(interfaces, [Interface::Nvme, Interface::Virtio]);
    assert!(machine.disks[1].namespaces[0].image.ends_with("disk1.img"));
}

#[test]
fn every_namespace_has_an_image_and_shared_ones_have_one() {
    let folder = tempfile::tempdir().unwrap();
    let machine = |text| {
        let needs = Needs::parse(text).unwrap();
        needs
            .prepare(Path::new("k.elf"), Accel::Kvm, folder.path(), 1)
            .unwrap()
    };
    let counts = |machine: &Machine| -> Vec<usize> {
        let disks = machine.disks.iter();
        disks.map(|nvme| nvme.namespaces.len()).collect()
    };
    let own = machine("disks=1,spares=1,namespaces=2,size=1M");
    assert_eq!(counts(&own), [2, 2]);
    assert!(own.disks[0].plugged && !own.disks[1].plugged);
    let last = &own.disks[1].namespaces[1].image;
    assert_eq!(last, &folder.path().join("disk3.img"));
    assert_eq!(own.accel, Accel::Kvm);

    let shared = machine("disks=2,shared,detached,size=1M,icount,trace=a+b");
    assert_eq!(counts(&shared), [2, 0]);
    let is_detached = |ns: &Namespace| ns.detached;
    assert!(!is_detached(&shared.disks[0].namespaces[0]));
    assert!(is_detached(&shared.disks[0].namespaces[1]));
    assert_eq!(shared.accel, Accel::Tcg, "KVM cannot count instructions");
    assert_eq!(shared.trace.unwrap().0, ["a", "b"]);
}

#[test]
fn a_wrong_word_is_named_together_with_the_right_ones() {
    for text in [
        "nvmi",
        "lba=1024",
        "nvme=1",
        "mdts=x",
        "disks=9",
        "disk=fat",
        "ram",
        "ms=9",
        "pi=4",
        "cmb=1K",
        "namespaces=0",
        "vwc",
        "guard=16",
        "queues=0",
        "latency=soon",
        "ivshmem=3M",
    ] {
        let error = Needs::parse(text).expect_err(text).to_string();
        assert!(error.contains(&format!("`{text}`")), "{error}");
        assert!(error.contains("known words are nvme"), "{error}");
    }
    assert!(
        Needs::parse("nvme,lba=512,lba=4096")
            .unwrap_err()
            .to_string()
            .contains("twice")
    );
    assert!(
        Needs::parse("ram=lots")
            .unwrap_err()
            .to_string()
            .contains("no size")
    );
}

#[test]
fn a_board_without_pci_has_what_needs_none() {
    let needs = Needs::parse("microvm,virtio,disks=2,nic,entropy,ram=32M").expect("it has all");
    assert_eq!(needs.board, Board::Microvm(Told::ByTables));
    assert_eq!(needs.controller.interface, Interface::VirtioWindow);
    assert_eq!((needs.disks, needs.cards, needs.entropy), (2, 1, true));
    let bare = Needs::parse("microvm=bare").expect("it has nothing");
    assert_eq!(bare.board, Board::Microvm(Told::ByCommandLine));
    assert_eq!((bare.disks, bare.timeless), (0, false));
    assert!(Needs::parse("microvm,timeless").unwrap().timeless);
    assert!(Needs::parse("timeless").is_err());
    for text in [
        "microvm,nvme",
        "microvm,disks=1",
        "microvm,virtio=modern",
        "microvm,virtio,translated",
        "microvm,virtio,vectors=1",
        "microvm,virtio,bridge",
        "microvm,virtio,beside=virtio",
        "microvm,nic=port",
        "microvm,iommu",
        "microvm,balloon",
        "microvm,gpu",
        "microvm,ivshmem=1M",
        "microvm,pmem=1M",
        "microvm,display",
        "microvm,firmware=qboot",
        "microvm=on",
    ] {
        assert!(Needs::parse(text).is_err(), "{text}");
    }
}

#[test]
fn only_virtio_disks_can_be_without_vectors() {
    let needs = Needs::parse("virtio,vectors=0").expect("they have a line");
    assert_eq!(needs.controller.vectors, Some(0));
    assert!(Needs::parse("nvme,vectors=0").is_err());
}
