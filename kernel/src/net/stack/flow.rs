//! The sending half of a connection, as arithmetic.
//!
//! # The problem
//!
//! The engine keeps a connection's state, and it keeps its data in a ring of bytes that it copies from. Data
//! that is to leave from where it lies has no place there.
//!
//! # The idea
//!
//! So the engine never hears of data that is sent. It opens the connection, receives, acknowledges, and closes;
//! what lies between its SYN and its FIN is counted here. A [`Flow`] decides which bytes go next: within the
//! window of the other end (RFC 9293), within the congestion window (RFC 5681, with the recovery of RFC 6582),
//! again if they were lost (RFC 6298).
//!
//! It knows neither bytes nor frames. Positions are bytes from the first of the connection, and never wrap;
//! times are microseconds. So all of it can be tried out in tests, with any clock and any fate.

use core::ops::Range;

/// What was sent and is not acknowledged, and what may be sent.
#[derive(Debug)]
pub(super) struct Flow {
    /// The first byte that is not acknowledged (SND.UNA).
    una: u64,
    /// The next byte to be sent (SND.NXT).
    next: u64,
    /// The byte behind the last that was ever sent.
    high: u64,
    /// As it was before the last bytes were chosen.
    high_before: u64,
    /// The byte behind the last that there is.
    end: u64,
    /// The byte behind the last that the other end has room for.
    window: u64,
    /// The longest window that was seen.
    longest: u64,
    /// Bytes of data in a segment.
    mss: u64,
    cwnd: u64,
    ssthresh: u64,
    /// Acknowledged in congestion avoidance, and not counted yet.
    counted: u64,
    duplicates: u32,
    /// In fast recovery until this is acknowledged.
    recover: Option<u64>,
    /// No new recovery before this is acknowledged.
    settled: u64,
    /// The first segment is to be sent once more.
    again: bool,
    /// A byte beyond the window is to be sent, to hear of the window.
    probe: bool,
    rtt: Rtt,
    /// A segment that ends there was sent at this time, and once.
    timed: Option<(u64, u64)>,
    deadline: Option<u64>,
    /// Deadlines that passed without an answer.
    unanswered: u32,
    retransmitted: u64,
}

/// How long an answer takes (RFC 6298).
#[derive(Debug)]
struct Rtt {
    smoothed: Option<u64>,
    variation: u64,
    timeout: u64,
}

/// The other end does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unanswered;

const FIRST_TIMEOUT: u64 = 1_000_000;
const LEAST_TIMEOUT: u64 = 200_000;
const LONGEST_TIMEOUT: u64 = 60_000_000;

/// Times that the same is sent for nothing: more than a hundred seconds (RFC 1122, 4.2.3.5).
const ATTEMPTS: u32 = 10;

/// Acknowledgements of the same that mean a loss.
const DUPLICATES: u32 = 3;

impl Flow {
    /// A flow of segments of so many bytes, to a receiver that has room for `window`.
    pub(super) fn new(mss: u64, window: u64) -> Self {
        Self {
            una: 0,
            next: 0,
            high: 0,
            high_before: 0,
            end: 0,
            window,
            longest: window,
            mss,
            cwnd: 10 * mss,
            ssthresh: u64::MAX,
            counted: 0,
            duplicates: 0,
            recover: None,
            settled: 0,
            again: false,
            probe: false,
            rtt: Rtt {
                smoothed: None,
                variation: 0,
                timeout: FIRST_TIMEOUT,
            },
            timed: None,
            deadline: None,
            unanswered: 0,
            retransmitted: 0,
        }
    }

    pub(super) fn una(&self) -> u64 {
        self.una
    }

    pub(super) fn high(&self) -> u64 {
        self.high
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn mss(&self) -> u64 {
        self.mss
    }

    pub(super) fn retransmitted(&self) -> u64 {
        self.retransmitted
    }

    #[cfg(test)]
    pub(super) fn congestion_window(&self) -> u64 {
        self.cwnd
    }

    /// There are so many bytes more.
    pub(super) fn extend(&mut self, len: u64) {
        self.end += len;
    }

    /// Whether everything was sent at least once.
    pub(super) fn is_all_sent(&self) -> bool {
        self.high == self.end
    }

    /// When it is to be looked at again, at the latest.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    fn in_flight(&self) -> u64 {
        self.next - self.una
    }

    /// The other end has everything before `ack`, and room for `window` bytes. `bare`: the segment said nothing
    /// else. Returns how many bytes are acknowledged by it. What was never sent is ignored.
    pub(super) fn acknowledged(&mut self, ack: u64, window: u64, bare: bool, now: u64) -> u64 {
        if ack < self.una || ack > self.high {
            return 0;
        }
        self.unanswered = 0;
        let edge = ack + window;
        let is_same_window = edge == self.window;
        // What was promised stays promised, unless it is taken back by a segment that is not older.
        self.window = edge;
        self.longest = self.longest.max(window);
        if ack == self.una {
            if bare && is_same_window && self.next > self.una && edge > ack {
                self.duplicate();
            }
            if self.in_flight() == 0 && edge > self.next {
                // The window has opened: no need to probe.
                (self.deadline, self.probe) = (None, false);
            }
            return 0;
        }
        let acked = ack - self.una;
        self.una = ack;
        self.next = self.next.max(ack);
        self.duplicates = 0;
        self.again = false;
        if let Some((end, at)) = self.timed
            && ack >= end
        {
            self.rtt.sample(now.saturating_sub(at));
            self.timed = None;
        }
        match self.recover {
            Some(recover) if ack >= recover => {
                self.recover = None;
                self.cwnd = self.ssthresh.min(self.in_flight().max(self.mss) + self.mss);
            }
            // Only a part of what was out: the next segment is lost, too (RFC 6582, 3.2).
            Some(_) => {
                self.again = true;
                self.cwnd = self.cwnd.saturating_sub(acked).max(self.mss) + self.mss;
            }
            None => self.grow(acked),
        }
        self.deadline = (self.in_flight() > 0).then(|| now + self.rtt.timeout);
        acked
    }

