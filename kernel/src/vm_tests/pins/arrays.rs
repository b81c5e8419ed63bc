//! Copy on write, by random steps: whatever address spaces share, each is an array of words of its own.

use super::{DATA, PAGE, oracle, walk};
use crate::memory::address_space::{AddressSpace, SpaceError};
use crate::memory::frames::{Frames, window};
use crate::memory::paging::Rights;
use crate::memory::pins::Access;
use crate::memory::window::Window;
use crate::vm_tests::programs::{at, range};
use crate::vm_tests::streams::free_or_heap_bytes;
use alloc::vec;
use alloc::vec::Vec;
use phyr::{Phyr, PhysAddr};
use vm_test::{seed, vm_test};

/// A page of the kind that random steps are about: what it should contain.
type Model = Vec<Option<u64>>;

fn word_at(phys: PhysAddr) -> *mut u64 {
    window().pointer(phys).cast::<u64>().as_ptr()
}

/// A program's write, as a CPU makes it.
fn store(space: &AddressSpace, addr: u64, word: u64) -> (PhysAddr, bool) {
    let root = space.root().unwrap();
    let (_, _, direct) = walk(root, addr).unwrap();
    if !direct {
        assert_eq!(space.written_at(at(addr)), Ok(true));
    }
    let (phys, _, may) = walk(root, addr).unwrap();
    assert!(may);
    // SAFETY: it is a page of RAM that the program may write, and there is no program.
    unsafe { word_at(PhysAddr::new(phys)).write_volatile(word) };
    (PhysAddr::new(phys), direct)
}

/// What the memory of a pin should contain, page by page.
struct Kept {
    pinned: crate::memory::address_space::Pinned,
    words: Vec<(PhysAddr, u64)>,
}

/// Address spaces that share, write, pin and unmap at random, against an array of words.
#[vm_test(timeout = 120)]
fn c4_address_spaces_that_share_are_arrays_of_their_own() {
    const PAGES: u64 = 12;
    let before = free_or_heap_bytes();
    let mut number = seed() | 1;
    let mut next = move |bound: u64| {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        (number >> 33) % bound
    };
    let spaces = [(); 3].map(|()| AddressSpace::new().unwrap());
    let mut models: [Model; 3] = [(); 3].map(|()| vec![None; PAGES as usize]);
    let mut kept: Vec<Kept> = Vec::new();
    let mut done = [0_u32; 8];
    for step in 0..4000 {
        let (index, first) = (next(3) as usize, next(PAGES));
        let count = 1 + next(PAGES - first);
        let (space, pages) = (&spaces[index], first as usize..(first + count) as usize);
        let target = range(DATA + first * PAGE, count * PAGE);
        let is_mapped = models[index][pages.clone()].iter().all(Option::is_some);
        let is_free = models[index][pages.clone()].iter().all(Option::is_none);
        let action = next(8) as usize;
        match action {
            0 if is_free => {
                let mut frames = Frames::zeroed(count * PAGE).unwrap();
                for (page, slot) in frames.bytes_mut().chunks_mut(4096).zip(pages.clone()) {
                    page[..8].copy_from_slice(&(step + slot as u64).to_le_bytes());
                    models[index][slot] = Some(step + slot as u64);
                }
                space
                    .map_at(target.start(), frames, Rights::ReadWrite)
                    .unwrap();
            }
            1 | 2 if is_mapped => {
                let (into, start) = (next(3) as usize, next(PAGES - count + 1));
                let slots = start as usize..(start + count) as usize;
                let room = models[into][slots.clone()].iter().all(Option::is_none);
                let shared = space.share(target, &spaces[into], at(DATA + start * PAGE));
                match shared {
                    Ok(_) => {
                        assert!(room);
                        let words = models[index][pages.clone()].to_vec();
                        models[into][slots].copy_from_slice(&words);
                    }
                    Err(SpaceError::Taken(_)) => assert!(!room),
                    Err(SpaceError::Pinned(_)) => {
                        let writes = |kept: &Kept| kept.pinned.access() == Access::Write;
                        assert!(kept.iter().any(writes));
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            3 | 4 if models[index][first as usize].is_some() => {
                let word = step << 8;
                let (phys, direct) = store(space, DATA + first * PAGE, word);
                models[index][first as usize] = Some(word);
                let pins = kept.iter_mut().flat_map(|kept| &mut kept.words);
                for (_, kept) in pins.filter(|(page, _)| *page == phys) {
                    assert!(direct, "a pin has the copy");
                    *kept = word;
                }
            }
            5 if is_mapped => {
                let access = [Access::Read, Access::Write][next(2) as usize];
                let mut pinned = space.pin(target, access).unwrap();
                assert_eq!(*pinned.phyrs(), oracle(space, target));
                if access == Access::Write {
                    let word = step << 8 | 1;
                    pinned.copy_from(0, &word.to_le_bytes()).unwrap();
                    models[index][first as usize] = Some(word);
                    let page = pinned.phyrs().first().unwrap().addr();
                    let pins = kept.iter_mut().flat_map(|kept| &mut kept.words);
                    pins.filter(|(at, _)| *at == page)
                        .for_each(|(_, kept)| *kept = word);
                }
                let pages = pinned.phyrs().iter().flat_map(|phyr| phyr.pages(PAGE));
                let words = pages.zip(&models[index][first as usize..]);
                let words = words
                    .map(|(page, word): (Phyr, _)| (page.addr(), word.unwrap()))
                    .collect();
                kept.push(Kept { pinned, words });
            }
            6 if !kept.is_empty() => {
                drop(kept.swap_remove(next(kept.len() as u64) as usize));
            }
            7 if is_mapped => match space.unmap(target) {
                Ok(()) => models[index][pages].fill(None),
                Err(error) => assert!(matches!(error, SpaceError::Pinned(_))),
            },
            _ => continue,
        }
        done[action] += 1;
        if kept.len() > 6 {
            kept.remove(0);
        }
        for (space, model) in spaces.iter().zip(&models) {
            for (slot, word) in model.iter().enumerate() {
                let found = walk(space.root().unwrap(), DATA + slot as u64 * PAGE);
                // SAFETY: what is mapped is RAM, and there is no program.
                let found =
                    found.map(|(phys, ..)| unsafe { word_at(PhysAddr::new(phys)).read_volatile() });
                assert_eq!(found, *word, "page {slot} after step {step}");
            }
        }
        for Kept { pinned, words } in &kept {
            for (number, (_, word)) in words.iter().enumerate() {
                let mut bytes = [0; 8];
                pinned.copy_to(number as u64 * PAGE, &mut bytes).unwrap();
                assert_eq!(u64::from_le_bytes(bytes), *word, "a pin, after step {step}");
            }
        }
    }
    assert!(done.iter().all(|count| *count > 30), "{done:?}");
    drop(spaces);
    drop(kept);
    assert_eq!(free_or_heap_bytes(), before);
}
