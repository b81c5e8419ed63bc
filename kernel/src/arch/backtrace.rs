//! Backtraces by frame pointers.
//!
//! Everything of ours is compiled with frame pointers: at `rbp` lies the caller's `rbp`, and above
//! it the return address. The walk believes nothing: a frame must lie on a stack that the kernel
//! knows, and each one above the last, so a broken chain ends the walk and cannot fault.
//! The addresses are printed raw, one a line; the host has the symbols.

use crate::memory::virt::{VirtAddr, VirtRange};

/// More frames than any sane call chain; a limit in case the stack is all frames.
const LONGEST: usize = 64;

/// Bytes of a frame: the caller's frame pointer and the return address.
const FRAME: u64 = 16;

/// Calls `visit` with each return address, innermost first, starting from a frame pointer.
///
/// `stack_of` tells the stack that holds an address.
fn walk(
    mut rbp: u64,
    stack_of: impl Fn(VirtAddr) -> Option<VirtRange>,
    mut visit: impl FnMut(u64),
) {
    for _ in 0..LONGEST {
        let Some(stack) = VirtAddr::new(rbp).ok().and_then(&stack_of) else {
            return;
        };
        if !rbp.is_multiple_of(8) || stack.last().get() - rbp < FRAME - 1 {
            return;
        }
        let frame: *const [u64; 2] = core::ptr::with_exposed_provenance(rbp as usize);
        // SAFETY: the 16 bytes lie on a known, mapped stack, and the pointer is aligned.
        let [caller, return_address] = unsafe { frame.read() };
        if return_address == 0 {
            return;
        }
        visit(return_address);
        // Callers' frames lie above. A chain that goes down or stands still is broken.
        if caller <= rbp {
            return;
        }
        rbp = caller;
    }
}

/// Prints a backtrace: the instruction that faulted, if one did, and the callers.
#[cfg(phyros)]
pub fn print(rip: Option<u64>, rbp: u64) {
    let line = |address: u64| crate::console::emergency(format_args!("  at {address:#018x}\n"));
    crate::console::emergency(format_args!("backtrace:\n"));
    if let Some(rip) = rip {
        line(rip);
    }
    walk(rbp, super::stacks::containing, line);
}

/// Prints a backtrace of the caller.
#[cfg(phyros)]
#[inline(always)]
pub fn print_here() {
    let rbp: u64;
    // SAFETY: reading a register has no effect.
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags))
    };
    print(None, rbp);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames built by hand on a "stack" that is an array.
    fn collect(build: impl Fn(&mut [u64; 16], u64)) -> Vec<u64> {
        let mut stack = Box::new([0u64; 16]);
        let base = stack.as_mut_ptr().expose_provenance() as u64;
        build(&mut stack, base);
        let stack = VirtRange::new(VirtAddr::new(base).unwrap(), 128).unwrap();
        let stack_of = |at| {
            (stack.start()..=stack.last())
                .contains(&at)
                .then_some(stack)
        };
        let mut found = Vec::new();
        walk(base, stack_of, |address| found.push(address));
        found
    }

    #[test]
    fn a_chain_is_followed_to_its_end() {
        let found = collect(|stack, base| {
            (stack[0], stack[1]) = (base + 32, 0x111);
            (stack[4], stack[5]) = (base + 64, 0x222);
            (stack[8], stack[9]) = (0, 0x333);
        });
        assert_eq!(found, [0x111, 0x222, 0x333]);
    }

    #[test]
    fn a_null_return_address_ends_it() {
        let found = collect(|stack, base| {
            (stack[0], stack[1]) = (base + 32, 0x111);
            (stack[4], stack[5]) = (base + 64, 0);
        });
        assert_eq!(found, [0x111]);
    }

    #[test]
    fn a_chain_that_loops_goes_down_or_leaves_the_stack_ends() {
        for next in [0, 8, 0xffff_ffff_ffff_fff0, 33] {
            let found =
                collect(|stack, base| (stack[0], stack[1]) = (base.wrapping_add(next), 0x111));
            assert_eq!(found, [0x111], "next frame at +{next:#x}");
        }
    }

    #[test]
    fn a_frame_cut_by_the_end_of_the_stack_is_not_read() {
        let found = collect(|stack, base| (stack[0], stack[1]) = (base + 120, 0x111));
        assert_eq!(found, [0x111]);
    }
}
