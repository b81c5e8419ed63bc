//! A port: a stream of bytes in each direction.

use super::config::receive_queue;
use super::device::{Inner, Kept};
use super::message::event;
use super::ports::{Known, Size};
use crate::error::{DeviceError, Error, RequestError};
use crate::memory::{Access, Memory};
use crate::plain::Pieces;
use crate::platform::Platform;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

/// Why a port does not do what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortError {
    /// The device has taken the port away. If one of the same name comes, it is another.
    Removed,
    /// Nobody is at the other end: what was said would be lost.
    Closed,
    /// The device was lent no memory, so nothing can come. [Lend](Port::lend) some.
    NothingLent,
    /// What became of the device, or what is wrong with the memory.
    Driver(Error),
}

impl From<Error> for PortError {
    fn from(error: Error) -> Self {
        Self::Driver(error)
    }
}

impl From<RequestError> for PortError {
    fn from(error: RequestError) -> Self {
        Self::Driver(Error::Request(error))
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed => f.write_str("the port was taken away"),
            Self::Closed => f.write_str("nobody is at the other end of the port"),
            Self::NothingLent => f.write_str("no memory was lent for what comes: lend some first"),
            Self::Driver(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for PortError {}

/// What went wrong, and the memory, unless the device may still use it.
pub type Refused<D> = (PortError, Option<D>);

/// Memory of which the front is what has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<D> {
    /// The memory.
    pub data: D,
    /// How many bytes have come: at least one, and no more than there is room for.
    pub bytes: u32,
}

/// A port. Clones are the same.
pub struct Port<P: Platform, D> {
    console: Arc<Inner<P, D>>,
    number: u16,
    life: u64,
}

impl<P: Platform, D> Clone for Port<P, D> {
    fn clone(&self) -> Self {
        Self {
            console: self.console.clone(),
            ..*self
        }
    }
}

impl<P: Platform, D: Memory> Port<P, D> {
    pub(super) fn new(console: Arc<Inner<P, D>>, number: u16, life: u64) -> Self {
        Self {
            console,
            number,
            life,
        }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// What it is called, if the device has said so.
    ///
    /// # Errors
    /// [`PortError::Removed`].
    pub fn name(&self) -> Result<Option<String>, PortError> {
        self.known(|known| known.name.clone())
    }

    /// Whether it is for a terminal.
    ///
    /// # Errors
    /// [`PortError::Removed`].
    pub fn is_console(&self) -> Result<bool, PortError> {
        self.known(|known| known.is_console)
    }

    /// The size of the terminal, if the device has said so.
    ///
    /// # Errors
    /// [`PortError::Removed`].
    pub fn size(&self) -> Result<Option<Size>, PortError> {
        self.known(|known| known.size)
    }

    /// Whether somebody is at the other end.
    ///
    /// # Errors
    /// [`PortError::Removed`].
    pub fn is_connected(&self) -> Result<bool, PortError> {
        self.known(|known| known.is_open)
    }

    /// Waits until somebody is at the other end, or nobody is any more.
    ///
    /// # Errors
    /// [`PortError::Removed`], or what became of the device.
    pub async fn connection(&self, is_wanted: bool) -> Result<(), PortError> {
        let mut watch = self.console.watch();
        while self.is_connected()? != is_wanted {
            self.console.turn(&mut watch).await?;
        }
        Ok(())
    }

    /// Says that somebody is at this end. Before that, a device hands nothing on.
    ///
    /// # Errors
    /// [`PortError::Removed`], or what became of the device.
    pub async fn open(&self) -> Result<(), PortError> {
        self.known(|_| ())?;
        Ok(self.console.say(self.number, event::PORT_OPEN, 1).await?)
    }

    /// Says that nobody is at this end any more.
    ///
    /// # Errors
    /// [`PortError::Removed`], or what became of the device.
    pub async fn close(&self) -> Result<(), PortError> {
        self.known(|_| ())?;
        Ok(self.console.say(self.number, event::PORT_OPEN, 0).await?)
    }

    /// Says all bytes, and gives the memory back when the device has read them. It may take as long as
    /// who is at the other end lets it. Dropping that leaves the memory to the device.
    ///
    /// # Errors
    /// Why not, and the memory.
    pub async fn send(&self, data: D) -> Result<D, Refused<D>> {
        let console = &self.console;
        let lane = usize::from(receive_queue(self.number) + 1);
        let most = console.plain.most_pieces(lane);
        let pieces = match Pieces::of(&data, Access::ToDevice, most) {
            Ok(pieces) => pieces,
            Err(error) => return Err((error.into(), Some(data))),
        };
        let mut watch = console.watch_for_room();
        let mut kept = Kept::Data(data);
        let mut flight = loop {
            let is_possible = match self.is_connected() {
                Ok(true) => Ok(()),
                Ok(false) => Err(PortError::Closed),
                Err(error) => Err(error),
            };
            let error = match is_possible {
                Err(error) => error,
                Ok(()) => match console.plain.fly(lane, &pieces, kept) {
                    Ok(flight) => break flight,
                    Err((Error::Full, back)) => {
                        kept = back;
                        match console.turn(&mut watch).await {
                            Ok(()) => continue,
                            Err(error) => error.into(),
                        }
                    }
                    Err((error, back)) => {
                        kept = back;
                        error.into()
                    }
                },
            };
            return Err((error, data_of(kept)));
        };
        let mut watch = console.watch();
        loop {
            console.attend();
            match flight.look() {
                Some(Ok((kept, _))) => {
                    return data_of(kept).ok_or((PortError::NothingLent, None));
                }
                Some(Err((error, kept))) => return Err((error.into(), kept.and_then(data_of))),
                None => {}
            }
            // The device has it, and nobody knows for how long.
            if let Err(error) = self.known(|_| ()) {
                return Err((error, None));
            }
            // If it fails, the next look says so.
            let _ = console.turn(&mut watch).await;
        }
    }

    /// Lends the device memory for what comes. It is filled in the order in which it was lent.
    ///
    /// # Errors
    /// Why not, and the memory. [`Error::Full`] says that the device has as much as it can have.
    pub fn lend(&self, data: D) -> Result<(), Refused<D>> {
        if let Err(error) = self.known(|_| ()) {
            return Err((error, Some(data)));
        }
        let lane = usize::from(receive_queue(self.number));
        let most = self.console.plain.most_pieces(lane);
        let pieces = match Pieces::of(&data, Access::FromDevice, most) {
            Ok(pieces) => pieces,
            Err(error) => return Err((error.into(), Some(data))),
        };
        // Locked, so that the order here is that of the queue.
        let mut state = self.console.state.lock();
        match self.console.plain.post(lane, &pieces, Kept::Data(data)) {
            Ok(posted) => {
                state.lent[usize::from(self.number)].push_back(posted);
                Ok(())
            }
            Err((error, kept)) => Err((error.into(), data_of(kept))),
        }
    }

    /// Waits for what comes next. `None` says that all has come, and nobody is at the other end. Dropping that loses
    /// nothing.
    ///
    /// What was lent to a port that is taken away stays lent, and what a later port of the same number says comes
    /// there.
    ///
    /// # Errors
    /// Why nothing comes. After the end of the device, each call gives memory back that was lent.
    pub async fn receive(&self) -> Result<Option<Received<D>>, Refused<D>> {
        let mut watch = self.console.watch();
        loop {
            // What is known is older than what has come.
            let is_connected = self.is_connected();
            match self.take() {
                Some(Err((PortError::NothingLent, _))) if is_connected == Ok(false) => {}
                Some(received) => return received.map(Some),
                None => {}
            }
            match is_connected {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Err((error, None)),
            }
            let _ = self.console.turn(&mut watch).await;
        }
    }

    /// What has come, or why nothing can.
    fn take(&self) -> Option<Result<Received<D>, Refused<D>>> {
        let mut state = self.console.state.lock();
        if self.console.plain.failure().is_none() {
            state.ports.get(self.number, self.life)?;
        }
        let lent = &mut state.lent[usize::from(self.number)];
        let Some(first) = lent.pop_front() else {
            return Some(Err((self.nothing_lent(), None)));
        };
        match self.console.plain.look(first) {
            Err(first) => {
                lent.push_front(first);
                None
            }
            Ok(Ok((Kept::Data(data), 0))) => {
                let short = Error::Device(DeviceError::Short { written: 0 });
                Some(Err((short.into(), Some(data))))
            }
            Ok(Ok((Kept::Data(data), bytes))) => Some(Ok(Received { data, bytes })),
            Ok(Ok(_)) => None,
            Ok(Err((error, kept))) => Some(Err((error.into(), kept.and_then(data_of)))),
        }
    }

    fn nothing_lent(&self) -> PortError {
        match self.console.plain.failure() {
            Some(failure) => Error::Dead(failure).into(),
            None => PortError::NothingLent,
        }
    }

    /// What the device has said of it until now.
    fn known<R>(&self, look: impl FnOnce(&Known) -> R) -> Result<R, PortError> {
        self.console.attend();
        let state = self.console.state.lock();
        let known = state.ports.get(self.number, self.life);
        known.map(look).ok_or(PortError::Removed)
    }
}

fn data_of<M, D>(kept: Kept<M, D>) -> Option<D> {
    match kept {
        Kept::Data(data) => Some(data),
        Kept::Letter(_) => None,
    }
}
