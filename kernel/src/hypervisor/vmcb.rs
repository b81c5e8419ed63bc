//! The control block of a guest, field by field (AMD APM vol. 2, appendix B).
//!
//! The first part says what stops the guest, and, afterwards, what has. The second part is the state
//! of the guest's processor: the CPU loads it when it enters the guest, and saves it when it leaves.
//! What is left out here is zero, which turns each feature off.

use core::mem::offset_of;
use phyr::PhysAddr;

/// The control block: what a page has in it that the CPU knows by its physical address.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Vmcb {
    pub(super) control: Control,
    pub(super) state: State,
}

/// What stops the guest, and what has stopped it.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Control {
    /// A bit for each control register that stops the guest when it is read.
    cr_reads: u16,
    cr_writes: u16,
    dr_reads: u16,
    dr_writes: u16,
    /// A bit for each vector.
    exceptions: u32,
    /// From INTR to shutdown: exit codes 60h to 7Fh.
    events: u32,
    /// From VMRUN to RDPRU: exit codes 80h to 8Eh.
    instructions: u32,
    /// Exit codes A0h and following.
    more: u32,
    _018: [u8; 0x028],
    /// A bit for each port that stops the guest (12 KiB).
    io_permissions: u64,
    /// Two bits for each model-specific register (8 KiB).
    msr_permissions: u64,
    tsc_offset: u64,
    /// Whose translations are whose. The host's are 0.
    asid: u32,
    tlb_control: u8,
    _05d: [u8; 3],
    interrupt_control: u64,
    interrupt_shadow: u64,
    pub(super) exit_code: u64,
    pub(super) exit_info_1: u64,
    pub(super) exit_info_2: u64,
    exit_interrupt_info: u64,
    nested_control: u64,
    _098: [u8; 0x010],
    event_injection: u64,
    nested_cr3: u64,
    last_branch: u64,
    /// A bit for each group of fields that the CPU may remember from the last time.
    clean: u64,
    next_rip: u64,
    _0d0: [u8; 0x330],
}

/// A segment register, with what it hides.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Segment {
    selector: u16,
    attributes: u16,
    limit: u32,
    base: u64,
}

/// The state of the guest's processor.
#[derive(Debug)]
#[repr(C)]
pub(super) struct State {
    es: Segment,
    cs: Segment,
    ss: Segment,
    ds: Segment,
    fs: Segment,
    gs: Segment,
    gdtr: Segment,
    ldtr: Segment,
    idtr: Segment,
    tr: Segment,
    _4a0: [u8; 0x2b],
    cpl: u8,
    _4cc: [u8; 4],
    efer: u64,
    _4d8: [u8; 0x70],
    cr4: u64,
    cr3: u64,
    cr0: u64,
    dr7: u64,
    dr6: u64,
    rflags: u64,
    pub(super) rip: u64,
    _580: [u8; 0x58],
    rsp: u64,
    _5e0: [u8; 0x18],
    pub(super) rax: u64,
    /// STAR, LSTAR, CSTAR, SFMASK, KernelGsBase and the three of SYSENTER.
    system_calls: [u64; 8],
    cr2: u64,
    _648: [u8; 0x20],
    pat: u64,
    _670: [u8; 0x990],
}

const _: () = {
    assert!(size_of::<Vmcb>() == 4096);
    assert!(offset_of!(Vmcb, state) == 0x400);
    assert!(offset_of!(Control, events) == 0x00c);
    assert!(offset_of!(Control, io_permissions) == 0x040);
    assert!(offset_of!(Control, asid) == 0x058);
    assert!(offset_of!(Control, interrupt_control) == 0x060);
    assert!(offset_of!(Control, exit_code) == 0x070);
    assert!(offset_of!(Control, nested_control) == 0x090);
    assert!(offset_of!(Control, event_injection) == 0x0a8);
    assert!(offset_of!(Control, nested_cr3) == 0x0b0);
    assert!(offset_of!(Control, clean) == 0x0c0);
    assert!(offset_of!(Control, next_rip) == 0x0c8);
    assert!(offset_of!(State, gdtr) == 0x060);
    assert!(offset_of!(State, tr) == 0x090);
    assert!(offset_of!(State, cpl) == 0x0cb);
    assert!(offset_of!(State, efer) == 0x0d0);
    assert!(offset_of!(State, cr4) == 0x148);
    assert!(offset_of!(State, cr0) == 0x158);
    assert!(offset_of!(State, rip) == 0x178);
    assert!(offset_of!(State, rsp) == 0x1d8);
    assert!(offset_of!(State, rax) == 0x1f8);
    assert!(offset_of!(State, system_calls) == 0x200);
    assert!(offset_of!(State, cr2) == 0x240);
    assert!(offset_of!(State, pat) == 0x268);
};

/// All vectors but 2: that is the non-maskable interrupt, which stops a guest as an event.
const EXCEPTIONS: u32 = !(1 << 2);

/// All that has an exit code, but for instructions that change nothing outside the guest and tell it
/// nothing of the host: PUSHF, POPF and PAUSE. A guest disables no interrupts but its own, of which it
/// has none, see [`MASK_VIRTUAL`].
const EVENTS: u32 = !(1 << 16 | 1 << 17 | 1 << 23);

