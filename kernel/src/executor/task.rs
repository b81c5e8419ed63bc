//! Tasks: futures that the executor polls for themselves.
//!
//! The `async-task` crate keeps a task's future, state, result and reference count in one piece of
//! memory, and guarantees that a woken task is scheduled once. What is added here is its place in
//! a line and its home: the core where it is made, polled and dropped.

use super::home::{self, Home};
use super::link::{Link, Linked};
use crate::cores::{self, CoreId};
use crate::time::Key;
use async_task::Builder;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};

/// What `async-task` keeps for us with each task: its place in a line, and its home.
///
/// It is here and not in the function that schedules the task: that one then holds nothing, and
/// `async-task` need not keep it alive, by two atomic additions, while it is called.
pub struct Place {
    link: Link,
    home: &'static Home,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place of a task of {}", self.home.core())
    }
}

/// A task that was woken, on its way to being polled.
pub(super) type Runnable = async_task::Runnable<Place>;

/// The handle of a task: a future of what the task returns.
///
/// Dropping it cancels the task: its future is dropped, on its own core, before anything else of
/// it runs. `detach` lets the task go on without a handle; `cancel` waits until it has ended.
pub type Task<T> = async_task::Task<T, Place>;

// SAFETY: `async-task` gives back the task that a pointer was made from, and a task's metadata stays
// the same for its whole life.
unsafe impl Linked for Runnable {
    fn link(&self) -> &Link {
        &self.metadata().link
    }

    fn into_raw(self) -> NonNull<()> {
        Runnable::into_raw(self)
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: the caller's duty is the same.
        unsafe { Runnable::from_raw(raw) }
    }
}

/// Starts a task on this core. It is polled when the core next waits.
///
/// The future may use what belongs to this core alone: it stays here.
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
{
    let home = home::here().home();
    // SAFETY: the home is this core's, and the future is made here.
    let (runnable, task) = unsafe { prepare(home, future) };
    runnable.schedule();
    task
}

/// Starts a task on a core: the function is called there, and its future stays there.
///
/// # Panics
/// If the core takes no part.
pub fn spawn_on<M, F>(core: CoreId, make: M) -> Task<F::Output>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    assert!(cores::is_online(core), "{core} takes no part");
    let future = async move { make().await };
    // SAFETY: until it is first polled, which its home does, the future holds nothing but `make`,
    // and that may be sent. The handle may be used anywhere, because the result may be sent.
    let (runnable, task) = unsafe { prepare(Home::of(core), future) };
    runnable.schedule();
    task
}

/// Makes a task that is polled and dropped by the core of `home` alone.
///
/// # Safety
/// Either this core is the home, or it is sound to move the future there before its first poll, and its
/// output from there to where the handle is used.
unsafe fn prepare<F>(home: &'static Home, future: F) -> (Runnable, Task<F::Output>)
where
    F: Future + 'static,
{
    let body = Body {
        future,
        home,
        key: None,
    };
    let schedule = |runnable: Runnable| runnable.metadata().home.schedule(runnable);
    let link = Link::new();
    let builder = Builder::new().metadata(Place { link, home });
    // SAFETY: `spawn_unchecked` asks for four things.
    // 1. A future that is not `Send` is polled and dropped on one thread. `schedule` brings every
    //    `Runnable` to the line of its home, and only the home takes it from there and runs it;
    //    `async-task` drops a future nowhere but in `run`, or when a `Runnable` is dropped, which
    //    happens nowhere else either. The caller vouches for the way there. (A handle that is not
    //    `Send`, because the output is not, cannot leave; where it can, the output may.)
    // 2. What the future borrows outlives it: it is `'static`.
    // 3. `schedule` may be used from any thread: it captures nothing, and `Home` is `Sync`.
    // 4. What `schedule` borrows outlives it: it borrows nothing.
    unsafe { builder.spawn_unchecked(move |_| body, schedule) }
}

/// A task's future, and what must happen when it ends: an alarm that it no longer waits for would
/// keep its memory until it rings.
struct Body<F> {
    future: F,
    home: &'static Home,
    /// Of the task's waker, once it was polled.
    key: Option<Key>,
}

impl<F: Future> Future for Body<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: nothing is moved out of it: the future is pinned again below.
        let this = unsafe { self.get_unchecked_mut() };
        this.key.get_or_insert_with(|| Key::of(context.waker()));
        // SAFETY: the future is part of what is pinned, and is dropped in its place.
        let future = unsafe { Pin::new_unchecked(&mut this.future) };
        future.poll(context)
    }
}

impl<F> Drop for Body<F> {
    fn drop(&mut self) {
        if let (Some(key), Some(here)) = (self.key, self.home.as_here()) {
            here.alarms.forget(key);
        }
    }
}
