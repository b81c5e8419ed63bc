//! Which virtual addresses are free: ranges, first fit.
//!
//! Mappings that the kernel makes on its own (registers, firmware tables, scattered buffers) get
//! addresses from one area. Each is followed by an unmapped page, so that a pointer that runs off
//! the end of one does not end up in the next. So the page in front of one is never mapped either:
//! it is free, or it is the page behind another one. A stack relies on that.

use super::virt::{VirtAddr, VirtRange};
use super::window::PAGE;
use alloc::collections::BTreeMap;

/// Free virtual addresses.
pub(super) struct AddressArea {
    /// Start and length of each free range. Neighbours never touch.
    free: BTreeMap<u64, u64>,
}

impl AddressArea {
    pub(super) fn new(area: VirtRange) -> Self {
        Self {
            free: BTreeMap::from([(area.start().get(), area.len())]),
        }
    }

    /// Takes `len` bytes whose start is `offset` above a multiple of `align`, and a guard page.
    pub(super) fn take(&mut self, len: u64, align: u64, offset: u64) -> Option<VirtRange> {
        let guarded = len.checked_add(PAGE)?;
        let (start, len_free, place) = self.free.iter().find_map(|(&start, &free)| {
            let place = start
                .checked_sub(offset)?
                .checked_next_multiple_of(align)?
                .checked_add(offset)?;
            let end = place.checked_add(guarded)?;
            (end <= start + free).then_some((start, free, place))
        })?;
        let taken = VirtRange::new(VirtAddr::new(place).ok()?, len).ok()?;
        self.free.remove(&start);
        self.insert(start..place);
        self.insert(place + guarded..start + len_free);
        Some(taken)
    }

    /// Gives back what `take` returned.
    pub(super) fn give(&mut self, range: VirtRange) {
        let (mut start, mut len) = (range.start().get(), range.len() + PAGE);
        if let Some((&before, &before_len)) = self.free.range(..start).next_back()
            && before + before_len == start
        {
            self.free.remove(&before);
            (start, len) = (before, before_len + len);
        }
        if let Some(behind_len) = self.free.remove(&(start + len)) {
            len += behind_len;
        }
        self.insert(start..start + len);
    }

    fn insert(&mut self, addresses: core::ops::Range<u64>) {
        if !addresses.is_empty() {
            self.free
                .insert(addresses.start, addresses.end - addresses.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 0xffff_c000_0000_0000;

    fn area() -> AddressArea {
        AddressArea::new(VirtRange::new(VirtAddr::new(START).unwrap(), 1 << 40).unwrap())
    }

    #[test]
    fn ranges_have_a_guard_page_between_them() {
        let mut area = area();
        let first = area.take(0x2000, PAGE, 0).unwrap();
        let second = area.take(PAGE, PAGE, 0).unwrap();
        assert_eq!(first.start().get(), START);
        assert_eq!(second.start().get(), START + 0x3000);
    }

    #[test]
    fn a_start_can_be_congruent_to_a_physical_address() {
        let mut area = area();
        area.take(PAGE, PAGE, 0).unwrap();
        let range = area.take(1 << 30, 1 << 30, 0x20_0000).unwrap();
        assert_eq!(range.start().get() % (1 << 30), 0x20_0000);
    }

    #[test]
    fn what_is_given_back_joins_and_is_used_again() {
        let mut area = area();
        let taken: Vec<_> = (1..20)
            .map(|n| area.take(n * PAGE, PAGE, 0).unwrap())
            .collect();
        for index in [3, 1, 2, 0].into_iter().chain(4..19) {
            area.give(taken[index]);
        }
        assert_eq!(area.free, BTreeMap::from([(START, 1 << 40)]));
    }

    #[test]
    fn a_full_area_says_so() {
        let mut area = area();
        assert_eq!(
            area.take(1 << 40, PAGE, 0),
            None,
            "no room for the guard page"
        );
        assert!(area.take((1 << 40) - PAGE, PAGE, 0).is_some());
        assert_eq!(area.take(PAGE, PAGE, 0), None);
        assert_eq!(area.take(u64::MAX, PAGE, 0), None);
    }
}
