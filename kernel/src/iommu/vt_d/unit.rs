//! One IOMMU: its registers, its tables of devices, and the orders that it is given (Intel VT-d
//! specification, chapters 9 and 11).
//!
//! Orders to forget go through registers and not through a queue in memory: every IOMMU of this kind takes them
//! there, one at a time, and whoever unmaps has to wait for the answer either way.
//!
//! An IOMMU that does not answer is like a memory controller that does not. While it is being set up that is
//! an error, and the machine goes on without it. Later it is the end: nobody can tell what devices still reach.

use super::hardware::{Capabilities, Unusable};
use super::{Fault, PAGE};
use crate::lock::Mutex;
use crate::memory::frames::{Frames, window};
use crate::memory::window::Window;
use crate::mmio::RegisterWindow;
use crate::pci::PciAddress;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use phyr::{DmaAddr, DmaRange, Phyr, PhysAddr};

/// Registers (section 11.4).
mod register {
    pub(super) const CAPABILITY: usize = 0x08;
    pub(super) const EXTENDED_CAPABILITY: usize = 0x10;
    pub(super) const GLOBAL_COMMAND: usize = 0x18;
    pub(super) const GLOBAL_STATUS: usize = 0x1c;
    pub(super) const ROOT_TABLE: usize = 0x20;
    pub(super) const CONTEXT_COMMAND: usize = 0x28;
    pub(super) const FAULT_STATUS: usize = 0x34;
}

/// Bits of the global command and of the global status (sections 11.4.4.1 and 11.4.4.2).
mod global {
    pub(super) const TRANSLATION: u32 = 1 << 31;
    pub(super) const ROOT_TABLE: u32 = 1 << 30;
    pub(super) const WRITE_BUFFER: u32 = 1 << 27;
    pub(super) const QUEUED_INVALIDATION: u32 = 1 << 26;
    pub(super) const INTERRUPT_REMAPPING: u32 = 1 << 25;
    /// What stays as it is when a command is written; the others are commands that end by themselves.
    pub(super) const STAYS: u32 = 0x96ff_ffff;
}

/// More looks than any order takes.
const PATIENCE: u32 = 100_000_000;

/// It did not do what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Silent;

/// Why an IOMMU is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartError {
    Unusable(Unusable),
    OutOfMemory,
    Silent,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unusable(Unusable::Levels) => "its page tables have another height",
            Self::Unusable(Unusable::Registers) => "its registers lie outside its window",
            Self::OutOfMemory => "there is no memory for its tables",
            Self::Silent => "it does not answer",
        })
    }
}

/// An IOMMU that translates.
pub(super) struct Unit {
    registers: RegisterWindow,
    pub(super) capabilities: Capabilities,
    devices: Mutex<Devices>,
    /// One order at a time.
    orders: Mutex<()>,
}

/// Which domain each device is in.
struct Devices {
    root: Frames,
    /// A table for each bus that has a device with a driver.
    buses: Vec<(u8, Frames)>,
    /// The numbers of domains in use.
    domains: Vec<u16>,
}

impl Unit {
    /// Sets an IOMMU up so that no device reaches anything, and turns it on.
    pub(super) fn start(registers: RegisterWindow) -> Result<Self, StartError> {
        let capabilities = Capabilities::new(
            registers.read64(register::CAPABILITY),
            registers.read64(register::EXTENDED_CAPABILITY),
            registers.len(),
        );
        let capabilities = capabilities.map_err(StartError::Unusable)?;
        let root = Frames::zeroed(PAGE).map_err(|_| StartError::OutOfMemory)?;
        capabilities.write_back(&root);
        let unit = Self {
            registers,
            capabilities,
            devices: Mutex::new(Devices {
                root,
                buses: Vec::new(),
                domains: Vec::new(),
            }),
            orders: Mutex::new(()),
        };
        unit.turn_on().map_err(|Silent| StartError::Silent)?;
        Ok(unit)
    }

