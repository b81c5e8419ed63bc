//! What is in a [`Machine`] reaches the command line.

use std::ffi::OsStr;

use super::*;

fn line(machine: &Machine) -> String {
    shell_line(OsStr::new("qemu"), &machine.arguments())
}

#[test]
fn the_plainest_machine_has_an_exit_and_no_devices() {
    let line = line(&Machine::new("k.elf"));
    assert!(line.contains("-nodefaults -no-reboot"), "{line}");
    assert!(
        line.contains("isa-debug-exit,iobase=0xf4,iosize=4 -kernel k.elf"),
        "{line}"
    );
    assert!(!line.contains("nvme") && !line.contains("-bios"), "{line}");
    assert_eq!(line.matches("-accel").count(), 1, "{line}");
}

#[test]
fn fields_reach_the_command_line() {
    let mut machine = Machine::new("k.elf");
    machine.ram = 900 << 30;
    machine.cores = 4;
    machine.without = vec!["svm".into(), "npt".into()];
    machine.firmware = Firmware::Qboot;
    machine.memory = Memory::Shared;
    machine
        .inputs
        .push(("opt/phyros/seed".into(), "/s,1".into()));
    let mut disk = Nvme::new("/a b,c.img");
    (disk.mdts, disk.place) = (Some(1), Place::Switch);
    disk.namespaces[0].format.lba = 4096;
    machine.disks.push(disk);
    let line = line(&machine);
    for part in [
        "-m 900G",
        "-smp 4",
        "-cpu max,-svm,-npt",
        "memory-backend-memfd,id=ram,size=900G,share=on",
        "-bios qboot.rom",
        "-fw_cfg name=opt/phyros/seed,file=/s,,1",
        "filename=/a b,,c.img'",
        "nvme,id=nvme0,serial=phyros0,drive=disk0,bus=down0",
        "logical_block_size=4096,physical_block_size=4096,mdts=1",
    ] {
        assert!(line.contains(part), "`{part}` is missing in {line}");
    }
}

#[test]
fn a_board_without_pci_has_its_devices_in_windows_one_after_the_other() {
    let mut machine = Machine::new("k.elf");
    machine.board = Board::Microvm(Told::ByTables);
    machine.firmware = Firmware::Qboot;
    for image in ["a", "b"] {
        let mut disk = Nvme::new(image);
        disk.interface = Interface::VirtioWindow;
        machine.disks.push(disk);
    }
    machine.cards.push(Card {
        has_port: false,
        properties: vec!["host_mtu=9000".into()],
        files: "n".into(),
        capture: None,
        wire: Wire::User(User::default()),
    });
    machine.stores.entropy = Some("e".into());
    let text = line(&machine);
    for part in [
        "-machine microvm,acpi=on,rtc=on,memory-backend=ram ",
        "-global virtio-mmio.force-legacy=off",
        "virtio-blk-device,id=virtio0,serial=phyros0,drive=disk0,bus=virtio-mmio-bus.1",
        "virtio-blk-device,id=virtio1,serial=phyros1,drive=disk1,bus=virtio-mmio-bus.2",
        "virtio-net-device,id=net0,netdev=wire0,mac=52:54:00:70:68:10,bus=virtio-mmio-bus.3,host_mtu=9000",
        "virtio-rng-device,id=entropy,rng=bytes,bus=virtio-mmio-bus.4",
    ] {
        assert!(text.contains(part), "`{part}` is missing in {text}");
    }
    assert!(!text.contains("pci") && !text.contains("-bios"), "{text}");
    machine.board = Board::Microvm(Told::ByCommandLine);
    machine.timeless = true;
    assert!(line(&machine).contains("-machine microvm,acpi=off,rtc=on,pit=off,memory"));
}

#[test]
fn a_shared_folder_may_have_any_name() {
    let mut machine = Machine::new("k.elf");
    machine.shares.push(Share {
        folder: "/a b,c/d".into(),
        name: "share".into(),
        asks_iommu: true,
    });
    let line = line(&machine);
    for part in [
        "-fsdev 'local,id=folder0,security_model=none,readonly=on,multidevs=remap,path=/a b,,c/d'",
        "virtio-9p-pci,id=share0,fsdev=folder0,mount_tag=share,disable-legacy=on,iommu_platform=on",
    ] {
        assert!(line.contains(part), "`{part}` is missing in {line}");
    }
}

