//! The device: bringing it up, and hearing what it says of its ports.

use super::config::{self, FROM_DEVICE, TO_DEVICE, receive_queue};
use super::letters::{self, Letter, Letters};
use super::message::{Message, encode, event};
use super::port::Port;
use super::ports::Ports;
use crate::error::{Error, Failure};
use crate::lock::Mutex;
use crate::memory::{Access, Memory};
use crate::plain::{LanePlan, Pieces, Plain, Plan, Posted};
use crate::platform::Platform;
use crate::transport::{Accepted, Notify};
use crate::watch::Watch;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use virtio_spec::console::F;

/// Most pieces of what is said or heard at once.
const PIECES: u16 = 16;

/// Messages for which the device has memory. QEMU's queue has so many entries.
const LENT: u16 = 32;

/// What a caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Most entries of a queue. Sixteen for each piece of memory that is said or lent at the same time.
    pub entries: u16,
    /// Most ports. Those whose number is higher are refused.
    pub ports: u16,
    /// Microseconds that the device may take to hear a message.
    pub timeout: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            entries: 128,
            ports: 8,
            timeout: 10_000_000,
        }
    }
}

/// A console. Ports own memory of the type `D` until the device is done. Clones are the same; when the last is dropped,
/// and every port of it, the device is stopped.
pub struct Console<P: Platform, D>(pub(super) Arc<Inner<P, D>>);

impl<P: Platform, D> Clone for Console<P, D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

pub(super) struct Inner<P: Platform, D> {
    pub(super) plain: Plain<P, Kept<P::Shared, D>>,
    pub(super) state: Mutex<State>,
    /// `None` if there are no messages.
    letters: Option<Arc<Letters<P::Shared>>>,
    timeout: u64,
}

/// What a chain has.
pub(super) enum Kept<M, D> {
    Letter(Letter<M>),
    Data(D),
}

pub(super) struct State {
    pub(super) ports: Ports,
    /// Memory that was lent to the device for what comes, by the port's number, in order.
    pub(super) lent: Vec<VecDeque<Posted>>,
    /// Likewise, for messages.
    inbox: VecDeque<Posted>,
    /// An answer that the device has not got yet.
    answer: Option<u64>,
}

impl<P: Platform, D: Memory> Console<P, D> {
    /// Resets a device, agrees with it on features, lets it go, and says that it may speak of its ports. `notify` is the
    /// block of [`Platform::notify`].
    ///
    /// # Errors
    /// [`Error::Failed`], with what is wrong, or [`Error::OutOfMemory`]. The device is left reset, and
    /// without a way to memory.
    pub async fn new(platform: P, notify: Notify, options: Options) -> Result<Self, Error> {
        let memory = platform.allocate(letters::MOST * letters::BYTES)?;
        let plan = |platform: &P, accepted: &Accepted<F>| plan(platform, accepted, options);
        let made = Plain::new(platform, &notify, options.timeout, &config::wishes(), plan).await;
        let (plain, most) = made?;
        let (ports, places) = match most {
            Some((places, most)) => (Ports::new(places, most), places),
            None => (Ports::single(), 1),
        };
        let console = Self(Arc::new(Inner {
            plain,
            state: Mutex::new(State {
                ports,
                lent: (0..places).map(|_| VecDeque::new()).collect(),
                inbox: VecDeque::new(),
                answer: None,
            }),
            letters: most.map(|_| Letters::new(memory)),
            timeout: options.timeout,
        }));
        if most.is_some() {
            console.0.lend_letters()?;
            // The number of a port means nothing here.
            console.0.say(0, event::DEVICE_READY, 1).await?;
        }
        Ok(console)
    }

    /// The ports that there are at this moment.
    pub fn ports(&self) -> Vec<Port<P, D>> {
        self.0.attend();
        let state = self.0.state.lock();
        let all = state.ports.all();
        all.map(|(number, life, _)| Port::new(self.0.clone(), number, life))
            .collect()
    }

    /// The port of this name, if it is there.
    pub fn find(&self, name: &str) -> Option<Port<P, D>> {
        self.0.attend();
        let state = self.0.state.lock();
        let mut all = state.ports.all();
        let (number, life, _) = all.find(|(.., known)| known.name.as_deref() == Some(name))?;
        Some(Port::new(self.0.clone(), number, life))
    }

    /// Waits until there is a port of this name, however long that takes.
    ///
    /// # Errors
    /// What became of the device.
    pub async fn wait_for(&self, name: &str) -> Result<Port<P, D>, Error> {
        let mut watch = self.0.watch();
        loop {
            match self.find(name) {
                Some(port) => return Ok(port),
                None => self.0.turn(&mut watch).await?,
            }
        }
    }

    /// Ends the use of the device: it is left reset, and without a way to memory.
    pub fn shutdown(&self) {
        self.0.plain.shutdown();
    }

    /// Why the device is out of use, if it is.
    pub fn failure(&self) -> Option<Failure> {
        self.0.plain.failure()
    }

    /// Queues that are kept for ever, since the device may still use them.
    pub fn lost(&self) -> u64 {
        self.0.plain.lost()
    }
}

impl<P: Platform, D: Memory> Inner<P, D> {
    /// A wait without a limit: nobody knows when somebody at the other end says something.
    pub(super) fn watch(&self) -> Watch {
        Watch::for_answer(self.plain.platform(), u64::MAX)
    }

