//! Images in QEMU's own format, version 2, as far as tests need them.
//!
//! QEMU keeps in its memory where the blocks of such an image are, and writes it down when the guest flushes. So a
//! QEMU that is killed takes along what was not flushed, as a disk without current takes along its cache. Of a raw
//! image nothing is lost: the host's kernel has it all.

use std::fs;
use std::path::Path;

const CLUSTER: usize = 1 << 16;

/// Entries of a table that fills a cluster.
const ENTRIES: usize = CLUSTER / 8;

/// An entry's address; the other bits are flags.
const ADDRESS: u64 = 0x00ff_ffff_ffff_fe00;

/// An image of zeros. One table of the first level is enough for 512 MiB and more.
pub(crate) fn create(path: &Path, bytes: u64) {
    let mut image = vec![0; 4 * CLUSTER];
    let mut put = |at: usize, value: &[u8]| image[at..at + value.len()].copy_from_slice(value);
    let cluster = |number: u64| (number * CLUSTER as u64).to_be_bytes();
    let tables = bytes.div_ceil((CLUSTER * ENTRIES) as u64) as u32;
    put(0, b"QFI\xfb");
    put(4, &2u32.to_be_bytes());
    put(20, &CLUSTER.ilog2().to_be_bytes());
    put(24, &bytes.to_be_bytes());
    put(36, &tables.to_be_bytes());
    put(40, &cluster(3));
    put(48, &cluster(1));
    put(56, &1u32.to_be_bytes());
    // What is in use: these four clusters, once each.
    put(CLUSTER, &cluster(2));
    for number in 0..4 {
        put(2 * CLUSTER + number * 2, &1u16.to_be_bytes());
    }
    fs::write(path, image).expect("the folder can be written");
}

/// Everything in an image.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    let image = fs::read(path).expect("the image is there");
    let number = |at: usize| {
        let bytes = image.get(at..at + 8).expect("it is within the image");
        u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
    };
    let follow = |at: usize| (number(at) & ADDRESS) as usize;
    let (len, first) = (number(24) as usize, follow(40));
    let mut all = vec![0; len.next_multiple_of(CLUSTER)];
    for (at, cluster) in all.chunks_mut(CLUSTER).enumerate() {
        let table = follow(first + at / ENTRIES * 8);
        if table == 0 {
            continue;
        }
        let data = follow(table + at % ENTRIES * 8);
        // The last one may be shorter than a cluster, at the end of the file.
        if data != 0 {
            let rest = image.get(data..).unwrap_or_default();
            let count = rest.len().min(cluster.len());
            cluster[..count].copy_from_slice(&rest[..count]);
        }
    }
    all.truncate(len);
    all
}
