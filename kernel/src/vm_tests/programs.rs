//! Programs for ring 3, and what they may ask for.
//!
//! All are in one piece of code that runs at any address. It is copied to a page of the program's own.

use crate::block::BlockDevice;
use crate::dma::Owner;
use crate::memory::address_space::{AddressSpace, PinError};
use crate::memory::frames::Frames;
use crate::memory::paging::Rights;
use crate::memory::pins::Access;
use crate::memory::virt::{VirtAddr, VirtRange};
use crate::user::{Program, Stop};
use alloc::boxed::Box;
use core::arch::global_asm;

/// `read(address, bytes, position)`: from the disk to the program's memory. Answers how many bytes, or
/// an [`Error`].
pub(super) const READ: u64 = 1;
/// `exit(status, value)`.
pub(super) const EXIT: u64 = 2;

/// A program's status if a word is not what it should be; its value is which.
pub(super) const WRONG_WORD: u64 = 1;

/// What `read` answers if it does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i64)]
pub(super) enum Error {
    NotYours = -1,
    NotMapped = -2,
    ReadOnly = -3,
    Invalid = -4,
    Disk = -5,
    NoSuchCall = -6,
}

global_asm!(
    r#"
.section .rodata.programs, "a"
.balign 16
.global programs, programs_end
.global program_read, program_only_read, program_fill, program_loop, program_load, program_store, program_jump
.global program_store_code, program_cli, program_cr3, program_divide, program_undefined
.global program_syscall, program_int, program_iretq, program_hostile
programs:

// (buffer, bytes, position, seed): reads, compares each word with the pattern, and exits with the sum
// of all bytes, which it keeps in an SSE register.
program_read:
    mov r12, rdi
    mov r13, rsi
    mov r14, rdx
    mov r15, rcx
    mov eax, {read}
    int {call}
    cmp rax, r13
    jne 3f
    shr r13, 3
    shr r14, 3
    xor ebx, ebx
    pxor xmm1, xmm1
    pxor xmm2, xmm2
    movabs r8, 0x9e3779b97f4a7c15
    movabs r9, 0xbf58476d1ce4e5b9
    movabs r10, 0x94d049bb133111eb
1:  lea rax, [r14 + rbx + 1]
    imul rax, r8
    add rax, r15
    mov rdx, rax
    shr rdx, 30
    xor rax, rdx
    imul rax, r9
    mov rdx, rax
    shr rdx, 27
    xor rax, rdx
    imul rax, r10
    mov rdx, rax
    shr rdx, 31
    xor rax, rdx
    cmp rax, [r12 + rbx * 8]
    jne 2f
    movq xmm0, [r12 + rbx * 8]
    psadbw xmm0, xmm2
    paddq xmm1, xmm0
    inc rbx
    cmp rbx, r13
    jb 1b
    movq rsi, xmm1
    xor edi, edi
    jmp program_exit
2:  mov rsi, rbx
    mov edi, {wrong_word}
    jmp program_exit
3:  mov rdi, rax
    xor esi, esi
program_exit:
    mov eax, {exit}
    int {call}
    ud2

// (buffer, bytes, position): reads, and exits with what the answer was.
program_only_read:
    mov eax, {read}
    int {call}
    mov rdi, rax
    xor esi, esi
    jmp program_exit

// (address, distance, times, word): writes the word so many times, so far apart, and exits.
program_fill:
    mov [rdi], rcx
    add rdi, rsi
    dec rdx
    jnz program_fill
    xor edi, edi
    xor esi, esi
    jmp program_exit

program_loop:
    jmp program_loop

program_load:
    mov al, [rdi]
    ud2
program_store:
    mov [rdi], al
    ud2
program_jump:
    jmp rdi
program_store_code:
    lea rdi, [rip + programs]
    mov [rdi], al
    ud2
program_cli:
    cli
program_cr3:
    mov rax, cr3
program_divide:
    xor ecx, ecx
    div ecx
program_undefined:
    ud2
program_syscall:
    syscall
    ud2
program_int:
    int 0x21
    ud2
// The frame would lead to ring 0.
program_iretq:
    push 0
    push rsp
    push 2
    push 8
    push rdi
    iretq

// (flags, selector, turns): sets everything that a program can set, is interrupted again and again, and
// exits with 0 if it has all of it back.
program_hostile:
    mov r8, rdx
    mov r9, rdi
    mov eax, esi
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    push 0x1f00                 // unmask one exception
    ldmxcsr [rsp]
    push 0x0240                 // unmask most of the x87's
    fldcw [rsp]
    movabs rax, 0x1122334455667788
    movq xmm15, rax
    mov rbx, rax
    mov rbp, rax
    mov r15, rax
    push r9
    popfq
4:  dec r8
    jnz 4b
    pushfq
    pop rcx
    mov edi, 1
    cmp rbx, rax
    jne program_exit
    cmp rbp, rax
    jne program_exit
    cmp r15, rax
    jne program_exit
    movq rdx, xmm15
    cmp rdx, rax
    jne program_exit
    mov edi, 2
    stmxcsr [rsp + 8]
    cmp dword ptr [rsp + 8], 0x1f00
    jne program_exit
    fnstcw [rsp]
    cmp word ptr [rsp], 0x0240
    jne program_exit
    mov rsi, rcx
    xor edi, edi
    jmp program_exit
programs_end:
"#,
    read = const READ,
    exit = const EXIT,
    wrong_word = const WRONG_WORD,
    call = const crate::arch::vectors::SYSTEM_CALL,
);

