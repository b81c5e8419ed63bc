//! The memory functions that the compiler calls.
//!
//! They are written with string instructions.
//! A loop in Rust would be recognised as a copy and compiled into a call of itself.
//! Copies and fills go eight bytes at a time and end with single bytes, because an emulator
//! pays for each iteration.

use core::arch::asm;
use core::ffi::c_int;

/// Copies bytes in ascending order.
///
/// # Safety
/// Both ranges are valid for `len` bytes, and `dest` does not lie within `src` behind its start.
unsafe fn copy_up(dest: *mut u8, src: *const u8, len: usize) {
    // SAFETY: the caller vouches for both ranges; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep movsq", "mov rcx, {rest}", "rep movsb", rest = in(reg) len % 8,
             inout("rcx") len / 8 => _, inout("rdi") dest => _, inout("rsi") src => _,
             options(nostack, preserves_flags));
    }
}

/// Copies `len` bytes from `src` to `dest`, which do not overlap.
///
/// # Safety
/// Both ranges are valid for `len` bytes and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(dest: *mut u8, src: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the same contract, and more.
    unsafe { copy_up(dest, src, len) };
    dest
}

/// Copies `len` bytes from `src` to `dest`, which may overlap.
///
/// # Safety
/// Both ranges are valid for `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(dest: *mut u8, src: *const u8, len: usize) -> *mut u8 {
    if (dest as usize).wrapping_sub(src as usize) >= len {
        // SAFETY: `dest` lies below `src` or behind its end.
        unsafe { copy_up(dest, src, len) };
        return dest;
    }
    // SAFETY: the last byte of a range of at least one byte, valid by the caller's word.
    // `len` is not 0 here, because every difference is at least 0.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") len => _,
             inout("rdi") dest.wrapping_add(len).wrapping_sub(1) => _,
             inout("rsi") src.wrapping_add(len).wrapping_sub(1) => _,
             options(nostack));
    }
    dest
}

/// Sets `len` bytes at `dest` to the low byte of `value`.
///
/// # Safety
/// The range is valid for `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(dest: *mut u8, value: c_int, len: usize) -> *mut u8 {
    let word = u64::from(value as u8) * 0x0101_0101_0101_0101;
    // SAFETY: the caller vouches for the range; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep stosq", "mov rcx, {rest}", "rep stosb", rest = in(reg) len % 8,
             inout("rcx") len / 8 => _, inout("rdi") dest => _, in("rax") word,
             options(nostack, preserves_flags));
    }
    dest
}

/// Compares `len` bytes; the sign says how the first differing pair is ordered.
///
/// # Safety
/// Both ranges are valid for `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> c_int {
    let mut index = 0;
    while index < len {
        // SAFETY: `index` is below `len`, and the caller vouches for the range.
        let a = unsafe { left.wrapping_add(index).read() };
        // SAFETY: as above.
        let b = unsafe { right.wrapping_add(index).read() };
        if a != b {
            return c_int::from(a) - c_int::from(b);
        }
        index += 1;
    }
    0
}

/// Compares `len` bytes for equality only: 0 says equal.
///
/// # Safety
/// Both ranges are valid for `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> c_int {
    // SAFETY: the same contract.
    unsafe { memcmp(left, right, len) }
}