#[test]
fn namespaces_have_disks_counted_over_all_controllers() {
    let mut machine = Machine::new("k.elf");
    let mut first = Nvme::of(vec![Namespace::new("a"), Namespace::new("b")]);
    first.namespaces[1].format = Format {
        metadata: 16,
        interleaved: true,
        protection: Protection {
            kind: 2,
            first: true,
            wide: true,
        },
        zone: Some(1 << 20),
        active_zones: 3,
        copy: Some(8),
        ..Format::default()
    };
    first.write_cache = Some(false);
    let mut second = Nvme::new("c");
    (second.place, second.plugged) = (Place::RootPort, false);
    machine.disks = vec![first, second];
    let line = line(&machine);
    for part in [
        "nvme,id=nvme0,serial=phyros0,bus=pcie.0 -blockdev",
        "-device pcie-root-port,id=port1,chassis=3,slot=3 -device nvme-ns",
        "nvme-ns,id=namespace0,drive=disk0,bus=nvme0,nsid=1,write-cache=off -device",
        "nvme-ns,id=namespace1,drive=disk1,bus=nvme0,nsid=2,write-cache=off,ms=16,mset=1,pi=2,pil=1,pif=2,mssrl=8,mcl=8",
        "zoned=on,zoned.zone_size=1048576,zoned.max_active=3,zoned.max_open=3,msrc=0",
        "node-name=disk2,driver=raw,read-only=off,file=file2",
        "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
    ] {
        assert!(line.contains(part), "`{part}` is missing in {line}");
    }
    assert!(!line.contains("nvme1"), "it is not plugged: {line}");
    let device = machine.disks[1].device(1, 2, "again");
    assert_eq!(
        device,
        "nvme,id=again,serial=phyros1,drive=disk2,bus=port1,share-rw=on"
    );
}

#[test]
fn what_a_controller_and_a_machine_can_have_reaches_the_command_line() {
    let mut machine = Machine::new("k.elf");
    machine.trace = Some((vec!["pci_nvme_*".into()], "t.txt".into()));
    machine.slots = 2;
    machine.icount = true;
    let mut disk = Nvme::new("a");
    (disk.memory_mib, disk.queues, disk.vectors) = (4, Some(2), Some(3));
    (disk.ioeventfd, disk.subsystem) = (true, true);
    disk.namespaces[0].detached = true;
    machine.disks.push(disk);
    let line = line(&machine);
    for part in [
        "-device nvme-subsys,id=subsystem,nqn=phyros",
        "serial=phyros0,subsys=subsystem,bus=pcie.0,cmb_size_mb=4,max_ioqpairs=2,msix_qsize=3,ioeventfd=on",
        "nsid=1,detached=on",
        "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
        "-device pcie-root-port,id=slot1,chassis=101,slot=101",
        "-trace 'pci_nvme_*' -D t.txt",
        "-icount shift=0,sleep=off",
    ] {
        assert!(line.contains(part), "`{part}` is missing in {line}");
    }
}

#[test]
fn virtio_disks_reach_the_command_line() {
    let mut machine = Machine::new("k.elf");
    let mut first = Nvme::new("a");
    first.interface = Interface::Virtio;
    first.namespaces[0].read_only = true;
    let mut second = Nvme::new("b");
    (second.interface, second.place) = (Interface::ModernVirtio, Place::RootPort);
    (second.queues, second.vectors, second.ring) = (Some(2), Some(3), Some(64));
    second.without = vec!["event_idx".into()];
    (second.asks_iommu, second.packed) = (true, true);
    second.namespaces[0].format.lba = 4096;
    machine.disks = vec![first, second];
    let line = line(&machine);
    for part in [
        "node-name=disk0,driver=raw,read-only=on",
        "-device virtio-blk-pci,id=virtio0,serial=phyros0,drive=disk0,bus=pcie.0 -",
        "virtio-blk-pci,id=virtio1,serial=phyros1,drive=disk1,bus=port1,logical_block_size=4096,\
         physical_block_size=4096,share-rw=on,disable-legacy=on,iommu_platform=on,packed=on,num-queues=2,vectors=3,\
         queue-size=64,event_idx=off",
    ] {
        assert!(line.contains(part), "`{part}` is missing in {line}");
    }
}

#[test]
fn an_iommu_comes_before_the_devices_behind_it() {
    let mut machine = Machine::new("k.elf");
    machine.iommu = Some(vec!["caching-mode=on".into()]);
    machine.devices = vec!["edu"];
    machine.disks.push(Nvme::new("a"));
    let line = line(&machine);
    let place = |part| line.find(part).unwrap();
    assert!(place("-device intel-iommu,caching-mode=on ") < place("-device edu "));
    assert!(place("-device intel-iommu") < place("-device nvme"));
}

