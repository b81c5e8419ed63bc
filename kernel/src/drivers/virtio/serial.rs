//! What a disk is called by whoever made it, for people to know it by.

use super::drive::Drive;
use crate::dma::{self, Buffer, DmaLimits, Owner, Transfer};
use crate::memory::frames::Frames;
use alloc::format;
use alloc::string::String;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use virtio::blk::{Done, Operation, Request, Serial, Ticket};

/// What a disk without a name is.
const MODEL: &str = "virtio disk";

/// How long it may take. A disk that does not say is a disk all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of the memory that it is written to.
const ROOM: u64 = 4096;

impl Drive {
    /// What it is, and what it is called.
    pub(super) async fn model(&self) -> String {
        match self.serial().await {
            Some(serial) => format!("{MODEL} {serial}"),
            None => MODEL.into(),
        }
    }

    /// What it is called. `None` if it does not say, or there is nobody to ask it here.
    async fn serial(&self) -> Option<Serial> {
        let memory = Frames::zeroed(ROOM).ok()?.into_memory();
        let memory = memory.part(0..Serial::BYTES).ok()?;
        let buffer = Buffer::from_device(memory);
        let mapped = dma::map_without_io(buffer, &self.domain, &DmaLimits::NONE);
        let request = Request::with_data(Operation::identify(), Transfer::from(mapped.ok()?));
        let asked = Asked {
            drive: self,
            ticket: Some(self.submit_once(request)?),
        };
        let done = match select(asked, Timer::after(PATIENCE)).await {
            Either::First(done) => done?,
            Either::Second(()) => return None,
        };
        done.result.ok()?;
        let mut bytes = [0; Serial::BYTES];
        done.data?.into_memory().copy_to(0, &mut bytes).ok()?;
        Serial::new(bytes)
    }

    /// Hands a request to this core's queue, unless that has no room.
    fn submit_once(&self, request: Request<Transfer>) -> Option<Ticket> {
        self.with_queue(|local| local?.with(|queue| queue.submit(request, Waker::noop()).ok()))
    }
}

/// A question on its way. Whoever does not wait for the answer gives it up: the device keeps the memory until it is done,
/// and then nobody has the place in the queue.
struct Asked<'d> {
    drive: &'d Drive,
    /// Until the answer is there.
    ticket: Option<Ticket>,
}

impl Future for Asked<'_> {
    /// `None` if the queue has gone.
    type Output = Option<Done<Transfer>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let drive = self.drive;
        let done = drive.with_queue(|local| match (local, &self.ticket) {
            (Some(local), Some(ticket)) => local.with(|queue| queue.poll(ticket, cx)).map(Some),
            _ => Poll::Ready(None),
        });
        if done.is_ready() {
            self.ticket = None;
        }
        done
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        self.drive.with_queue(|local| {
            if let Some(local) = local {
                local.with(|queue| queue.abandon(ticket));
            }
        });
    }
}
