//! The first instructions of a core that the firmware did not start.
//!
//! Such a core begins in real mode, at a page below 1 MiB that the startup message names (Intel SDM
//! volume 3, section 9.4). So the code here is copied to such a page, together with what it must
//! load: the control registers of the boot core, the same ones that its protection consists of, and
//! the address of temporary page tables that show the page where it is.
//!
//! It goes from real mode to long mode in one step: with PAE and LME set, setting PE and PG at once
//! is allowed, and spares the protected mode in between. Then it jumps to [`core_entry`] in the
//! kernel, and has been used.

use super::stacks;
use crate::memory::frames::window;
use crate::memory::identity::Identity;
use crate::memory::virt::VirtRange;
use crate::memory::window::Window;
use core::arch::global_asm;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use phyr::{Phyr, PhysAddr};
use x86_64::registers::control::{Cr0, Cr3, Cr4, Cr4Flags, Efer, EferFlags};

/// A page of code and data.
pub(crate) const PAGE: usize = 4096;

/// Where in the page the data is.
const DATA: usize = 0xf00;

/// What the code loads, behind it in the page.
#[repr(C)]
struct Data {
    /// Segments for the way to the kernel: none, 64-bit code, data.
    segments: [u64; 3],
    /// Where they are: what LGDT wants.
    table_limit: u16,
    table_base: [u8; 6],
    /// Where to go in 64-bit mode, as a far pointer.
    wide_offset: u32,
    wide_selector: u16,
    padding: u16,
    cr0: u32,
    cr3: u32,
    cr4: u32,
    efer: u32,
    /// [`core_entry`].
    entry: u64,
}

const _: () = assert!(DATA + size_of::<Data>() <= PAGE);

const CODE: u16 = 0x08;

global_asm!(
    r#"
.section .rodata.trampoline, "a"
.balign 16
.global trampoline_start, trampoline_wide, trampoline_end
.code16
trampoline_start:
    cli
    cld
    mov ax, cs
    mov ds, ax
    mov eax, dword ptr [{cr4}]
    mov cr4, eax
    mov eax, dword ptr [{cr3}]
    mov cr3, eax
    mov ecx, 0xc0000080         // EFER
    mov eax, dword ptr [{efer}]
    xor edx, edx
    wrmsr
    lgdt [{table}]
    mov eax, dword ptr [{cr0}]
    mov cr0, eax                // long mode is on, but the code segment is still a short one
    .byte 0x66, 0xff, 0x2e      // a far jump to where a pointer of 32 + 16 bits says
    .word {wide}
.code64
trampoline_wide:
    xor eax, eax
    mov ds, eax
    jmp qword ptr [rip + trampoline_start + {entry}]    // behind the code, in the page
trampoline_end:

.section .text.core_entry, "ax"
.global core_entry
core_entry:
    // Only one core may take what is handed over. One that comes too late finds nothing.
    xor eax, eax
    xchg eax, dword ptr [rip + {offer} + {ready}]
    test eax, eax
    jz 2f
    mov rax, [rip + {offer} + {root}]
    mov cr3, rax
    mov rsp, [rip + {offer} + {stack}]
    mov rdi, [rip + {offer} + {core}]
    xor ebp, ebp
    call {start}
    ud2
2:  cli
    hlt
    jmp 2b
"#,
    cr0 = const DATA + offset_of!(Data, cr0),
    cr3 = const DATA + offset_of!(Data, cr3),
    cr4 = const DATA + offset_of!(Data, cr4),
    efer = const DATA + offset_of!(Data, efer),
    table = const DATA + offset_of!(Data, table_limit),
    wide = const DATA + offset_of!(Data, wide_offset),
    entry = const DATA + offset_of!(Data, entry),
    offer = sym OFFER,
    ready = const offset_of!(Offer, ready),
    root = const offset_of!(Offer, root),
    stack = const offset_of!(Offer, stack),
    core = const offset_of!(Offer, core),
    start = sym crate::cores::bring_up::start_core,
);

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_wide: u8;
    static trampoline_end: u8;
    static core_entry: u8;
}

/// What the next core takes with it into the kernel.
#[repr(C)]
struct Offer {
    /// 1: the rest is valid. Whoever takes it sets it to 0.
    ready: AtomicU32,
    /// For CR3; it may lie above 4 GiB, where the trampoline's own register does not reach.
    root: AtomicU64,
    /// The top of the core's main stack.
    stack: AtomicU64,
    /// Who the core is.
    core: AtomicU64,
}

