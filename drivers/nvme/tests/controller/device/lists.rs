//! Scatter gather lists: what the model takes, and with what it refuses the rest.

use super::Host;
use super::host::transfer;
use crate::model::Config;
use nvme::wire::SubmissionEntry;

const BLOCK: u8 = 0x00;
const SEGMENT: u8 = 0x20;
const LAST: u8 = 0x30;

/// A descriptor: address, length, identifier.
type Descriptor = (u64, u64, u8);

fn words((address, length, identifier): Descriptor) -> [u64; 2] {
    [address, length | u64::from(identifier) << 56]
}

struct Lists {
    host: Host,
    /// Three pages: of data, and of two segments.
    data: u64,
    first: u64,
    second: u64,
}

impl Lists {
    fn new(sgls: u32) -> Self {
        let mut host = Host::new(Config::with_disk(1000, 9).sgls(sgls));
        host.create(1, None);
        let [data, first, second] = [(); 3].map(|()| host.zeros(1));
        Self {
            host,
            data,
            first,
            second,
        }
    }

    fn put(&self, segment: u64, descriptors: &[Descriptor]) {
        for (index, descriptor) in descriptors.iter().enumerate() {
            for (half, word) in words(*descriptor).into_iter().enumerate() {
                let at = segment + index as u64 * 16 + half as u64 * 8;
                self.host.put(at, &word.to_le_bytes());
            }
        }
    }

    /// A read of block 7, to where the descriptor says.
    fn read(&self, descriptor: Descriptor) -> SubmissionEntry {
        let mut read = transfer(0x02, 1, 7, 1, 0);
        read.cdw0.set_psdt(1);
        [read.prp1, read.prp2] = words(descriptor);
        read
    }

    fn fails(&mut self, descriptor: Descriptor) -> (u8, u8) {
        let read = self.read(descriptor);
        let code = self.host.fails(1, read);
        assert_eq!(self.host.get(self.data, 4096), vec![0; 4096], "untouched");
        code
    }

    fn block(&self) -> Vec<u8> {
        self.host.machine.model().contents(1, 7, 1, 9)
    }
}

#[test]
fn a_block_and_lists_of_blocks_are_read() {
    let mut lists = Lists::new(1);
    let (data, first, second) = (lists.data, lists.first, lists.second);
    let one = lists.read((data + 3, 512, BLOCK));
    lists.host.done(1, one);
    assert_eq!(lists.host.get(data + 3, 512), lists.block());

    lists.put(first, &[(data + 2000, 100, BLOCK), (second, 32, LAST)]);
    lists.put(second, &[(data + 1, 411, BLOCK), (data + 4095, 1, BLOCK)]);
    lists.host.put(data, &[0; 4096]);
    let three = lists.read((first, 32, SEGMENT));
    lists.host.done(1, three);
    let pieces = [(2000, 100), (1, 411), (4095, 1)];
    let read = pieces.map(|(at, len)| lists.host.get(data + at, len));
    assert_eq!(read.concat(), lists.block());
    // A block of no bytes is none.
    lists.put(first, &[(0, 0, BLOCK), (data, 512, BLOCK)]);
    let empty = lists.read((first, 32, LAST));
    lists.host.done(1, empty);
}

#[test]
fn lengths_must_fit() {
    let mut lists = Lists::new(1);
    let data = lists.data;
    assert_eq!(lists.fails((data, 511, BLOCK)), (0, 0x0f));
    assert_eq!(lists.fails((data, 513, BLOCK)), (0, 0x0f));
    let mut lists = Lists::new(1 | 1 << 18);
    let longer = lists.read((lists.data, 600, BLOCK));
    lists.host.done(1, longer);
    assert_eq!(lists.host.get(lists.data + 512, 88), [0; 88]);
    lists.host.put(lists.data, &[0; 512]);
    let data = lists.data;
    assert_eq!(lists.fails((data, 511, BLOCK)), (0, 0x0f));
}