unsafe extern "C" {
    static programs: u8;
    static programs_end: u8;
}

macro_rules! entries {
    ($($name:ident)*) => {
        unsafe extern "C" { $(static $name: u8;)* }
        /// Where each begins, in bytes from the start of the code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(non_camel_case_types, reason = "they are the names in the assembly")]
        pub(super) enum Entry { $($name),* }
        impl Entry {
            pub(super) fn offset(self) -> u64 {
                let start = match self { $(Self::$name => (&raw const $name).addr()),* };
                (start - (&raw const programs).addr()) as u64
            }
        }
    };
}

entries! {
    program_read program_only_read program_fill program_loop program_load program_store program_jump
    program_store_code program_cli program_cr3 program_divide program_undefined program_syscall
    program_int program_iretq program_hostile
}

/// Where the code is.
pub(super) const CODE: u64 = 0x40_0000;
/// Where the stack ends.
pub(super) const STACK: u64 = 0x7fff_0000_0000;
const STACK_BYTES: u64 = 4 * 4096;

pub(super) fn at(addr: u64) -> VirtAddr {
    VirtAddr::new(addr).unwrap()
}

// Not memory: a program's addresses, from numbers.
pub(super) fn range(start: u64, len: u64) -> VirtRange {
    VirtRange::new(at(start), len).unwrap()
}

/// An address space with the code and a stack.
pub(super) fn space() -> AddressSpace {
    let space = AddressSpace::new().unwrap();
    let len = (&raw const programs_end).addr() - (&raw const programs).addr();
    // SAFETY: the code lies between the two symbols, in the kernel's constants.
    let code = unsafe { core::slice::from_raw_parts(&raw const programs, len) };
    let mut page = Frames::zeroed(4096).unwrap();
    page.bytes_mut()[..len].copy_from_slice(code);
    space.map_at(at(CODE), page, Rights::ReadExecute).unwrap();
    let stack = Frames::zeroed(STACK_BYTES).unwrap();
    let bottom = at(STACK - STACK_BYTES);
    space.map_at(bottom, stack, Rights::ReadWrite).unwrap();
    space
}

/// A program that begins there, with a minute of time.
pub(super) fn program(space: AddressSpace, entry: Entry, arguments: [u64; 4]) -> Program {
    let [a, b, c, d] = arguments;
    let entry = at(CODE + entry.offset());
    Program::new(space, entry, at(STACK), [a, b, c, d, 0, 0], 60_000_000)
}

/// The same with so many microseconds.
pub(super) fn hurried(space: AddressSpace, entry: Entry, time: u64) -> Program {
    let entry = at(CODE + entry.offset());
    Program::new(space, entry, at(STACK), [0; 6], time)
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Exit(u64, u64),
    Stopped(Stop),
}

/// Runs a program to its end, and does what it asks for.
pub(super) async fn serve(program: &mut Program, disk: Option<&dyn BlockDevice>) -> End {
    loop {
        match program.run().await {
            Stop::Call {
                number: EXIT,
                arguments: [status, value, ..],
            } => return End::Exit(status, value),
            Stop::Call {
                number: READ,
                arguments: [address, bytes, position, ..],
            } => {
                let range = VirtAddr::new(address).and_then(|start| VirtRange::new(start, bytes));
                let answer = match range {
                    Ok(range) => read(program.space(), disk, range, position).await,
                    Err(_) => Err(Error::Invalid),
                };
                program.answer(answer.unwrap_or_else(|error| error as i64 as u64));
            }
            Stop::Call { .. } => program.answer(Error::NoSuchCall as i64 as u64),
            stop => return End::Stopped(stop),
        }
    }
}

// ANCHOR: read
/// The call `read`: pin, read, unpin. Nothing is copied.
async fn read(
    space: &AddressSpace,
    disk: Option<&dyn BlockDevice>,
    range: VirtRange,
    position: u64,
) -> Result<u64, Error> {
    let disk = disk.ok_or(Error::Disk)?;
    let block_size = u64::from(disk.geometry().block_size);
    if !position.is_multiple_of(block_size) || !range.len().is_multiple_of(block_size) {
        return Err(Error::Invalid);
    }
    let pinned = space
        .pin(range, Access::Write)
        .map_err(|error| match error {
            PinError::Outside(_) => Error::NotYours,
            PinError::NotMapped(_) => Error::NotMapped,
            PinError::ReadOnly(_) => Error::ReadOnly,
            _ => Error::Invalid,
        })?;
    let memory = Box::new(pinned).into_memory();
    let read = disk.read(position / block_size, memory).await;
    read.map_err(|_| Error::Disk)?;
    Ok(range.len())
}
// ANCHOR_END: read
