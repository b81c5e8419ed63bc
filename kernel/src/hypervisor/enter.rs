//! Into a guest and out of it again (AMD APM vol. 2, §15.5 and §15.6).
//!
//! Three kinds of state are in the CPU, and each is changed in its own way:
//!
//! - VMRUN saves the host's control registers, tables, flags, `rip`, `rsp` and `rax` where the core was
//!   told to keep them, and loads the guest's from the control block. The exit does it the other way round.
//! - VMSAVE and VMLOAD do it for what is left of segments and system calls: FS, GS, the task register.
//!   The kernel's interrupt handlers need GS and the task register, so no interrupt may come before the
//!   host's are back. That is what the *global interrupt flag* is for: CLGI holds back everything, even
//!   non-maskable interrupts; VMRUN and STGI end that.
//! - The other registers are for the program to exchange. The guest gets its own, not what the host had
//!   in them. It has no way to those of SSE, see the control block.

use super::exit::{GuestAddr, Report};
use super::vmcb::Vmcb;
use crate::memory::frames::window;
use crate::memory::virt::VirtRange;
use alloc::boxed::Box;
use core::arch::naked_asm;
use core::mem::offset_of;
use phyr::PhysAddr;

/// The guest's registers that are not in the control block. It has 32 bits of them.
#[derive(Debug, Default)]
#[repr(C)]
struct Registers {
    ebx: u32,
    ecx: u32,
    edx: u32,
    esi: u32,
    edi: u32,
    ebp: u32,
}

/// A page for the CPU.
///
/// It is never a variable: where a function aligns its stack to a page and may return early, LLVM's prologue has been
/// seen to enter the loop that touches the stack in its middle, with a stack that is aligned to nothing.
#[derive(Debug)]
#[repr(C, align(4096))]
struct Page<T>(T);

impl<T> Page<T> {
    fn with(content: T) -> Box<Self> {
        const { assert!(size_of::<T>() == size_of::<Self>()) };
        let mut page = Box::<Self>::new_uninit();
        let place = page.as_mut_ptr().cast::<T>();
        // SAFETY: the content is as long as a page, and nobody else knows this one.
        unsafe { place.write(content) };
        // SAFETY: the content is all that a page has.
        unsafe { page.assume_init() }
    }
}

/// The state of a guest's processor while it does not run, and a place for the host's while it does.
#[derive(Debug)]
pub(super) struct Context {
    vmcb: Box<Page<Vmcb>>,
    host: Box<Page<[u8; 4096]>>,
    registers: Registers,
}

/// Where the CPU finds a value on the heap.
fn physical<T>(value: &T) -> PhysAddr {
    let range = VirtRange::of(value).expect("it has bytes");
    let phyr = window().phyr(range);
    phyr.expect("the heap is in the direct map").addr()
}

impl Context {
    pub(super) fn new(vmcb: Vmcb) -> Self {
        Self {
            vmcb: Page::with(vmcb),
            host: Page::with([0; 4096]),
            registers: Registers::default(),
        }
    }

    /// The instruction that comes next.
    pub(super) fn at(&self) -> GuestAddr {
        GuestAddr::new(self.vmcb.0.state.rip)
    }

    /// Goes on behind the VMMCALL that stopped it.
    pub(super) fn skip_call(&mut self) {
        const LENGTH: u64 = 3;
        let rip = &mut self.vmcb.0.state.rip;
        *rip = rip.wrapping_add(LENGTH) & 0xffff_ffff;
    }

    /// Why it has stopped.
    pub(super) fn report(&self) -> Report {
        let Vmcb { control, state } = &self.vmcb.0;
        Report {
            code: control.exit_code,
            first: control.exit_info_1,
            second: control.exit_info_2,
            registers: [state.rax as u32, self.registers.ecx, self.registers.edx],
        }
    }

    /// Lets it run until something stops it. An interrupt of this core does. Interrupts are enabled
    /// afterwards, whatever they were.
    ///
    /// # Safety
    /// The core is ready for guests, interrupts can be enabled, and what the nested tables map belongs
    /// to the guest.
    pub(super) unsafe fn enter(&mut self) {
        let (guest, host) = (physical(&self.vmcb.0), physical(&self.host.0));
        let (vmcb, area) = (&raw mut self.vmcb.0, &raw mut self.host.0);
        // SAFETY: the caller's promise; the blocks are the CPU's until this returns.
        unsafe { run(&raw mut self.registers, guest.get(), host.get(), vmcb, area) };
    }
}

// ANCHOR: run
/// The last two arguments are those before them as the compiler knows them: it is told that the
/// memory changes.
///
/// # Safety
/// As for [`Context::enter`]. `guest` is a control block, `host` a page for VMSAVE, both by their
/// physical addresses.
#[unsafe(naked)]
unsafe extern "C" fn run(
    registers: *mut Registers,
    guest: u64,
    host: u64,
    _vmcb: *mut Vmcb,
    _area: *mut [u8; 4096],
) {
    naked_asm!(
        "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
        "push rdi", "push rdx",
        // From here to STGI the only place where an interrupt can come is the guest, and there it is
        // an exit. Whether it can, the interrupt flag of the host says.
        "clgi",
        "sti",
        "mov rax, rdx",
        "vmsave rax",
        "mov rax, rsi",
        "vmload rax",
        "mov ebx, [rdi + {ebx}]",
        "mov ecx, [rdi + {ecx}]",
        "mov edx, [rdi + {edx}]",
        "mov esi, [rdi + {esi}]",
        "mov ebp, [rdi + {ebp}]",
        "mov edi, [rdi + {edi}]",
        "vmrun rax",
        "vmsave rax",
        "mov rax, [rsp]",
        "vmload rax",
        // What stopped the guest, if it was for the host, comes now.
        "stgi",
        "mov rax, [rsp + 8]",
        "mov [rax + {ebx}], ebx",
        "mov [rax + {ecx}], ecx",
        "mov [rax + {edx}], edx",
        "mov [rax + {esi}], esi",
        "mov [rax + {ebp}], ebp",
        "mov [rax + {edi}], edi",
        "add rsp, 16",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx",
        "ret",
        ebx = const offset_of!(Registers, ebx),
        ecx = const offset_of!(Registers, ecx),
        edx = const offset_of!(Registers, edx),
        esi = const offset_of!(Registers, esi),
        ebp = const offset_of!(Registers, ebp),
        edi = const offset_of!(Registers, edi),
    )
}
// ANCHOR_END: run
