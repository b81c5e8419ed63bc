//! What a file is, going by its name (RFC 9110, section 8.3).

/// Bytes of which nothing is known.
pub const BYTES: &str = "application/octet-stream";
/// A page.
pub const HTML: &str = "text/html; charset=utf-8";
/// Text to be read as it is.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// Values for programs.
pub const JSON: &str = "application/json";

/// Endings of names, in lower case and in their order.
const KINDS: &[(&str, &str)] = &[
    ("7z", "application/x-7z-compressed"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("c", TEXT),
    ("conf", TEXT),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("h", TEXT),
    ("htm", HTML),
    ("html", HTML),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", JSON),
    ("log", TEXT),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ogg", "audio/ogg"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("rs", TEXT),
    ("sh", TEXT),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("toml", TEXT),
    ("ttf", "font/ttf"),
    ("txt", TEXT),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
    ("xz", "application/x-xz"),
    ("yaml", TEXT),
    ("yml", TEXT),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

/// The kind of a file of this name.
pub fn of(name: &[u8]) -> &'static str {
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else {
        return BYTES;
    };
    let ending = &name[dot + 1..];
    let order =
        |(known, _): &(&str, &str)| known.bytes().cmp(ending.iter().map(u8::to_ascii_lowercase));
    // What begins with a dot is hidden, and has no ending for that.
    let found = KINDS.binary_search_by(order).ok().filter(|_| dot > 0);
    found.map_or(BYTES, |at| KINDS[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn names_end_with_what_files_are() {
        for (ending, kind) in KINDS {
            assert_eq!(of(format!("a.{ending}").as_bytes()), *kind);
        }
        assert_eq!(of(b"a.html"), HTML);
        assert_eq!(of(b"A.B.PNG"), "image/png");
        assert_eq!(of(b"a.tar.gz"), "application/gzip");
        for name in [&b"a"[..], b"", b".", b".html", b"a.", b"a.\xff", b"html"] {
            assert_eq!(of(name), BYTES);
        }
        assert!(KINDS.is_sorted_by_key(|(ending, _)| ending));
    }
}
