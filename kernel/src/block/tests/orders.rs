//! Completions, drops and removals in any order.

use super::*;

/// What a test does next.
#[derive(Debug, Clone)]
enum Step {
    Read {
        partition: bool,
        block: u64,
        blocks: usize,
    },
    Write {
        partition: bool,
        block: u64,
        blocks: usize,
        fill: u8,
    },
    Zero {
        partition: bool,
        block: u64,
        blocks: u64,
    },
    Poll(prop::sample::Index),
    Drop(prop::sample::Index),
    Complete(prop::sample::Index),
    Fail(prop::sample::Index),
    Remove,
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (any::<bool>(), 0..18_u64, 1..4_usize);
    prop_oneof![
        6 => place().prop_map(|(partition, block, blocks)| Step::Read { partition, block, blocks }),
        4 => (place(), any::<u8>()).prop_map(|((partition, block, blocks), fill)| {
            Step::Write { partition, block, blocks, fill }
        }),
        2 => place().prop_map(|(partition, block, blocks)| {
            Step::Zero { partition, block, blocks: blocks as u64 }
        }),
        8 => any::<prop::sample::Index>().prop_map(Step::Poll),
        3 => any::<prop::sample::Index>().prop_map(Step::Drop),
        8 => any::<prop::sample::Index>().prop_map(Step::Complete),
        1 => any::<prop::sample::Index>().prop_map(Step::Fail),
        1 => Just(Step::Remove),
    ]
}

/// A future of any kind.
type Flying<'d> = Pin<Box<dyn Future<Output = Result<Option<Frames>, BlockError>> + 'd>>;

proptest! {
    /// Any mix of requests on a disk and on a partition of it, of completions, failures, removal
    /// and dropped futures: the content is what the completed writes make of it, in the order of
    /// their completion, and every frame comes back exactly once.
    #[test]
    fn whatever_happens_memory_comes_back_and_the_content_is_right(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        const BLOCKS: usize = 16;
        const FIRST: u64 = 5;
        let arena = host::arena();
        let before = arena.free_bytes();
        let limits = Limits { depth: 4, ..disk(1).limits() };
        let ram = Arc::new(disk(BLOCKS).with_limits(limits));
        let partition = Partition::new(ram.clone(), Extent { number: 1, first: FIRST, blocks: 8 });
        let devices: [&dyn BlockDevice; 2] = [&*ram, &partition];
        ram.hold();
        let mut model = content(0..BLOCKS);
        let bell = Arc::new(Bell::default());
        let mut flying: Vec<Flying<'_>> = Vec::new();

        for step in steps {
            let frames = |blocks: usize, fill: u8| {
                let mut frames = Frames::allocate(4096).unwrap();
                frames.bytes_mut().fill(fill);
                frames.into_memory().part(0..blocks * SIZE).unwrap()
            };
            let back = |memory: Memory| Frames::from_memory(memory).ok();
            match step {
                Step::Read { partition, block, blocks } => {
                    let device = devices[usize::from(partition)];
                    flying.push(Box::pin(async move {
                        let read = device.read(block, frames(blocks, 0)).await?;
                        Ok(back(read))
                    }));
                }
                Step::Write { partition, block, blocks, fill } => {
                    let device = devices[usize::from(partition)];
                    flying.push(Box::pin(async move {
                        let written = device.write(block, frames(blocks, fill)).await?;
                        Ok(back(written))
                    }));
                }
                Step::Zero { partition, block, blocks } => {
                    let device = devices[usize::from(partition)];
                    flying.push(Box::pin(async move {
                        device.write_zeroes(block, blocks, Space::Keep).await?;
                        Ok(None)
                    }));
                }
                Step::Poll(index) if !flying.is_empty() => {
                    let index = index.index(flying.len());
                    match poll(flying[index].as_mut(), &bell) {
                        Poll::Ready(_) => drop(flying.swap_remove(index)),
                        Poll::Pending => {}
                    }
                }
                Step::Drop(index) if !flying.is_empty() => {
                    let index = index.index(flying.len());
                    drop(flying.swap_remove(index));
                }
                Step::Complete(index) if ram.waiting() > 0 => {
                    let number = index.index(ram.waiting());
                    if let Some((range, fill)) = ram.change(number) {
                        model[range].fill(fill);
                    }
                    ram.complete(number);
                }
                Step::Fail(index) if ram.waiting() > 0 => {
                    ram.fail(index.index(ram.waiting()), BlockError::TimedOut);
                }
                Step::Remove => ram.remove(),
                _ => {}
            }
            prop_assert!(ram.in_use() <= 4);
        }
        prop_assert_eq!(ram.content(), model);
        ram.release();
        // Everybody who still waits gets an answer.
        for _ in 0..flying.len() + 1 {
            flying.retain_mut(|future| poll(future.as_mut(), &bell).is_pending());
        }
        prop_assert!(flying.is_empty());
        prop_assert_eq!((ram.waiting(), ram.in_use()), (0, 0));
        prop_assert_eq!(arena.free_bytes(), before);
    }
}