    fn turn_on(&self) -> Result<(), Silent> {
        // Whatever firmware used of it. Interrupts are not remapped by this kernel.
        for bit in [
            global::TRANSLATION,
            global::INTERRUPT_REMAPPING,
            global::QUEUED_INVALIDATION,
        ] {
            if self.registers.read32(register::GLOBAL_STATUS) & bit != 0 {
                self.command(bit, false)?;
            }
        }
        let root = self.devices.lock().root.phyr().addr();
        self.registers.write64(register::ROOT_TABLE, root.get());
        self.command(global::ROOT_TABLE, true)?;
        self.forget_devices()?;
        self.forget_all()?;
        self.command(global::TRANSLATION, true)
    }

    /// Sets or clears one bit, and waits until it is so.
    fn command(&self, bit: u32, on: bool) -> Result<(), Silent> {
        let others = self.registers.read32(register::GLOBAL_STATUS) & global::STAYS & !bit;
        let command = if on { others | bit } else { others };
        self.registers.write32(register::GLOBAL_COMMAND, command);
        self.wait(|| (self.registers.read32(register::GLOBAL_STATUS) & bit != 0) == on)
    }

    fn wait(&self, is_done: impl Fn() -> bool) -> Result<(), Silent> {
        for _ in 0..PATIENCE {
            if is_done() {
                return Ok(());
            }
            core::hint::spin_loop();
        }
        Err(Silent)
    }

    /// An order of 64 bits, whose highest bit is clear again when it has been carried out.
    fn order(&self, register: usize, order: u64) -> Result<(), Silent> {
        const NOT_DONE: u64 = 1 << 63;
        self.registers.write64(register, NOT_DONE | order);
        self.wait(|| self.registers.read64(register) & NOT_DONE == 0)
    }

    /// Forgets which device is in which domain (section 11.4.5).
    fn forget_devices(&self) -> Result<(), Silent> {
        const ALL: u64 = 1 << 61;
        self.order(register::CONTEXT_COMMAND, ALL)
    }

    /// Forgets every address (section 11.4.6.1).
    fn forget_all(&self) -> Result<(), Silent> {
        const ALL: u64 = 1 << 60;
        self.order(self.forget_register(), ALL | self.capabilities.drain())
    }

    fn forget_register(&self) -> usize {
        self.capabilities.invalidate_address() + 8
    }

    /// Forgets what it knows of these addresses of a domain. When this returns, no device uses them any more.
    ///
    /// # Panics
    /// If the IOMMU does not answer.
    pub(super) fn forget(&self, domain: u16, range: DmaRange) {
        const DOMAIN: u64 = 2 << 60;
        const PAGES: u64 = 3 << 60;
        let _turn = self.orders.lock();
        let order = u64::from(domain) << 32 | self.capabilities.drain();
        let (first, last) = (range.addr().get() / PAGE, range.last().get() / PAGE);
        // The smallest aligned block of two to this power pages that has all of them.
        let power = u64::BITS - (first ^ last).leading_zeros();
        let done = match self.capabilities.page_selective() {
            Some(most) if power <= most => {
                let block = (first >> power << power) * PAGE;
                let address = self.capabilities.invalidate_address();
                self.registers.write64(address, block | u64::from(power));
                self.order(self.forget_register(), PAGES | order)
            }
            _ => self.order(self.forget_register(), DOMAIN | order),
        };
        done.expect("the IOMMU answers");
    }

    /// Makes what was added to page tables count, where that does not happen by itself.
    pub(super) fn notice(&self, domain: u16, range: DmaRange) {
        if self.capabilities.write_buffer() {
            let _turn = self.orders.lock();
            let command = self.registers.read32(register::GLOBAL_STATUS) & global::STAYS;
            self.registers
                .write32(register::GLOBAL_COMMAND, command | global::WRITE_BUFFER);
            let status = || self.registers.read32(register::GLOBAL_STATUS);
            let done = self.wait(|| status() & global::WRITE_BUFFER == 0);
            done.expect("the IOMMU answers");
        }
        if self.capabilities.caching_mode() {
            self.forget(domain, range);
        }
    }

    /// A number for a domain. `None` if all are in use, or there is no memory to note it.
    pub(super) fn take_number(&self) -> Option<u16> {
        let mut devices = self.devices.lock();
        // 0 means something else in caching mode.
        let most = self.capabilities.domains().min(1 << 16);
        let free = (1..most).find(|number| !devices.domains.contains(&(*number as u16)))?;
        devices.domains.try_reserve(1).ok()?;
        devices.domains.push(free as u16);
        Some(free as u16)
    }

