//! The chapter that is made of the rows, and what can be wrong with them.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::found::{Place, Test};
use super::table::{Here, PARTS, ROWS, Row};

/// The chapter, from the root of the workspace.
pub(super) const PAGE: &str = "docs/src/rows.md";

const HEAD: &str = "# Row by row

<!-- Written by `cargo xtask rows --write`. -->

The mail that named the physical range asked for a type and for three things that can be done with it.
The discussion that followed asked for more, and so did the work that was done on the same question since.
In the end it is a list of capabilities, and each of them is a row here.

Nobody writes down which test shows a row.
A test says it by its name, the sources are searched for those names, and this chapter is made of what is found.
`cargo xtask book` fails where it is no longer true: if a row has neither a test nor a reason, if it has lost one or the other, or if a test is named after a row that does not exist.
`cargo xtask rows` runs all of these tests, and says of each row whether it holds.

\"Shown\" means by a whole machine: the test runs in a virtual machine of its own, with QEMU's devices.
\"On the host\" means that the code was run in an ordinary program, with a model of the machine or without need of one, or that a mistake does not compile.
";

/// What the tests say of a row.
pub(super) fn verdict(row: &Row, tests: &[&Test]) -> String {
    let place = match tests.iter().map(|test| test.place).max() {
        None => None,
        Some(Place::Host | Place::Docs) => Some("shown on the host"),
        Some(Place::Machine | Place::EndToEnd) => Some("shown"),
    };
    match (place, &row.here) {
        (Some(place), Here::Part(missing)) => format!("{place}; {missing}"),
        (Some(place), _) => place.to_owned(),
        (None, Here::Nothing(why)) => (*why).to_owned(),
        (None, _) => "not shown".to_owned(),
    }
}

/// The tests of a row.
pub(super) fn of<'a>(row: &Row, tests: &'a [Test]) -> Vec<&'a Test> {
    let shows = |test: &&Test| test.rows().any(|id| id == row.id);
    tests.iter().filter(shows).collect()
}

/// The chapter.
pub(super) fn write(tests: &[Test]) -> String {
    let mut text = HEAD.to_owned();
    for (letter, title) in PARTS {
        let _ = write!(
            text,
            "\n## {title}\n\n| row | capability | tests | verdict |\n|---|---|---|---|\n"
        );
        for row in ROWS.iter().filter(|row| row.id.starts_with(letter)) {
            let tests = of(row, tests);
            let places: Vec<_> = tests
                .iter()
                .map(|test| format!("`{}#{}`", test.file, test.name))
                .collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                row.id.to_uppercase(),
                row.what,
                places.join("<br>"),
                verdict(row, &tests)
            );
        }
    }
    text
}

/// What is wrong: rows and tests that do not fit together.
pub(super) fn flaws(rows: &[Row], tests: &[Test]) -> Vec<String> {
    let mut flaws = Vec::new();
    for row in rows {
        let tests = of(row, tests);
        match (&row.here, tests.first()) {
            (Here::All, None) => flaws.push(format!("row {} has neither test nor reason", row.id)),
            (Here::Part(_), None) => flaws.push(format!("no test shows a part of row {}", row.id)),
            (Here::Nothing(why), Some(test)) => flaws.push(format!(
                "row {} has a test now, `{}`, and a reason why there is none: {why}",
                row.id, test.name
            )),
            _ => {}
        }
    }
    let mut seen: BTreeMap<&str, &Test> = BTreeMap::new();
    for test in tests {
        for id in test
            .rows()
            .filter(|id| !rows.iter().any(|row| row.id == *id))
        {
            flaws.push(format!("{}:{}: there is no row {id}", test.file, test.line));
        }
        if let Some(other) = seen.insert(&test.name, test) {
            flaws.push(format!(
                "{}:{}: {} has a test of the same name",
                test.file, test.line, other.file
            ));
        }
    }
    flaws
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    fn row(here: Here) -> [Row; 1] {
        let (id, what) = ("a1", "it can");
        [Row { id, what, here }]
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let tests = found::of("#[test] fn a1_x() {}").unwrap();
        assert!(flaws(&row(Here::All), &tests).is_empty());
        assert!(flaws(&row(Here::Part("x")), &tests).is_empty());
        assert!(flaws(&row(Here::Nothing("x")), &[]).is_empty());

        assert_eq!(flaws(&row(Here::All), &[]).len(), 1);
        assert_eq!(flaws(&row(Here::Part("x")), &[]).len(), 1);
        assert_eq!(flaws(&row(Here::Nothing("x")), &tests).len(), 1);

        let other = found::of("#[test] fn a1_x() {} #[test] fn a2_x() {}").unwrap();
        assert_eq!(flaws(&row(Here::All), &other), [":1: there is no row a2"]);
        let twins = [tests.clone(), tests].concat();
        assert_eq!(flaws(&row(Here::All), &twins).len(), 1);
    }

    #[test]
    fn the_verdict_is_that_of_the_best_place() {
        let [row] = row(Here::Part("y"));
        let host = found::of("#[test] fn a1_x() {}").unwrap();
        let host: Vec<_> = host.iter().collect();
        assert_eq!(verdict(&row, &host), "shown on the host; y");
        let machine = found::of("#[vm_test] fn a1_y() {}").unwrap();
        let both: Vec<_> = host.iter().copied().chain(&machine).collect();
        assert_eq!(verdict(&row, &both), "shown; y");
        assert_eq!(verdict(&row, &[]), "not shown");
    }

    /// Each row is there once, and in its part.
    #[test]
    fn the_rows_are_in_order() {
        let number = |row: &Row| row.id[1..].parse::<u32>().unwrap();
        for (letter, last) in [('a', 10), ('b', 9), ('c', 9), ('d', 22), ('e', 20)] {
            let rows = ROWS.iter().filter(|row| row.id.starts_with(letter));
            assert!(rows.map(number).eq(1..=last), "{letter}");
        }
        for row in ROWS {
            if let Here::Part(missing) | Here::Nothing(missing) = row.here {
                let mut beginnings = ["not yet: ", "cannot run here: "].into_iter();
                assert!(
                    beginnings.any(|text| missing.starts_with(text)),
                    "{}",
                    row.id
                );
            }
        }
    }
}
