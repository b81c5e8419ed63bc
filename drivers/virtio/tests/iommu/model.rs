//! A virtio IOMMU that does what it is told as soon as it is notified, and may be told to do it wrong.

use phyr::{DmaAddr, DmaRange};
use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use virtio::{OutOfMemory, Platform, Registers, SharedMemory};

/// What the IOMMU does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// It does not answer.
    Silent,
    /// It says that it has used this chain.
    UsedId(u32),
    /// It says of each chain that it was the first.
    Twice,
    /// It has used more than there was.
    Ahead,
}

/// A queue, as the device was told of it.
#[derive(Clone, Copy, Debug, Default)]
struct Rings {
    size: u16,
    at: [u64; 3],
    taken: u16,
    used: u16,
}

/// Where a piece is, how long it is, and whether it is to be written.
type Descriptor = (u64, u32, bool);

/// The device, and the memory that it reaches.
pub(crate) struct Device {
    pub(crate) offered: u64,
    pub(crate) accepted: u64,
    pub(crate) config: Vec<u8>,
    /// It cannot be kept from memory.
    pub(crate) is_unstoppable: bool,
    /// The register for what is in no domain cannot be changed.
    pub(crate) is_open: bool,
    pub(crate) status: u8,
    pub(crate) can_dma: bool,
    pub(crate) mischief: Option<Mischief>,
    /// What it says of the next requests, before it is content with all.
    pub(crate) answers: VecDeque<u8>,
    /// The requests that it was given.
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) notifications: u64,
    memory: Vec<u8>,
    queues: [Rings; 2],
    selected: [u32; 3],
}

/// Where the device's memory begins.
const BASE: u64 = 0x10_0000;

impl Device {
    fn bytes(&mut self, at: u64, len: usize) -> &mut [u8] {
        assert!(self.can_dma, "it has no way to memory");
        let start = (at - BASE) as usize;
        &mut self.memory[start..start + len]
    }

    fn load<const N: usize>(&mut self, at: u64) -> [u8; N] {
        self.bytes(at, N).try_into().unwrap()
    }

    /// The descriptors of the next chain that is available: address, length, whether it is to be written.
    fn next_chain(&mut self, number: usize) -> Option<(u32, Vec<Descriptor>)> {
        let Rings {
            size, at, taken, ..
        } = self.queues[number];
        if u16::from_le_bytes(self.load(at[1] + 2)) == taken {
            return None;
        }
        self.queues[number].taken = taken.wrapping_add(1);
        let entry = at[1] + 4 + 2 * u64::from(taken % size);
        let head = u16::from_le_bytes(self.load(entry));
        let (mut chain, mut index) = (Vec::new(), head);
        loop {
            let place = at[0] + 16 * u64::from(index);
            let address = u64::from_le_bytes(self.load(place));
            let rest = u64::from_le_bytes(self.load(place + 8));
            chain.push((address, rest as u32, rest >> 33 & 1 != 0));
            if rest >> 32 & 1 == 0 {
                return Some((head.into(), chain));
            }
            index = (rest >> 48) as u16;
        }
    }

    fn put_used(&mut self, number: usize, id: u32, len: u32) {
        let Rings { size, at, used, .. } = self.queues[number];
        let entry = at[2] + 4 + 8 * u64::from(used % size);
        self.bytes(entry, 4).copy_from_slice(&id.to_le_bytes());
        self.bytes(entry + 4, 4).copy_from_slice(&len.to_le_bytes());
        let ahead = u16::from(self.mischief == Some(Mischief::Ahead)) * 300;
        let next = used.wrapping_add(1);
        self.queues[number].used = next;
        let shown = next.wrapping_add(ahead).to_le_bytes();
        self.bytes(at[2] + 2, 2).copy_from_slice(&shown);
    }

    fn notified(&mut self, number: usize) {
        self.notifications += 1;
        if number != 0 || self.mischief == Some(Mischief::Silent) {
            return;
        }
        let mut first = None;
        while let Some((head, chain)) = self.next_chain(0) {
            let [(request, len, false), (tail, 4, true)] = chain[..] else {
                panic!("a request, and a tail to be written: {chain:?}");
            };
            let request = self.bytes(request, len as usize).to_vec();
            self.requests.push(request);
            let status = self.answers.pop_front().unwrap_or(0);
            self.bytes(tail, 4).copy_from_slice(&[status, 0, 0, 0]);
            let first = *first.get_or_insert(head);
            let id = match self.mischief {
                Some(Mischief::UsedId(id)) => id,
                Some(Mischief::Twice) => first,
                _ => head,
            };
            self.put_used(0, id, 4);
        }
    }

