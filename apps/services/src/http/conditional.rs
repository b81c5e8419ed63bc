//! Whether something is wanted at all (RFC 9110, section 13).

use super::date;
use super::head::Head;

/// What something can be known again by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<'r> {
    /// The tag, with its quotes.
    pub tag: Option<&'r str>,
    /// When it was changed, in seconds since 1970 began.
    pub modified: Option<i64>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is answered.
    Go,
    /// The client has it already.
    NotModified,
    /// The client wants it only if it were as it is not.
    Failed,
}

/// Looks at the conditions of a request, in the order of section 13.2.2.
pub fn judge(head: &Head<'_>, version: Version<'_>) -> Outcome {
    let (mut has_match, mut has_none_match) = (false, false);
    let (mut matches, mut none_matches) = (false, true);
    for list in head.all("if-match") {
        has_match = true;
        matches |= version
            .tag
            .is_some_and(|tag| has(list, tag, Comparison::Strong));
    }
    for list in head.all("if-none-match") {
        has_none_match = true;
        none_matches &= !version
            .tag
            .is_some_and(|tag| has(list, tag, Comparison::Weak));
    }
    let since = |name| head.only(name).and_then(date::parse).zip(version.modified);
    let fails = match has_match {
        true => !matches,
        false => since("if-unmodified-since").is_some_and(|(date, modified)| modified > date),
    };
    if fails {
        return Outcome::Failed;
    }
    let is_new = match has_none_match {
        true => none_matches,
        false => since("if-modified-since").is_none_or(|(date, modified)| modified > date),
    };
    match is_new {
        true => Outcome::Go,
        false => Outcome::NotModified,
    }
}

/// Whether the ranges of a request are meant for this version: they are, if nothing is said.
pub fn ranges_apply(head: &Head<'_>, version: Version<'_>) -> bool {
    let mut lines = head.all("if-range").peekable();
    if lines.peek().is_none() {
        return true;
    }
    let Some(said) = head.only("if-range") else {
        return false;
    };
    match date::parse(said) {
        // A date is no strong validator unless it is exactly this one (section 13.1.5).
        Some(date) => version.modified == Some(date),
        None => version.tag == Some(said) && !said.starts_with("W/"),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// Weak tags are like no other.
    Strong,
    /// Weak tags are like strong ones.
    Weak,
}

/// Whether a list of tags, or `*`, has this tag.
fn has(list: &str, tag: &str, comparison: Comparison) -> bool {
    if list == "*" {
        return true;
    }
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (is_weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        // A tag may have commas, so it ends with its quote.
        let Some(end) = quoted.strip_prefix('"').and_then(|inner| inner.find('"')) else {
            return false;
        };
        let (this, behind) = quoted.split_at(end + 2);
        let counts = !is_weak || comparison == Comparison::Weak;
        if counts && this == tag {
            return true;
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::parse;
    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const VERSION: Version<'_> = Version {
        tag: Some("\"a,b\""),
        modified: Some(784_111_777),
    };

    fn with<T>(fields: &str, look: impl FnOnce(&Head<'_>) -> T) -> T {
        let text = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n");
        match parse(text.as_bytes()) {
            Ok(Some((head, _))) => look(&head),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn conditions_are_judged_in_their_order() {
        let now = format!("If-Modified-Since: {NOW}");
        let before = format!("If-Modified-Since: {BEFORE}");
        for (fields, outcome) in [
            ("A: b", Outcome::Go),
            ("If-None-Match: \"a,b\"", Outcome::NotModified),
            ("If-None-Match: \"x\", W/\"a,b\"", Outcome::NotModified),
            (
                "If-None-Match: \"x\"\r\nIf-None-Match: \"a,b\"",
                Outcome::NotModified,
            ),
            ("If-None-Match: *", Outcome::NotModified),
            ("If-None-Match: \"a\", \"b\"", Outcome::Go),
            ("If-None-Match: a,b", Outcome::Go),
            ("If-None-Match: \"a,b", Outcome::Go),
            (&now, Outcome::NotModified),
            (&before, Outcome::Go),
            ("If-Modified-Since: yesterday", Outcome::Go),
            (&format!("If-None-Match: \"x\"\r\n{now}"), Outcome::Go),
            (
                &format!("If-None-Match: \"a,b\"\r\n{before}"),
                Outcome::NotModified,
            ),
            ("If-Match: \"a,b\"", Outcome::Go),
            ("If-Match: *", Outcome::Go),
            ("If-Match: W/\"a,b\"", Outcome::Failed),
            ("If-Match: \"x\"", Outcome::Failed),
            ("If-Match: \"x\"\r\nIf-Match: \"a,b\"", Outcome::Go),
            (&format!("If-Unmodified-Since: {BEFORE}"), Outcome::Failed),
            (&format!("If-Unmodified-Since: {NOW}"), Outcome::Go),
            (
                &format!("If-Match: \"a,b\"\r\nIf-Unmodified-Since: {BEFORE}"),
                Outcome::Go,
            ),
        ] {
            let judged = with(fields, |head| judge(head, VERSION));
            assert_eq!(judged, outcome, "{fields}");
        }
    }

    #[test]
    fn ranges_of_another_version_do_not_apply() {
        for (fields, apply) in [
            ("A: b", true),
            ("If-Range: \"a,b\"", true),
            ("If-Range: W/\"a,b\"", false),
            ("If-Range: \"x\"", false),
            ("If-Range: \"a,b\"\r\nIf-Range: \"a,b\"", false),
            (&format!("If-Range: {NOW}"), true),
            (&format!("If-Range: {BEFORE}"), false),
            ("If-Range: nonsense", false),
        ] {
            assert_eq!(
                with(fields, |head| ranges_apply(head, VERSION)),
                apply,
                "{fields}"
            );
        }
    }
}
