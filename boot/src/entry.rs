//! The way into Rust and the way out of the loader, in assembly.
//!
//! In: 32-bit protected mode, paging off, `ebx` = physical address of `hvm_start_info`, no stack
//! (Xen, "x86/HVM direct boot ABI"). The first 4 GiB are mapped at their own addresses with
//! 2 MiB pages, which every x86_64 CPU has. SSE is enabled before the first Rust instruction,
//! because the precompiled `core` uses it.
//!
//! Out: `enter_kernel` lies in a page of its own, the trampoline, which the kernel's address space
//! maps at the same address. So the instruction after the change of `cr3` is still there.
//! The GDT lies in that page too: its descriptors are marked accessed, so the CPU never writes it.

use core::arch::global_asm;
use phyr::{Phyr, PhysAddr, RangeError};

pvh::xen_elfnote_phys32_entry!(pvh_start);

unsafe extern "C" {
    /// The PVH entry point; never called from Rust.
    fn pvh_start() -> !;

    /// Changes to the kernel's address space and stack and jumps to its entry point.
    ///
    /// # Safety
    /// `level_4_table` is the physical address of page tables that map the trampoline page at its
    /// own address, `stack_top` as the 16-byte-aligned end of a writable stack, and `entry`
    /// as executable; `boot_info` is what the kernel expects.
    pub fn enter_kernel(boot_info: u64, level_4_table: u64, stack_top: u64, entry: u64) -> !;

    static trampoline: u8;
    static loader_start: u8;
    static loader_end: u8;
}

/// The trampoline page. The loader runs identity-mapped, so its virtual address is the same.
pub fn trampoline_page() -> Result<Phyr, RangeError> {
    let start = PhysAddr::new((&raw const trampoline).addr() as u64);
    Phyr::new(start, crate::PAGE)
}

/// The loader's own image, the embedded kernel included.
pub fn loader_image() -> Result<Phyr, RangeError> {
    let first = PhysAddr::new((&raw const loader_start).addr() as u64);
    let behind = PhysAddr::new((&raw const loader_end).addr() as u64);
    Phyr::new(first, behind.offset_from(first).unwrap_or(0))
}

global_asm!(
    r#"
.section .trampoline, "ax"
.balign 4096
.global trampoline
trampoline:
gdt:
    .quad 0
    .quad 0x00af9b000000ffff    // 0x08: 64-bit code, accessed
    .quad 0x00cf93000000ffff    // 0x10: data, accessed
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .quad gdt

// ANCHOR: enter_kernel
.global enter_kernel
enter_kernel:                   // rdi: boot info, stays in place
    mov cr3, rsi
    mov rsp, rdx
    xor ebp, ebp                // ends a frame-pointer walk
    push 0                      // the return address that the entry point never uses
    jmp rcx
// ANCHOR_END: enter_kernel

.section .text.pvh_start, "ax"
.code32
.global pvh_start
pvh_start:
    cli
    cld
    lgdt [gdt_pointer]

    // ANCHOR: mode_switch
    mov eax, cr4
    or eax, (1 << 5) | (1 << 9) | (1 << 10)     // PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax

    mov eax, offset boot_pml4
    mov cr3, eax

    mov ecx, 0xc0000080                         // EFER
    rdmsr
    or eax, (1 << 8) | (1 << 11)                // LME, NXE
    wrmsr

    mov eax, cr0
    and eax, ~((1 << 2) | (1 << 3))             // EM, TS off: SSE works
    or eax, (1 << 31) | (1 << 16) | (1 << 1)    // PG, WP, MP
    mov cr0, eax

    ljmp 0x08, offset long_mode
    // ANCHOR_END: mode_switch

.code64
long_mode:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor eax, eax
    mov fs, ax
    mov gs, ax
    lea rsp, [boot_stack_top]
    xor ebp, ebp
    mov edi, ebx
    call {start}
    ud2

.section .data.boot_tables, "aw"
.balign 4096
boot_pml4:
    .quad boot_pdpt + 0x3
    .fill 511, 8, 0
boot_pdpt:
    .quad boot_pd + 0x0003
    .quad boot_pd + 0x1003
    .quad boot_pd + 0x2003
    .quad boot_pd + 0x3003
    .fill 508, 8, 0
boot_pd:
    .set address, 0
    .rept 2048
    .quad address | 0x83                        // present, writable, 2 MiB
    .set address, address + 0x200000
    .endr

.section .bss.boot_stack, "aw", @nobits
.balign 16
    .skip 64 * 1024
boot_stack_top:
"#,
    start = sym crate::load::start,
);
