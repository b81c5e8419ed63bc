//! Tables of features: what is said to be done has something that shows it.
//!
//! In a table with the column "this driver", a row that says `yes` there names a test in its last column. Whether
//! that is there is checked as for all [references](super::references).

/// Rows that claim and name nothing, with their lines.
pub(super) fn bare(text: &str) -> Vec<(usize, String)> {
    let mut column = None;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let row = line
            .strip_prefix('|')
            .and_then(|row| row.trim_end().strip_suffix('|'));
        let Some(row) = row else {
            column = None;
            continue;
        };
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        if let Some(at) = cells.iter().position(|cell| *cell == "this driver") {
            column = Some(at);
            continue;
        }
        let claims = column.and_then(|at| cells.get(at)) == Some(&"yes");
        let shows = |cell: &&str| cell.contains(".rs#");
        if claims && !cells.last().is_some_and(shows) {
            found.push((
                index + 1,
                format!("`{}` is yes, and no test shows it", cells[0]),
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_claims_names_a_test() {
        let head = "| feature | others | this driver | shown by |\n|---|---|---|---|\n";
        let good =
            "| a | no | yes | `k/a.rs#b` |\n| b | yes | no | |\n| c | yes | part | later |\n";
        assert_eq!(bare(&format!("{head}{good}")), []);
        for wrong in ["| x | yes | yes |  |", "| x | yes | yes | `k/a.rs` |"] {
            let flaws = bare(&format!("{head}{good}{wrong}\n"));
            assert_eq!(flaws, [(6, "`x` is yes, and no test shows it".into())]);
        }
        // Other tables claim nothing.
        assert_eq!(bare("| x | yes |\n\n| this | yes |\n"), []);
    }
}
