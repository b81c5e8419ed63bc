//! Two interfaces made of memory, and a wire between them.
//!
//! What one end transmits arrives at the other, copied once, by the CPU: the card here is made of
//! code. What happens to frames on a real wire by chance, happens here when a test says so
//! ([`Wire::set_fate`]). A frame for which no memory was supplied is dropped, as by any card.
//!
//! Both ends can do the same. An offload that was asked for is handed through, as between two machines on
//! one host: the frame arrives as it was sent, and says what was not done to it.

mod interface;

use super::frame::SentMemory;
use super::interface::{Counters, Link, MacAddress, Properties, Reception, Refusal};
use super::offload::{Checked, Offloads};
use super::{Outgoing, Received, Refused, Sent};
use crate::dma::{BufferError, DmaError, Memory};
use crate::lock::Mutex;
use crate::memory::regions::RegionError;
use crate::storage::Name;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Arrives,
    /// It is lost.
    Lost,
    /// It arrives twice.
    Twice,
    /// It arrives after the next one that does.
    Late,
}

/// One end of a wire.
pub struct Wire {
    name: Name,
    end: usize,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    ends: [End; 2],
    link: Link,
    changes: u64,
    is_gone: bool,
    fate: Judge,
}

/// What decides about the fate of frames.
type Judge = Box<dyn FnMut(&[u8]) -> Fate + Send>;

/// What belongs to one end.
struct End {
    properties: Properties,
    reception: Reception,
    supplied: VecDeque<Memory>,
    arrived: VecDeque<Received>,
    sent: VecDeque<Sent>,
    /// What this end has sent and is late.
    late: Vec<Copied>,
    counters: Counters,
    /// Who waits for frames that arrive, for frames that were sent, for room, for changes.
    receiving: Option<Waker>,
    sending: Option<Waker>,
    waiting: Option<Waker>,
    watching: Vec<Waker>,
}

/// A frame on the wire.
#[derive(Clone)]
struct Copied {
    bytes: Vec<u8>,
    checked: Checked,
    joined: Option<super::Segmentation>,
}

/// Frames, and pieces of memory, that an end takes at once.
const DEPTH: usize = 256;

impl Wire {
    /// Both ends of a wire on which IP packets of so many bytes fit, and that can do this.
    pub fn pair(mtu: u16, offloads: Offloads) -> [Arc<Self>; 2] {
        let ends = [2, 3].map(|last| End::new(MacAddress([2, 0, 0, 0, 0, last]), mtu, offloads));
        let shared = Arc::new(Mutex::new(Shared {
            ends,
            link: Link::Up,
            changes: 0,
            is_gone: false,
            fate: Box::new(|_| Fate::Arrives),
        }));
        [0, 1].map(|end| {
            Arc::new(Self {
                name: Name::numbered("wire"),
                end,
                shared: shared.clone(),
            })
        })
    }

    /// From now on, this decides what becomes of each frame, either way.
    pub fn set_fate(&self, fate: impl FnMut(&[u8]) -> Fate + Send + 'static) {
        self.shared.lock().fate = Box::new(fate);
    }

    /// Plugs the wire in, or pulls it out.
    pub fn set_link(&self, link: Link) {
        self.change(|shared| shared.link = link);
    }

    /// Both interfaces are removed.
    pub fn remove(&self) {
        self.change(|shared| shared.is_gone = true);
    }

