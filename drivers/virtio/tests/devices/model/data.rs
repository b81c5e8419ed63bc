//! Memory of requests: pieces of the machine's RAM, at any place.

use super::ram::Ram;
use phyr::{DmaAddr, DmaList, DmaRange};
use std::rc::Rc;
use virtio::{Access, Memory, Ranges};

#[derive(Debug)]
pub(crate) struct Data {
    ram: Rc<Ram>,
    /// In a box, so that a request is cheap to hand on.
    list: Box<DmaList>,
    /// Handed out as one range and not as a list.
    one: Option<DmaRange>,
    access: Access,
    starts: Vec<u64>,
}

impl Data {
    /// Memory in pieces of these lengths, each of which starts at any byte.
    pub(crate) fn new(ram: &Rc<Ram>, pieces: &[u64], access: Access) -> Self {
        let mut list = DmaList::new();
        let mut starts = Vec::new();
        for len in pieces {
            let start = ram.allocate(*len, 1);
            starts.push(start);
            list.push(DmaRange::new(DmaAddr::new(start), *len).expect("a range"))
                .expect("short");
        }
        Self {
            ram: ram.clone(),
            one: list.first().filter(|_| list.len() == 1),
            list: Box::new(list),
            access,
            starts,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for range in self.list.iter() {
            let mut bytes = vec![0; range.len() as usize];
            self.ram.read(range.addr().get(), &mut bytes);
            all.extend(bytes);
        }
        all
    }

    pub(crate) fn fill(&self, bytes: &[u8]) {
        let mut rest = bytes;
        for range in self.list.iter() {
            let (now, later) = rest.split_at(range.len() as usize);
            self.ram.write(range.addr().get(), now);
            rest = later;
        }
        assert!(rest.is_empty());
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        for start in &self.starts {
            self.ram.free(*start);
        }
    }
}

// SAFETY: the ranges are made once, and are the value's own until it is dropped. No device is real.
unsafe impl Memory for Data {
    fn ranges(&self) -> Ranges<'_> {
        match self.one {
            Some(range) => Ranges::One(range),
            None => Ranges::List(&self.list),
        }
    }
    fn access(&self) -> Access {
        self.access
    }
}
