//! The kernel's words for frames, and the driver's. They are the same, and belong to different crates.

use crate::dma::{
    Buffer, DmaLimits, DmaMapping, Domain, FromDevice, Memory, ToDevice, Transfer, map,
};
use crate::net::{self, NetError, Outgoing, Refusal, Refused, Segments};
use virtio::net::{Checked, Checksum, Content, HEADER, Joined, Landing, Offload, Sending};
use virtio::{Error, Failure, RequestError};

/// virtio addresses all 64 bits, and does not ask for any alignment.
const LIMITS: DmaLimits = DmaLimits::NONE;

impl Landing for Transfer {
    type Landed = Memory;

    #[inline]
    fn land(self) -> (Memory, Option<[u8; HEADER]>) {
        let memory = self.into_memory();
        let mut header = [0; HEADER];
        let read = memory.copy_to(0, &mut header);
        (memory, read.ok().map(|()| header))
    }
}

/// Puts memory to receive in on the bus.
#[inline]
pub(super) fn to_receive(memory: Memory, domain: &Domain) -> Result<Transfer, Refused<Memory>> {
    match map(Buffer::<FromDevice>::from_device(memory), domain, &LIMITS) {
        Ok(mapping) => Ok(mapping.into()),
        Err((error, buffer)) => Err(Refused {
            what: buffer.into_memory(),
            why: Refusal::Memory(error),
        }),
    }
}

#[inline]
fn to_send(memory: Memory, domain: &Domain) -> Result<DmaMapping<ToDevice>, Refused<Memory>> {
    map(Buffer::to_device(memory), domain, &LIMITS).map_err(|(error, buffer)| Refused {
        what: buffer.into_memory(),
        why: Refusal::Memory(error),
    })
}

/// Puts a frame on the bus.
#[expect(
    clippy::result_large_err,
    reason = "a frame that is refused comes back by value"
)]
#[inline]
pub(super) fn sending(
    frame: Outgoing,
    domain: &Domain,
) -> Result<Sending<Transfer>, Refused<Outgoing>> {
    let Outgoing {
        head,
        body,
        offload,
        tag,
    } = frame;
    let refused = |head: Memory, body: Option<Memory>, why: Refusal| Refused {
        what: Outgoing {
            head,
            body,
            offload,
            tag,
        },
        why,
    };
    let head = match to_send(head, domain) {
        Ok(head) => head,
        Err(error) => return Err(refused(error.what, body, error.why)),
    };
    let body = match body.map(|body| to_send(body, domain)).transpose() {
        Ok(body) => body,
        Err(error) => {
            let head = head.unmap().into_memory();
            return Err(refused(head, Some(error.what), error.why));
        }
    };
    Ok(Sending {
        head: head.into(),
        body: body.map(Transfer::from),
        offload: Offload {
            checksum: offload.checksum.map(|sum| Checksum {
                start: sum.start,
                field: sum.field,
            }),
            joined: offload.segmentation.map(|cut| Joined {
                segments: match cut.segments {
                    Segments::Tcp4 => virtio::net::Segments::Tcp4,
                    Segments::Tcp6 => virtio::net::Segments::Tcp6,
                },
                size: cut.size,
                headers: cut.headers,
            }),
        },
        tag,
    })
}

/// Takes a frame off the bus that the queue does not take.
#[cold]
pub(super) fn refused(
    refused: virtio::net::Refused<Transfer>,
    frame_offload: net::Offload,
) -> Refused<Outgoing> {
    let frame = refused.frame;
    Refused {
        what: Outgoing {
            head: frame.head.into_memory(),
            body: frame.body.map(Transfer::into_memory),
            offload: frame_offload,
            tag: frame.tag,
        },
        why: refusal(refused.error),
    }
}

/// Why a queue does not take something.
#[cold]
pub(super) fn refusal(error: Error) -> Refusal {
    match error {
        Error::Full => Refusal::Full,
        Error::Request(RequestError::Unsupported) => Refusal::Offload,
        Error::Request(_) => Refusal::Length,
        _ => Refusal::Removed,
    }
}

/// Why a frame was not sent.
#[cold]
pub(super) fn net_error(error: Error) -> NetError {
    match error {
        Error::Failed(Failure::Gone | Failure::ShutDown)
        | Error::Dead(Failure::Gone | Failure::ShutDown)
        | Error::Lost(Failure::Gone | Failure::ShutDown) => NetError::Removed,
        other => NetError::device(&other),
    }
}

/// What the card says of a frame that arrived.
#[inline]
pub(super) fn said(content: Content) -> (net::Checked, Option<net::Segmentation>) {
    let checked = match content.checked {
        Checked::No => net::Checked::No,
        Checked::Yes => net::Checked::Yes,
        Checked::Partial(sum) => net::Checked::Partial(net::Checksum {
            start: sum.start,
            field: sum.field,
        }),
    };
    let joined = content.joined.map(|joined| net::Segmentation {
        segments: match joined.segments {
            virtio::net::Segments::Tcp4 => Segments::Tcp4,
            virtio::net::Segments::Tcp6 => Segments::Tcp6,
        },
        size: joined.size,
        headers: joined.headers,
    });
    (checked, joined)
}
