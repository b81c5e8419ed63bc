//! Every kind of memory, as target and as source, of an NVMe and of a virtio disk.
//!
//! Bytes beside the data are known before. Afterwards three look at the data and at what is beside it: the
//! file behind the memory, where there is one; QEMU, which goes to the physical address as a CPU would; and
//! for what was written, the disk's image.

use super::{BLOCK, GIB, KIB, PAGE, canary, provider};
use crate::block::BlockDevice;
use crate::block::blocking::wait;
use crate::dma::{Memory, Owner};
use crate::memory::frames::Frames;
use crate::memory::regions::{Kind, Region};
use crate::storage;
use alloc::sync::Arc;
use alloc::vec;
use phyr::Phyr;
use vm_test::{host, pattern, seed, vm_test};

/// A disk, and which of the machine's it is.
struct Disk {
    device: Arc<dyn BlockDevice>,
    number: u64,
}

impl Disk {
    /// The pattern that its image was made of.
    fn seed(&self) -> u64 {
        seed() + self.number
    }
}

fn disks() -> [Disk; 2] {
    ["nvme0n1", "vda"].map(|name| Disk {
        device: storage::volume(name).expect("the machine has it").device,
        number: u64::from(name == "vda"),
    })
}

/// Data with a page on each side of it, in RAM or with a provider.
struct Place {
    /// Of the data and both pages.
    whole: Phyr,
    /// The file behind it, and where in it the first page is.
    file: Option<(&'static str, u64)>,
    len: u64,
    holder: Holder,
}

/// Who has the pages beside the data.
enum Holder {
    /// The same frames.
    Ram,
    /// Regions of their own.
    Sides(Region, Region),
}

impl Place {
    /// In RAM. Returns the data itself, too.
    fn in_ram(len: u64) -> (Self, Memory) {
        let frames = Frames::allocate((len + 2 * PAGE).next_multiple_of(PAGE)).unwrap();
        let place = Self {
            whole: frames.phyr().sub(0, len + 2 * PAGE).unwrap(),
            file: None,
            len,
            holder: Holder::Ram,
        };
        let part = PAGE as usize..(PAGE + len) as usize;
        (place, frames.into_memory().part(part).unwrap())
    }

    /// Of memory that a provider has, `at` bytes from its start. Returns the data itself, too.
    fn of(name: &str, file: Option<&'static str>, at: u64, len: u64) -> (Self, Memory) {
        let provider = provider(name);
        let claim = |at, len| provider.claim(at, len).expect("nobody has it");
        let sides = Holder::Sides(claim(at - PAGE, PAGE), claim(at + len, PAGE));
        let whole = provider.phyr().sub(at - PAGE, len + 2 * PAGE);
        let place = Self {
            whole: whole.expect("it is inside"),
            file: file.map(|file| (file, at - PAGE)),
            len,
            holder: sides,
        };
        (place, claim(at, len).into_memory())
    }

    fn data(&self) -> Phyr {
        self.whole.sub(PAGE, self.len).expect("it is inside")
    }

    /// Makes everything known: the canary's bytes.
    fn set_canaries(&mut self, data: &mut Memory) {
        self.fill(data, canary(), PAGE);
        let end = PAGE + self.len;
        match (self.file, &mut self.holder) {
            (Some((file, start)), _) => {
                for at in [0, end] {
                    host::fill_file(file, start + at, PAGE, canary(), at);
                }
            }
            (None, Holder::Sides(front, back)) => {
                let mut bytes = vec![0; PAGE as usize];
                for (side, at) in [(front, 0), (back, end)] {
                    pattern::fill(canary(), at, &mut bytes);
                    side.write(0, &bytes).expect("the CPU reaches it");
                }
            }
            (None, Holder::Ram) => host::fill_pattern(self.whole, canary(), 0),
        }
    }

    /// Fills the data: by the host, where it has a way to it.
    fn fill(&self, data: &mut Memory, seed: u64, offset: u64) {
        match (self.file, &self.holder) {
            (Some((file, start)), _) => {
                host::fill_file(file, start + PAGE, self.len, seed, offset);
            }
            (None, Holder::Ram) => host::fill_pattern(self.data(), seed, offset),
            (None, Holder::Sides(..)) => {
                let mut bytes = vec![0; self.len as usize];
                pattern::fill(seed, offset, &mut bytes);
                data.copy_from(0, &bytes).expect("the CPU reaches it");
            }
        }
    }

