//! A request on its way, and what has to be true when it comes back.

use super::ledger::Content;
use super::row::Row;
use crate::model::{CANARY, Data, Machine, PAGE};
use nvme::{Access, Done, Error, Namespace, Operation, Request};
use std::cell::RefCell;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;

/// Most bytes of a request.
const BYTES: u64 = 1 << 16;

/// A call that has not ended.
type Running = Pin<Box<dyn Future<Output = ()>>>;

/// A future that is polled by a task, and can be dropped by somebody else.
#[derive(Clone, Default)]
pub(super) struct Call(Rc<RefCell<Option<Running>>>);

impl Call {
    pub(super) fn new(future: impl Future<Output = ()> + 'static) -> Self {
        Self(Rc::new(RefCell::new(Some(Box::pin(future)))))
    }

    /// The task.
    pub(super) fn run(&self) -> impl Future<Output = ()> + 'static {
        let call = self.0.clone();
        std::future::poll_fn(move |cx| {
            let mut future = call.borrow_mut();
            let poll = match future.as_mut() {
                None => return std::task::Poll::Ready(()),
                Some(future) => future.as_mut().poll(cx),
            };
            if poll.is_ready() {
                *future = None;
            }
            poll
        })
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.borrow().is_none()
    }

    pub(super) fn cancel(&self) {
        let future = self.0.borrow_mut().take();
        drop(future);
    }
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Compare,
    Verify,
    Write,
    /// A write that is durable when it succeeds.
    Forced,
    Zeroes,
    Deallocate,
    /// From this block.
    Copy(u64),
    Flush,
}

impl Kind {
    /// Whether blocks may be different afterwards.
    pub(super) fn changes(self) -> bool {
        !matches!(
            self,
            Self::Read | Self::Compare | Self::Verify | Self::Flush
        )
    }
}

/// What is asked for.
pub(super) struct Wish {
    pub(super) kind: Kind,
    pub(super) nsid: u32,
    pub(super) blocks: Range<u64>,
    pub(super) operation: Operation,
    /// Data memory is blocks of this many bytes and nothing else.
    pub(super) block_size: Option<u64>,
    /// Pieces of data memory may meet at any multiple of this.
    pub(super) grain: u64,
}

/// Makes a wish that the namespace does not refuse.
pub(super) fn wish(row: &mut Row<'_>, namespace: &Namespace) -> Option<Wish> {
    let what = row.byte();
    let first = row.below(80) + if what & 0x40 != 0 { 400 } else { 0 };
    let size = u64::from(namespace.block_size.max(1));
    let count = 1 + row.below((BYTES / size).clamp(1, 128));
    let (kind, operation) = match what % 16 {
        0..=4 => (Kind::Read, namespace.read(first, count)),
        5..=7 => (Kind::Write, namespace.write(first, count)),
        8 => {
            let forced = namespace.write(first, count).map(Operation::with_fua);
            (Kind::Forced, forced)
        }
        9 => {
            let zeroes = namespace.write_zeroes(first, count);
            (Kind::Zeroes, zeroes.map(Operation::with_deallocation))
        }
        10 => (Kind::Deallocate, namespace.deallocate(first, count)),
        11 => {
            let from = row.below(400);
            (Kind::Copy(from), namespace.copy(from, first, count))
        }
        12 => (Kind::Compare, namespace.compare(first, count)),
        13 => (Kind::Verify, namespace.verify(first, count)),
        14 => {
            let limited = namespace
                .read(first, count)
                .map(Operation::with_limited_retry);
            (Kind::Read, limited)
        }
        _ => (Kind::Flush, Ok(namespace.flush()?)),
    };
    let operation = operation.ok()?;
    let blocks = match kind {
        Kind::Flush => 0..0,
        _ => first..first + count,
    };
    let is_plain = operation.bytes() == count * size;
    Some(Wish {
        kind,
        nsid: namespace.id,
        blocks,
        operation,
        block_size: (is_plain || operation.bytes() == 0).then_some(size),
        grain: namespace.limits().edge_alignment,
    })
}