#[test]
fn segments_must_be_lists() {
    let mut lists = Lists::new(1);
    let (data, first, second) = (lists.data, lists.first, lists.second);
    lists.put(first, &[(data, 512, BLOCK), (second, 16, SEGMENT)]);
    // Of no descriptors, of half of one, off a quadword, and one that goes on nowhere.
    for (address, length) in [(first, 0), (first, 8), (first + 4, 16), (first, 16)] {
        assert_eq!(lists.fails((address, length, SEGMENT)), (0, 0x0d));
    }
    // The last segment goes on; the last segment has no end.
    assert_eq!(lists.fails((first, 32, LAST)), (0, 0x0d));
    lists.put(second, &[(data, 512, BLOCK)]);
    assert_eq!(lists.fails((first, 32, SEGMENT)), (0, 0x0d));
    // A way to elsewhere that is not at the end.
    lists.put(first, &[(second, 16, LAST), (data, 512, BLOCK)]);
    assert_eq!(lists.fails((first, 32, SEGMENT)), (0, 0x0d));
    // One that leads to itself.
    lists.put(first, &[(first, 16, SEGMENT)]);
    assert_eq!(lists.fails((first, 16, SEGMENT)), (0, 0x06));
}

#[test]
fn other_descriptors_are_refused() {
    let mut lists = Lists::new(1);
    let data = lists.data;
    // A bit bucket, a keyed block, a block at an offset, and what no version has.
    for identifier in [0x10, 0x40, 0x01, 0x21, 0x70] {
        assert_eq!(lists.fails((data, 512, identifier)), (0, 0x11));
    }
    assert_eq!(lists.fails((data, 512 | 1 << 32, BLOCK)), (0, 0x02));
}

#[test]
fn a_granularity_of_four_bytes_is_checked() {
    let mut lists = Lists::new(2);
    let (data, first) = (lists.data, lists.first);
    assert_eq!(lists.fails((data + 2, 512, BLOCK)), (0, 0x1e));
    lists.put(first, &[(data, 510, BLOCK), (data + 512, 2, BLOCK)]);
    assert_eq!(lists.fails((first, 32, LAST)), (0, 0x1e));
    let aligned = lists.read((data + 4, 512, BLOCK));
    lists.host.done(1, aligned);
}

#[test]
fn a_controller_without_lists_refuses_them() {
    for sgls in [0, 3] {
        let mut lists = Lists::new(sgls);
        let data = lists.data;
        assert_eq!(lists.fails((data, 512, BLOCK)), (0, 0x02));
        assert_eq!(lists.host.offences().len(), 1);
        lists.host.machine.model().offences.clear();
    }
    // Nor does any take them with an admin command, or with metadata by a list.
    let mut lists = Lists::new(1);
    let mut identify = super::entry(0x06, 0);
    (identify.prp1, identify.cdw10_11) = (lists.data, 1);
    identify.cdw0.set_psdt(1);
    assert_eq!(lists.host.fails(0, identify), (0, 0x02));
    let mut read = lists.read((lists.data, 512, BLOCK));
    read.cdw0.set_psdt(2);
    assert_eq!(lists.host.fails(1, read), (0, 0x02));
}

/// 1024 blocks are read, and 1025 are too many.
#[test]
fn a_command_has_so_many_blocks_and_no_more() {
    let mut host = Host::new(Config::with_disk(1000, 9).sgls(1));
    host.create(1, None);
    let (list, data) = (host.zeros(5), host.zeros(1));
    for index in 0..1025_u64 {
        host.put(list + index * 16, &(data + index).to_le_bytes());
        host.put(list + index * 16 + 8, &1_u64.to_le_bytes());
    }
    let mut read = transfer(0x02, 1, 0, 2, 0);
    read.cdw0.set_psdt(1);
    [read.prp1, read.prp2] = words((list, 1024 * 16, LAST));
    host.done(1, read);
    assert_eq!(
        host.get(data, 1024),
        host.machine.model().contents(1, 0, 2, 9)
    );
    [read.prp1, read.prp2] = words((list, 1025 * 16, LAST));
    assert_eq!(host.fails(1, read), (0, 0x06));
}

/// Edges that PRPs cannot have: the second pointer, and the entries of a list, start with a page.
#[test]
fn prps_with_gaps_are_refused() {
    let mut host = Host::new(Config::with_disk(1000, 9).sgls(1));
    host.create(1, None);
    let (list, data) = (host.zeros(1), host.zeros(4));
    let mut read = transfer(0x02, 1, 0, 8, data + 512);
    read.prp2 = data + 4096 + 512;
    assert_eq!(host.fails(1, read), (0, 0x13));
    let mut read = transfer(0x02, 1, 0, 24, data);
    read.prp2 = list;
    host.put(list, &(data + 4096).to_le_bytes());
    host.put(list + 8, &(data + 8192 + 512).to_le_bytes());
    assert_eq!(host.fails(1, read), (0, 0x13));
}
