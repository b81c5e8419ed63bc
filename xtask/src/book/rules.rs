//! What may differ between two transcripts of the same commands, and what stands for it.
//!
//! The chapter "Running" of the book lists these rules for its readers.
//!
//! - Times: the host may be busy.
//! - Lines and columns of sources, and addresses of code: they move with every change.
//! - Where the toolchain and the crates of others are: that depends on the computer.
//! - Of memory: addresses, sizes and numbers of leaves that depend on the size of the kernel.
//!   What the firmware's map gives, stays: it is the machine's.

use std::collections::BTreeSet;

/// Applies all rules to a transcript.
pub(super) fn apply(text: &str) -> String {
    let given = given(text);
    let rules = |line: &str| {
        let line = before(line, " ms", "<time>", |c| c.is_ascii_digit() || c == '.');
        let line = source_places(&line);
        let line = foreign_folders(&line);
        let line = code_address(&line);
        memory(&line, &given)
    };
    text.lines()
        .map(|line| rules(line).trim_end().to_owned() + "\n")
        .collect()
}

/// Replaces what is made of such characters before each `mark`.
fn before(line: &str, mark: &str, by: &str, made_of: impl Fn(char) -> bool + Copy) -> String {
    let mut pieces: Vec<String> = line.split(mark).map(str::to_owned).collect();
    let last = pieces.len() - 1;
    for piece in &mut pieces[..last] {
        let kept = piece.trim_end_matches(made_of).len();
        if kept < piece.len() {
            piece.replace_range(kept.., by);
        }
    }
    pieces.join(mark)
}

/// `kernel/src/panic.rs:12:5` is on some line.
fn source_places(line: &str) -> String {
    let mut pieces = line.split(".rs:");
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let place = |c: char| c.is_ascii_digit() || c == ':';
        let rest = piece.trim_start_matches(place);
        let colon = if piece[..piece.len() - rest.len()].ends_with(':') {
            ":"
        } else {
            ""
        };
        shown += &format!(".rs:<line>{colon}{rest}");
    }
    shown
}

/// The sources of the compiler and of other people's crates, wherever they are.
fn foreign_folders(line: &str) -> String {
    let indent = &line[..line.len() - line.trim_start().len()];
    let path = line.trim_start();
    if let Some(rest) = path.strip_prefix("/rustc/") {
        let inside = rest.split_once('/').map_or(rest, |(_, inside)| inside);
        return format!("{indent}<rust>/{inside}");
    }
    // With the component rust-src, the compiler names its own sources by where they are installed.
    if let Some((home, inside)) = path.split_once("/lib/rustlib/src/rust/")
        && home.starts_with('/')
    {
        return format!("{indent}<rust>/{inside}");
    }
    match path.split_once("/registry/src/") {
        Some((home, rest)) if home.starts_with('/') => {
            let inside = rest.split_once('/').map_or(rest, |(_, inside)| inside);
            format!("{indent}<crates>/{inside}")
        }
        _ => line.to_owned(),
    }
}

/// An address of a backtrace, as the kernel prints it.
fn code_address(line: &str) -> String {
    match line.strip_prefix("  at 0x") {
        Some(digits) if is_hexadecimal(digits) => "  at <address>".to_owned(),
        _ => line.to_owned(),
    }
}

fn is_hexadecimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The range in a line, as its first and its last address, and what is before and behind it.
fn range(line: &str) -> Option<(&str, u64, u64, &str)> {
    let (front, rest) = line.split_once("[0x")?;
    let (bounds, back) = rest.split_once(']')?;
    let (first, last) = bounds.split_once("..=0x")?;
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    Some((front, number(first)?, number(last)?, back))
}

/// The addresses that the firmware's memory map gives: where what is reserved starts and ends, and
/// where its neighbours do.
fn given(text: &str) -> BTreeSet<u64> {
    let mut given = BTreeSet::from([0]);
    for line in text.lines().filter(|line| line.ends_with(" reserved")) {
        if let Some((_, first, last, _)) = range(line) {
            given.extend([first, last]);
            given.extend(first.checked_sub(1));
            given.extend(last.checked_add(1));
        }
    }
    given
}