/// Where `bytes` bytes in blocks of `size` may lie: pages, and pieces of them. Inside of blocks,
/// pieces may meet at multiples of `grain`.
pub(super) fn lay(row: &mut Row<'_>, bytes: u64, size: u64, grain: u64) -> (u64, Vec<(u64, u64)>) {
    let pages = bytes.div_ceil(PAGE);
    let offset = row.below(PAGE / 4) * 4;
    let how = row.byte();
    if how & 4 != 0 && grain < PAGE {
        // In crumbs, from the last to the first, at any place.
        let most = (u64::from(how >> 3) * 96 + 65).next_multiple_of(grain);
        let skew = (PAGE - 1 - u64::from(how)).min(PAGE - most) / grain * grain;
        let count = bytes.div_ceil(most);
        let piece = |index: u64| {
            let len = most.min(bytes - index * most);
            ((count - 1 - index) * PAGE + skew, len)
        };
        if count <= 160 {
            return (count, (0..count).map(piece).collect());
        }
    }
    match how % 4 {
        // In one piece, at any place.
        0 => ((offset + bytes).div_ceil(PAGE), vec![(offset, bytes)]),
        // Each block on a page of its own.
        1 if size < PAGE && bytes / size <= 16 => {
            let offset = offset.min(PAGE - size);
            let pieces = (0..bytes / size).map(|index| (index * PAGE + offset, size));
            (bytes / size, pieces.collect())
        }
        // Pages from the last to the first.
        2 => {
            let piece = |index: u64| {
                let len = PAGE.min(bytes - index * PAGE);
                ((pages - 1 - index) * PAGE, len)
            };
            (pages, (0..pages).map(piece).collect())
        }
        _ => (pages, vec![(0, bytes)]),
    }
}

/// A request on its way.
pub(super) struct Flight {
    pub(super) call: Call,
    pub(super) kind: Kind,
    pub(super) nsid: u32,
    pub(super) blocks: Range<u64>,
    pub(super) block_size: Option<u64>,
    /// What it writes: for each block.
    pub(super) contents: Vec<Content>,
    /// Bytes of its memory before, piece by piece.
    pub(super) before: Vec<u8>,
    pub(super) has_data: bool,
    /// Nobody has changed a block since it started.
    pub(super) is_alone: bool,
    /// Blocks that it changes were changed or read by another one meanwhile.
    pub(super) is_contended: bool,
    pub(super) done: Rc<RefCell<Option<Done<Data>>>>,
}

impl Flight {
    /// Whether two requests have a block in common, to read or to write.
    pub(super) fn is_near(&self, nsid: u32, block: u64) -> bool {
        let from = match self.kind {
            Kind::Copy(from) => from..from + (self.blocks.end - self.blocks.start),
            _ => 0..0,
        };
        self.nsid == nsid && (self.blocks.contains(&block) || from.contains(&block))
    }

    /// Whether it changes blocks that the other one has to do with.
    pub(super) fn contends(&self, other: &Self) -> bool {
        let mut blocks = self.blocks.clone();
        self.kind.changes() && blocks.any(|block| other.is_near(self.nsid, block))
    }

    /// Looks at the memory that came back. Returns what was read.
    pub(super) fn check_memory(&self, machine: &Machine, done: &Done<Data>) -> Vec<Content> {
        let is_lost = matches!(done.result, Err(Error::Lost(_)));
        assert!(
            done.data.is_some() == self.has_data || is_lost,
            "memory has not come back: {:?}",
            done.result
        );
        let Some(data) = &done.data else {
            return Vec::new();
        };
        let bytes = machine.model().memory.contents(data.list());
        if self.kind != Kind::Read {
            assert!(bytes == self.before, "memory to be read was written");
        }
        // Nothing else of its pages was touched.
        data.fill(&vec![CANARY; bytes.len()]);
        let whole = data.whole_pages();
        let is_intact = whole.iter().all(|byte| *byte == CANARY);
        assert!(is_intact, "other memory was written");
        match self.block_size {
            Some(size) => bytes.chunks_exact(size as usize).map(Content::of).collect(),
            None => Vec::new(),
        }
    }
}

/// The request of a wish, with memory, and what is in that. `None` if there is no memory.
pub(super) fn request(
    row: &mut Row<'_>,
    machine: &Machine,
    wish: &Wish,
    serial: u64,
) -> Option<(Request<Data>, Vec<u8>)> {
    let mut request = Request::new(wish.operation);
    let mut before = Vec::new();
    let access = match wish.kind {
        Kind::Read => Access::FROM_DEVICE,
        Kind::Compare => row.of(&[Access::TO_DEVICE, Access::BOTH]),
        _ => Access::TO_DEVICE,
    };
    let bytes = wish.operation.bytes();
    if bytes > 0 {
        let size = wish.block_size.unwrap_or(bytes);
        let (pages, pieces) = lay(row, bytes, size, wish.grain);
        let data = Data::scattered(machine, pages as usize, &pieces, access)?;
        if wish.kind != Kind::Read {
            before = pattern(bytes, serial);
            data.fill(&before);
        }
        request.data = Some(data);
    }
    let bytes = wish.operation.metadata_bytes();
    if bytes > 0 {
        let pages = bytes.div_ceil(PAGE) as usize;
        request.metadata = Some(Data::scattered(machine, pages, &[(0, bytes)], access)?);
    }
    Some((request, before))
}

/// Bytes of which no block is like another's.
fn pattern(bytes: u64, serial: u64) -> Vec<u8> {
    let mut state = (serial + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut pattern = Vec::with_capacity(bytes as usize);
    while (pattern.len() as u64) < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern.extend_from_slice(&state.to_le_bytes());
    }
    pattern.truncate(bytes as usize);
    pattern
}