    /// Likewise, until another task has taken its answer: the device does not tell of that.
    pub(super) fn watch_for_room(&self) -> Watch {
        Watch::new(self.plain.platform(), u64::MAX)
    }

    /// Lets a moment pass, and looks whether the device is well.
    pub(super) async fn turn(&self, watch: &mut Watch) -> Result<(), Error> {
        match self.plain.failure() {
            Some(failure) => Err(Error::Dead(failure)),
            None => self.plain.turn(watch).await,
        }
    }

    /// Hears all messages, and answers them.
    pub(super) fn attend(&self) {
        while self.plain.loose().is_some() {}
        let mut state = self.state.lock();
        // As many as there can be at this moment: so no device keeps us here.
        for _ in 0..state.inbox.len() {
            if !self.answer(&mut state) {
                return;
            }
            let Some(answer) = self.next_letter(&mut state) else {
                return;
            };
            state.answer = answer;
        }
        self.answer(&mut state);
    }

    /// Says a message, and waits until the device has heard it.
    pub(super) async fn say(&self, port: u16, event: u16, value: u16) -> Result<(), Error> {
        let Some(letters) = &self.letters else {
            // There is nobody who listens.
            return Ok(());
        };
        let mut watch = Watch::new(self.plain.platform(), self.timeout);
        // Answers come first.
        let letter = loop {
            self.attend();
            if self.state.lock().answer.is_none()
                && let Some(letter) = letters.take()
            {
                break letter;
            }
            self.turn(&mut watch).await?;
        };
        letter.write(encode(port.into(), event, value));
        let pieces = Pieces::one(letter.written(), Access::ToDevice);
        let kept = Kept::Letter(letter);
        let asked = self.plain.ask(TO_DEVICE.into(), &pieces, kept, drop).await;
        asked.map(drop).map_err(|(error, _)| error)
    }

    /// Lends the device memory for its messages.
    fn lend_letters(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        let most = self.plain.most_chains(FROM_DEVICE.into()).min(LENT);
        while state.inbox.len() < usize::from(most)
            && let Some(letter) = self.letters.as_ref().and_then(Letters::take)
        {
            let posted = self.lend_letter(letter)?;
            state.inbox.push_back(posted);
        }
        Ok(())
    }

    fn lend_letter(&self, letter: Letter<P::Shared>) -> Result<Posted, Error> {
        let pieces = Pieces::one(letter.room(), Access::FromDevice);
        let posted = self
            .plain
            .post(FROM_DEVICE.into(), &pieces, Kept::Letter(letter));
        posted.map_err(|(error, _)| error)
    }

    /// Sends the answer that is due. Returns whether none is left.
    fn answer(&self, state: &mut State) -> bool {
        let Some(answer) = state.answer else {
            return true;
        };
        let Some(letter) = self.letters.as_ref().and_then(Letters::take) else {
            return false;
        };
        letter.write(answer);
        let pieces = Pieces::one(letter.written(), Access::ToDevice);
        match self
            .plain
            .post(TO_DEVICE.into(), &pieces, Kept::Letter(letter))
        {
            Ok(posted) => {
                self.plain.leave(&posted);
                state.answer = None;
                true
            }
            Err(_) => false,
        }
    }

    /// Hears the next message. Returns the answer to it; `None` if there is no message, or none that makes sense.
    fn next_letter(&self, state: &mut State) -> Option<Option<u64>> {
        let posted = state.inbox.pop_front()?;
        let (letter, written) = match self.plain.look(posted) {
            Err(posted) => {
                state.inbox.push_front(posted);
                return None;
            }
            Ok(Ok((Kept::Letter(letter), written))) => (letter, written),
            Ok(_) => return None,
        };
        let bytes = letter.read();
        let bytes = &bytes[..bytes.len().min(written as usize)];
        let message = Message::decode(bytes, letters::BYTES);
        let heard = message.and_then(|message| state.ports.hear(message));
        // So there is always as much room as at the start.
        if let Ok(posted) = self.lend_letter(letter) {
            state.inbox.push_back(posted);
        }
        heard.map_err(|violation| self.plain.object(violation)).ok()
    }
}

/// The queues, and how many ports there are to be, and may be.
fn plan<P: Platform>(
    platform: &P,
    accepted: &Accepted<F>,
    options: Options,
) -> Result<Plan<Option<(u16, u32)>>, Failure> {
    let most = config::most_ports(platform, accepted)?;
    let lane = |queue, pieces| LanePlan {
        queue,
        entries: options.entries,
        pieces,
    };
    let places = most.map(|most| {
        let wanted = options.ports.clamp(1, 64);
        (most.min(wanted.into()) as u16, most)
    });
    let data = |port| {
        let first = receive_queue(port);
        [lane(first, PIECES), lane(first + 1, PIECES)]
    };
    let mut lanes = Vec::from(data(0));
    if let Some((places, _)) = places {
        // Lanes are in the order of queues, so the number of one is that of the other.
        lanes.extend([lane(FROM_DEVICE, 1), lane(TO_DEVICE, 1)]);
        lanes.extend((1..places).flat_map(data));
    }
    Ok(Plan {
        lanes,
        known: places,
    })
}
