//! What the allocator should do, said in the simplest way: a bit for each page, searched from
//! one end to the other.

/// Which pages are free.
pub(crate) struct Bitmap {
    /// The number of the first page.
    base: u64,
    free: Vec<bool>,
}

impl Bitmap {
    /// `pages` pages from number `base` on, none of which is free.
    pub(crate) fn new(base: u64, pages: u64) -> Self {
        Self {
            base,
            free: vec![false; pages as usize],
        }
    }

    /// Whether the pages are all free, or all not; nothing if they are mixed.
    pub(crate) fn all(&self, first: u64, count: u64) -> Option<bool> {
        let bits = &self.free[self.bits(first, count)];
        bits.iter().all(|bit| *bit == bits[0]).then_some(bits[0])
    }

    /// Sets whether the pages are free.
    pub(crate) fn set(&mut self, first: u64, count: u64, free: bool) {
        let bits = self.bits(first, count);
        self.free[bits].fill(free);
    }

    fn bits(&self, first: u64, count: u64) -> std::ops::Range<usize> {
        let start = (first - self.base) as usize;
        start..start + count as usize
    }

    /// The maximal runs of free pages: first page and count.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut rest = 0;
        std::iter::from_fn(move || {
            let start = rest + self.free[rest..].iter().position(|&free| free)?;
            rest = self.free[start..]
                .iter()
                .position(|&free| !free)
                .map_or(self.free.len(), |len| start + len);
            Some((self.base + start as u64, (rest - start) as u64))
        })
    }

    /// The first page of the best place for `count` pages at a multiple of `align` pages, all
    /// below page `limit`: in the shortest run that has one, of several the lowest.
    pub(crate) fn best_fit(&self, count: u64, align: u64, limit: u64) -> Option<u64> {
        let serves = |(first, len): (u64, u64)| {
            let place = first.next_multiple_of(align);
            (place + count <= (first + len).min(limit)).then_some((len, place))
        };
        self.runs().filter_map(serves).min().map(|(_, place)| place)
    }
}
