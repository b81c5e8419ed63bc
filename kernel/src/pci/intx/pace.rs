//! How often everybody is asked by the clock, whatever the lines say.
//!
//! Where all is well that is for nothing, so it is done now and then: a core that sleeps is woken once a second. A line that
//! somebody holds up has no edges, and what is asked for there is found by the clock alone. Then the
//! clock is looked at often, for as long as it goes on finding something.

/// Microseconds between two looks, at the least and at the most.
const SHORTEST: u64 = 1_000;
const LONGEST: u64 = 1_000_000;

/// Finds without an edge, one after the other, after which that is said.
const STUCK: u32 = 8;

/// What is known of the lines.
#[derive(Debug)]
pub(super) struct Pace {
    period: u64,
    /// Finds of which no edge has told, since the last edge.
    missed: u32,
}

impl Pace {
    /// Nothing is known yet, so at first it is looked often.
    pub(super) const fn new() -> Self {
        Self {
            period: SHORTEST,
            missed: 0,
        }
    }

    /// Microseconds until the next look.
    pub(super) fn period(&self) -> u64 {
        self.period
    }

    /// A line has risen.
    pub(super) fn rose(&mut self) {
        self.missed = 0;
    }

    /// A look has found nothing.
    pub(super) fn found_nothing(&mut self) {
        self.period = (self.period * 2).min(LONGEST);
    }

    /// A look has found something of which no line has told. Returns whether that has become the rule: once.
    pub(super) fn found_unannounced(&mut self) -> bool {
        self.period = SHORTEST;
        self.missed = self.missed.saturating_add(1);
        self.missed == STUCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rare_while_they_find_nothing() {
        let mut pace = Pace::new();
        let looks: Vec<u64> = (0..12)
            .map(|_| {
                let period = pace.period();
                pace.found_nothing();
                period
            })
            .collect();
        assert!(looks.is_sorted() && looks[0] == 1_000);
        assert_eq!(looks[10..], [1_000_000; 2]);
    }

    #[test]
    fn a_find_without_an_edge_makes_them_frequent_and_the_eighth_is_said() {
        let mut pace = Pace::new();
        for _ in 0..20 {
            pace.found_nothing();
        }
        for number in 1..20 {
            assert_eq!(pace.found_unannounced(), number == 8);
            assert_eq!(pace.period(), 1_000);
            pace.found_nothing();
        }
        pace.rose();
        let said = (0..8).filter(|_| pace.found_unannounced()).count();
        assert_eq!(said, 1, "edges came meanwhile, so it is news");
    }
}
