//! NVMe controllers, answered by the kernel's driver; and how fast a disk is.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt::Write;
use core::time::Duration;
use embassy_time::Instant;
use futures_util::future::join_all;
use kernel::block::BlockDevice;
use kernel::drivers::nvme::hub::Hub;
use kernel::drivers::nvme::queue::Policy;
use kernel::memory::frames::Frames;
use kernel::{cores, executor, storage};
use shell::disks::{Controller, Rate};

type Answer = Option<Result<String, String>>;

fn find(name: &str) -> Option<Arc<Hub>> {
    let is_it = |hub: &Arc<Hub>| hub.name() == name;
    storage::controllers().into_iter().find(is_it)
}

/// The controller of a namespace, or of a partition on it.
pub(super) fn behind(device: &str) -> Option<Arc<Hub>> {
    let is_it = |hub: &Arc<Hub>| {
        let rest = device.strip_prefix(hub.name());
        rest.is_some_and(|rest| rest.starts_with('n'))
    };
    storage::controllers().into_iter().find(is_it)
}

pub(super) fn controllers() -> Vec<Controller> {
    storage::controllers().iter().map(describe).collect()
}

fn describe(hub: &Arc<Hub>) -> Controller {
    let queues = cores::online().map(|core| {
        let hub = hub.clone();
        // What a queue has done, its own core knows.
        executor::spawn_on(core, move || async move { hub.counters() })
    });
    let counters = executor::block_on(join_all(queues));
    let counters: Vec<_> = counters.into_iter().flatten().collect();
    let handle = hub.controller();
    let failure = match &handle {
        None => Some("it has gone".to_string()),
        Some(handle) => handle.failure().map(|failure| failure.to_string()),
    };
    Controller {
        name: hub.name().to_string(),
        model: hub.model().to_string(),
        queues: handle.as_ref().map_or(0, |handle| handle.queues().into()),
        resets: handle.as_ref().map_or(0, |handle| handle.resets()),
        commands: counters.iter().map(|queue| queue.completed).sum(),
        doorbells: counters
            .iter()
            .map(|queue| queue.driver.submission_doorbells + queue.driver.completion_doorbells)
            .sum(),
        interrupts: counters.iter().map(|queue| queue.interrupts).sum(),
        failure,
    }
}

/// Asks a controller something.
fn ask<T>(
    name: &str,
    question: impl AsyncFnOnce(kernel::drivers::nvme::hub::Controller) -> Result<T, nvme::Error>,
    answer: impl FnOnce(T) -> String,
) -> Answer {
    let hub = find(name)?;
    let Some(controller) = hub.controller() else {
        return Some(Err("it has gone".to_string()));
    };
    let asked = executor::block_on(question(controller));
    Some(asked.map(answer).map_err(|error| error.to_string()))
}

pub(super) fn health(name: &str) -> Answer {
    let question =
        async |controller: kernel::drivers::nvme::hub::Controller| controller.health().await;
    ask(name, question, |health| format!("{health}\n"))
}

pub(super) fn errors(name: &str) -> Answer {
    let question =
        async |controller: kernel::drivers::nvme::hub::Controller| controller.errors().await;
    ask(name, question, |errors| {
        let mut text = String::new();
        for error in &errors {
            // Writing into memory does not fail.
            let _ = writeln!(text, "{error}");
        }
        if errors.is_empty() {
            text.push_str("no errors\n");
        }
        text
    })
}

pub(super) fn reset(name: &str) -> Answer {
    let question =
        async |controller: kernel::drivers::nvme::hub::Controller| controller.reset().await;
    ask(name, question, |()| String::new())
}

/// How long each measurement takes.
const MOMENT: embassy_time::Duration = embassy_time::Duration::from_millis(500);

/// Bytes of a read.
const BYTES: u64 = 4096;

/// Reads at random places for a moment, `depth` at a time.
pub(super) fn measure(
    device: &Arc<dyn BlockDevice>,
    depth: usize,
    polled: bool,
) -> Result<Rate, String> {
    let hub = behind(device.name());
    let policy = if polled {
        Policy::Polled
    } else {
        Policy::Interrupt
    };
    if let Some(hub) = &hub {
        hub.set_policy(policy);
    }
    let result = executor::block_on(stream(device, depth));
    if let Some(hub) = &hub {
        hub.set_policy(Policy::ByLoad);
    }
    result
}

async fn stream(device: &Arc<dyn BlockDevice>, depth: usize) -> Result<Rate, String> {
    let block_size = u64::from(device.geometry().block_size);
    let reads = device.geometry().bytes() / BYTES;
    if reads == 0 || !BYTES.is_multiple_of(block_size) {
        return Err(format!("it has no {BYTES} bytes to read at once"));
    }
    let start = Instant::now();
    let end = start + MOMENT;
    let lanes = (0..depth as u64).map(|lane| {
        let device = device.clone();
        executor::spawn(async move {
            let mut place = lane.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut frames = Frames::allocate(BYTES).map_err(|error| error.to_string())?;
            let done = Cell::new(0_u64);
            while Instant::now() < end {
                place ^= place << 13;
                place ^= place >> 7;
                place ^= place << 17;
                let block = place % reads * (BYTES / block_size);
                frames = device
                    .read(block, frames)
                    .await
                    .map_err(|failed| failed.error.to_string())?;
                done.set(done.get() + 1);
            }
            Ok::<u64, String>(done.get())
        })
    });
    let lanes: Vec<_> = lanes.collect();
    let mut requests = 0;
    for done in join_all(lanes).await {
        requests += done?;
    }
    let time = Duration::from_micros((Instant::now() - start).as_micros());
    Ok(Rate {
        requests,
        bytes: requests * BYTES,
        time,
    })
}
