//! The default application: a shell on the serial console.
//!
//! With commands from the host (`cargo xtask run --exec`) it runs those, prints nothing but
//! their output, and ends the machine as a success or a failure. Without, it talks to a person.
#![cfg_attr(phyros, no_std, no_main)]

#[cfg(phyros)]
extern crate alloc;

#[cfg(phyros)]
mod machine;

#[cfg(phyros)]
bootloader_api::entry_point!(main, config = &kernel::BOOT_CONFIG);

/// The commands to run, as the host passes them.
#[cfg(phyros)]
const SCRIPT: &str = "opt/phyros/exec";

/// The services to start, as the host passes them.
#[cfg(phyros)]
const SERVICES: &str = "opt/phyros/serve";

/// For how long services wait for a client, in milliseconds, if the host says so.
#[cfg(phyros)]
const PATIENCE: &str = "opt/phyros/patience";

#[cfg(phyros)]
fn main(info: &'static mut bootloader_api::BootInfo) -> ! {
    use kernel::console::Console;
    use shell::output::Terminal;
    use shell::session::{Outcome, Session};

    kernel::start(info);
    for balloon in kernel::drivers::helpers::balloons() {
        kernel::executor::spawn(async move { balloon.tend().await }).detach();
    }
    kernel::net::stack::start(kernel::net::stack::Options::default());
    let machine = machine::Machine;
    let mut terminal = Terminal::new(Console);
    if let Some(wanted) = kernel::fw_cfg::read(SERVICES)
        && let Err(why) = serve(&wanted)
    {
        kernel::println!("phyros: {why}");
        kernel::exit::failure();
    }
    let mut session = Session::new(&machine);
    let outcome = match kernel::fw_cfg::read(SCRIPT).map(alloc::string::String::from_utf8) {
        None => {
            // The console cannot fail.
            let _ = shell::greeting::print(&machine, &mut terminal);
            session.converse(Console, &mut terminal);
            Outcome::Success
        }
        Some(Ok(script)) => session.run(&script, &mut terminal),
        Some(Err(_)) => {
            kernel::println!("phyros: the commands from the host ({SCRIPT}) are not UTF-8");
            Outcome::Failure
        }
    };
    if kernel::storage::flush() && outcome != Outcome::Failure {
        kernel::exit::success();
    }
    kernel::exit::failure()
}

/// Starts services by their names.
#[cfg(phyros)]
fn serve(names: &[u8]) -> Result<(), alloc::string::String> {
    if let Some(patience) = kernel::fw_cfg::read(PATIENCE) {
        let milliseconds = core::str::from_utf8(&patience).ok();
        let milliseconds = milliseconds.and_then(|text| text.trim().parse().ok());
        let milliseconds = milliseconds.ok_or("the patience from the host is no number")?;
        machine::services::set_patience(milliseconds);
    }
    let names = core::str::from_utf8(names);
    let names = names.map_err(|_| "the services from the host are not UTF-8")?;
    let wanted = shell::system::Service::parse_all(names);
    let wanted = wanted.map_err(|word| alloc::format!("there is no service `{word}`"))?;
    machine::services::start_all(&wanted)
}

#[cfg(not(phyros))]
fn main() {
    eprintln!("this is a program for a virtual machine: type `cargo xtask run`");
    std::process::exit(2);
}
