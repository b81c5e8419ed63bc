//! What the CPU has: RDSEED and RDRAND (Intel SDM volume 1, 7.3.17), and its clock.

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdrand64_step, _rdseed64_step};

/// Tries before it counts as broken. RDSEED may have nothing for a moment; the manual wants ten of RDRAND.
const TRIES: usize = 64;

/// Fills `bytes` by RDSEED, if the CPU has it, and it works.
pub(super) fn rdseed(bytes: &mut [u8]) -> bool {
    const FEATURES: u32 = 7;
    let has = __cpuid(0).eax >= FEATURES && __cpuid_count(FEATURES, 0).ebx & 1 << 18 != 0;
    // SAFETY: the CPU has the instruction.
    has && fill(bytes, |word| unsafe { seed_step(word) })
}

/// Fills `bytes` by RDRAND, if the CPU has it, and it works.
pub(super) fn rdrand(bytes: &mut [u8]) -> bool {
    let has = __cpuid(1).ecx & 1 << 30 != 0;
    // SAFETY: the CPU has the instruction.
    has && fill(bytes, |word| unsafe { random_step(word) })
}

#[target_feature(enable = "rdseed")]
fn seed_step(word: &mut u64) -> bool {
    _rdseed64_step(word) == 1
}

#[target_feature(enable = "rdrand")]
fn random_step(word: &mut u64) -> bool {
    _rdrand64_step(word) == 1
}

fn fill(bytes: &mut [u8], mut step: impl FnMut(&mut u64) -> bool) -> bool {
    let mut before = 0;
    for piece in bytes.chunks_mut(8) {
        let mut word = 0;
        let works = (0..TRIES).any(|_| {
            let done = step(&mut word);
            if !done {
                core::hint::spin_loop();
            }
            done
        });
        // There are CPUs that say it has worked, and always give the same.
        if !works || word == before || word == u64::MAX {
            return false;
        }
        before = word;
        piece.copy_from_slice(&word.to_le_bytes()[..piece.len()]);
    }
    true
}

/// Reads the clock again and again, with memory and a division in between, whose time depends on what else
/// goes on in the machine.
pub(super) fn jitter(readings: &mut [u64]) {
    let mut scratch = [0_u64; 512];
    let mut at = 1;
    for reading in readings {
        for _ in 0..16 {
            let slot = at % scratch.len();
            scratch[slot] = scratch[slot].wrapping_add(crate::arch::cpu::time_stamp());
            at = at.wrapping_mul(31).wrapping_add(scratch[slot] as usize);
        }
        *reading = crate::arch::cpu::time_stamp() ^ core::hint::black_box(scratch[at % 512]);
    }
}
