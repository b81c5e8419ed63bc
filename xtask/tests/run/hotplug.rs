//! Devices come and go while somebody types.
//!
//! The test sits at the keyboard and at QEMU's monitor at the same time. It never sleeps: it repeats a command until
//! the answer is the one that it waits for, and the machine has a time limit.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use harness::qmp::{Monitor, Remote};
use serde_json::{Value, json};

use crate::support::{Folder, Seat, finish, text, xtask};

/// QEMU's monitor of a machine that runs.
struct Hand(Remote);

impl Hand {
    fn at(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("QEMU listens");
        let mut monitor = Monitor::greet(stream).expect("QEMU greets");
        let remote = monitor.remote();
        thread::spawn(move || while monitor.notice().is_some() {});
        Self(remote)
    }

    fn say(&self, command: &str, arguments: Value) {
        if let Err(error) = self.0.execute(command, arguments) {
            panic!("{error:#}");
        }
    }

    /// Gives QEMU an image, under a name.
    fn add_image(&self, name: &str, image: &Path) {
        let image = json!({ "driver": "raw", "node-name": name,
            "file": { "driver": "file", "filename": text(image) } });
        self.say("blockdev-add", image);
    }

    /// Plugs in a controller with a disk.
    fn plug(&self, controller: &str, image: &str) {
        let device = json!({ "driver": "nvme", "id": controller, "serial": controller,
            "drive": image, "bus": "slot0" });
        self.say("device_add", device);
    }

    /// Presses the button.
    fn unplug(&self, controller: &str) {
        self.say("device_del", json!({ "id": controller }));
    }
}

/// An image full of zeros.
fn image(folder: &Folder, name: &str, bytes: u64) -> std::path::PathBuf {
    let path = folder.write(name, "");
    let file = std::fs::File::options().write(true).open(&path);
    let sized = file.and_then(|file| file.set_len(bytes));
    sized.expect("the folder can be written");
    path
}

fn controllers(listing: &str) -> usize {
    listing.matches("NVMe controller").count()
}

#[test]
fn a_controller_is_listed_when_it_is_plugged_in_and_no_more_when_it_is_unplugged() {
    let folder = Folder::new();
    let socket = folder.file("qmp");
    let more = image(&folder, "more.img", 8 << 20);
    let mut seat = Seat::take(&["--slots", "1", "--qmp", text(&socket)]);
    let hand = Hand::at(&socket);
    assert_eq!(controllers(&seat.ask("lspci")), 1);
    hand.add_image("image", &more);
    for round in ["first", "second"] {
        hand.plug(round, "image");
        seat.until("lspci", |listing| controllers(listing) == 2);
        hand.unplug(round);
        seat.until("lspci", |listing| controllers(listing) == 1);
        while !hand.0.is_deleted(round) {
            seat.ask("uptime");
        }
    }
    seat.leave().ok();
}

/// The disk that `lsblk` lists beside the first.
fn other_disk(listing: &str) -> Option<&str> {
    let names = listing.lines().filter_map(|line| line.split(' ').next());
    let mut disks = names.filter(|name| name.starts_with("nvme"));
    disks.find(|name| *name != "nvme0n1")
}

#[test]
fn a_disk_is_unplugged_under_stress_while_somebody_types_and_the_next_one_works() {
    let folder = Folder::new();
    let socket = folder.file("qmp");
    let disk = image(&folder, "disk.img", 16 << 20);
    let machine = ["--smp", "2", "--slots", "1", "--qmp", text(&socket)];
    let mut seat = Seat::take(&machine);
    let hand = Hand::at(&socket);
    hand.add_image("image", &disk);
    hand.plug("first", "image");
    let listing = seat.until("lsblk", |listing| other_disk(listing).is_some());
    let name = other_disk(&listing).expect("it is listed");
    seat.ask(&format!("iostress {name} --seconds 1000 &"));
    seat.until("jobs", |jobs| jobs.contains("rounds"));
    hand.unplug("first");
    // Each of these is answered, whatever goes on behind.
    let jobs = seat.until("jobs", |jobs| jobs.contains("1 failed  iostress"));
    assert!(jobs.contains("the device has been removed"), "{jobs}");
    seat.until("lsblk", |listing| other_disk(listing).is_none());
    while !hand.0.is_deleted("first") {
        seat.ask("uptime");
    }
    hand.plug("second", "image");
    let listing = seat.until("lsblk", |listing| other_disk(listing).is_some());
    let name = other_disk(&listing).expect("it is listed");
    let result = seat.ask(&format!("iostress {name} --seconds 1"));
    let sound = "nothing lost, nothing corrupted, all memory is back";
    assert!(result.contains(sound), "{result}");
    seat.leave().ok();
    finish(&mut xtask(&["iostress", text(&disk)])).ok();
}
