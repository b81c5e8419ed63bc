//! [`PhyrList`] and [`DmaList`]: one logical buffer, in as many ranges as it takes.
//!
//! As with the ranges, both lists come out of one macro and do not convert into each
//! other, with one exception: [`PhyrList::map_to_bus`], the door from one address space
//! to the other, and its short form where both have the same numbers.
//!
//! The file is long because the macro is: what one list can do the other can, and nothing else in the crate says so.

use core::fmt;

use crate::list::{List, Place, RawCursor};
use crate::width::{Bits64, Width};
use crate::{DmaAddr, DmaRange, ListError, Phyr};

macro_rules! list {
    (
        $(#[$doc:meta])* $List:ident of $Range:ident,
        $(#[$iter_doc:meta])* $Iter:ident,
        $(#[$cursor_doc:meta])* $Cursor:ident
    ) => {
        $(#[$doc])*
        pub struct $List<W: Width = Bits64> {
            list: List<W>,
        }

        /// Only the default width has this constructor, so that it needs no annotation.
        /// The others have [`Default`].
        impl $List {
            /// An empty list. Allocates nothing.
            #[must_use]
            pub const fn new() -> Self {
                Self { list: List::new() }
            }
        }

        impl<W: Width> $List<W> {
            /// How many entries a list holds without an allocation.
            pub const INLINE: usize = crate::chain::INLINE;

            /// Adds a range at the end of the buffer.
            ///
            /// If it starts on the byte behind the last entry, that entry becomes longer
            /// and no other is added.
            ///
            /// # Errors
            ///
            /// [`ListError::OutOfMemory`], [`ListError::TooLong`], and without the feature
            /// `alloc` [`ListError::Full`]. The list is then as it was.
            pub fn push(&mut self, range: $Range<W>) -> Result<(), ListError> {
                self.list.push(range.repr())
            }

            /// Adds a range at the end of the buffer as an entry of its own, even if it touches
            /// the last one: for memory that is another's, or of another kind, which nothing in
            /// an address says.
            ///
            /// # Errors
            ///
            /// As for [`push`](Self::push).
            pub fn push_apart(&mut self, range: $Range<W>) -> Result<(), ListError> {
                self.list.push_apart(range.repr())
            }

            /// How many entries the list has. Constant time.
            #[must_use]
            pub const fn len(&self) -> usize {
                self.list.len()
            }

            /// Whether the list has no entry, which is to say: no byte.
            #[must_use]
            pub const fn is_empty(&self) -> bool {
                self.list.len() == 0
            }

            /// How many bytes the entries have together. Constant time.
            #[must_use]
            pub const fn bytes(&self) -> u64 {
                self.list.bytes()
            }

            /// Entry number `index`, from 0.
            #[must_use]
            pub fn get(&self, index: usize) -> Option<$Range<W>> {
                self.list.get(index).map($Range::from_repr)
            }

            #[cfg(test)]
            pub(crate) fn place_of(&self, index: usize) -> Option<*const W::Repr> {
                self.list.place_of(index)
            }

            /// The first entry; `None` if the list is empty.
            #[must_use]
            pub fn first(&self) -> Option<$Range<W>> {
                self.get(0)
            }

            /// The last entry; `None` if the list is empty.
            #[must_use]
            pub fn last(&self) -> Option<$Range<W>> {
                self.get(self.len().checked_sub(1)?)
            }

            /// The entries in order.
            #[must_use]
            pub fn iter(&self) -> $Iter<'_, W> {
                $Iter { list: self, next: 0 }
            }

            /// A cursor on the first byte.
            #[must_use]
            pub fn cursor(&self) -> $Cursor<'_, W> {
                $Cursor { cursor: self.list.cursor() }
            }

            /// Removes all entries. If the list had outgrown its inline part, it keeps
            /// one chunk, so that a list that is filled again and again need not
            /// allocate again and again.
            pub fn clear(&mut self) {
                self.list.clear();
            }

            /// A copy of the list, entry for entry. There is no `Clone`: it allocates.
            ///
            /// # Errors
            ///
            /// [`ListError::OutOfMemory`].
            pub fn try_clone(&self) -> Result<Self, ListError> {
                Ok(Self { list: self.list.try_clone()? })
            }
        }

        impl<W: Width> Default for $List<W> {
            fn default() -> Self {
                Self { list: List::new() }
            }
        }

        impl<W: Width> From<$Range<W>> for $List<W> {
            fn from(range: $Range<W>) -> Self {
                Self { list: List::single(range.repr()) }
            }
        }

        impl<W: Width> PartialEq for $List<W> {
            /// Whether both have the same entries.
            fn eq(&self, other: &Self) -> bool {
                self.iter().eq(other.iter())
            }
        }

        impl<W: Width> Eq for $List<W> {}

        impl<W: Width> fmt::Debug for $List<W> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self).finish()
            }
        }

        impl<'a, W: Width> IntoIterator for &'a $List<W> {
            type Item = $Range<W>;
            type IntoIter = $Iter<'a, W>;

            fn into_iter(self) -> $Iter<'a, W> {
                self.iter()
            }
        }

        $(#[$iter_doc])*
        #[derive(Clone, Debug)]
        pub struct $Iter<'a, W: Width = Bits64> {
            list: &'a $List<W>,
            next: usize,
        }

        impl<W: Width> Iterator for $Iter<'_, W> {
            type Item = $Range<W>;

            fn next(&mut self) -> Option<$Range<W>> {
                let range = self.list.get(self.next)?;
                self.next += 1;
                Some(range)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                let left = self.list.len() - self.next;
                (left, Some(left))
            }
        }

        impl<W: Width> ExactSizeIterator for $Iter<'_, W> {}
        impl<W: Width> core::iter::FusedIterator for $Iter<'_, W> {}

        $(#[$cursor_doc])*
        #[derive(Clone)]
        pub struct $Cursor<'a, W: Width = Bits64> {
            cursor: RawCursor<'a, W>,
        }

        impl<W: Width> $Cursor<'_, W> {
            /// How many bytes lie between the cursor and the end of the list. Constant time.
            #[must_use]
            pub const fn remaining(&self) -> u64 {
                self.cursor.remaining()
            }

            /// The next contiguous piece, as long as it is. The cursor stays.
            #[must_use]
            pub fn peek(&self) -> Option<$Range<W>> {
                $Range::from_span(self.cursor.front()?).ok()
            }

            /// The next contiguous piece, at most `max` bytes of it. The cursor goes on
            /// behind it.
            ///
            /// `None` at the end of the list, and if `max` is 0.
            pub fn next(&mut self, max: u64) -> Option<$Range<W>> {
                self.next_within(max, 0)
            }

            /// As [`next`](Self::next), and the piece crosses no multiple of `boundary`.
            /// With a `boundary` of 0 there is no such limit.
            pub fn next_within(&mut self, max: u64, boundary: u64) -> Option<$Range<W>> {
                $Range::from_span(self.cursor.next(max, boundary)?).ok()
            }

            /// Goes on by `bytes`.
            ///
            /// If fewer remain, the cursor stays where it is, and the answer is `false`.
            #[must_use]
            pub fn advance(&mut self, bytes: u64) -> bool {
                self.cursor.advance(bytes)
            }

            /// As [`next`](Self::next), with entries that touch each other taken as one
            /// piece. A list joins them when it is built, but ranges that are apart in one
            /// address space may touch in another.
            pub fn next_joined(&mut self, max: u64) -> Option<$Range<W>> {
                let mut joined = self.next(max)?;
                loop {
                    let room = max - joined.span().len();
                    match self.peek() {
                        Some(next) if room > 0 && joined.try_merge(next).is_ok() => {}
                        _ => return Some(joined),
                    }
                    joined = joined.try_merge(self.next(room)?).ok()?;
                }
            }

            /// Where the cursor is, without the list.
            #[must_use]
            pub fn place(&self) -> Place {
                self.cursor.place()
            }

            /// Goes to a place that a cursor of the same buffer was at. Constant time.
            ///
            /// In a buffer that has no such place, the cursor goes to the end.
            pub fn resume(&mut self, place: Place) {
                self.cursor.resume(place);
            }
        }

        impl<W: Width> From<$Range<W>> for $Cursor<'_, W> {
            /// A place at the start of one range, which is all of the buffer: no list is needed.
            fn from(range: $Range<W>) -> Self {
                Self { cursor: RawCursor::single(range.repr()) }
            }
        }

        impl<W: Width> fmt::Debug for $Cursor<'_, W> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Cursor))
                    .field("next", &self.peek())
                    .field("remaining", &self.remaining())
                    .finish()
            }
        }
    };
}

