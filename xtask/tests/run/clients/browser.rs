//! Chromium without a window, asked by its DevTools protocol over two pipes.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::run;
use crate::support::{Folder, text};

/// A browser with one page.
pub(super) struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    session: Option<String>,
    last: u64,
    /// What has happened so far.
    pub(super) events: Vec<Value>,
    _folder: Folder,
}

impl Browser {
    pub(super) fn start() -> Self {
        let folder = Folder::new();
        let (to, from) = (folder.file("to"), folder.file("from"));
        run("mkfifo", &[text(&to), text(&from)]);
        let profile = format!("--user-data-dir={}", text(&folder.file("profile")));
        // It reads from 3 and writes to 4.
        let script = r#"to=$1 from=$2; shift 2; exec chromium "$@" 3<"$to" 4>"$from""#;
        let child = Command::new("sh")
            .args(["-c", script, "sh", text(&to), text(&from), &profile])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
            .args([
                "--no-first-run",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let to = File::options().write(true).open(to).expect("it reads");
        let from = BufReader::new(File::open(from).expect("it writes"));
        let mut browser = Self {
            child,
            to,
            from,
            session: None,
            last: 0,
            events: Vec::new(),
            _folder: folder,
        };
        let page = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let page = json!({ "targetId": page["targetId"], "flatten": true });
        let session = browser.ask("Target.attachToTarget", page);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut question = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            question["sessionId"] = json!(session);
        }
        let bytes = [question.to_string().as_bytes(), &[0]].concat();
        self.to.write_all(&bytes).expect("the browser listens");
        loop {
            let mut said = self.next();
            if said["id"] == self.last {
                assert!(said["error"].is_null(), "{method}: {}", said["error"]);
                return said["result"].take();
            }
            self.events.push(said);
        }
    }

    fn next(&mut self) -> Value {
        let mut bytes = Vec::new();
        let read = self.from.read_until(0, &mut bytes);
        assert!(
            read.expect("the browser speaks") > 1,
            "the browser has gone"
        );
        bytes.pop();
        serde_json::from_slice(&bytes).expect("it is JSON")
    }

    /// The page is as wide and as high from now on.
    pub(super) fn resize(&mut self, width: u32, height: u32) {
        let mobile = width < 600;
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.ask("Emulation.setDeviceMetricsOverride", size);
    }

    /// The value of an expression in the page, which may be a promise.
    pub(super) fn value(&mut self, expression: &str) -> Value {
        let question =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.ask("Runtime.evaluate", question);
        let trouble = &answer["exceptionDetails"];
        assert!(trouble.is_null(), "{expression}: {trouble}");
        answer["result"]["value"].take()
    }

    /// Presses a key and lets it go.
    pub(super) fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let key =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.ask("Input.dispatchKeyEvent", key);
        }
    }

    /// What can be seen, as PNG.
    pub(super) fn picture(&mut self) -> Vec<u8> {
        let answer = self.ask("Page.captureScreenshot", json!({ "format": "png" }));
        decode(answer["data"].as_str().expect("there is a picture"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Base64 (RFC 4648, 4).
fn decode(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for digit in text.bytes().filter(|byte| *byte != b'=') {
        let value = DIGITS.iter().position(|known| *known == digit);
        bits = bits << 6 | value.expect("it is a digit") as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