/// Lines of the shell's `mem`.
fn memory(line: &str, given: &BTreeSet<u64>) -> String {
    const SIZE: &str = "<size>";
    if given.len() == 1 {
        return line.to_owned(); // there is no memory map
    }
    if let Some((name, _)) = line.split_once("  ")
        && matches!(name, "free" | "in use")
    {
        let back = line.split_once("  in ").filter(|_| name == "free");
        let back = back.map_or(String::new(), |(_, back)| format!("  in {back}"));
        return format!("{name:<7} {SIZE:>10}{back}");
    }
    if let Some((front, _)) = line.split_once(" by ")
        && line.starts_with("RAM is mapped at ")
    {
        return format!("{front} by <number> leaves");
    }
    let Some((front, first, last, back)) = range(line) else {
        return line.to_owned();
    };
    if given.contains(&first) && given.contains(&last) {
        return line.to_owned();
    }
    let show = |address| match given.contains(&address) {
        true => format!("{address:#x}"),
        false => "<address>".to_owned(),
    };
    let shown = format!("[{}..={}]", show(first), show(last));
    if front.trim().is_empty() {
        // An entry of a list: the size, then the kind.
        let kind = back.trim().splitn(3, ' ').nth(2).unwrap_or_default();
        return format!("{front}{shown:<30} {SIZE:>11}  {}", kind.trim());
    }
    let name = front.split_whitespace().next().unwrap_or_default();
    format!("{name:<7} {SIZE:>10}  {shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(line: &str) -> String {
        apply(line).trim_end().to_owned()
    }

    #[test]
    fn times_are_replaced_and_other_numbers_are_not() {
        assert_eq!(applied("time  4.728 ms"), "time  <time> ms");
        assert_eq!(
            applied("Ready 165 ms after power-on."),
            "Ready <time> ms after power-on."
        );
        assert_eq!(
            applied("read  99840 B (97.5 KiB) directly"),
            "read  99840 B (97.5 KiB) directly"
        );
        assert_eq!(applied("no ms here"), "no ms here");
    }

    #[test]
    fn places_in_sources_lose_their_lines_and_the_home_of_others() {
        assert_eq!(
            applied("PANIC: panicked at apps/a.rs:17:9:"),
            "PANIC: panicked at apps/a.rs:<line>:"
        );
        assert_eq!(applied("        a/b.rs:62"), "        a/b.rs:<line>");
        assert_eq!(
            applied("        /rustc/59807616e1/library/core/src/panicking.rs:80"),
            "        <rust>/library/core/src/panicking.rs:<line>"
        );
        assert_eq!(
            applied(
                "        /home/x/.rustup/toolchains/1.95/lib/rustlib/src/rust/library/core/src/a.rs:80"
            ),
            "        <rust>/library/core/src/a.rs:<line>"
        );
        assert_eq!(
            applied("        /home/x/.cargo/registry/src/index-19/api-0.11/src/lib.rs:1"),
            "        <crates>/api-0.11/src/lib.rs:<line>"
        );
    }

    #[test]
    fn only_backtraces_lose_their_addresses() {
        assert_eq!(applied("  at 0xffffffff8005608c"), "  at <address>");
        assert_eq!(
            applied("phyr     [0x100000000..=0x13fffffff]  1 GiB"),
            "phyr     [0x100000000..=0x13fffffff]  1 GiB"
        );
    }

    #[test]
    fn of_a_memory_map_the_firmware_s_numbers_stay() {
        let text = "\
memory map at boot
  [0x0..=0xfff]                        4 KiB  kernel and loader
  [0xf0000..=0xfffff]                 64 KiB  reserved
  [0x100000..=0x275fff]              1.4 MiB  kernel and loader
  [0x276000..=0xffd6fff]           253.3 MiB  usable
  [0xffd7000..=0xfffffff]            164 KiB  reserved
free now
  [0x376000..=0xffd6fff]           252.3 MiB
RAM      255.4 MiB
free     252.5 MiB  in 2 extents
longest  252.3 MiB  [0x376000..=0xffd6fff]
in use     2.9 MiB
RAM is mapped at [0xffff800000000000..=0xffff80000ffd6fff] by 1523 leaves: 125 of 2 MiB
";
        let expected = "\
memory map at boot
  [0x0..=<address>]                   <size>  kernel and loader
  [0xf0000..=0xfffff]                 64 KiB  reserved
  [0x100000..=<address>]              <size>  kernel and loader
  [<address>..=0xffd6fff]             <size>  usable
  [0xffd7000..=0xfffffff]            164 KiB  reserved
free now
  [<address>..=0xffd6fff]             <size>
RAM      255.4 MiB
free        <size>  in 2 extents
longest     <size>  [<address>..=0xffd6fff]
in use      <size>
RAM is mapped at [0xffff800000000000..=0xffff80000ffd6fff] by <number> leaves
";
        assert_eq!(apply(text), expected);
    }
}
