//! Seconds since 1970 as a date, in UTC.
//!
//! The calendar repeats every 400 years, which are 146 097 days. With years that begin in March
//! the leap day is the last one, and the months before it follow a rule without exceptions.

use core::fmt;

const SECONDS_PER_DAY: i64 = 86_400;
const DAYS_PER_ERA: i64 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// Seconds since 1970-01-01 00:00 UTC, shown to the minute: `2024-02-29 23:59`.
#[derive(Debug, Clone, Copy)]
pub struct Date(pub i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(SECONDS_PER_DAY) + DAYS_TO_1970;
        let minutes = self.0.rem_euclid(SECONDS_PER_DAY) / 60;
        let (era, day) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
        // Leap days so far: one in 4 years (1461 days), none in 100 (36 524), one in 400.
        let year = (day - day / 1460 + day / 36_524 - day / (DAYS_PER_ERA - 1)) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // From March on, five months have 153 days.
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (year, month) = match month {
            0..=9 => (year, month + 3),
            _ => (year + 1, month - 9),
        };
        let year = 400 * era + year;
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {:02}:{:02}",
            minutes / 60,
            minutes % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00"),
            (-1, "1969-12-31 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (951_868_800, "2000-03-01 00:00"),
            (1_709_251_199, "2024-02-29 23:59"),
            (2_147_483_647, "2038-01-19 03:14"),
            (4_107_542_400, "2100-03-01 00:00"),
            (-2_208_988_800, "1900-01-01 00:00"),
        ] {
            assert_eq!(Date(seconds).to_string(), text);
        }
    }

    #[test]
    fn every_day_of_an_era_follows_the_one_before() {
        let mut day = (1970, 1, 1);
        for number in 0..DAYS_PER_ERA {
            let (year, month, of_month) = day;
            let expected = format!("{year:04}-{month:02}-{of_month:02} 00:00");
            assert_eq!(Date(number * SECONDS_PER_DAY).to_string(), expected);
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 if is_leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day = match (month, of_month) {
                (12, 31) => (year + 1, 1, 1),
                (_, end) if end == last => (year, month + 1, 1),
                _ => (year, month, of_month + 1),
            };
        }
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        for seconds in [i64::MIN, i64::MAX, 1 << 34] {
            assert!(Date(seconds).to_string().contains('-'));
        }
    }
}
