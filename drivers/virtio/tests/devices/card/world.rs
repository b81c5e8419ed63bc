//! A machine, its network card, and who uses it.

use crate::model::world::{Task, notify, run, run_alone};
use crate::model::{Data, Device, Machine};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use virtio::net::{
    Card, Checksum, Filter, Frame, HEADER, Joined, Landing, Offload, Options, Piece, Reach,
    Receiver, Segments, Sender, Sending, Sent, Works, attend,
};
use virtio::{Access, Error};

pub(crate) type Rx = Receiver<Machine, Data>;
pub(crate) type Tx = Sender<Machine, Data>;

impl Landing for Data {
    type Landed = Self;

    fn land(self) -> (Self, Option<[u8; HEADER]>) {
        let header = self.bytes().first_chunk().copied();
        (self, header)
    }
}

/// A way to a queue.
pub(crate) struct Way<Q>(pub(crate) Rc<RefCell<Q>>);

impl<Q> Clone for Way<Q> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Q: Works> Reach for Way<Q> {
    type Queue = Q;
    fn with<R>(&self, f: impl FnOnce(&mut Q) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }
}

pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) card: Card<Machine>,
    pub(crate) pairs: Vec<(Way<Rx>, Way<Tx>)>,
    tasks: RefCell<Vec<Task>>,
}

/// Tries to bring a card up.
pub(crate) fn bring_up(
    machine: &Machine,
    change: impl FnOnce(&mut Options),
) -> Result<Card<Machine>, Error> {
    let mut options = Options::default();
    options.config_vector = Some(0);
    change(&mut options);
    run_alone(machine, Card::new(machine.clone(), notify(), options))
}

impl World {
    /// A card with one pair of queues, as changed by a test.
    pub(crate) fn new(change: impl FnOnce(&mut Device)) -> Self {
        Self::with_pairs(1, change)
    }

    pub(crate) fn with_pairs(pairs: u16, change: impl FnOnce(&mut Device)) -> Self {
        let machine = Machine::new(|ram| {
            let mut device = Device::card(ram, pairs);
            change(&mut device);
            device
        });
        let card = bring_up(&machine, |_| {}).expect("a good card");
        let mut world = Self {
            machine,
            card,
            pairs: Vec::new(),
            tasks: RefCell::default(),
        };
        for number in 0..pairs {
            let vectors = [Some(1 + 2 * number), Some(2 + 2 * number)];
            let (rx, tx) = world.card.pair(vectors).expect("a pair");
            let pair = (
                Way(Rc::new(RefCell::new(rx))),
                Way(Rc::new(RefCell::new(tx))),
            );
            world.spawn(attend(world.card.clone(), pair.0.clone()));
            world.spawn(attend(world.card.clone(), pair.1.clone()));
            world.pairs.push(pair);
        }
        if let Some(control) = world.card.control().expect("a control queue or none") {
            world.spawn(control.run());
        }
        let service = world.card.clone();
        world.spawn(async move { service.service().await });
        let watcher = world.card.clone();
        world.spawn(async move {
            let mut seen = 0;
            while watcher.failure().is_none() {
                seen = watcher.changed(seen).await;
            }
        });
        let start = world.card.clone();
        world
            .run(async move { start.start().await })
            .expect("it starts");
        world
    }