    fn grow(&mut self, acked: u64) {
        if self.cwnd < self.ssthresh {
            self.cwnd += acked;
        } else {
            self.counted += acked;
            if self.counted >= self.cwnd {
                self.counted -= self.cwnd;
                self.cwnd += self.mss;
            }
        }
    }

    fn duplicate(&mut self) {
        self.duplicates += 1;
        if self.recover.is_some() {
            self.cwnd += self.mss;
        } else if self.duplicates == DUPLICATES && self.una >= self.settled {
            self.ssthresh = (self.in_flight() / 2).max(2 * self.mss);
            self.cwnd = self.ssthresh + u64::from(DUPLICATES) * self.mss;
            self.recover = Some(self.high);
            self.again = true;
        }
    }

    /// It is `now`: if an answer is overdue, everything from the first byte on is sent again.
    ///
    /// # Errors
    /// If that was done too often.
    pub(super) fn tick(&mut self, now: u64) -> Result<(), Unanswered> {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return Ok(());
        }
        self.deadline = None;
        self.unanswered += 1;
        if self.unanswered > ATTEMPTS {
            return Err(Unanswered);
        }
        self.rtt.timeout = (2 * self.rtt.timeout).min(LONGEST_TIMEOUT);
        if self.in_flight() == 0 {
            self.probe = self.next < self.end;
            return Ok(());
        }
        if self.recover.is_none() && self.unanswered == 1 {
            self.ssthresh = (self.in_flight() / 2).max(2 * self.mss);
        }
        (self.cwnd, self.recover, self.duplicates) = (self.mss, None, 0);
        (self.settled, self.next, self.timed) = (self.high, self.una, None);
        // Where the window is shut, a byte is enough to hear of it.
        self.probe = self.window <= self.una;
        Ok(())
    }

    /// The next bytes to be sent, at most so many; `None` if none may be. They count as sent.
    pub(super) fn next(&mut self, most: u64, now: u64) -> Option<Range<u64>> {
        let bytes = self.choose(most.max(self.mss), now)?;
        let is_new = bytes.end > self.high;
        if bytes.start < self.high {
            self.retransmitted += 1;
            self.timed = None;
        } else if self.timed.is_none() && is_new {
            self.timed = Some((bytes.end, now));
        }
        self.high_before = self.high;
        self.high = self.high.max(bytes.end);
        self.deadline.get_or_insert(now + self.rtt.timeout);
        Some(bytes)
    }

    /// Of bytes that were chosen, the last ones were not sent.
    pub(super) fn sent_less(&mut self, bytes: &Range<u64>, by: u64) {
        self.high = self.high_before.max(bytes.end - by);
        if self.next == bytes.end {
            self.next -= by;
        }
        self.timed = self.timed.filter(|timed| timed.0 != bytes.end);
    }

    fn choose(&mut self, most: u64, now: u64) -> Option<Range<u64>> {
        if core::mem::take(&mut self.again) {
            // The timer starts anew with it.
            self.deadline = Some(now + self.rtt.timeout);
            let end = self.high.min(self.una + self.mss);
            self.next = self.next.max(end);
            return (end > self.una).then_some(self.una..end);
        }
        if core::mem::take(&mut self.probe) {
            // It does not count as sent: whether the other end took it, its answer says.
            return Some(self.una..self.una + 1);
        }
        let left = self.end - self.next;
        if left == 0 {
            return None;
        }
        let usable = self.window.min(self.una + self.cwnd);
        let room = usable.saturating_sub(self.next);
        let len = left.min(room).min(most);
        if len == 0 {
            if self.in_flight() == 0 {
                // The window is shut, and nobody will say when it opens if that gets lost.
                self.deadline.get_or_insert(now + self.rtt.timeout);
            }
            return None;
        }
        // Whole segments, but for the last: and no small one because of a small window (RFC 9293, 3.8.6.2.1).
        let len = match len {
            len if len == left => len,
            len if len >= self.mss => len - len % self.mss,
            len if self.in_flight() == 0 || len >= self.longest / 2 => len,
            _ => return None,
        };
        let bytes = self.next..self.next + len;
        self.next = bytes.end;
        Some(bytes)
    }
}

impl Rtt {
    fn sample(&mut self, took: u64) {
        let smoothed = match self.smoothed {
            None => {
                self.variation = took / 2;
                took
            }
            Some(smoothed) => {
                self.variation = (3 * self.variation + smoothed.abs_diff(took)) / 4;
                (7 * smoothed + took) / 8
            }
        };
        self.smoothed = Some(smoothed);
        let timeout = smoothed + (4 * self.variation).max(1000);
        self.timeout = timeout.clamp(LEAST_TIMEOUT, LONGEST_TIMEOUT);
    }
}