    /// Gives a number back.
    pub(super) fn return_number(&self, number: u16) {
        self.devices.lock().domains.retain(|used| *used != number);
    }

    /// Puts a device into a domain, whose page tables begin at `root`. `None` if there is no memory.
    pub(super) fn attach(&self, device: PciAddress, domain: u16, root: Phyr) -> Option<()> {
        const PRESENT: u64 = 1;
        let mut devices = self.devices.lock();
        let [low, high] = devices.context(self.capabilities, device)?;
        self.replace(low, 0);
        high.store(
            u64::from(domain) << 8 | self.capabilities.width_code(),
            Ordering::Release,
        );
        self.capabilities.write_back_entry(high);
        self.replace(low, root.addr().get() | PRESENT);
        Some(())
    }

    /// Takes a device out of a domain, if it is in that one. Then it reaches nothing.
    pub(super) fn detach(&self, device: PciAddress, domain: u16) {
        let mut devices = self.devices.lock();
        if let Some([low, high]) = devices.context(self.capabilities, device)
            && high.load(Ordering::Relaxed) >> 8 & 0xffff == u64::from(domain)
        {
            self.replace(low, 0);
        }
    }

    fn replace(&self, entry: &AtomicU64, value: u64) {
        entry.store(value, Ordering::Release);
        self.capabilities.write_back_entry(entry);
        let _turn = self.orders.lock();
        self.forget_devices().expect("the IOMMU answers");
        self.forget_all().expect("the IOMMU answers");
    }

    /// Takes the next fault off the record. Those for which there was no room are not there.
    pub(super) fn next_fault(&self) -> Option<Fault> {
        const RECORDED: u64 = 1 << 63;
        const READ: u64 = 1 << 62;
        const OVERFLOW: u32 = 1;
        let _turn = self.orders.lock();
        for number in 0..self.capabilities.fault_records() {
            let record = self.capabilities.fault_record(number);
            let high = self.registers.read64(record + 8);
            if high & RECORDED == 0 {
                continue;
            }
            let page = self.registers.read64(record) & !(PAGE - 1);
            self.registers.write32(record + 12, 1 << 31);
            return Some(Fault {
                device: Fault::requester(high as u16),
                page: DmaAddr::new(page),
                read: high & READ != 0,
                reason: (high >> 32) as u8,
            });
        }
        self.registers.write32(register::FAULT_STATUS, OVERFLOW);
        None
    }
}

impl Devices {
    /// A device's entry, both halves (section 9.3). The bus's table is made if there is none.
    fn context(&mut self, hardware: Capabilities, device: PciAddress) -> Option<[&AtomicU64; 2]> {
        const PRESENT: u64 = 1;
        let known = self.buses.iter().position(|(bus, _)| *bus == device.bus());
        let index = match known {
            Some(index) => index,
            None => {
                self.buses.try_reserve(1).ok()?;
                let table = Frames::zeroed(PAGE).ok()?;
                hardware.write_back(&table);
                let root = word(&self.root, usize::from(device.bus()) * 2);
                root.store(table.phyr().addr().get() | PRESENT, Ordering::Release);
                hardware.write_back_entry(root);
                self.buses.push((device.bus(), table));
                self.buses.len() - 1
            }
        };
        let table = &self.buses[index].1;
        let number = usize::from(device.device() << 3 | device.function());
        Some([word(table, number * 2), word(table, number * 2 + 1)])
    }
}

/// A word of a table that the IOMMU reads.
fn word(table: &Frames, index: usize) -> &AtomicU64 {
    assert!(index < PAGE as usize / 8, "a table is a page");
    let start: PhysAddr = table.phyr().addr();
    let place = window().pointer(start).as_ptr().wrapping_add(index * 8);
    // SAFETY: within the frames, which belong to the table's owner, and aligned. Both the IOMMU and the CPU
    // only make whole accesses.
    unsafe { &*place.cast::<AtomicU64>() }
}
