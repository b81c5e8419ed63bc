//! Namespaces that are formatted, attached, made and deleted.

use crate::model::{Bench, Config, list, protected_disk};
use nvme::admin::{Attachment, Format, NewNamespace, Sanitize};
use nvme::protection::{Kind, Position};
use nvme::{Error, Placement, RequestError, SanitizeStatus};

fn bench() -> Bench {
    let config = Config::with_everything();
    Bench::new(config.put(1, protected_disk(4096, 0, 0, false)))
}

#[test]
fn a_formatted_namespace_is_seen_anew() {
    let bench = bench();
    let controller = &bench.controller;
    assert_eq!(bench.namespace(1).expect("it is there").block_size, 512);
    // 4096 bytes of data.
    bench
        .run(controller.format(1, Format::new(4)))
        .expect("it formats");
    let namespace = bench.namespace(1).expect("it is there");
    assert_eq!(namespace.block_size, 4096);
    assert!(namespace.is_plain());
    let memory = list(&[(bench.pages(1), 4096)]);
    bench
        .write(1, namespace.blocks - 1, &memory)
        .expect("it writes");

    let protected = Format {
        protection: Some((Kind::Type1, Position::First)),
        placement: Placement::Interleaved,
        ..Format::new(1)
    };
    bench
        .run(controller.format(1, protected))
        .expect("it formats");
    let namespace = bench.namespace(1).expect("it is there");
    let protection = namespace.format.protection.expect("protected");
    assert_eq!(
        (protection.kind, protection.position),
        (Kind::Type1, Position::First)
    );
    assert_eq!(namespace.format.placement, Placement::Interleaved);
    let refused = bench.run(controller.format(1, Format::new(40)));
    assert!(matches!(refused, Err(Error::Command(_))));
}

#[test]
fn a_detached_namespace_goes_and_comes_back() {
    let bench = bench();
    let controller = &bench.controller;
    let memory = list(&[(bench.pages(1), 4096)]);
    let contents = bench.disk(1, 0, 8);
    bench
        .run(controller.attach(1, Attachment::Detach, &[]))
        .expect("it detaches");
    assert_eq!(controller.namespaces(), []);
    assert_eq!(bench.run(controller.allocated_namespaces()), Ok(vec![1]));
    let described = bench.run(controller.describe(1)).expect("it exists");
    assert_eq!(described.nsze, 4096);
    bench
        .run(controller.attach(1, Attachment::Attach, &[7]))
        .expect("it attaches");
    assert_eq!(controller.namespaces().len(), 1);
    bench.read(1, 0, &memory).expect("it reads");
    assert_eq!(bench.contents(&memory), contents);
    let refused = bench.run(controller.attach(1, Attachment::Attach, &[8]));
    assert!(
        matches!(refused, Err(Error::Command(_))),
        "another controller"
    );
}

#[test]
fn a_namespace_is_made_and_deleted() {
    let bench = bench();
    let controller = &bench.controller;
    let new = NewNamespace {
        blocks: 100,
        capacity: 100,
        format: Format::new(4),
        is_shared: false,
    };
    let nsid = bench
        .run(controller.create_namespace(new))
        .expect("it is made");
    assert_eq!(nsid, 2);
    assert_eq!(controller.namespaces().len(), 1, "not attached yet");
    bench
        .run(controller.attach(nsid, Attachment::Attach, &[]))
        .expect("it attaches");
    let namespace = bench.namespace(nsid).expect("it is there");
    assert_eq!((namespace.blocks, namespace.block_size), (100, 4096));
    let memory = list(&[(bench.pages(1), 4096)]);
    bench.write(nsid, 99, &memory).expect("it writes");
    bench
        .run(controller.delete_namespace(nsid))
        .expect("it is deleted");
    assert_eq!(controller.namespaces().len(), 1);
    assert_eq!(bench.run(controller.allocated_namespaces()), Ok(vec![1]));
}

#[test]
fn what_the_controller_does_not_offer_is_not_sent() {
    let bench = Bench::new(Config::with_disk(100, 9));
    let controller = &bench.controller;
    let refused = Err(Error::Request(RequestError::Unsupported));
    assert_eq!(bench.run(controller.format(1, Format::new(0))), refused);
    let attach = controller.attach(1, Attachment::Attach, &[]);
    assert_eq!(bench.run(attach), refused);
    assert_eq!(bench.run(controller.delete_namespace(1)), refused);
    assert_eq!(
        bench.run(controller.sanitize(Sanitize::BlockErase)),
        refused
    );
}

#[test]
fn a_sanitize_operation_can_be_followed() {
    let bench = bench();
    let controller = &bench.controller;
    let status = || {
        bench
            .run(controller.sanitize_status())
            .expect("a log")
            .status()
    };
    assert_eq!(status(), SanitizeStatus::Never);
    bench
        .run(controller.sanitize(Sanitize::BlockErase))
        .expect("it begins");
    assert!(matches!(status(), SanitizeStatus::GoingOn(_)));
    bench.sleep(10_000_000);
    assert_eq!(status(), SanitizeStatus::Done);
}
