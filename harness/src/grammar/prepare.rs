//! From what a test needs to a machine: the files behind its disks and memory.

use std::path::Path;

use anyhow::Result;
use vm_test::pattern;

use super::Needs;
use crate::machine::{
    Accel, Backing, Forward, Interface, Machine, Memory, Namespace, Nvme, Protocol, SHARED_FILE,
    Share, Wire,
};
use crate::{disk, ports};

/// Bytes of the file of a share: of several messages, and no round number.
const SHARED: usize = (5 << 20) + 1234;

/// Files in its folder of many.
const MANY: u32 = 600;

/// Bytes that a source of entropy has.
const ENTROPY: usize = 4 << 20;

impl Needs {
    /// Bytes of each disk: what the test says, or what its content needs.
    pub fn disk_size(&self) -> u64 {
        self.size.unwrap_or_else(|| self.content.default_size())
    }

    /// Makes the disks in `folder` and returns the machine, with memory that the host can see.
    ///
    /// Disks are counted over all namespaces of all controllers. The pattern of disk `n` has the seed
    /// `seed + n`, so that no two disks are alike.
    pub fn prepare(&self, image: &Path, accel: Accel, folder: &Path, seed: u64) -> Result<Machine> {
        let mut machine = Machine::new(image);
        machine.ram = self.ram;
        machine.memory = Memory::Shared;
        machine.cores = self.cores;
        machine.firmware = self.firmware;
        machine.board = self.board;
        machine.accel = accel;
        machine.icount = self.icount;
        machine.timeless = self.timeless;
        machine.without.clone_from(&self.without);
        machine.iommu.clone_from(&self.iommu);
        machine.devices.clone_from(&self.devices);
        // What QEMU's translator can do does not depend on the host.
        if self.icount || self.svm || !self.without.is_empty() {
            machine.accel = Accel::Tcg;
        }
        if !self.trace.is_empty() {
            machine.trace = Some((self.trace.clone(), folder.join("trace.txt")));
        }
        // Sparse: 8 GiB of which nobody writes more than a part take no more than that part.
        let backing = |name: String, size: u64| -> Result<Backing> {
            let file = folder.join(name);
            std::fs::File::create(&file)?.set_len(size)?;
            let unshared = self.unshared;
            Ok(Backing {
                file,
                size,
                unshared,
            })
        };
        let all = |name: &str, sizes: &[u64]| -> Result<Vec<Backing>> {
            let sizes = sizes.iter().enumerate();
            sizes
                .map(|(index, size)| backing(format!("{name}{index}"), *size))
                .collect()
        };
        machine.stores.shared = all("ivshmem", &self.shared)?;
        machine.stores.modules = all("nvdimm", &self.modules)?;
        machine.stores.pmem = all("virtio-pmem", &self.pmem)?;
        if self.entropy {
            let file = folder.join("entropy0");
            let mut bytes = vec![0; ENTROPY];
            pattern::fill(seed, 0, &mut bytes);
            std::fs::write(&file, bytes)?;
            machine.stores.entropy = Some(file);
        }
        if let Some(asks_iommu) = self.share {
            let folder = folder.join("share");
            fill_share(&folder, seed)?;
            machine.shares.push(Share {
                folder,
                name: "share".to_owned(),
                asks_iommu,
            });
        }
        machine.outlet = self.console.then(|| folder.join("outlet"));
        machine.stores.display = self.display;
        machine.stores.hole = self.hole;
        for index in 0..self.cards {
            let mut card = self.card.clone();
            card.files = folder.join(format!("net{index}"));
            // It cannot be written down in order what passes through several queues.
            let is_single = !matches!(&card.wire, Wire::Tap(tap) if tap.pairs > 1);
            let capture = is_single.then(|| folder.join(format!("net{index}.pcap")));
            card.capture = capture;
            if let Wire::User(network) = &mut card.wire {
                let (host, guest) = (ports::free()?, 80);
                network.forwards.push(Forward {
                    protocol: Protocol::Tcp,
                    host,
                    guest,
                });
                network.has_echo = true;
                network.loses = network.loses.map(|_| seed);
            }
            machine.cards.push(card);
        }
        let mut disks = 0_u8;
        for index in 0..self.disks + self.spares {
            let mut controller = self.controller.clone();
            controller.plugged = index < self.disks;
            if let Some(size) = self.persistent {
                controller.persistent = Some(backing(format!("pmr{index}"), size)?);
            }
            // Controllers that share have all they have from the first.
            let has_own = index == 0 || !self.controller.subsystem;
            let count = self.namespaces + u8::from(self.detached);
            for number in 0..if has_own { count } else { 0 } {
                let image = folder.join(format!("disk{disks}.img"));
                let seed = seed.wrapping_add(disks.into());
                let lba = self.namespace.format.lba;
                disk::create(&image, self.content, self.disk_size(), lba, seed)?;
                controller.namespaces.push(Namespace {
                    image,
                    detached: number == self.namespaces,
                    ..self.namespace.clone()
                });
                disks += 1;
            }
            machine.disks.push(controller);
        }
        if self.beside {
            let image = folder.join(format!("disk{disks}.img"));
            let seed = seed.wrapping_add(disks.into());
            let lba = self.namespace.format.lba;
            disk::create(&image, self.content, self.disk_size(), lba, seed)?;
            let mut virtio = Nvme::of(vec![Namespace {
                image,
                ..Namespace::new("")
            }]);
            virtio.interface = Interface::Virtio;
            virtio.namespaces[0].format.lba = lba;
            machine.disks.push(virtio);
        }
        Ok(machine)
    }
}

/// Makes a folder to be shared: the file of the pattern, folders, many files, and links, one of which leads out.
fn fill_share(folder: &Path, seed: u64) -> Result<()> {
    use std::os::unix::fs::symlink;
    std::fs::create_dir_all(folder.join("many"))?;
    std::fs::create_dir_all(folder.join("a/b/c"))?;
    let mut bytes = vec![0; SHARED];
    pattern::fill(seed, 0, &mut bytes);
    std::fs::write(folder.join(SHARED_FILE), bytes)?;
    std::fs::write(folder.join("a/b/c/leaf"), "leaf\n")?;
    std::fs::write(folder.join("odd name, with a comma"), "odd\n")?;
    for number in 0..MANY {
        std::fs::write(folder.join(format!("many/file {number:04}")), "")?;
    }
    symlink("b/c/leaf", folder.join("a/link"))?;
    symlink("/a/b", folder.join("absolute"))?;
    // Beside the folder is the test's own.
    std::fs::write(folder.with_file_name("outside"), "not shared\n")?;
    symlink(folder.with_file_name("outside"), folder.join("out"))?;
    symlink("../outside", folder.join("up"))?;
    Ok(())
}