static OFFER: Offer = Offer {
    ready: AtomicU32::new(0),
    root: AtomicU64::new(0),
    stack: AtomicU64::new(0),
    core: AtomicU64::new(0),
};

/// Offers a stack and a name to the next core that comes through the trampoline.
pub(crate) fn offer(stack: VirtRange, core: usize) {
    let root = Cr3::read_raw().0.start_address().as_u64();
    OFFER.root.store(root, Ordering::Relaxed);
    OFFER.stack.store(stacks::top(stack), Ordering::Relaxed);
    OFFER.core.store(core as u64, Ordering::Relaxed);
    OFFER.ready.store(1, Ordering::Release);
}

/// Takes the offer back. `false` if a core has taken it.
pub(crate) fn withdraw() -> bool {
    OFFER.ready.swap(0, Ordering::AcqRel) == 1
}

/// The trampoline in its page, with the page tables that it needs.
pub(crate) struct Trampoline {
    page: *mut u8,
    number: u8,
    before: alloc::vec::Vec<u8>,
    /// Held for as long as a core may be on its way.
    _tables: Identity,
}

impl Trampoline {
    /// Writes the trampoline into a page below 1 MiB, which holds its old content again when this is
    /// dropped.
    ///
    /// # Safety
    /// The page is RAM in the direct map that nobody uses.
    pub(crate) unsafe fn write(page: Phyr, tables: Identity) -> Self {
        let base = page.addr().get();
        let start = &raw const trampoline_start;
        let len = (&raw const trampoline_end).addr() - start.addr();
        let wide = (&raw const trampoline_wide).addr() - start.addr();
        assert!(len <= DATA && base + PAGE as u64 <= 1 << 20);
        let data = Data {
            // Present, ring 0: execute and read, 64-bit; read and write.
            segments: [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff],
            table_limit: 23,
            table_base: {
                let [a, b, c, d, ..] = (base + DATA as u64).to_le_bytes();
                [a, b, c, d, 0, 0]
            },
            wide_offset: base as u32 + wide as u32,
            wide_selector: CODE,
            padding: 0,
            cr0: Cr0::read_raw() as u32,
            cr3: u32::try_from(tables.root().get()).expect("identity tables lie below 4 GiB"),
            // Process-context identifiers can only be turned on in long mode.
            cr4: (Cr4::read() - Cr4Flags::PCID).bits() as u32,
            efer: (Efer::read() - EferFlags::LONG_MODE_ACTIVE).bits() as u32,
            entry: (&raw const core_entry).addr() as u64,
        };
        let page = window().pointer(page.addr()).as_ptr();
        // SAFETY: the page is in the direct map, by the caller's word.
        let before = unsafe { core::slice::from_raw_parts(page, PAGE) }.to_vec();
        // SAFETY: the code lies between two symbols, and the page is nobody's.
        unsafe { ptr::copy_nonoverlapping(start, page, len) };
        let place = page.wrapping_add(DATA).cast::<Data>();
        // SAFETY: the data fits behind the code, at a multiple of its alignment.
        unsafe { place.write(data) };
        Self {
            page,
            number: (base >> 12) as u8,
            before,
            _tables: tables,
        }
    }

    /// The number of the page, for the startup message.
    pub(crate) fn number(&self) -> u8 {
        self.number
    }
}

impl Drop for Trampoline {
    fn drop(&mut self) {
        // SAFETY: the page was given to this trampoline, and no core runs in it any more.
        unsafe { ptr::copy_nonoverlapping(self.before.as_ptr(), self.page, PAGE) };
    }
}

/// Where the trampoline may be: the last whole page of usable RAM below 1 MiB. Not the first page of
/// all, which holds the interrupt vectors of real mode.
pub(crate) fn place(usable: impl Iterator<Item = Phyr>) -> Option<Phyr> {
    const FIRST: u64 = PAGE as u64;
    /// What lies above is never RAM on a PC, whatever a memory map says.
    const END: u64 = 0xa_0000;
    let last_page = |range: Phyr| {
        let end = range.last().get().saturating_add(1).min(END) / FIRST * FIRST;
        let start = end.checked_sub(FIRST)?;
        (start >= range.addr().get().max(FIRST)).then_some(start)
    };
    let start = usable.filter_map(last_page).max()?;
    Phyr::new(PhysAddr::new(start), PAGE as u64).ok()
}
