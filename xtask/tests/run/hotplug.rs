//! Devices come and go while somebody types.
//!
//! The test sits at the keyboard and at QEMU's monitor at the same time. It never sleeps: it repeats a command until
//! the answer is the one that it waits for, and the machine has a time limit.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use harness::qmp::{Monitor, Remote};
use serde_json::{Value, json};

use crate::support::{Folder, Seat, text};

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