    pub(crate) fn device(&self) -> std::cell::RefMut<'_, Device> {
        self.machine.device.borrow_mut()
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.tasks.borrow_mut().push(Task::new(future));
    }

    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let turn = |_: bool| {
            let mut completed = 0;
            for (rx, tx) in &self.pairs {
                completed += rx.with(Works::turn).completed;
                completed += tx.with(Works::turn).completed;
            }
            completed > 0
        };
        run(&self.machine, &self.tasks, &turn, future)
    }

    /// Lets some time pass.
    pub(crate) fn idle(&self) {
        use virtio::Platform;
        self.run(self.machine.pause(100_000));
    }

    pub(crate) fn rx(&self) -> std::cell::RefMut<'_, Rx> {
        self.pairs[0].0.0.borrow_mut()
    }

    pub(crate) fn tx(&self) -> std::cell::RefMut<'_, Tx> {
        self.pairs[0].1.0.borrow_mut()
    }

    /// Memory to receive in, in pieces.
    pub(crate) fn target(&self, pieces: &[u64]) -> Data {
        Data::new(&self.machine.ram, pieces, Access::FromDevice)
    }

    /// Memory to be sent, with content.
    pub(crate) fn source(&self, pieces: &[u64], bytes: &[u8]) -> Data {
        let data = Data::new(&self.machine.ram, pieces, Access::ToDevice);
        data.fill(bytes);
        data
    }

    pub(crate) fn supply(&self, count: usize, len: u64) {
        for _ in 0..count {
            let supplied = self.rx().supply(self.target(&[len]));
            supplied.map_err(|(error, _)| error).expect("there is room");
        }
    }

    /// A frame in one piece.
    pub(crate) fn plain(&self, bytes: &[u8]) -> Sending<Data> {
        Sending {
            head: self.source(&[bytes.len() as u64], bytes),
            body: None,
            offload: Offload::default(),
            tag: None,
        }
    }

    /// The next frame, if one has arrived.
    pub(crate) fn try_receive(&self, pair: usize) -> Option<Frame<Data>> {
        let mut rx = self.pairs[pair].0.0.borrow_mut();
        match rx.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(frame) => Some(frame),
            Poll::Pending => None,
        }
    }

    pub(crate) async fn receive(&self) -> Frame<Data> {
        poll_fn(|cx| self.rx().poll(cx)).await
    }

    pub(crate) async fn sent(&self) -> Sent<Data> {
        poll_fn(|cx| self.tx().poll_sent(cx)).await
    }

    pub(crate) fn set_filter(&self, filter: Filter) {
        self.card.set_filter(filter);
    }

    /// A frame each way: all is well.
    pub(crate) fn carries(&self) {
        let bytes = frame(300, 77);
        let sending = self.plain(&bytes);
        self.tx()
            .send(sending)
            .map_err(|refused| refused.error)
            .expect("room");
        self.idle();
        let last = self.device().wire.sent.pop().expect("it was sent");
        assert!(last.2 == bytes);
        let ample = self.card.properties().ample();
        self.supply(1, ample);
        self.idle();
        self.device().comes(0, [0; HEADER], bytes.clone());
        loop {
            let frame = self.run(self.receive());
            if content(&frame) == bytes {
                assert!(frame.content.is_ok());
                break;
            }
        }
    }

    /// Ends the use of the device. All memory is back, and none was touched that was nobody's.
    pub(crate) fn end(self) {
        let ram = self.machine.ram.clone();
        self.end_after_lies();
        assert_eq!(
            ram.wild(),
            0,
            "the device was told of memory that is nobody's"
        );
    }

    /// Ends the use of a device that has said that it is done with memory, and was not: only an IOMMU keeps such
    /// a one from it. All memory is back.
    pub(crate) fn end_after_lies(self) {
        let ram = self.machine.ram.clone();
        let card = self.card.clone();
        self.run(async move { card.shutdown().await });
        self.idle();
        drop(self);
        assert_eq!(ram.live(), 0, "memory is missing");
    }
}

/// Bytes of a frame.
pub(crate) fn frame(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at * 7 + at / 251 + seed * 13) as u8)
        .collect()
}

/// What has arrived.
pub(crate) fn content(frame: &Frame<Data>) -> Vec<u8> {
    let part = |piece: &Piece<Data>| piece.memory.bytes()[piece.part.clone()].to_vec();
    let mut all = part(&frame.first);
    frame.rest.iter().for_each(|piece| all.extend(part(piece)));
    all
}

/// What may be asked of a card for a frame of so many bytes.
pub(crate) fn offload(kind: u8, len: usize) -> Offload {
    let checksum = Some(Checksum {
        start: 34,
        field: 16,
    });
    let joined = |segments| {
        Some(Joined {
            segments,
            size: 1400,
            headers: 54,
        })
    };
    match kind {
        1 if len >= 52 => Offload {
            checksum,
            joined: None,
        },
        2 if len >= 60 => Offload {
            checksum,
            joined: joined(Segments::Tcp4),
        },
        3 if len >= 60 => Offload {
            checksum,
            joined: joined(Segments::Tcp6),
        },
        _ => Offload::default(),
    }
}
