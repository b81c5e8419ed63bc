//! Tests that are broken on purpose.
//!
//! The normal run leaves them out. The harness's own tests run each and look whether it is
//! reported as what it is. The names say what must be reported.

use core::arch::asm;
use core::hint::black_box;

use kernel::cores::CoreId;
use vm_test::vm_test;

#[vm_test]
fn panics() {
    let values = [1, 2, 3];
    black_box(values)[black_box(7)] += 1;
}

#[vm_test(should_panic = "something else")]
fn panics_with_another_message() {
    panic!("this and that");
}

#[vm_test(should_panic)]
fn does_not_panic() {}

#[vm_test]
fn returns_an_error() -> Result<(), &'static str> {
    Err("no luck")
}

#[vm_test]
fn page_faults() {
    let nowhere = black_box(0xffff_ff00_dead_0000_usize) as *const u8;
    // SAFETY: not sound on purpose. The address is mapped by nobody, so the CPU refuses.
    black_box(unsafe { nowhere.read_volatile() });
}

#[vm_test]
fn executes_an_invalid_opcode() {
    // SAFETY: the instruction exists to be invalid; nothing behind it is executed.
    unsafe { asm!("ud2") };
}

#[vm_test]
fn overflows_the_stack() {
    #[inline(never)]
    fn deeper(depth: u64) -> u64 {
        let here = black_box([depth; 64]);
        if black_box(true) {
            deeper(depth + 1) + here[0]
        } else {
            here[1]
        }
    }
    black_box(deeper(0));
}

#[vm_test(machine = "smp=2")]
fn overflows_the_stack_of_another_core() {
    let other = CoreId::new(1).expect("there are more numbers");
    kernel::executor::spawn_on(other, || async { overflows_the_stack() }).detach();
    hangs();
}

#[vm_test(machine = "smp=2")]
fn gets_a_non_maskable_interrupt() {
    vm_test::control::nmi();
    hangs();
}

#[vm_test]
fn gets_a_machine_check() {
    // Core, bank, status, state, address, more.
    vm_test::control::monitor("mce 0 9 0xbd0000000000009f 0x5 0x12345000 0x8c");
    hangs();
}

#[vm_test]
fn triple_faults() {
    let nothing = [0_u8; 10];
    // SAFETY: not sound on purpose. With an empty table, the breakpoint finds no handler, nor does
    // the fault for that, nor the double fault.
    unsafe { asm!("lidt [{}]", "int3", in(reg) &nothing) };
}

#[vm_test]
fn resets_the_machine() {
    // SAFETY: the reset control register of the chipset; the CPU does not come back.
    unsafe { asm!("out dx, al", in("dx") 0xcf9_u16, in("al") 6_u8) };
    hangs();
}

#[vm_test(timeout = 20)]
fn hangs() {
    while black_box(true) {
        core::hint::spin_loop();
    }
}

#[vm_test]
fn exits_early_with_success() {
    kernel::exit::success();
}

#[vm_test]
fn exits_early_with_failure() {
    kernel::exit::failure();
}

/// Three of its bytes outlast it by chance of the pattern's being known, and the fourth does not.
#[vm_test(machine = "nvdimm=1M")]
fn loses_what_was_to_outlast_it() {
    let seed = vm_test::seed();
    vm_test::host::fill_file("nvdimm0", 8, 3, seed, 0);
    let mut fourth = [0; 4];
    vm_test::pattern::fill(seed, 0, &mut fourth);
    vm_test::host::outlasts("nvdimm0", 8, 3, seed, 0);
    // A pattern of which this byte differs.
    let other = (0..).find(|other| {
        let mut byte = [0; 4];
        vm_test::pattern::fill(*other, 0, &mut byte);
        byte[3] != fourth[3]
    });
    vm_test::host::fill_file("nvdimm0", 11, 1, other.unwrap_or_default(), 3);
    vm_test::host::outlasts("nvdimm0", 8, 4, seed, 0);
    vm_test::control::kill();
}

#[vm_test]
fn is_killed_again_and_again() {
    vm_test::control::kill();
}

#[vm_test]
fn panics_after_it_was_killed() {
    if vm_test::kills() == 0 {
        vm_test::control::kill();
    }
    panic!("kills: {}", vm_test::kills());
}
