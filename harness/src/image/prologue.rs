//! Refuses functions that align their stack to a page.
//!
//! A function with a variable of such an alignment has a prologue that moves the stack pointer down by up to a page and
//! then touches what it has skipped, in a loop. Where the function may return before it needs a stack at all, LLVM has
//! been seen to move that prologue behind the decision and to jump into the middle of it: the frame is set up by half,
//! and the next aligned access faults. Nothing warns of it, and whether it happens depends on what was inlined. Such a
//! variable costs a kernel's stack up to two pages, so it belongs on the heap or into a `static` anyway.

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

/// `cmp r11, rsp` and a short `jb`: the end of the loop.
const LOOP: [u8; 4] = [0x49, 0x39, 0xe3, 0x72];

/// Looks at all code of a program.
///
/// # Errors
/// If a function of it is of that kind; its name is in the message.
pub(super) fn check(elf: &[u8]) -> Result<()> {
    let file = object::File::parse(elf).context("this is no program")?;
    for section in file.sections() {
        if section.kind() != SectionKind::Text {
            continue;
        }
        let code = section.data()?;
        if let Some(at) = code.windows(LOOP.len()).position(|bytes| bytes == LOOP) {
            let address = section.address() + at as u64;
            bail!(
                "{} has a variable that is aligned to a page, and compilers get that wrong; put it on the heap or \
                 into a `static`",
                function_at(&file, address)
            );
        }
    }
    Ok(())
}

/// The name of the function that has this address in it.
fn function_at(file: &object::File<'_>, address: u64) -> String {
    let functions = file.symbols().filter(|symbol| {
        let start = symbol.address();
        symbol.kind() == SymbolKind::Text && (start..start + symbol.size()).contains(&address)
    });
    let names = functions.filter_map(|symbol| Some(symbol.name().ok()?.to_owned()));
    names.last().map_or_else(
        || format!("the function at {address:#x}"),
        |name| format!("`{}`", addr2line::demangle_auto(name.into(), None)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::write::{Object as Writer, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolScope};

    fn program(code: &[u8]) -> Vec<u8> {
        let mut file = Writer::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let section = file.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
        let value = file.append_section_data(section, code, 1);
        file.add_symbol(Symbol {
            name: b"_ZN5hyper7confine17h0123456789abcdefE".to_vec(),
            value,
            size: code.len() as u64,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
        file.write().unwrap()
    }

    #[test]
    fn a_function_that_aligns_its_stack_to_a_page_is_named() {
        // mov qword ptr [rsp], 0; sub rsp, 4096; cmp r11, rsp; jb
        let code = [
            &[0x48, 0xc7, 0x04, 0x24, 0, 0, 0, 0][..],
            &[
                0x48, 0x81, 0xec, 0, 0x10, 0, 0, 0x49, 0x39, 0xe3, 0x72, 0xec,
            ],
        ]
        .concat();
        let message = check(&program(&code)).unwrap_err().to_string();
        assert!(message.starts_with("`hyper::confine"), "{message}");
    }

    #[test]
    fn others_pass() {
        assert!(check(&program(&[0x48, 0x39, 0xe3, 0x72, 0xec, 0xc3])).is_ok());
        assert!(check(b"").is_err());
    }
}
