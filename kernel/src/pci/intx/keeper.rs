//! The task that asks everybody, and the list of those who are asked.

use super::pace::Pace;
use super::pass::{Settled, Sharer, settle};
use crate::cores::CoreId;
use crate::executor;
use crate::interrupts::{self, Interrupt, LegacyError};
use crate::lock::Mutex;
use crate::println;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::future::{pending, poll_fn};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::Poll;
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_sync::waitqueue::AtomicWaker;
use embassy_time::{Duration, Timer};
use spin::Once;

/// How long an edge may take.
const ON_ITS_WAY: Duration = Duration::from_millis(5);

type Member = Arc<dyn Sharer + Send + Sync>;

/// Those who are asked.
static MEMBERS: Mutex<Vec<Member>> = Mutex::new(Vec::new());

/// Counts changes of the list, so that the keeper makes a copy only then.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Everybody is to be asked again, edge or not.
static IS_NUDGED: AtomicBool = AtomicBool::new(false);

/// Who asks.
static KEEPER: AtomicWaker = AtomicWaker::new();

static EDGES: AtomicU64 = AtomicU64::new(0);
static ANSWERS: AtomicU64 = AtomicU64::new(0);
static UNANNOUNCED: AtomicU64 = AtomicU64::new(0);

/// What the keeper has done since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Times that lines had risen. Several that rose before it came to look count once.
    pub edges: u64,
    /// Times that somebody had asked for something.
    pub answers: u64,
    /// Of these, those that only the clock has found.
    pub unannounced: u64,
}

/// The counters.
pub fn counters() -> Counters {
    Counters {
        edges: EDGES.load(Ordering::Relaxed),
        answers: ANSWERS.load(Ordering::Relaxed),
        unannounced: UNANNOUNCED.load(Ordering::Relaxed),
    }
}

/// That somebody is asked. Dropped, he is not asked any more; let the line be turned off before.
pub struct Share(Member);

/// Has somebody asked from now on. He may turn his line on when this has returned, and says so then.
///
/// # Errors
/// No line leads to where it can be heard: poll the function.
pub fn join(member: Member) -> Result<Share, LegacyError> {
    static STARTED: Once = Once::new();
    interrupts::can_hear_lines()?;
    STARTED.call_once(|| {
        executor::spawn_on(CoreId::BOOT, || async { match keep().await {} }).detach();
    });
    MEMBERS.lock().push(member.clone());
    let share = Share(member);
    CHANGES.fetch_add(1, Ordering::Release);
    share.nudge();
    Ok(share)
}

impl Share {
    /// Has everybody asked, although no line may have risen: a function was reset, which may have let its line fall, or has
    /// turned its line on.
    pub fn nudge(&self) {
        IS_NUDGED.store(true, Ordering::Release);
        KEEPER.wake();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut members = MEMBERS.lock();
        members.retain(|member| !Arc::ptr_eq(member, &self.0));
        drop(members);
        CHANGES.fetch_add(1, Ordering::Release);
        self.nudge();
    }
}

/// Asks everybody, whenever a line rises, somebody says so, or the clock does.
async fn keep() -> Infallible {
    let mut pace = Pace::new();
    let mut known = u64::MAX;
    let mut members: Vec<Member> = Vec::new();
    let mut lines: Option<Interrupt> = None;
    loop {
        let changes = CHANGES.load(Ordering::Acquire);
        if changes != known {
            known = changes;
            members.clone_from(&MEMBERS.lock());
            pace = Pace::new();
            match (members.is_empty(), &lines) {
                // Nobody wants to know, and the inputs are masked again.
                (true, _) => lines = None,
                (false, None) => lines = hear(),
                (false, Some(_)) => {}
            }
        }
        match settle(&members) {
            Settled::NotYet => {
                count(&ANSWERS);
                yield_now().await;
                continue;
            }
            Settled::Answered => count(&ANSWERS),
            Settled::Nothing => {}
        }
        let clock = async {
            match members.is_empty() {
                true => pending().await,
                false => Timer::after(Duration::from_micros(pace.period())).await,
            }
        };
        match select(called(lines.as_ref()), clock).await {
            Either::First(Call::Line) => {
                count(&EDGES);
                pace.rose();
            }
            Either::First(Call::Nudge) => {}
            Either::Second(()) => look_by_the_clock(&members, lines.as_ref(), &mut pace).await,
        }
    }
}

/// Why everybody is to be asked.
enum Call {
    Line,
    Nudge,
}

/// Waits for an edge, or for somebody who says that there may have been one.
async fn called(lines: Option<&Interrupt>) -> Call {
    poll_fn(|cx| {
        KEEPER.register(cx.waker());
        if let Some(lines) = lines
            && lines.poll_raised(cx).is_ready()
        {
            return Poll::Ready(Call::Line);
        }
        match IS_NUDGED.swap(false, Ordering::AcqRel) {
            true => Poll::Ready(Call::Nudge),
            false => Poll::Pending,
        }
    })
    .await
}

/// Asks everybody because it was long ago.
async fn look_by_the_clock(members: &[Member], lines: Option<&Interrupt>, pace: &mut Pace) {
    if settle(members) == Settled::Nothing {
        pace.found_nothing();
        return;
    }
    count(&ANSWERS);
    // An edge may be on its way: a device may say what it asks for a moment before it raises its line.
    match select(called(lines), Timer::after(ON_ITS_WAY)).await {
        Either::First(Call::Line) => {
            count(&EDGES);
            pace.rose();
        }
        Either::First(Call::Nudge) => {}
        Either::Second(()) => {
            count(&UNANNOUNCED);
            if pace.found_unannounced() {
                println!("pci: a line rises unheard, or is held up: it is looked at by the clock");
            }
        }
    }
}

/// Opens the inputs.
fn hear() -> Option<Interrupt> {
    match interrupts::lines() {
        Ok(lines) => Some(lines),
        Err(error) => {
            println!("pci: lines are looked at by the clock: {error}");
            None
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
