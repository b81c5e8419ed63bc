//! What is in a folder, as a page.

use super::date::Calendar;
use super::path::{Path, encode};
use super::site::Entry;
use alloc::string::String;
use core::fmt::Write;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;\
color-scheme:light dark}table{border-collapse:collapse;width:100%}td,th{padding:.15rem .5rem;text-align:left}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}a{overflow-wrap:anywhere}";

/// Makes the page.
pub fn page(path: &Path, entries: &[Entry]) -> String {
    let mut html = String::new();
    let mut title = String::new();
    escape(&path.to_bytes(), &mut title);
    // Writing to a string cannot fail.
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n<table>\n\
         <tr><th>Name</th><th class=\"n\">Bytes</th><th class=\"n\">Modified (UTC)</th></tr>\n"
    );
    if path.last().is_some() {
        html.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in entries {
        row(entry, &mut html);
    }
    html.push_str("</table></body></html>\n");
    html
}

fn row(entry: &Entry, html: &mut String) {
    let slash = if entry.is_folder { "/" } else { "" };
    // A name with a colon in front would otherwise be a scheme.
    html.push_str("<tr><td><a href=\"./");
    encode(&entry.name, html);
    html.push_str(slash);
    html.push_str("\">");
    escape(&entry.name, html);
    html.push_str(slash);
    html.push_str("</a></td><td class=\"n\">");
    if let Some(len) = entry.len {
        let _ = write!(html, "{len}");
    }
    html.push_str("</td><td class=\"n\">");
    if let Some(modified) = entry.modified {
        let Calendar {
            year,
            month,
            day,
            second,
        } = Calendar::of(modified);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        let _ = write!(html, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}");
    }
    html.push_str("</td></tr>\n");
}

/// Writes bytes as text of a page. What would be taken for something else is replaced, and so is
/// what is no text.
pub fn escape(bytes: &[u8], into: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '&' => into.push_str("&amp;"),
                '<' => into.push_str("&lt;"),
                '>' => into.push_str("&gt;"),
                '"' => into.push_str("&quot;"),
                '\'' => into.push_str("&#39;"),
                // Also what would turn the text around.
                c if c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) => {
                    into.push(char::REPLACEMENT_CHARACTER);
                }
                c => into.push(c),
            }
        }
        if !chunk.invalid().is_empty() {
            into.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_whatever_they_look_like() {
        let path = Path::parse("/%3Cb%3E/").unwrap();
        let entry = |name: &[u8], is_folder| Entry {
            name: name.into(),
            is_folder,
            len: Some(7).filter(|_| !is_folder),
            modified: Some(951_782_400),
        };
        let entries = [
            entry(b"<script>alert('x')</script>", false),
            entry(b"javascript:alert(1)", false),
            entry(b"a\"b&c", true),
            entry(b"\xff\n", false),
        ];
        let html = page(&path, &entries);
        assert!(!html.contains("<script") && !html.contains("<b>"));
        assert!(html.contains("<h1>/&lt;b&gt;</h1>"));
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
        assert!(html.contains("href=\"./javascript%3Aalert%281%29\""));
        assert!(
            html.contains("<a href=\"./a%22b%26c/\">a&quot;b&amp;c/</a></td><td class=\"n\"></td>")
        );
        assert!(html.contains("href=\"./%FF%0A\">\u{fffd}\u{fffd}<"));
        assert!(html.contains("<td class=\"n\">7</td><td class=\"n\">2000-02-29 00:00</td>"));
        assert!(html.contains("href=\"../\""));
        let root = page(&Path::parse("/").unwrap(), &[]);
        assert!(!root.contains("../"));
    }
}