/// VMRUN to RDPRU. Those above are traps behind writes that are intercepted anyway.
const INSTRUCTIONS: u32 = (1 << 15) - 1;

/// INVLPGB (two bits), INVPCID, MCOMMIT, TLBSYNC.
const MORE: u32 = (1 << 5) - 1;

/// The guest's interrupt flag is for virtual interrupts; physical ones obey the host's (§15.21.1).
const MASK_VIRTUAL: u64 = 1 << 24;

/// Forget all translations on entry. Then one identifier serves all guests, on all cores.
const FLUSH_ALL: u8 = 1;
const GUEST_ASID: u32 = 1;

const NESTED_PAGING: u64 = 1 << 0;

/// A flat code segment of 32 bits: present, ring 0, executable, readable, accessed; in pages.
const CODE: u16 = 0xc9b;
/// A flat data segment of 32 bits: present, ring 0, writable, accessed; in pages.
const DATA: u16 = 0xc93;
/// A busy task state segment of 32 bits.
const TASK: u16 = 0x08b;
/// A local descriptor table.
const LOCAL_TABLE: u16 = 0x082;

/// Protected mode, no paging. EM, TS and MP: there is no floating point and no SSE, so the registers
/// for them stay the host's, and the guest can neither see nor change them.
const CR0: u64 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5;
/// The CPU insists on it for a guest (SVME).
const EFER: u64 = 1 << 12;
/// Bit 1 is always set. Interrupts are disabled.
const RFLAGS: u64 = 1 << 1;
/// What these are after a reset.
const DR6: u64 = 0xffff_0ff0;
const DR7: u64 = 0x400;
const PAT: u64 = 0x0007_0406_0007_0406;

impl Segment {
    const fn flat(attributes: u16) -> Self {
        Self {
            selector: 0,
            attributes,
            limit: u32::MAX,
            base: 0,
        }
    }

    /// A table without entries.
    const fn empty(attributes: u16) -> Self {
        Self {
            selector: 0,
            attributes,
            limit: 0,
            base: 0,
        }
    }
}

impl Vmcb {
    /// A guest that starts at `entry`. Everything it could do outside of its memory stops it.
    ///
    /// `all` is 12 KiB of ones: every port and every model-specific register.
    pub(super) const fn new(nested_tables: PhysAddr, all: PhysAddr, entry: u64) -> Self {
        let control = Control {
            cr_reads: u16::MAX,
            cr_writes: u16::MAX,
            dr_reads: u16::MAX,
            dr_writes: u16::MAX,
            exceptions: EXCEPTIONS,
            events: EVENTS,
            instructions: INSTRUCTIONS,
            more: MORE,
            _018: [0; _],
            io_permissions: all.get(),
            msr_permissions: all.get(),
            tsc_offset: 0,
            asid: GUEST_ASID,
            tlb_control: FLUSH_ALL,
            _05d: [0; _],
            interrupt_control: MASK_VIRTUAL,
            interrupt_shadow: 0,
            exit_code: 0,
            exit_info_1: 0,
            exit_info_2: 0,
            exit_interrupt_info: 0,
            nested_control: NESTED_PAGING,
            _098: [0; _],
            event_injection: 0,
            nested_cr3: nested_tables.get(),
            last_branch: 0,
            clean: 0,
            next_rip: 0,
            _0d0: [0; _],
        };
        let state = State {
            es: Segment::flat(DATA),
            cs: Segment::flat(CODE),
            ss: Segment::flat(DATA),
            ds: Segment::flat(DATA),
            fs: Segment::flat(DATA),
            gs: Segment::flat(DATA),
            gdtr: Segment::empty(0),
            ldtr: Segment::empty(LOCAL_TABLE),
            idtr: Segment::empty(0),
            tr: Segment::empty(TASK),
            _4a0: [0; _],
            cpl: 0,
            _4cc: [0; _],
            efer: EFER,
            _4d8: [0; _],
            cr4: 0,
            cr3: 0,
            cr0: CR0,
            dr7: DR7,
            dr6: DR6,
            rflags: RFLAGS,
            rip: entry,
            _580: [0; _],
            rsp: 0,
            _5e0: [0; _],
            rax: 0,
            system_calls: [0; _],
            cr2: 0,
            _648: [0; _],
            pat: PAT,
            _670: [0; _],
        };
        Self { control, state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_with_an_exit_code_stops_a_guest() {
        let vmcb = Vmcb::new(PhysAddr::new(0x1000), PhysAddr::new(0x2000), 0);
        let control = &vmcb.control;
        // Bits of the intercept vectors, by exit code.
        let stops = |code: u32| {
            let bit = code % 32;
            let vector = match code / 32 {
                0 => u32::from(control.cr_reads) | u32::from(control.cr_writes) << 16,
                1 => u32::from(control.dr_reads) | u32::from(control.dr_writes) << 16,
                2 => control.exceptions,
                3 => control.events,
                4 => control.instructions,
                _ => control.more,
            };
            vector >> bit & 1 == 1
        };
        let harmless = [0x42, 0x70, 0x71, 0x77];
        for code in (0..0x8f).chain(0xa0..0xa5) {
            assert_ne!(stops(code), harmless.contains(&code), "{code:#x}");
        }
    }
}