list! {
    /// Physical ranges in order: one logical buffer.
    ///
    /// Holding a list tells you:
    ///
    /// - Its entries are the buffer, in this order. The same memory may occur twice: a
    ///   list says what to gather, not who owns it.
    /// - Two entries that follow each other do not touch, unless one entry could not
    ///   say so many bytes, or they were [kept apart](Self::push_apart).
    /// - [`bytes()`](Self::bytes) is the sum of all lengths, and did not overflow.
    /// - Empty lists are lists. A transfer of no bytes is one.
    ///
    /// ```
    /// use phyr::{PhysAddr, Phyr, PhyrList};
    ///
    /// let phyr = |addr, len| Phyr::new(PhysAddr::new(addr), len);
    /// let mut list = PhyrList::new();
    /// list.push(phyr(0x5000, 0x400)?)?;
    /// list.push(phyr(0x5400, 0xc00)?)?; // touches: joined
    /// list.push(phyr(0x2000, 0x1000)?)?;
    /// assert!(list.iter().eq([phyr(0x5000, 0x1000)?, phyr(0x2000, 0x1000)?]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// It allocates when it is long, so a copy is something to ask for:
    ///
    /// ```compile_fail,E0599
    /// # use phyr::PhyrList;
    /// let copy = PhyrList::new().clone(); // use `try_clone`
    /// ```
    ///
    /// It takes no bus ranges, and is no list of them:
    ///
    /// ```compile_fail,E0308
    /// # use phyr::{DmaAddr, DmaRange, PhyrList};
    /// let range = DmaRange::new(DmaAddr::new(0x1000), 0x1000).unwrap();
    /// let pushed = PhyrList::new().push(range);
    /// ```
    ///
    /// ```compile_fail,E0308
    /// # use phyr::{DmaList, PhyrList};
    /// let list: DmaList = PhyrList::new();
    /// ```
    PhyrList of Phyr,
    /// Iterator over the entries of a [`PhyrList`].
    PhyrIter,
    /// A place in a [`PhyrList`]: how far a transfer has come.
    ///
    /// It counts bytes. Every piece that it yields is contiguous, and together they are
    /// the buffer, byte for byte. To keep progress for later, keep the number of bytes
    /// done, and [`advance`](Self::advance) a new cursor by it.
    ///
    /// ```
    /// use phyr::{PhysAddr, Phyr, PhyrList};
    ///
    /// let phyr = |addr, len| Phyr::new(PhysAddr::new(addr), len);
    /// let mut list = PhyrList::from(phyr(0x1e00, 0x1200)?);
    /// list.push(phyr(0x8000, 0x1000)?)?;
    ///
    /// // Page by page: no piece crosses a multiple of 4096.
    /// let mut cursor = list.cursor();
    /// assert_eq!(cursor.next_within(u64::MAX, 0x1000), Some(phyr(0x1e00, 0x200)?));
    /// assert_eq!(cursor.next_within(u64::MAX, 0x1000), Some(phyr(0x2000, 0x1000)?));
    ///
    /// // 512 bytes later the transfer stops. It goes on from there.
    /// assert!(cursor.advance(0x200));
    /// assert_eq!(cursor.peek(), Some(phyr(0x8200, 0xe00)?));
    /// assert_eq!(cursor.remaining(), 0xe00);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Cursor
}

