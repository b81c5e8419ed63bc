//! Dates as HTTP writes them (RFC 9110, section 5.6.7). All are UTC.

use alloc::format;
use alloc::string::String;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY: i64 = 86400;

/// A moment, divided as a calendar does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    /// The year.
    pub year: i64,
    /// The month, from 1.
    pub month: u8,
    /// The day, from 1.
    pub day: u8,
    /// Seconds of the day.
    pub second: u32,
}

impl Calendar {
    /// So many seconds after 1970 began.
    pub fn of(seconds: i64) -> Self {
        let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        // Years that begin in March have their leap day at the end. 719468 days lie between the
        // March of year 0 and 1970; 146097 are 400 years.
        let days = days.saturating_add(719_468);
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = (shifted + 2) % 12 + 1;
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: month as u8,
            day: (day_of_year - (153 * shifted + 2) / 5 + 1) as u8,
            second: second as u32,
        }
    }

    /// Seconds since 1970 began; `None` if there is no such day.
    fn seconds(self) -> Option<i64> {
        let (year, month, day) = (self.year, i64::from(self.month), i64::from(self.day));
        let year = year - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let seconds = days * DAY + i64::from(self.second);
        (Self::of(seconds) == self).then_some(seconds)
    }
}

/// Writes a moment, in seconds since 1970 began. What has no year of four digits is the nearest that has.
pub fn format(seconds: i64) -> String {
    let seconds = seconds.clamp(-62_167_219_200, 253_402_300_799);
    let date = Calendar::of(seconds);
    // 1970 began on a Thursday.
    let weekday = (seconds.div_euclid(DAY) + 3).rem_euclid(7) as usize;
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        DAYS[weekday],
        date.day,
        MONTHS[usize::from(date.month) - 1],
        date.year,
        date.second / 3600,
        date.second / 60 % 60,
        date.second % 60
    )
}

/// Reads a moment, in one of the three ways that there are. The weekday is not looked at.
pub fn parse(text: &str) -> Option<i64> {
    let mut words = text.split_ascii_whitespace();
    let first = words.next()?;
    let (day, month, year, time);
    if first.ends_with(',') {
        let next = words.next()?;
        if next.contains('-') {
            // Sunday, 06-Nov-94 08:49:37 GMT
            let mut parts = next.split('-');
            day = parts.next()?;
            month = parts.next()?;
            year = century(number(parts.next()?, 2)?);
            if parts.next().is_some() {
                return None;
            }
        } else {
            // Sun, 06 Nov 1994 08:49:37 GMT
            day = next;
            month = words.next()?;
            year = number(words.next()?, 4)?;
        }
        time = words.next()?;
        if words.next()? != "GMT" {
            return None;
        }
    } else {
        // Sun Nov  6 08:49:37 1994
        month = words.next()?;
        day = words.next()?;
        time = words.next()?;
        year = number(words.next()?, 4)?;
    }
    if words.next().is_some() || day.len() > 2 {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? as u8 + 1;
    let mut parts = time.split(':');
    let mut part = |most: i64| number(parts.next()?, 2).filter(|part| *part <= most);
    // A leap second is the one before.
    let (hour, minute, second) = (part(23)?, part(59)?, part(60)?.min(59));
    if parts.next().is_some() {
        return None;
    }
    let calendar = Calendar {
        year,
        month,
        day: number(day, day.len())? as u8,
        second: (hour * 3600 + minute * 60 + second) as u32,
    };
    calendar.seconds()
}

/// A year of two digits. There is no clock that says which century it is now, so files are taken to be from
/// 1970 on.
fn century(year: i64) -> i64 {
    year + if year < 70 { 2000 } else { 1900 }
}

fn number(digits: &str, len: usize) -> Option<i64> {
    let are_digits = digits.len() == len && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| are_digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_three_ways_are_one_moment() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text), Some(784_111_777), "{text}");
        }
        assert_eq!(format(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(format(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(format(i64::MIN), "Sat, 01 Jan 0000 00:00:00 GMT");
    }

    #[test]
    fn no_day_is_made_up() {
        for text in [
            "",
            "Sun, 30 Feb 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06-Nov-94-1 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "784111777",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in -62_167_219_200i64..=253_402_300_799) {
            prop_assert_eq!(parse(&format(seconds)), Some(seconds));
        }

        #[test]
        fn nothing_panics(text in "[ -~]{0,40}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT") {
            let _ = parse(&text);
        }
    }
}
