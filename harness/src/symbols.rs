//! Turns the addresses of a backtrace into names and lines.
//!
//! The kernel prints what it knows: one line `  at 0x…` for each return address. The image that
//! runs has no names in it. The ELF file that it was made from has, and lies on the host.

use std::path::Path;

use addr2line::Loader;
use anyhow::{Result, anyhow};

use crate::workspace;

/// The return addresses in the report of a panic or an exception that ends the kernel's output.
///
/// Returns `None` if the output does not end with a report. The kernel says nothing more after
/// one, while a program may print anything, also what looks like a report, and goes on.
pub fn last_words(serial: &str) -> Option<Vec<u64>> {
    let mut lines = serial.lines().rev().map(str::trim_end);
    let mut addresses = Vec::new();
    loop {
        match lines.next()? {
            "" => {}
            "backtrace:" => break,
            line => addresses.push(address(line)?),
        }
    }
    addresses.reverse();
    // The message of a panic may have any number of lines.
    lines.any(is_mark).then_some(addresses)
}

/// The return address in a line of a backtrace.
fn address(line: &str) -> Option<u64> {
    let digits = line.strip_prefix("  at 0x")?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Whether a report starts with this line: `PANIC: …` or `EXCEPTION 14: …`.
fn is_mark(line: &str) -> bool {
    let vector = line.strip_prefix("EXCEPTION ").and_then(|rest| {
        let (vector, _) = rest.split_once(':')?;
        vector.parse::<u8>().ok()
    });
    vector.is_some() || line.starts_with("PANIC: ")
}

/// Names and lines for return addresses.
///
/// Returns `None` if there are none. One address can give several lines, because of inlining.
///
/// # Errors
/// If the kernel's ELF file cannot be read.
pub fn backtrace(kernel: &Path, addresses: &[u64]) -> Result<Option<String>> {
    if addresses.is_empty() {
        return Ok(None);
    }
    let loader = Loader::new(kernel)
        .map_err(|error| anyhow!("no symbols in `{}`: {error}", kernel.display()))?;
    let mut text = String::new();
    for (index, &address) in addresses.iter().enumerate() {
        for (depth, line) in frames(&loader, address).iter().enumerate() {
            let number = if depth == 0 {
                format!("{index:>4}: ")
            } else {
                " ".repeat(6)
            };
            text += &format!("{number}{line}\n");
        }
    }
    Ok(Some(text))
}

/// The function at a return address and those that were inlined there, the innermost first.
fn frames(loader: &Loader, address: u64) -> Vec<String> {
    // A return address is behind the call, and may even be behind the function.
    let call = address.saturating_sub(1);
    // Line tables know functions by their last name only; the symbol table has the whole path.
    let symbol = loader
        .find_symbol(call)
        .map(|name| without_hash(&addr2line::demangle_auto(name.into(), None)).to_owned());
    let mut frames = Vec::new();
    if let Ok(mut found) = loader.find_frames(call) {
        while let Ok(Some(frame)) = found.next() {
            let name = frame
                .function
                .as_ref()
                .and_then(|name| name.demangle().ok());
            let place = frame.location.as_ref().and_then(|location| {
                let file = workspace::shorten(Path::new(location.file?))
                    .display()
                    .to_string();
                Some(format!("\n        {file}:{}", location.line?))
            });
            frames.push((name.map(|name| without_hash(&name).to_owned()), place));
        }
    }
    match frames.last_mut() {
        Some(outermost) => outermost.0 = symbol.or(outermost.0.take()),
        None => frames.push((symbol, None)),
    }
    let unknown = || format!("(outside of the kernel) [{address:#x}]");
    let show = |(name, place): (Option<String>, Option<String>)| {
        name.unwrap_or_else(unknown) + &place.unwrap_or_default()
    };
    frames.into_iter().map(show).collect()
}

/// A Rust name without the compiler's hash at its end.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            path
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "PANIC: x\nmore of it\nbacktrace:\r\n  at 0xffffffff80001234\r\n\
        \x20 at 0xffffffff80005678\r\n";

    #[test]
    fn a_report_at_the_end_gives_its_addresses() {
        let addresses = Some(vec![0xffff_ffff_8000_1234, 0xffff_ffff_8000_5678]);
        assert_eq!(last_words(REPORT), addresses);
        assert_eq!(last_words(&format!("{REPORT}\n")), addresses);
        let before = "  at 0xffffffff80009999\nPANIC: y\nbacktrace:\nno more\n";
        assert_eq!(last_words(&format!("{before}{REPORT}")), addresses);
        let exception = REPORT.replace("PANIC: x", "EXCEPTION 14: page fault");
        assert_eq!(last_words(&exception), addresses);
    }

    #[test]
    fn what_is_no_report_or_not_at_the_end_gives_none() {
        assert_eq!(last_words(""), None);
        assert_eq!(last_words("  at 0xffffffff80001234\n"), None);
        assert_eq!(last_words(&format!("{REPORT}cat: no such file\n")), None);
        assert_eq!(last_words(&REPORT.replace("PANIC", "panic")), None);
        assert_eq!(last_words(&REPORT.replace("PANIC", "a PANIC")), None);
        assert_eq!(last_words(&REPORT.replace("PANIC", "EXCEPTION")), None);
        for line in [
            "  at 0x12",
            " at 0xffffffff80001234",
            "  at 0xffffffff8000zzzz",
        ] {
            assert_eq!(last_words(&format!("{REPORT}{line}\n")), None, "{line}");
        }
    }

    #[test]
    fn no_addresses_are_no_backtrace() {
        assert_eq!(backtrace(Path::new("/nowhere"), &[]).unwrap(), None);
    }

    #[test]
    fn an_address_of_this_program_gets_its_name_and_line() {
        // The program may be loaded anywhere; the file knows addresses from 0 on.
        let loader = Loader::new("/proc/self/exe").unwrap();
        let known = loader.find_symbol_info(0).map(|symbol| symbol.address());
        assert_eq!(known, None, "address 0 is nobody's");
        let file = std::fs::read("/proc/self/exe").unwrap();
        let file = object::File::parse(&*file).unwrap();
        use object::{Object, ObjectSymbol};
        let this = file
            .symbols()
            .find(|symbol| {
                symbol
                    .name()
                    .is_ok_and(|name| name.contains("without_hash"))
            })
            .unwrap();
        let address = this.address() + 1;
        let text = backtrace(Path::new("/proc/self/exe"), &[address])
            .unwrap()
            .unwrap();
        assert!(text.contains("harness::symbols::without_hash"), "{text}");
        assert!(text.contains("src/symbols.rs:"), "{text}");
    }

    #[test]
    fn an_address_from_nowhere_is_said_to_be_one() {
        let nowhere = 0xffff_ffff_ffff_ff00;
        let text = backtrace(Path::new("/proc/self/exe"), &[nowhere])
            .unwrap()
            .unwrap();
        assert!(text.contains("outside of the kernel"), "{text}");
    }
}