    /// Reports a fault, if there is a buffer for it.
    pub(crate) fn fault(&mut self, words: [u64; 3]) -> bool {
        let Some((head, chain)) = self.next_chain(1) else {
            return false;
        };
        let [(at, len, true)] = chain[..] else {
            panic!("a buffer to be written: {chain:?}");
        };
        assert!(len >= 24);
        for (index, word) in words.into_iter().enumerate() {
            let place = at + 8 * index as u64;
            self.bytes(place, 8).copy_from_slice(&word.to_le_bytes());
        }
        self.put_used(1, head, 24);
        true
    }

    fn read(&self, offset: usize) -> u32 {
        let queue = self.queues.get(self.selected[2] as usize);
        match offset {
            0x04 => (u128::from(self.offered) >> (32 * self.selected[0])) as u32,
            0x12 => 2,
            0x14 => self.status.into(),
            0x15 => 0,
            0x18 => queue.map_or(0, |queue| queue.size.into()),
            0x1a => 0xffff,
            0x1e => self.selected[2],
            _ => panic!("{offset:#x} is not read"),
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        match offset {
            0x00 => self.selected[0] = value,
            0x08 => self.selected[1] = value,
            0x0c if self.selected[1] == 0 => self.accepted = value.into(),
            0x0c => self.accepted |= u64::from(value) << 32,
            0x14 if value == 0 => {
                self.status = 0;
                self.queues = [Rings::new(); 2];
            }
            0x14 => self.status = value as u8,
            0x16 => self.selected[2] = value,
            0x18 => self.queue().size = value as u16,
            0x1a => assert_eq!(value, 0xffff, "it does not interrupt"),
            0x1c => assert_eq!(
                self.status, 11,
                "queues are enabled before the driver is ready"
            ),
            0x20..0x38 => {
                let part = &mut self.queue().at[(offset - 0x20) / 8];
                let shift = offset % 8 * 8;
                *part = *part & !(0xffff_ffff << shift) | u64::from(value) << shift;
            }
            _ => panic!("{offset:#x} is not written"),
        }
    }

    fn queue(&mut self) -> &mut Rings {
        &mut self.queues[self.selected[2] as usize]
    }
}

impl Rings {
    fn new() -> Self {
        Self {
            size: 256,
            ..Self::default()
        }
    }
}

/// The machine. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Machine(Rc<Inner>);

struct Inner {
    device: Rc<RefCell<Device>>,
    windows: [Window; 3],
    clock: Cell<u64>,
    allocated: Cell<u64>,
}

/// A block of registers: common, notifications, configuration.
pub(crate) struct Window(Rc<RefCell<Device>>, usize);

impl Machine {
    pub(crate) fn new(change: impl FnOnce(&mut Device)) -> Self {
        let mut config = vec![0; 40];
        config[..8].copy_from_slice(&(!0xfff_u64).to_le_bytes());
        config[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        config[28..32].copy_from_slice(&100_u32.to_le_bytes());
        config[36] = 1;
        let mut device = Device {
            offered: 1 << 32 | 0x7f,
            accepted: 0,
            config,
            is_unstoppable: false,
            is_open: false,
            status: 0xf,
            can_dma: true,
            mischief: None,
            answers: VecDeque::new(),
            requests: Vec::new(),
            notifications: 0,
            memory: vec![0; 1 << 20],
            queues: [Rings::new(); 2],
            selected: [0; 3],
        };
        change(&mut device);
        let device = Rc::new(RefCell::new(device));
        Self(Rc::new(Inner {
            windows: [0, 1, 2].map(|block| Window(device.clone(), block)),
            device,
            clock: Cell::new(0),
            allocated: Cell::new(0),
        }))
    }

    pub(crate) fn device(&self) -> RefMut<'_, Device> {
        self.0.device.borrow_mut()
    }

    pub(crate) fn look(&self) -> Ref<'_, Device> {
        self.0.device.borrow()
    }
}

