//! Borrowed memory for a device, in a call that waits.
//!
//! A request owns its memory, and a caller who waits for it would rather lend: the bytes are on its
//! stack, or in the middle of something larger. That is sound in one shape only. The function that
//! has the borrow must not end before the memory is out of the device's hands. So [`lend`] and
//! [`lend_mut`] make a [`Memory`] that stands for the borrow, hand it to a closure, and go on only
//! when the closure gives that very `Memory` back. It cannot be copied or made by anybody else. So
//! who has given it back has no other, whatever happened in between and whoever is to blame.
//!
//! There is no other way out:
//!
//! - A closure that returns something else ends the machine. That is what becomes of a device that
//!   cannot be stopped: it may write to the caller's memory for ever, so there is no way to go on.
//! - So does a panic, in the kernel by its panic handler, and on the host, where the stack would be
//!   unwound, because a guard on the stack does not let it.

use super::memory::Memory;

/// Lends bytes for a device to read. `run` gives back the memory that it was given.
///
/// # Panics
/// If `run` does not give it back.
pub fn lend<R>(bytes: &[u8], run: impl FnOnce(Memory) -> (Option<Memory>, R)) -> R {
    let stay = Stay;
    // SAFETY: the bytes are borrowed until the end of this function, which is not reached before
    // `end` has seen the value come back.
    let memory = unsafe { Memory::shared(bytes) };
    let (back, result) = run(memory);
    stay.end(back, bytes);
    result
}

/// Lends bytes for a device to write. `run` gives back the memory that it was given.
///
/// # Panics
/// If `run` does not give it back.
pub fn lend_mut<R>(bytes: &mut [u8], run: impl FnOnce(Memory) -> (Option<Memory>, R)) -> R {
    let stay = Stay;
    // SAFETY: as in `lend`, and the borrow is mutable. The bytes are not used in between.
    let memory = unsafe { Memory::exclusive(bytes) };
    let (back, result) = run(memory);
    stay.end(back, bytes);
    result
}

/// Keeps the stack frame in which it lies from being left.
struct Stay;

impl Stay {
    fn end(self, back: Option<Memory>, lent: &[u8]) {
        assert!(
            back.is_some_and(|memory| memory.is_loan_of(lent)),
            "borrowed memory has not come back: a device may still use it"
        );
        core::mem::forget(self);
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        // A second panic while the stack is unwound aborts.
        panic!("memory was lent to a device, which may still use it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_the_loan_is_in_the_callers_memory() {
        let mut bytes = [1, 2, 3, 4];
        let sum = lend_mut(&mut bytes, |mut memory| {
            let sum: u8 = memory.bytes().iter().sum();
            memory.bytes_mut()[2] = 30;
            (Some(memory), sum)
        });
        assert_eq!((sum, bytes), (10, [1, 2, 30, 4]));
        let sum = lend(&bytes[1..], |memory| {
            let sum = memory.bytes().iter().sum::<u8>();
            (Some(memory), sum)
        });
        assert_eq!(sum, 36);
    }

    #[test]
    fn only_the_same_memory_ends_the_loan() {
        let (lent, other) = ([1; 8], [2; 8]);
        lend(&lent, |memory| {
            lend(&other, |not_it| {
                assert!(memory.is_loan_of(&lent) && !not_it.is_loan_of(&lent));
                (Some(not_it), ())
            });
            assert!(!Vec::from(lent).into_memory().is_loan_of(&lent));
            (Some(memory), ())
        });
    }

    use super::super::Owner;

    #[test]
    #[should_panic(expected = "lent to be read")]
    fn what_is_lent_to_be_read_is_not_written() {
        // A copy of the memory is kept from the loan's end by the panic; nothing is borrowed here.
        let bytes: &'static [u8] = &[0; 4];
        // SAFETY: the bytes are borrowed for ever.
        let memory = unsafe { Memory::shared(bytes) };
        super::super::Buffer::from_device(memory);
    }
}