    fn change(&self, action: impl FnOnce(&mut Shared)) {
        let mut wakers = Vec::new();
        {
            let mut shared = self.shared.lock();
            action(&mut shared);
            shared.changes += 1;
            for end in &mut shared.ends {
                wakers.append(&mut end.watching);
                wakers.extend(end.receiving.take());
                wakers.extend(end.sending.take());
                wakers.extend(end.waiting.take());
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl End {
    fn new(address: MacAddress, mtu: u16, offloads: Offloads) -> Self {
        let longest = 65_535 + super::frame::ETHERNET;
        let unsegmented = usize::from(mtu) + super::frame::ETHERNET + 4;
        Self {
            properties: Properties {
                address,
                mtu,
                offloads,
                longest,
                pieces: usize::MAX,
                transmit_depth: DEPTH,
                receive_depth: DEPTH,
                least: 64,
                ample: match offloads.joined_tcp4 || offloads.joined_tcp6 {
                    true => longest.max(unsegmented),
                    false => unsegmented,
                },
            },
            reception: Reception {
                everything: true,
                ..Reception::default()
            },
            supplied: VecDeque::new(),
            arrived: VecDeque::new(),
            sent: VecDeque::new(),
            late: Vec::new(),
            counters: Counters::default(),
            receiving: None,
            sending: None,
            waiting: None,
            watching: Vec::new(),
        }
    }

    /// Whether a frame is one of those that are to arrive.
    fn wants(&self, bytes: &[u8]) -> bool {
        let Some(to) = bytes.first_chunk::<6>() else {
            return false;
        };
        let (to, reception) = (MacAddress(*to), &self.reception);
        reception.everything
            || to == MacAddress::BROADCAST
            || to == reception.address.unwrap_or(self.properties.address)
            || to.is_multicast() && (reception.all_multicast || reception.multicast.contains(&to))
    }

    /// Puts a frame into memory that was supplied.
    fn deliver(&mut self, frame: Copied) {
        if !self.wants(&frame.bytes) {
            return;
        }
        let (mut room, mut used) = (0, 0);
        for memory in &self.supplied {
            if room >= frame.bytes.len() {
                break;
            }
            room += memory.len();
            used += 1;
        }
        if room < frame.bytes.len() {
            self.counters.dropped += 1;
            return;
        }
        let mut left = &frame.bytes[..];
        let mut pieces = self.supplied.drain(..used).map(|mut memory| {
            let (here, others) = left.split_at(memory.len().min(left.len()));
            left = others;
            let copied = memory.copy_from(0, here);
            copied.expect("memory that was supplied can be written");
            let part = memory.part(0..here.len());
            part.expect("it is as long as what was written")
        });
        let Some(first) = pieces.next() else {
            return;
        };
        let rest = pieces.collect();
        self.counters.received += 1;
        self.counters.received_bytes += frame.bytes.len() as u64;
        self.arrived.push_back(Received {
            first,
            rest,
            checked: frame.checked,
            joined: frame.joined,
        });
    }
}

impl Shared {
    /// Takes a frame, and carries it. Returns who is to be woken.
    #[expect(
        clippy::result_large_err,
        reason = "a frame that is refused comes back by value"
    )]
    fn transmit(&mut self, from: usize, frame: Outgoing) -> Result<Vec<Waker>, Refused<Outgoing>> {
        let end = &self.ends[from];
        let why = match frame.check(&end.properties) {
            _ if self.is_gone => Refusal::Removed,
            _ if end.sent.len() >= DEPTH => Refusal::Full,
            Ok(()) => match gather(&frame) {
                Ok(copied) => return Ok(self.taken(from, frame, copied)),
                Err(error) => Refusal::Memory(DmaError::Buffer(BufferError::Region(error))),
            },
            Err(why) => why,
        };
        Err(Refused { what: frame, why })
    }

    fn taken(&mut self, from: usize, frame: Outgoing, copied: Copied) -> Vec<Waker> {
        let end = &mut self.ends[from];
        end.counters.sent += 1;
        end.counters.sent_bytes += copied.bytes.len() as u64;
        end.counters.kicks += 1;
        let mut wakers = Vec::new();
        if let Some(tag) = frame.tag {
            let (head, body) = (frame.head, frame.body);
            end.sent.push_back(Sent {
                tag,
                memory: Some(SentMemory { head, body }),
                result: Ok(()),
            });
            wakers.extend(end.sending.take());
        }
        self.carry(from, copied);
        wakers.extend(self.ends[1 - from].receiving.take());
        wakers
    }

    /// What becomes of a frame from this end.
    fn carry(&mut self, from: usize, frame: Copied) {
        if self.link == Link::Down {
            return;
        }
        let fate = (self.fate)(&frame.bytes);
        let mut arriving = match fate {
            Fate::Arrives => vec![frame],
            Fate::Lost => Vec::new(),
            Fate::Twice => vec![frame.clone(), frame],
            Fate::Late => {
                self.ends[from].late.push(frame);
                return;
            }
        };
        if !arriving.is_empty() {
            arriving.append(&mut self.ends[from].late);
        }
        for frame in arriving {
            self.ends[1 - from].deliver(frame);
        }
    }
}

/// The bytes of a frame.
fn gather(frame: &Outgoing) -> Result<Copied, RegionError> {
    let mut bytes = vec![0; frame.len()];
    let (head, body) = bytes.split_at_mut(frame.head.len());
    frame.head.copy_to(0, head)?;
    if let Some(memory) = &frame.body {
        memory.copy_to(0, body)?;
    }
    Ok(Copied {
        bytes,
        checked: match frame.offload.checksum {
            Some(checksum) => Checked::Partial(checksum),
            None => Checked::No,
        },
        joined: frame.offload.segmentation,
    })
}
