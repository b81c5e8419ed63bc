//! Segments and the task state segment.
//!
//! Long mode leaves segments one job: the code segment says "64-bit, ring 0", and the task state
//! segment holds the interrupt stack table.

use super::stacks;
use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

static TSS: Once<TaskStateSegment> = Once::new();
static GDT: Once<GlobalDescriptorTable> = Once::new();

/// Loads the kernel's own segments in place of the loader's.
pub fn init() {
    let tss = TSS.call_once(|| {
        let mut tss = TaskStateSegment::new();
        // The structure is packed, so its entries are set all at once.
        tss.interrupt_stack_table = core::array::from_fn(|index| VirtAddr::new(stacks::top(index)));
        tss
    });
    let mut selectors = None;
    let gdt = GDT.call_once(|| {
        let mut gdt = GlobalDescriptorTable::new();
        let code = gdt.append(Descriptor::kernel_code_segment());
        let data = gdt.append(Descriptor::kernel_data_segment());
        let tss = gdt.append(Descriptor::tss_segment(tss));
        selectors = Some((code, data, tss));
        gdt
    });
    gdt.load();
    let Some((code, data, tss)) = selectors else {
        return;
    };
    // SAFETY: the selector is that of a ring-0, 64-bit code segment in the table just loaded.
    unsafe { CS::set_reg(code) };
    // SAFETY: the selectors are those of a ring-0 data segment in the same table.
    unsafe { SS::set_reg(data) };
    // SAFETY: as above.
    unsafe { DS::set_reg(data) };
    // SAFETY: as above.
    unsafe { ES::set_reg(data) };
    // SAFETY: the selector is that of the task state segment, which is static.
    unsafe { load_tss(tss) };
}
