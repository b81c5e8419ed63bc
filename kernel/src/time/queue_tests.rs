use super::*;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::task::Wake;
use proptest::prelude::*;

struct Named;

impl Wake for Named {
    fn wake(self: Arc<Self>) {}
}

fn wakers<const N: usize>() -> [Waker; N] {
    core::array::from_fn(|_| Arc::new(Named).into())
}

impl Queue {
    fn check(&self) {
        for (position, entry) in self.heap.iter().enumerate() {
            assert!(self.heap[position.saturating_sub(1) / 2].at <= entry.at);
            let key_at = |position: usize| self.heap[position].key;
            assert_eq!(self.index.find(entry.key, key_at), Some(position));
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Add(usize, u64),
    Forget(usize),
    Expire(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..40_usize, 0..100_u64).prop_map(|(who, at)| Step::Add(who, at)),
        1 => (0..40_usize).prop_map(Step::Forget),
        1 => (0..100_u64).prop_map(Step::Expire),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn the_queue_is_a_list_of_earliest_times(steps in steps()) {
        let wakers = wakers::<40>();
        let mut queue = Queue::new();
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Add(who, at) => {
                    queue.add(at, &wakers[who]);
                    let earliest = model.entry(who).or_insert(at);
                    *earliest = at.min(*earliest);
                }
                Step::Forget(who) => {
                    let forgotten = queue.forget(Key::of(&wakers[who]));
                    prop_assert_eq!(forgotten.is_some(), model.remove(&who).is_some());
                }
                Step::Expire(now) => {
                    let mut last = 0;
                    while let Some(waker) = {
                        let next = queue.next();
                        prop_assert!(next >= last);
                        last = next;
                        queue.expired(now)
                    } {
                        let who = wakers.iter().position(|other| other.will_wake(&waker)).unwrap();
                        let at = model.remove(&who).unwrap();
                        prop_assert_eq!(at, last);
                    }
                    prop_assert!(model.values().all(|at| *at > now));
                }
            }
            queue.check();
            let earliest = model.values().min().copied().unwrap_or(u64::MAX);
            prop_assert_eq!(queue.next(), earliest);
        }
    }
}

#[test]
fn polling_often_does_not_make_the_queue_longer() {
    let [waker] = wakers();
    let mut queue = Queue::new();
    for at in (0..1000).rev() {
        queue.add(at, &waker);
    }
    assert_eq!((queue.heap.len(), queue.next()), (1, 0));
}

#[test]
fn the_end_of_time_needs_no_place() {
    let [waker] = wakers();
    let mut queue = Queue::new();
    queue.add(u64::MAX, &waker);
    assert!(queue.heap.is_empty());
}