list! {
    /// Bus ranges in order: one logical buffer, as a device finds it.
    ///
    /// It can do what a [`PhyrList`] can, in the other address space, and usually comes
    /// from one: see [`PhyrList::map_to_bus`]. Entries that came this way may touch,
    /// since they are one for one those of the other list; those that are
    /// [pushed](Self::push) are joined.
    ///
    /// ```compile_fail,E0308
    /// # use phyr::{DmaList, PhyrList};
    /// fn d18_a_list_for_the_bus_has_no_way_back(list: DmaList) -> PhyrList {
    ///     list
    /// }
    /// ```
    ///
    /// ```compile_fail,E0308
    /// # use phyr::{DmaList, Phyr, PhysAddr};
    /// let phyr = Phyr::new(PhysAddr::new(0x1000), 0x1000).unwrap();
    /// let pushed = DmaList::new().push(phyr);
    /// ```
    DmaList of DmaRange,
    /// Iterator over the entries of a [`DmaList`].
    DmaIter,
    /// A place in a [`DmaList`]: how far a transfer has come. See [`Cursor`].
    DmaCursor
}

impl<W: Width> PhyrList<W> {
    /// Turns every entry into the bus range at the address that `to_bus` finds for it.
    ///
    /// This is for the DMA layer, which knows what a device sees where. `to_bus` is
    /// given whole entries and answers for all their bytes. It is asked more than once
    /// about an entry and must not change its mind.
    ///
    /// Each entry keeps its length and its place. The storage is used again: nothing is
    /// allocated. Entries that touch on the bus, though they did not before, stay apart.
    ///
    /// # Errors
    ///
    /// If `to_bus` refuses an entry, or one would run past the top of the address space
    /// on the bus: the number of the first such entry, and the list as it was.
    ///
    /// # Panics
    ///
    /// If `to_bus` refuses an entry for which it had an address before.
    // The list comes back by value so that it costs nothing to try.
    #[allow(clippy::result_large_err)]
    // ANCHOR: map_to_bus
    pub fn map_to_bus(
        mut self,
        to_bus: impl Fn(Phyr<W>) -> Option<DmaAddr>,
    ) -> Result<DmaList<W>, (usize, Self)> {
        let translate = |entry| Some(to_bus(Phyr::from_repr(entry))?.get());
        match self.list.translate(translate) {
            Ok(()) => Ok(DmaList { list: self.list }),
            Err(index) => Err((index, self)),
        }
    }
    // ANCHOR_END: map_to_bus

    /// Turns every entry into the bus range with the same numbers, for a device that sees all memory
    /// where the CPU does. Constant time: no entry is looked at, and the storage is used again.
    #[must_use]
    pub fn to_same_bus_ranges(self) -> DmaList<W> {
        DmaList { list: self.list }
    }
}