impl Registers for Window {
    fn len(&self) -> usize {
        [56, 8, 40][self.1]
    }
    fn read8(&self, offset: usize) -> u8 {
        match self.1 {
            2 => self.0.borrow().config[offset],
            _ => self.0.borrow().read(offset) as u8,
        }
    }
    fn read16(&self, offset: usize) -> u16 {
        self.0.borrow().read(offset) as u16
    }
    fn read32(&self, offset: usize) -> u32 {
        let device = self.0.borrow();
        match self.1 {
            2 => u32::from_le_bytes(device.config[offset..][..4].try_into().unwrap()),
            _ => device.read(offset),
        }
    }
    fn write8(&self, offset: usize, value: u8) {
        let mut device = self.0.borrow_mut();
        match self.1 {
            2 => {
                assert_eq!(offset, 36, "nothing else is written");
                if !device.is_open {
                    device.config[36] = value;
                }
            }
            _ => device.write(offset, value.into()),
        }
    }
    fn write16(&self, offset: usize, value: u16) {
        let mut device = self.0.borrow_mut();
        match self.1 {
            1 => {
                assert_eq!(offset, 4 * usize::from(value));
                device.notified(value.into());
            }
            _ => device.write(offset, value.into()),
        }
    }
    fn write32(&self, offset: usize, value: u32) {
        self.0.borrow_mut().write(offset, value);
    }
}

pub(crate) struct Shared {
    device: Rc<RefCell<Device>>,
    range: DmaRange,
}

impl Shared {
    fn place(&self, offset: usize, size: usize) -> usize {
        assert!(offset.is_multiple_of(size) && ((offset + size) as u64) <= self.range.len());
        (self.range.addr().get() - BASE) as usize + offset
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let device = self.device.borrow();
        assert!(!device.can_dma, "the device can still reach it");
    }
}

// SAFETY: the memory is a part of the model's that is given out once.
unsafe impl SharedMemory for Shared {
    fn bus(&self) -> DmaRange {
        self.range
    }
    fn load16(&self, offset: usize) -> u16 {
        let at = self.place(offset, 2);
        u16::from_le_bytes(self.device.borrow().memory[at..][..2].try_into().unwrap())
    }
    fn store16(&self, offset: usize, value: u16) {
        let at = self.place(offset, 2);
        self.device.borrow_mut().memory[at..][..2].copy_from_slice(&value.to_le_bytes());
    }
    fn load64(&self, offset: usize) -> u64 {
        let at = self.place(offset, 8);
        u64::from_le_bytes(self.device.borrow().memory[at..][..8].try_into().unwrap())
    }
    fn store64(&self, offset: usize, value: u64) {
        let at = self.place(offset, 8);
        self.device.borrow_mut().memory[at..][..8].copy_from_slice(&value.to_le_bytes());
    }
}

// SAFETY: no device is real; what this one is told it does in its own memory.
unsafe impl Platform for Machine {
    type Registers = Window;
    type Shared = Shared;

    fn common(&self) -> &Window {
        &self.0.windows[0]
    }
    fn notify(&self) -> &Window {
        &self.0.windows[1]
    }
    fn config(&self) -> &Window {
        &self.0.windows[2]
    }
    fn allocate(&self, bytes: usize) -> Result<Shared, OutOfMemory> {
        let start = self.0.allocated.get();
        self.0
            .allocated
            .set(start + bytes.next_multiple_of(4096) as u64);
        Ok(Shared {
            device: self.0.device.clone(),
            range: DmaRange::new(DmaAddr::new(BASE + start), bytes as u64).unwrap(),
        })
    }
    /// Whoever looks at the clock for long enough sees time pass.
    fn microseconds(&self) -> u64 {
        self.0.clock.set(self.0.clock.get() + 100);
        self.0.clock.get()
    }
    async fn pause(&self, microseconds: u64) {
        self.0.clock.set(self.0.clock.get() + microseconds);
    }
    fn is_present(&self) -> bool {
        true
    }
    fn start_dma(&self) {
        self.device().can_dma = true;
    }
    fn stop_dma(&self) -> bool {
        let mut device = self.device();
        device.can_dma &= device.is_unstoppable;
        !device.can_dma
    }
}
