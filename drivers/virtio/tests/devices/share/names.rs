//! Folders, links, and the ways to files.

use super::*;

#[test]
fn the_name_of_the_folder_is_the_hosts_if_it_can_be_typed() {
    let tag = |config: Vec<u8>| {
        let machine = machine(|_| {});
        machine.device.borrow_mut().config = config;
        let share = share(&machine);
        let tag = share.tag().map(str::to_owned);
        end(&machine, share);
        tag
    };
    assert_eq!(tag(named(b"docs")).as_deref(), Some("docs"));
    for odd in [&b""[..], b"a b", b"a:b", b"../x", b"\xff", &[b'x'; 33]] {
        assert_eq!(tag(named(odd)), None, "{odd:?}");
    }
    assert_eq!(tag(vec![]), None);
    assert_eq!(tag(vec![9, 0, b'x']), None, "shorter than it says");
}

#[test]
fn a_folder_is_listed_to_its_end_and_says_what_is_in_it() {
    let machine = machine(|server| {
        server.put("d/sub", File::Folder(Default::default()));
        server.put("d/link", File::Link(b"x".into()));
        for number in 0..2000 {
            server.put(&format!("d/file number {number:04}"), File::Bytes(vec![]));
        }
    });
    let share = share(&machine);
    let list = |path| run_alone(&machine, open(&machine, &share, path).list()).unwrap();
    let all = list("/d");
    assert_eq!(all.len(), 2002);
    let kind = |name: &[u8]| {
        let found = all.iter().find(|entry| entry.name == name);
        found.map(|entry| entry.kind)
    };
    assert_eq!(kind(b"sub"), Some(FileKind::Folder));
    assert_eq!(kind(b"link"), Some(FileKind::Link));
    assert_eq!(kind(b"file number 1999"), Some(FileKind::Regular));
    assert_eq!(list("/d/sub"), Vec::<Entry>::new());
    let file = open(&machine, &share, "/d/file number 0000");
    let refused = run_alone(&machine, file.list());
    assert_eq!(refused, Err(ShareError::Server(Errno::ENOTDIR)));
    drop(file);
    end(&machine, share);
}

#[test]
fn what_is_known_of_a_file_is_what_the_server_says() {
    let machine = machine(|server| server.put("f", File::Bytes(bytes(1234))));
    let share = share(&machine);
    let node = find(&machine, &share, "f").unwrap();
    let known = run_alone(&machine, node.attributes()).unwrap();
    assert_eq!((known.kind, known.mode), (FileKind::Regular, 0o100_640));
    assert_eq!((known.owner, known.group, known.len), (1000, 100, 1234));
    let modified = (known.modified.seconds, known.modified.nanoseconds);
    assert_eq!(modified, (1_700_000_000, 123));
    drop(node);
    end(&machine, share);
}

