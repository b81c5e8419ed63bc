//! Where the CPU was when a machine came to its end.
//!
//! A guest that hangs or has been reset prints no backtrace. But QEMU still has the CPU's registers
//! and the memory, and the kernel keeps frame pointers. So the stack can be read from outside:
//! at the address in RBP are the caller's RBP and, behind it, the return address.

/// The registers from which a backtrace starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// The address of the instruction.
    pub rip: u64,
    /// The address of the frame.
    pub rbp: u64,
}

/// A chain that is longer is no stack of ours.
const MOST_FRAMES: usize = 64;

impl Registers {
    /// Reads the answer to `info registers`.
    ///
    /// Returns `None` if the CPU was not in 64-bit mode: then nothing of ours was running.
    pub fn parse(answer: &str) -> Option<Self> {
        let value = |name: &str| {
            let digits = answer.split_once(name)?.1.get(..16)?;
            u64::from_str_radix(digits, 16).ok()
        };
        Some(Self {
            rip: value("RIP=")?,
            rbp: value("RBP=")?,
        })
    }

    /// The addresses of a backtrace, as if each were a return address.
    ///
    /// `ask` puts a question to the monitor. A frame that cannot be read ends the chain.
    pub fn backtrace(self, mut ask: impl FnMut(&str) -> Option<String>) -> Vec<u64> {
        // A return address is behind its call, so this names the instruction itself.
        let mut addresses = vec![self.rip.wrapping_add(1)];
        let mut frame = self.rbp;
        while frame != 0 && frame.is_multiple_of(8) && addresses.len() < MOST_FRAMES {
            let words = ask(&format!("x /2gx {frame:#x}")).and_then(|answer| two_words(&answer));
            let Some([next, address]) = words else { break };
            if address == 0 {
                break;
            }
            addresses.push(address);
            if next <= frame {
                break; // stacks grow down, so callers are above
            }
            frame = next;
        }
        addresses
    }
}

/// The words in `ffffffff80010000: 0x0000000000000001 0x0000000000000002`.
fn two_words(answer: &str) -> Option<[u64; 2]> {
    let mut words = answer.split_once(": ")?.1.split_whitespace().map(|word| {
        let digits = word.strip_prefix("0x")?;
        u64::from_str_radix(digits, 16).ok()
    });
    Some([words.next()??, words.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "RAX=0000000000000001 RBX=0000000000000000\r\nRSI=0000000000000000 \
        RDI=0000000000000000 RBP=ffffffff80010000 RSP=ffffffff8000fff0\r\n\
        RIP=ffffffff80001234 RFL=00000046 [---Z-P-] CPL=0\r\n";

    #[test]
    fn registers_are_read_from_the_answer_for_people() {
        let registers = Registers::parse(ANSWER).unwrap();
        let (rip, rbp) = (0xffff_ffff_8000_1234, 0xffff_ffff_8001_0000);
        assert_eq!(registers, Registers { rip, rbp });
        assert_eq!(Registers::parse("EIP=00001234 EBP=00000000"), None);
        assert_eq!(Registers::parse(""), None);
    }

    #[test]
    fn the_chain_is_followed_to_its_end() {
        let answer = |line: &str| match line {
            "x /2gx 0x1000" => Some("0000000000001000: 0x0000000000001040 0x00000000000000aa\r\n"),
            "x /2gx 0x1040" => Some("0000000000001040: 0x0000000000000000 0x00000000000000bb\r\n"),
            _ => None,
        };
        let start = Registers {
            rip: 0x99,
            rbp: 0x1000,
        };
        let addresses = start.backtrace(|line| answer(line).map(str::to_owned));
        assert_eq!(addresses, [0x9a, 0xaa, 0xbb]);
    }

    #[test]
    fn a_broken_chain_ends() {
        let start = Registers {
            rip: 1,
            rbp: 0x1000,
        };
        let circle = |_: &str| Some("x: 0x0000000000001000 0x1".to_owned());
        assert_eq!(start.backtrace(circle).len(), 2);
        assert_eq!(
            start.backtrace(|_| Some("Cannot access memory".to_owned())),
            [2]
        );
        let mut next = 0x1000;
        let endless = |_: &str| {
            next += 16;
            Some(format!("x: {next:#x} 0x1"))
        };
        assert_eq!(start.backtrace(endless).len(), MOST_FRAMES);
    }
}
