//! From what the device has used to results.
//!
//! What the device writes is compared with what the queue knows: the chain must be one that is out,
//! and the bytes no more than it may write. A device that breaks these rules is reset, and nothing
//! of what it said counts. The status byte, too, is only believed if it says something: it was
//! overwritten with what no device says before the chain was sent.

use super::sending::NO_STATUS;
use super::slot::{AREA, STATUS};
use super::{Body, Mode, Ticket};
use crate::blk::request::{Command, Done};
use crate::error::{DeviceError, Error, Failure, RequestError, Violation};
use crate::memory::Memory;
use crate::platform::{Platform, SharedMemory};
use crate::ring::Used;
use core::task::{Context, Poll};
use virtio_spec::blk::S;

impl<P: Platform, B: Memory> Body<P, B> {
    /// Takes all that was used, and looks at each. Returns their number.
    #[inline]
    pub(super) fn reap(&mut self) -> usize {
        let mut count = 0;
        while self.mode == Mode::Live {
            let taken = match self.ring.pop() {
                Ok(None) => break,
                Ok(Some(used)) => self.complete(used),
                Err(violation) => Err(violation),
            };
            match taken {
                Ok(()) => count += 1,
                Err(violation) => self.trouble(Failure::Violation(violation)),
            }
        }
        count
    }

    // ANCHOR: complete
    #[inline]
    fn complete(&mut self, used: Used) -> Result<(), Violation> {
        let unknown = Violation::UsedId(used.id);
        let chain = u32::from(self.plan.chain);
        let index = (used.id / chain) as usize;
        let slot = self.slots.get_mut(index).ok_or(unknown)?;
        if !slot.is_out || !used.id.is_multiple_of(chain) {
            return Err(unknown);
        }
        // The status byte is the one behind the data.
        if used.len > slot.data + 1 {
            return Err(Violation::UsedLength(used.len));
        }
        slot.is_out = false;
        slot.tries = 0;
        self.outstanding -= 1;
        let status = self.area.load64(AREA * index + STATUS) as u8;
        let is_whole = used.len >= slot.data;
        if status == S::Ok as u8 && is_whole {
            self.advance(index);
        } else {
            self.failed(index, status, used.len);
        }
        Ok(())
    }
    // ANCHOR_END: complete

    /// A command went well: the request goes on, or is over.
    #[inline]
    fn advance(&mut self, index: usize) {
        let Some(active) = &mut self.slots[index].active else {
            return;
        };
        let was_flush = active.part == 0;
        active.done += active.part;
        active.place = active.behind;
        let operation = &active.operation;
        let has_more = active.done < operation.sectors
            || (operation.durable
                && !was_flush
                && operation.command != Command::Flush
                && self.plan.has_cache
                && !self.shared.standing.was_off_since(active.sent_at));
        match has_more && !active.is_abandoned {
            // Not into the ring now: what it has is told to the device, and what it is told of may
            // come back.
            true => self.waiting.push_back(index as u16),
            false => self.finish(index, Ok(())),
        }
    }

    #[cold]
    fn failed(&mut self, index: usize, status: u8, written: u32) {
        self.counters.errors += 1;
        let error = match S::try_from(status) {
            Ok(S::Ok) => DeviceError::Short { written },
            Ok(S::Ioerr) => DeviceError::Io,
            Ok(S::Unsupp) => DeviceError::Unsupported,
            _ => DeviceError::Status(status),
        };
        self.finish(index, Err(Error::Device(error)));
    }

    /// A request is over. Its memory is the device's no more.
    #[inline]
    pub(super) fn finish(&mut self, index: usize, result: Result<(), Error>) {
        let slot = &mut self.slots[index];
        debug_assert!(!slot.is_out);
        let Some(active) = &mut slot.active else {
            return;
        };
        if active.is_abandoned {
            self.release(index);
            return;
        }
        active.over = Some(result);
        if let Some(waker) = active.waker.take() {
            waker.wake();
        }
    }

    /// Makes a slot free. Drops what is in it.
    #[inline]
    fn release(&mut self, index: usize) {
        self.slots[index].active = None;
        self.free.push(index as u16);
    }

    #[inline]
    pub(super) fn poll(&mut self, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<Done<B>> {
        let slot = self.slots.get_mut(ticket.slot);
        let slot = slot.filter(|slot| slot.serial == ticket.serial);
        let Some(active) = slot.and_then(|slot| slot.active.as_mut()) else {
            return no_such_request();
        };
        let Some(result) = active.over else {
            match &mut active.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        };
        let data = active.data.take();
        self.release(ticket.slot);
        Poll::Ready(Done { data, result })
    }

    pub(super) fn abandon(&mut self, ticket: &Ticket) {
        let slot = self.slots.get_mut(ticket.slot);
        let Some(slot) = slot.filter(|slot| slot.serial == ticket.serial) else {
            return;
        };
        let Some(active) = &mut slot.active else {
            return;
        };
        active.is_abandoned = true;
        active.waker = None;
        if !slot.is_out {
            let number = ticket.slot as u16;
            self.waiting.retain(|waiting| *waiting != number);
            self.release(ticket.slot);
        }
    }
}

/// What there is for a ticket that nobody has.
#[cold]
fn no_such_request<B>() -> Poll<Done<B>> {
    Poll::Ready(Done {
        data: None,
        result: Err(Error::Request(RequestError::NoSuchRequest)),
    })
}

const _: () = assert!(NO_STATUS as u8 != S::Ok as u8);
