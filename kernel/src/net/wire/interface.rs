//! An end of a wire, as an interface.

use super::super::interface::{Counters, Interface, Link, Properties, Reception, Refusal};
use super::super::{Outgoing, Received, Refused, Sent};
use super::{DEPTH, Wire};
use crate::cores::{self, CoreId};
use crate::dma::Memory;
use alloc::vec;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

impl Interface for Wire {
    fn name(&self) -> &str {
        &self.name
    }

    fn properties(&self) -> Properties {
        let shared = self.shared.lock();
        let end = &shared.ends[self.end];
        let address = end.reception.address.unwrap_or(end.properties.address);
        Properties {
            address,
            ..end.properties
        }
    }

    fn link(&self) -> Link {
        self.shared.lock().link
    }

    fn cores(&self) -> Vec<CoreId> {
        vec![cores::current()]
    }

    fn supply(&self, memory: Memory) -> Result<(), Refused<Memory>> {
        let mut shared = self.shared.lock();
        let is_gone = shared.is_gone;
        let end = &mut shared.ends[self.end];
        let why = match memory.len() {
            _ if is_gone => Refusal::Removed,
            len if len < end.properties.least => Refusal::Length,
            _ if end.supplied.len() >= DEPTH => Refusal::Full,
            _ => {
                end.supplied.push_back(memory);
                return Ok(());
            }
        };
        Err(Refused { what: memory, why })
    }

    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        let mut shared = self.shared.lock();
        if shared.is_gone {
            return Poll::Ready(None);
        }
        let end = &mut shared.ends[self.end];
        match end.arrived.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => {
                end.receiving = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn transmit(&self, frame: Outgoing) -> Result<(), Refused<Outgoing>> {
        let taken = self.shared.lock().transmit(self.end, frame);
        taken?.into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<Option<Sent>> {
        let (sent, room) = {
            let mut shared = self.shared.lock();
            let is_gone = shared.is_gone;
            let end = &mut shared.ends[self.end];
            match end.sent.pop_front() {
                Some(sent) => (Some(sent), end.waiting.take()),
                None if is_gone => (None, None),
                None => {
                    end.sending = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        if let Some(waker) = room {
            waker.wake();
        }
        Poll::Ready(sent)
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared.lock();
        let is_gone = shared.is_gone;
        let end = &mut shared.ends[self.end];
        if end.sent.len() < DEPTH || is_gone {
            return Poll::Ready(());
        }
        end.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    fn flush(&self) {}

    fn set_reception(&self, reception: Reception) {
        self.change(|shared| shared.ends[self.end].reception = reception);
    }

    fn poll_changed(&self, seen: u64, cx: &mut Context<'_>) -> Poll<u64> {
        let mut shared = self.shared.lock();
        if shared.changes != seen {
            return Poll::Ready(shared.changes);
        }
        let watching = &mut shared.ends[self.end].watching;
        if !watching.iter().any(|waker| waker.will_wake(cx.waker())) {
            watching.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn counters(&self) -> Counters {
        self.shared.lock().ends[self.end].counters
    }
}