/// The server asserts that it never hears `..`, so whatever is reached is in the share.
#[test]
fn links_and_dots_lead_where_they_do_on_a_disk_and_never_out() {
    let machine = machine(|server| {
        let text = |text: &str| File::Bytes(text.into());
        let link = |path: &str| File::Link(path.into());
        server.put("top", text("top"));
        server.put("a/b/c/leaf", text("leaf"));
        server.put("etc/passwd", text("of the share"));
        server.put("a/up", link("../top"));
        server.put("a/absolute", link("/etc/passwd"));
        server.put("a/b/out", link("../../../../../etc/passwd"));
        server.put("short", link("a/b/c"));
        server.put("chain", link("short/../c/./leaf"));
        server.put("loop", link("loop"));
        server.put("dangling", link("nowhere"));
        server.put("file/x", text("x"));
    });
    let share = share(&machine);
    let read = |path: &str| {
        let file = find(&machine, &share, path)?;
        let file = run_alone(&machine, file.open())?;
        let read = run_alone(&machine, file.read(0, room(&machine, &[100]), 0));
        let (data, count) = read.map_err(|unread| unread.error)?;
        Ok(String::from_utf8(data.bytes()[..count as usize].into()).unwrap())
    };
    for (path, text) in [
        ("/a/b/c/leaf", "leaf"),
        ("a/b//./c/../../b/c/leaf", "leaf"),
        ("/../../../top", "top"),
        ("/a/up", "top"),
        ("/a/absolute", "of the share"),
        ("/a/b/out", "of the share"),
        ("/short/leaf", "leaf"),
        // A link, and up from where it leads.
        ("/short/../c/leaf", "leaf"),
        ("/chain", "leaf"),
    ] {
        assert_eq!(read(path).as_deref(), Ok(text), "{path}");
    }
    for (path, error) in [
        ("/nothing", PathError::NotFound),
        ("/a/nothing/x", PathError::NotFound),
        ("/top/x", PathError::NotAFolder),
        ("/top/..", PathError::NotAFolder),
        ("/top/", PathError::NotAFolder),
        ("/loop", PathError::Links),
        ("/loop/x", PathError::Links),
        ("/dangling", PathError::NotFound),
        ("/a\0b", PathError::Name),
        (&"x".repeat(256), PathError::Name),
    ] {
        assert_eq!(read(path), Err(ShareError::Path(error)), "{path}");
    }
    // The link itself.
    let kept = |path: &[u8]| run_alone(&machine, share.find(path, Links::Keep));
    let link = kept(b"/a/up").unwrap();
    assert!(link.is_link());
    assert_eq!(run_alone(&machine, link.target()).unwrap(), b"../top");
    assert!(kept(b"/short/").unwrap().is_folder(), "a folder is meant");
    drop(link);
    end(&machine, share);
}

#[test]
fn long_ways_are_walked_in_parts() {
    for len in [14, 15, 16, 30, 31, 100] {
        // As long as a name can be; or as many as a link can have.
        let name = "n".repeat(255.min(10_000 / len));
        let way = vec![name.as_str(); len].join("/");
        // A link at the end of a part, and in the middle of one.
        let machine = machine(|server| {
            server.put(&format!("{way}/leaf"), File::Bytes(bytes(7)));
            server.put("to", File::Link(way.clone().into()));
        });
        let share = share(&machine);
        for path in [
            format!("{way}/leaf"),
            "to/leaf".into(),
            format!("{way}/../{name}/leaf"),
        ] {
            let node = find(&machine, &share, &path).expect("it is there");
            assert_eq!(run_alone(&machine, node.attributes()).unwrap().len, 7);
        }
        let missing = find(&machine, &share, &format!("{way}/nothing")).err();
        assert_eq!(missing, Some(ShareError::Path(PathError::NotFound)));
        end(&machine, share);
    }
    let machine = machine(|_| {});
    let share = share(&machine);
    let deep = "x/".repeat(5000);
    let error = find(&machine, &share, &deep).err();
    assert_eq!(error, Some(ShareError::Path(PathError::Name)));
    end(&machine, share);
}

#[test]
fn files_that_nobody_has_are_let_go_of() {
    let machine = machine(|server| {
        server.put("f", File::Bytes(bytes(10)));
        server.put("locked", File::Forbidden);
    });
    let share = share(&machine);
    for _ in 0..100 {
        drop(open(&machine, &share, "f"));
        assert!(find(&machine, &share, "nothing").is_err());
        let locked = find(&machine, &share, "locked").unwrap();
        let refused = run_alone(&machine, locked.open()).err();
        assert_eq!(refused, Some(ShareError::Server(Errno::EACCES)));
        assert!(machine.device.borrow().server.fids.len() <= 3);
    }
    run_alone(&machine, share.tidy()).unwrap();
    assert_eq!(
        (share.files(), machine.device.borrow().server.fids.len()),
        (0, 1)
    );
    end(&machine, share);
}
