//! The page that draws the machine, in a browser.

use std::fs;

use harness::workspace;
use serde_json::{Value, json};

use super::browser::Browser;
use super::{note, write_pattern};
use crate::served::Served;
use crate::support::{Folder, text};

const TAB: u32 = 9;
const END: u32 = 35;
const LEFT: u32 = 37;

/// The ranges of the address space that never change: those that are no RAM.
fn fixed(memory: &Value) -> Vec<(u64, String)> {
    let ranges = memory.as_array().expect("it is a list").iter();
    let of = |range: &Value| {
        let (start, kind) = (range["start"].as_u64()?, range["kind"].as_str()?);
        matches!(kind, "firmware" | "device").then(|| (start, kind.to_owned()))
    };
    ranges.filter_map(of).collect()
}

#[test]
#[ignore = "needs chromium: `cargo xtask clients` runs it"]
fn the_page_draws_the_machine_and_can_be_used() {
    let folder = Folder::new();
    let content = folder.file("content");
    fs::create_dir(&content).expect("the folder can be written");
    write_pattern(&content.join("file.bin"), 25, 10_000_000);
    let machine = Served::start(&["--copy", text(&content)]);
    let home = format!("{}/", machine.place("http"));
    let mut browser = Browser::start();
    browser.resize(1280, 1100);
    browser.ask("Page.navigate", json!({ "url": home }));
    // Something to see, and the first look is over.
    machine.get("/files/file.bin", "");
    let drawn = "new Promise(done => { const look = () => document.querySelector('#map button') \
        ? done(true) : requestAnimationFrame(look); look(); })";
    browser.value(drawn);

    // The map has the ranges that the machine has, in their order.
    let shown = browser.value(
        "[...document.querySelectorAll('#map button')].map(button => ({ \
        start: +button.dataset.start, kind: button.className }))",
    );
    let (_, state) = machine.get("/api/state", "");
    let state: Value = serde_json::from_slice(&state).expect("it is JSON");
    assert!(fixed(&shown).len() > 3, "{shown}");
    assert_eq!(fixed(&shown), fixed(&state["memory"]));
    for kind in ["free", "used"] {
        let count = |ranges: &Value| {
            let ranges = ranges.as_array().expect("it is a list").iter();
            ranges.filter(|range| range["kind"] == kind).count()
        };
        assert!(count(&shown) > 0 && count(&state["memory"]) > 0, "{kind}");
    }

    // What it shows goes on by itself.
    let changed = "new Promise(done => { const body = document.getElementById('rates').tBodies[0]; \
        const before = body.rows[2].cells[2].textContent; new MutationObserver(() => { \
        const now = body.rows[2].cells[2].textContent; if (now !== before) done([before, now]); \
        }).observe(body, { childList: true, subtree: true }); })";
    let answers = browser.value(changed);
    let number = |at: usize| {
        answers[at]
            .as_str()
            .and_then(|text| text.parse::<u64>().ok())
    };
    assert!(number(0) < number(1), "{answers}");

    use_by_keyboard(&mut browser);
    take_pictures(&mut browser);

    // Nothing overflows on a phone, in no part of the page.
    let wide = browser.value(
        "[document.documentElement, ...document.querySelectorAll('body *')] \
        .filter(one => !one.matches('.bar') && one.scrollWidth > Math.max(one.clientWidth, 1) && one.clientWidth > 0 \
        || one.getBoundingClientRect().right > 390.5) \
        .map(one => `${one.tagName}#${one.id}: ${one.textContent.slice(0, 40)}`)",
    );
    assert_eq!(wide, json!([]), "these are too wide");

    let is = |event: &&Value, method: &str| event["method"] == method;
    let asked: Vec<&str> = browser
        .events
        .iter()
        .filter(|event| is(event, "Network.requestWillBeSent"))
        .filter_map(|event| event["params"]["request"]["url"].as_str())
        .collect();
    assert!(asked.len() >= 3, "{asked:?}");
    let outside = asked
        .iter()
        .find(|url| !url.starts_with(&home) && !url.starts_with("data:"));
    assert_eq!(outside, None);
    let complaint = browser.events.iter().find(|event| {
        is(event, "Runtime.exceptionThrown")
            || is(event, "Log.entryAdded") && event["params"]["entry"]["level"] == "error"
            || is(event, "Runtime.consoleAPICalled") && event["params"]["type"] == "error"
    });
    assert_eq!(complaint, None);
    drop(browser);
    machine.end();
    note(
        "chromium",
        "the page: ranges of memory as `/api/state` has them, values that go on, the keyboard, 390 pixels, \
         no request elsewhere, no error",
    );
}

/// All that can be focused has a name, the map is one stop of Tab, and arrows lead through it.
fn use_by_keyboard(browser: &mut Browser) {
    let name = "(() => { const one = document.activeElement; \
        return [one.tagName, one.getAttribute('aria-label') || one.textContent, !!one.closest('#map')]; })()";
    let mut links = 0;
    loop {
        browser.press("Tab", TAB);
        let focused = browser.value(name);
        assert!(
            focused[1]
                .as_str()
                .is_some_and(|name| !name.trim().is_empty()),
            "{focused}"
        );
        if focused[2] == true {
            break;
        }
        assert_eq!(focused[0], "A", "{focused}");
        links += 1;
        assert!(links < 20, "the map is never reached");
    }
    assert_eq!(links, 4);
    let detail = "document.getElementById('detail').textContent";
    let first = browser.value(detail);
    browser.press("End", END);
    let last = browser.value(detail);
    browser.press("ArrowLeft", LEFT);
    let other = browser.value(detail);
    assert!(first != last && last != other, "{first} {last} {other}");
    assert!(
        last.as_str().is_some_and(|text| text.contains(" to 0x")),
        "{last}"
    );
}

/// Pictures for the book, if somebody wants them. The page is as wide as a phone afterwards.
fn take_pictures(browser: &mut Browser) {
    let wanted = std::env::var_os("PHYROS_CLIENTS").is_some();
    // As somebody sees it who has chosen nothing by the keyboard.
    browser.value(
        "[...document.querySelectorAll('#map .used')].reduce((a, b) => \
        parseFloat(a.style.width) > parseFloat(b.style.width) ? a : b).focus()",
    );
    for (name, width, height) in [("page-desktop", 1280, 1100), ("page-phone", 390, 844)] {
        browser.resize(width, height);
        browser
            .value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
        let picture = browser.picture();
        assert!(
            picture.starts_with(b"\x89PNG") && picture.len() < 150 << 10,
            "{}",
            picture.len()
        );
        if wanted {
            let path = workspace::root().join(format!("docs/src/{name}.png"));
            fs::write(path, picture).expect("the book can be written");
        }
    }
}
