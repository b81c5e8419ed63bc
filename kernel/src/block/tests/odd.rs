//! Devices that a careless core would not get along with.

use super::*;

/// A device that says that there is room and refuses all the same.
struct Tease;

impl BlockDevice for Tease {
    fn name(&self) -> &str {
        "tease"
    }
    fn geometry(&self) -> Geometry {
        disk(1).geometry()
    }
    fn limits(&self) -> Limits {
        Limits::NONE
    }
    fn submit(&self, _: &mut Request, _: &mut Context<'_>) -> Result<Ticket, Refusal> {
        Err(Refusal::Full)
    }
    fn poll(&self, _: &Ticket, _: &mut Context<'_>) -> Poll<Completion> {
        unreachable!("it has no requests")
    }
    fn abandon(&self, _: Ticket) {
        unreachable!("it has no requests")
    }
    fn poll_room(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
    fn outstanding(&self) -> usize {
        0
    }
}

#[test]
fn a_device_that_contradicts_itself_does_not_stop_the_core() {
    let device: &dyn BlockDevice = &Tease;
    let bell = Arc::new(Bell::default());
    let mut read = pin!(device.read(0, vec![0; SIZE]));
    assert!(poll(read.as_mut(), &bell).is_pending());
    assert_eq!(bell.rung(), 1, "it is asked again, but others come first");
}

/// A device that wants memory at even addresses.
struct Picky(RamDisk);

impl BlockDevice for Picky {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn limits(&self) -> Limits {
        self.0.limits()
    }
    fn submit(&self, request: &mut Request, cx: &mut Context<'_>) -> Result<Ticket, Refusal> {
        let is_odd = match &mut request.operation {
            Operation::Read(buffer) => buffer.bytes_mut().as_ptr() as usize % 2 == 1,
            _ => false,
        };
        match is_odd {
            true => Err(BlockError::NeedsBounce.into()),
            false => self.0.submit(request, cx),
        }
    }
    fn poll(&self, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<Completion> {
        self.0.poll(ticket, cx)
    }
    fn abandon(&self, ticket: Ticket) {
        self.0.abandon(ticket);
    }
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_room(cx)
    }
    fn outstanding(&self) -> usize {
        self.0.outstanding()
    }
}

#[test]
fn memory_that_a_device_cannot_use_is_refused_and_copied_through_other_memory() {
    let _arena = host::arena();
    let picky = Picky(disk(64));
    let device: &dyn BlockDevice = &picky;
    let mut bytes = vec![0; 3 * SIZE];
    let odd = 1 + bytes.as_ptr() as usize % 2;
    let even = odd + 1;
    let refused = device.read_now(3, &mut bytes[odd..odd + SIZE]);
    assert_eq!(refused, Err(BlockError::NeedsBounce));
    assert_eq!(picky.0.counts().reads, 0);
    for (start, before) in [(even, 0), (odd, 1)] {
        bytes.fill(0);
        let position = 3 * SIZE as u64;
        read_at(device, position, &mut bytes[start..start + SIZE]).unwrap();
        assert_eq!(bytes[start..start + SIZE], content(3..4));
        assert_eq!(picky.0.counts().reads, before + 1);
    }
}