    /// The data is the pattern, and what is beside it is as it was.
    fn check(&self, seed: u64, offset: u64) {
        host::assert_physical(self.data(), seed, offset);
        if let Some((file, start)) = self.file {
            host::assert_file_pattern(file, start + PAGE, self.len, seed, offset);
        }
        for at in [0, PAGE + self.len] {
            let side = self.whole.sub(at, PAGE).expect("it is inside");
            host::assert_physical(side, canary(), at);
            if let Some((file, start)) = self.file {
                host::assert_file_pattern(file, start + at, PAGE, canary(), at);
            }
        }
    }
}

/// From the disk into memory, and from other bytes there to the disk.
fn both_ways(disk: &Disk, mut place: Place, mut data: Memory, block: u64) {
    let len = place.len;
    place.set_canaries(&mut data);
    place.check(canary(), PAGE);
    let mut data = wait(disk.device.read(block, data)).expect("the disk reads into it");
    place.check(disk.seed(), block * BLOCK);

    let mine = seed() ^ 0x0bac_f111 ^ block;
    place.fill(&mut data, mine, 0);
    let data = wait(disk.device.write(block, data)).expect("the disk writes from it");
    wait(disk.device.flush()).expect("it is flushed");
    host::assert_disk_pattern(disk.number, block * BLOCK, len, mine, 0);
    for beside in [block - 1, block + len / BLOCK] {
        let at = beside * BLOCK;
        host::assert_disk_pattern(disk.number, at, BLOCK, disk.seed(), at);
    }
    place.check(mine, 0);
    drop(data);
}

/// A kind of memory in all four ways, at these places, with a copy or without.
fn all_ways(name: &str, file: Option<&'static str>, places: [(u64, u64); 3]) {
    for (disk, first) in disks().iter().zip([100, 101]) {
        for ((at, len), block) in places.into_iter().zip([first, 3000, 9000]) {
            let (place, data) = Place::of(name, file, at, len);
            let before = storage::virtio_disks()[0].bounced();
            both_ways(disk, place, data, block);
            let copied = storage::virtio_disks()[0].bounced() - before;
            let is_io_only = provider(name).kind() == Kind::Controller;
            // Only this kind is copied, only for virtio, there and back.
            let expected = if is_io_only && disk.number == 1 {
                2 * len
            } else {
                0
            };
            assert_eq!(copied, expected, "{name}");
        }
    }
    let provider = provider(name);
    assert_eq!(provider.free(), [provider.phyr()], "all of it came back");
}

/// A block, an odd number of them that starts in a page, and more than a page list has.
const PLACES: [(u64, u64); 3] = [
    (2 * PAGE, BLOCK),
    (64 * KIB + 1536, 12 * KIB + BLOCK),
    (256 * KIB, 600 * KIB),
];

#[vm_test(machine = "nvme,beside=virtio,size=16M", timeout = 60)]
fn ram_with_either_disk() {
    for (disk, first) in disks().iter().zip([100, 101]) {
        for ((_, len), block) in PLACES.into_iter().zip([first, 3000, 9000]) {
            let (place, data) = Place::in_ram(len);
            both_ways(disk, place, data, block);
        }
    }
    assert_eq!(storage::virtio_disks()[0].bounced(), 0);
}

#[vm_test(machine = "nvme,beside=virtio,size=16M,ivshmem=4M", timeout = 60)]
fn b1_b2_shared_memory_with_either_disk() {
    all_ways("ivshmem0", Some("ivshmem0"), PLACES);
}

/// One phyr of 8 GiB, of which the data is across 4 GiB, and at both ends.
#[vm_test(machine = "nvme,beside=virtio,size=16M,ivshmem=8G", timeout = 90)]
fn a5_a_board_of_8_gib_with_either_disk() {
    let places = [
        (PAGE, 64 * KIB),
        (4 * GIB - 300 * KIB, 600 * KIB),
        (8 * GIB - 64 * KIB - PAGE, 64 * KIB),
    ];
    all_ways("ivshmem0", Some("ivshmem0"), places);
}

#[vm_test(machine = "nvme,beside=virtio,size=16M,display", timeout = 60)]
fn b1_video_memory_with_either_disk() {
    all_ways("vram0", None, PLACES);
}

#[vm_test(machine = "nvme,beside=virtio,size=16M,cmb=1M", timeout = 60)]
fn b3_a_controllers_buffer_with_either_disk() {
    let _ = storage::volumes();
    all_ways("nvme0cmb", None, PLACES);
}

#[vm_test(machine = "nvme,beside=virtio,size=16M,pmr=2M", timeout = 60)]
fn b4_a_controllers_persistent_region_with_either_disk() {
    let _ = storage::volumes();
    all_ways("nvme0pmr", Some("pmr0"), PLACES);
}

#[vm_test(machine = "nvme,beside=virtio,size=16M,nvdimm=4M", timeout = 60)]
fn b5_a_module_with_either_disk() {
    all_ways("pmem0", Some("nvdimm0"), PLACES);
}

#[vm_test(machine = "nvme,beside=virtio,size=16M,pmem=4M", timeout = 60)]
fn b5_the_hypervisors_memory_with_either_disk() {
    let _ = storage::volumes();
    all_ways("pmem0", Some("virtio-pmem0"), PLACES);
}
