//! The generator: a key, and what it was made of.

use super::{Origin, Source, cpu};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// Bytes that are asked of each of the CPU's sources.
const FROM_CPU: usize = 32;

/// Readings of the clock.
const READINGS: usize = 256;

/// What each hash is for.
const MIXING: &[u8] = b"phyros: mixing";

/// A generator, and what it was made of.
pub(super) struct Pool {
    generator: ChaCha20Rng,
    origin: Origin,
}

impl Pool {
    /// One that nobody has mixed anything into: it gives the same each time.
    fn new() -> Self {
        Self {
            generator: ChaCha20Rng::from_seed([0; 32]),
            origin: Origin::default(),
        }
    }

    /// One that was made of all that this CPU has.
    pub(super) fn of_this_cpu() -> Self {
        let asked = |fill: fn(&mut [u8]) -> bool| {
            let mut bytes = [0; FROM_CPU];
            fill(&mut bytes).then_some(bytes)
        };
        let mut readings = [0; READINGS];
        cpu::jitter(&mut readings);
        Self::of(asked(cpu::rdseed), asked(cpu::rdrand), &readings)
    }

    /// One that was made of this.
    fn of(
        rdseed: Option<[u8; FROM_CPU]>,
        rdrand: Option<[u8; FROM_CPU]>,
        readings: &[u64; READINGS],
    ) -> Self {
        let mut pool = Self::new();
        if let Some(bytes) = rdseed {
            pool.stir(&bytes);
            pool.origin.rdseed += FROM_CPU as u64;
        }
        if let Some(bytes) = rdrand {
            pool.stir(&bytes);
            pool.origin.rdrand += FROM_CPU as u64;
        }
        let mut hash = Sha256::new();
        readings
            .iter()
            .for_each(|reading| hash.update(reading.to_le_bytes()));
        pool.stir(&hash.finalize());
        pool.origin.jitter += READINGS as u64;
        pool
    }

    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    pub(super) fn mix(&mut self, source: Source, bytes: &[u8]) {
        self.stir(bytes);
        match source {
            Source::Device => self.origin.device += bytes.len() as u64,
        }
    }

    /// Makes a new key of the old one and of these bytes.
    fn stir(&mut self, bytes: &[u8]) {
        let mut old = [0; 32];
        self.generator.fill_bytes(&mut old);
        let mut hash = Sha256::new();
        hash.update(MIXING);
        hash.update(old);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
        self.generator = ChaCha20Rng::from_seed(hash.finalize().into());
    }

    /// Gives out bytes, and forgets the key that they came from.
    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        let mut next = [0; 32];
        self.generator.fill_bytes(&mut next);
        self.generator.fill_bytes(bytes);
        self.generator = ChaCha20Rng::from_seed(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pool: &mut Pool, len: usize) -> std::vec::Vec<u8> {
        let mut bytes = std::vec![0; len];
        pool.fill(&mut bytes);
        bytes
    }

    #[test]
    fn the_stream_is_that_of_chacha20() {
        // RFC 8439, appendix A.1, test vector 1: the first block of the key of zeros.
        let block = [
            0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86,
            0xbd, 0x28, 0xbd, 0xd2, 0x19, 0xb8, 0xa0, 0x8d, 0xed, 0x1a, 0xa8, 0x36, 0xef, 0xcc,
            0x8b, 0x77, 0x0d, 0xc7, 0xda, 0x41, 0x59, 0x7c, 0x51, 0x57, 0x48, 0x8d, 0x77, 0x24,
            0xe0, 0x3f, 0xb8, 0xd8, 0x4a, 0x37, 0x6a, 0x43, 0xb8, 0xf4, 0x15, 0x18, 0xa1, 0x1c,
            0xc3, 0x87, 0xb6, 0x69, 0xb2, 0xee, 0x65, 0x86,
        ];
        // The first half of it is the next key, which nobody sees.
        let mut pool = Pool::new();
        assert_eq!(taken(&mut pool, 32), block[32..]);
        let mut next = Pool::new();
        next.generator = ChaCha20Rng::from_seed(block[..32].try_into().unwrap());
        assert_eq!(taken(&mut pool, 32), taken(&mut next, 32));
    }

    #[test]
    fn what_is_given_out_depends_on_all_that_was_mixed_in() {
        let of = |inputs: &[&[u8]]| {
            let mut pool = Pool::new();
            for input in inputs {
                pool.mix(Source::Device, input);
            }
            taken(&mut pool, 32)
        };
        let all: std::collections::BTreeSet<_> = [
            of(&[]),
            of(&[b""]),
            of(&[b"a"]),
            of(&[b"a", b""]),
            of(&[b"a", b"b"]),
            of(&[b"ab"]),
            of(&[b"b", b"a"]),
        ]
        .into();
        assert_eq!(all.len(), 7);
        assert_eq!(of(&[b"a", b"b"]), of(&[b"a", b"b"]));
    }

    #[test]
    fn each_source_of_the_cpu_makes_a_difference() {
        let mut last = [0; READINGS];
        last[READINGS - 1] = 1;
        let none = [0; READINGS];
        let (one, other) = (Some([1; FROM_CPU]), Some([2; FROM_CPU]));
        let of = |rdseed, rdrand, readings| taken(&mut Pool::of(rdseed, rdrand, readings), 32);
        let all = [
            taken(&mut Pool::new(), 32),
            of(None, None, &none),
            of(None, None, &last),
            of(one, one, &none),
            of(other, one, &none),
            of(one, other, &none),
            of(one, one, &last),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        // The clock goes on, whatever else the CPU has.
        let mut here = [0; 2].map(|_| Pool::of_this_cpu());
        let [first, second] = here.each_mut().map(|pool| taken(pool, 32));
        assert_ne!(first, second);
    }

    #[test]
    fn no_bytes_are_given_out_twice_whatever_their_number() {
        let mut pool = Pool::of_this_cpu();
        let mut seen = std::collections::BTreeSet::new();
        for len in (16..200).chain([4096, 100_000]) {
            let bytes = taken(&mut pool, len);
            for piece in bytes.chunks_exact(16) {
                assert!(seen.insert(piece.to_vec()));
            }
        }
        assert!(taken(&mut pool, 0).is_empty());
    }

    #[test]
    fn it_says_what_it_is_made_of() {
        let mut pool = Pool::of_this_cpu();
        assert_eq!(pool.origin().jitter, READINGS as u64);
        pool.mix(Source::Device, &[1, 2, 3]);
        let origin = pool.origin();
        assert_eq!(origin.device, 3);
        assert!(origin.has_source());
        let text = std::format!("{origin}");
        assert!(text.starts_with("3 bytes of an entropy device"), "{text}");
        let clock_only = Origin {
            jitter: 256,
            ..Origin::default()
        };
        assert!(std::format!("{clock_only}").ends_with("do not use it for secrets"));
    }
}
