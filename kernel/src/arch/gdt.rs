//! Segments and the task state segment.
//!
//! Long mode leaves segments one job: the code segment says "64-bit" and which ring, and the task state
//! segment holds the interrupt stack table. Each core has a table of its own, because the CPU marks
//! the task state segment that it uses in there; the selectors are the same on all.

use super::stacks::{self, Stacks};
use alloc::boxed::Box;
use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::segmentation::SegmentSelector;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

/// The selectors, for assembly. They follow from the order in [`Segments::new`].
pub(super) const KERNEL_CODE: u16 = 0x08;
pub(super) const KERNEL_DATA: u16 = 0x10;
/// Of programs, in ring 3.
pub(super) const USER_DATA: u16 = 0x28 | 3;
pub(super) const USER_CODE: u16 = 0x30 | 3;

/// The segments of one core.
pub(crate) struct Segments {
    table: GlobalDescriptorTable,
    code: SegmentSelector,
    data: SegmentSelector,
    task: SegmentSelector,
}

fn task_state(exceptions: [u64; stacks::COUNT]) -> TaskStateSegment {
    let mut task = TaskStateSegment::new();
    // The structure is packed, so its entries are set all at once.
    task.interrupt_stack_table = exceptions.map(VirtAddr::new);
    task
}

impl Segments {
    fn new(task: &'static TaskStateSegment) -> Self {
        let mut table = GlobalDescriptorTable::new();
        let code = table.append(Descriptor::kernel_code_segment());
        let data = table.append(Descriptor::kernel_data_segment());
        let task = table.append(Descriptor::tss_segment(task));
        let user_data = table.append(Descriptor::user_data_segment());
        let user_code = table.append(Descriptor::user_code_segment());
        assert_eq!(
            [code.0, data.0, user_data.0, user_code.0],
            [KERNEL_CODE, KERNEL_DATA, USER_DATA, USER_CODE]
        );
        Self {
            table,
            code,
            data,
            task,
        }
    }

    /// Makes the segments of another core than the boot core. They stay for ever.
    pub(crate) fn make(stacks: &Stacks) -> &'static Self {
        let task = Box::leak(Box::new(task_state(stacks.exceptions.map(stacks::top))));
        Box::leak(Box::new(Self::new(task)))
    }

    /// Loads the segments on the running core.
    ///
    /// # Safety
    /// They were made for this core, which has loaded no others of the kernel's.
    pub(crate) unsafe fn load(&'static self) {
        self.table.load();
        // SAFETY: the selector is that of a ring-0, 64-bit code segment in the table just loaded.
        unsafe { CS::set_reg(self.code) };
        // SAFETY: the selectors are those of a ring-0 data segment in the same table.
        unsafe { SS::set_reg(self.data) };
        // SAFETY: as above.
        unsafe { DS::set_reg(self.data) };
        // SAFETY: as above.
        unsafe { ES::set_reg(self.data) };
        // SAFETY: the selector is that of the task state segment, which stays for ever, and which no
        // other core uses.
        unsafe { load_tss(self.task) };
    }
}

/// Loads the kernel's own segments in place of the loader's, on the boot core.
pub(crate) fn init() {
    static TASK: Once<TaskStateSegment> = Once::new();
    static SEGMENTS: Once<Segments> = Once::new();
    let stacks = core::array::from_fn(stacks::boot_stack).map(stacks::top);
    let task = TASK.call_once(|| task_state(stacks));
    // SAFETY: this is the boot core.
    unsafe { SEGMENTS.call_once(|| Segments::new(task)).load() };
}
