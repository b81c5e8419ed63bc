//! `translate`: which phyrs lie behind virtual addresses.
//!
//! It shows what the whole system rests on: a range of virtual addresses is a list of phyrs, and
//! memory that was allocated in one piece is one phyr, however long it is.

use super::mem::Leaves;
use super::{Command, Context};
use crate::error::{Error, Result};
use crate::text::{Size, number};
use alloc::string::String;
use alloc::vec::Vec;
use kernel::memory::extents::Request;
use kernel::memory::virt::{VirtAddr, VirtRange};

pub(super) const COMMAND: Command = Command {
    name: "translate",
    usage: "WHERE LEN [ALIGN]",
    about: "show the phyrs behind virtual addresses",
    details: concat!(
        "WHERE is a virtual address, or one of these words:\n",
        "  alloc  memory that is allocated for this in one piece, and freed again;\n",
        "         without ALIGN it is aligned for the largest leaf that fits\n",
        "  heap   a vector on the heap (the heap keeps memory that it once got)\n",
        "A leaf is an entry of the page tables that maps memory: 1 GiB, 2 MiB or 4 KiB.\n",
    ),
    run,
};

/// The sizes of leaves, the largest first.
const LEAF_SIZES: [u64; 3] = [1 << 30, 2 << 20, 4096];

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["alloc", len] => {
            let len = parse(len)?;
            let align = LEAF_SIZES
                .into_iter()
                .find(|size| *size <= len)
                .unwrap_or(4096);
            allocated(context, Request::bytes(len).aligned(align))
        }
        ["alloc", len, align] => {
            allocated(context, Request::bytes(parse(len)?).aligned(parse(align)?))
        }
        ["heap", len] => heap(context, parse(len)?),
        [virt, len] => {
            let range = VirtRange::new(VirtAddr::new(parse(virt)?)?, parse(len)?)?;
            show(context, range)
        }
        _ => Err(COMMAND.misused()),
    }
}

fn parse(text: &str) -> core::result::Result<u64, Error> {
    number::parse(text).map_err(|error| Error::Number(text.into(), error))
}

/// Translates what the allocator gives, while it is allocated.
fn allocated(context: &mut Context<'_>, request: Request) -> Result {
    let system = context.system;
    let mut result = Ok(());
    system.with_frames(request, &mut |range, phyr| {
        let shown = writeln!(context.out, "frames   {phyr}  {}", Size(phyr.len()));
        result = shown
            .map_err(Error::from)
            .and_then(|()| show(context, range));
    })?;
    result
}

/// Translates a vector. Its memory is never touched.
fn heap(context: &mut Context<'_>, len: u64) -> Result {
    let mut buffer: Vec<u8> = Vec::new();
    let capacity = usize::try_from(len).map_err(|_| Error::Heap(len))?;
    buffer
        .try_reserve_exact(capacity)
        .map_err(|_| Error::Heap(len))?;
    show(context, VirtRange::new(VirtAddr::of(buffer.as_ptr()), len)?)
}

fn show(context: &mut Context<'_>, range: VirtRange) -> Result {
    let phyrs = context.system.translate(range)?;
    writeln!(context.out, "virtual  {range}  {}", Size(range.len()))?;
    for phyr in phyrs.iter() {
        writeln!(context.out, "phyr     {phyr}  {}", Size(phyr.len()))?;
    }
    let count = phyrs.len();
    let word = if count == 1 { "phyr" } else { "phyrs" };
    writeln!(
        context.out,
        "{count} {word}, mapped by {}",
        Leaves(context.system.leaves(range))
    )?;
    Ok(())
}
