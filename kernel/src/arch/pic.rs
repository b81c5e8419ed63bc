//! The two 8259A interrupt controllers of the first PCs, which every PC still has: silenced.
//!
//! Masked, they deliver nothing, with one exception: a request that goes away while it is being
//! delivered comes out as the last of the controller's eight vectors. After a reset that would be
//! the vector of an exception. So both get a block of vectors that is theirs, and the last of that
//! block has a handler that does nothing.

use super::vectors;
use x86_64::instructions::port::Port;

/// Where both controllers are, and the bits that say where one hangs on the other.
const CONTROLLERS: [(u16, u8); 2] = [(0x20, 1 << 2), (0xa0, 2)];

/// Masks everything, and moves what comes all the same to [`vectors::LEGACY`].
pub(crate) fn silence() {
    /// ICW1: initialise, four words, edge-triggered. ICW4: 8086 mode.
    const INITIALISE: u8 = 0x11;
    const MODE_8086: u8 = 0x01;
    for (base, cascade) in CONTROLLERS {
        let write = |port, value| {
            // SAFETY: the ports are those of the interrupt controller, which nobody else drives, and
            // which raises nothing that the kernel does not expect.
            unsafe { Port::<u8>::new(port).write(value) }
        };
        write(base, INITIALISE);
        for word in [vectors::LEGACY, cascade, MODE_8086] {
            write(base + 1, word);
        }
        write(base + 1, 0xff);
    }
}