#[test]
fn memory_besides_ram_reaches_the_command_line() {
    let backing = |name: &str, size| Backing {
        file: name.into(),
        size,
        unshared: name == "b",
    };
    let mut machine = Machine::new("k.elf");
    machine.stores = Stores {
        shared: vec![backing("a", 1 << 20), backing("b", 8 << 30)],
        modules: vec![backing("c,d", 64 << 20)],
        pmem: vec![backing("e", 32 << 20)],
        entropy: Some("f".into()),
        display: Some(16 << 20),
        hole: true,
    };
    let mut disk = Nvme::new("disk");
    disk.persistent = Some(backing("p", 2 << 20));
    machine.disks.push(disk);
    machine.outlet = Some("o,p".into());
    let line = line(&machine);
    for part in [
        "-chardev socket,id=outlet,server=on,wait=off,path=o,,p -device virtio-serial-pci,id=console",
        "virtserialport,id=port,bus=console.0,chardev=outlet,name=org.phyros.test",
        "-machine q35,memory-backend=ram,nvdimm=on -m 128M,slots=2,maxmem=224M",
        "-object rng-random,id=bytes,filename=f -device virtio-rng-pci,id=entropy,rng=bytes",
        "memory-backend-file,id=shared1,share=off,size=8G,mem-path=b",
        "ivshmem-plain,id=ivshmem1,memdev=shared1",
        "id=module0,share=on,size=64M,mem-path=c,,d",
        "nvdimm,id=nvdimm0,memdev=module0",
        "id=lasting0,share=on,size=32M,mem-path=e",
        "virtio-pmem-pci,id=virtio-pmem0,memdev=lasting0",
        "bochs-display,id=display,vgamem=16M",
        "pci-testdev,id=hole,membar=1M",
        "memory-backend-file,id=persistent0,share=on,size=2M,mem-path=p",
        "bus=pcie.0,pmrdev=persistent0",
    ] {
        assert!(line.contains(part), "`{part}` is missing in {line}");
    }
    let names: Vec<_> = machine.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "ivshmem0",
            "ivshmem1",
            "nvdimm0",
            "virtio-pmem0",
            "entropy0",
            "pmr0"
        ]
    );
}

#[test]
fn a_shell_gets_every_word_whole() {
    let words = ["a b".into(), "it's".into(), "".into()];
    assert_eq!(shell_line(OsStr::new("q"), &words), r"q 'a b' 'it'\''s' ''");
}

#[test]
fn wires_of_every_kind_reach_the_command_line() {
    let card = |wire: Wire| Card {
        has_port: false,
        properties: vec!["csum=off".into()],
        files: "f,o/net".into(),
        capture: Some("f,o/net.pcap".into()),
        wire,
    };
    let mut machine = Machine::new("k.elf");
    let forward = Forward {
        protocol: Protocol::Udp,
        host: 7,
        guest: 8,
    };
    let user = |loses| {
        card(Wire::User(User {
            forwards: vec![forward],
            has_echo: false,
            loses,
        }))
    };
    let tap = Tap {
        pairs: 2,
        ..Tap::own()
    };
    machine.cards = vec![
        user(None),
        user(Some(5)),
        card(Wire::Tap(Tap::own())),
        card(Wire::Tap(tap)),
    ];
    let line = line(&machine);
    for part in [
        "-netdev user,id=wire0,hostfwd=udp:127.0.0.1:7-:8 -object filter-dump,id=dump0,netdev=wire0,maxlen=262144,\
         file=f,,o/net.pcap -device virtio-net-pci,id=net0,netdev=wire0",
        "-netdev user,id=far1,hostfwd=udp:127.0.0.1:7-:8 -netdev dgram,id=near1,local.type=unix,remote.type=unix,\
         local.path=f,,o/net.near.guest,remote.path=f,,o/net.near.host -netdev hubport,id=hub-near1,hubid=1,\
         netdev=near1 -netdev hubport,id=hub-far1,hubid=1,netdev=far1 -netdev dgram,id=wire1",
        "-netdev tap,id=wire2,ifname=tap0,script=no,downscript=no,vhost=off -object",
        "-netdev tap,id=wire3,ifname=tap0,script=no,downscript=no,vhost=off,queues=2 -object",
        "netdev=wire3,mac=52:54:00:70:68:13,mq=on,vectors=6,csum=off",
    ] {
        assert!(line.contains(part), "`{part}` is missing in {line}");
    }
    assert!(machine.has_own_network());
}
