//! Jobs are tasks of the boot core. The shell is no task, so they go on whenever it waits.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::ops::ControlFlow;
use core::task::Poll;
use embassy_futures::select::{Either, select};
use embassy_sync::waitqueue::AtomicWaker;
use embassy_time::{Duration, Timer};
use iostress::machine::{Area, Outcome, Setup};
use kernel::executor;
use shell::jobs::{Job, Stress};
use spin::Mutex;

/// Most bytes of one operation: larger than what one command transfers.
const MOST_BYTES: u64 = 1 << 20;

struct Entry {
    state: Mutex<Job>,
    ended: AtomicWaker,
}

static JOBS: Mutex<Vec<Arc<Entry>>> = Mutex::new(Vec::new());

pub(super) fn list() -> Vec<Job> {
    JOBS.lock()
        .iter()
        .map(|entry| entry.state.lock().clone())
        .collect()
}

pub(super) fn wait(number: usize) -> Option<Job> {
    let entry = JOBS.lock().get(number.checked_sub(1)?)?.clone();
    Some(executor::block_on(poll_fn(|cx| {
        entry.ended.register(cx.waker());
        let job = entry.state.lock().clone();
        if job.end.is_some() {
            Poll::Ready(job)
        } else {
            Poll::Pending
        }
    })))
}

pub(super) fn start(stress: Stress) -> usize {
    let mut jobs = JOBS.lock();
    let number = jobs.len() + 1;
    let what = format!("iostress {}", stress.device.name());
    let entry = Arc::new(Entry {
        state: Mutex::new(Job {
            number,
            what,
            progress: "begins".to_string(),
            end: None,
        }),
        ended: AtomicWaker::new(),
    });
    jobs.push(entry.clone());
    drop(jobs);
    executor::spawn(run(entry, stress)).detach();
    number
}

async fn run(entry: Arc<Entry>, stress: Stress) {
    let setup = Setup {
        seed: stress.seed,
        depth: stress.depth,
        length: Duration::from_micros(stress.length.as_micros() as u64),
        least: 0,
        most_bytes: MOST_BYTES,
        cancel_one_in: stress.cancel_one_in,
        may_fail: stress.may_fail || stress.resets,
    };
    let controller = super::disks::behind(stress.device.name()).and_then(|hub| hub.controller());
    let resets = async {
        loop {
            Timer::after(Duration::from_millis(300)).await;
            if let Some(controller) = controller.as_ref().filter(|_| stress.resets) {
                // One that does not come back ends the requests, and that is told.
                let _ = controller.reset().await;
            }
        }
    };
    let blocks = stress.device.geometry().blocks;
    let area = Area::new(stress.device, blocks);
    let outcome = iostress::machine::run(area, setup, |rounds, counts| {
        entry.state.lock().progress = format!("{rounds} rounds, {counts}");
        ControlFlow::Continue(())
    });
    let outcome = match select(outcome, resets).await {
        Either::First(outcome) => outcome,
        Either::Second(never) => never,
    };
    let end = summary(&outcome, stress.seed);
    entry.state.lock().end = Some(end);
    entry.ended.wake();
}

fn summary(outcome: &Outcome, seed: u64) -> Result<String, String> {
    let Outcome {
        counts,
        rounds,
        blocks,
        trouble,
        missing,
    } = outcome;
    let done = format!("seed {seed}, {blocks} blocks, {rounds} rounds, {counts}");
    match trouble {
        Some(trouble) => Err(format!("{trouble} ({done})")),
        None if *missing != 0 => Err(format!(
            "{missing} bytes of memory have not come back ({done})"
        )),
        None => Ok(format!(
            "{done}; nothing lost, nothing corrupted, all memory is back"
        )),
    }
}
