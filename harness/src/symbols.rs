//! Turns the addresses of a backtrace into names and lines.
//!
//! The kernel prints what it knows: one line `  at 0x…` for each return address. The image that
//! runs has no names in it. The ELF file that it was made from has, and lies on the host.

use std::path::Path;

use addr2line::Loader;
use anyhow::{Result, anyhow};

use crate::workspace;

/// The return addresses in the kernel's output, in their order.
pub fn addresses(serial: &str) -> Vec<u64> {
    serial
        .lines()
        .filter_map(|line| {
            let digits = line.trim_end().strip_prefix("  at 0x")?;
            (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
        })
        .collect()
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

    #[test]
    fn only_lines_of_the_kernel_s_form_are_addresses() {
        let serial = "panic: x\n  at 0xffffffff80001234\n  at 0x12\n at 0xffffffff80001234\n\
            mov at 0xffffffff80001234\n  at 0xffffffff8000zzzz\n  at 0xffffffff80005678\r\n";
        assert_eq!(
            addresses(serial),
            [0xffff_ffff_8000_1234, 0xffff_ffff_8000_5678]
        );
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
