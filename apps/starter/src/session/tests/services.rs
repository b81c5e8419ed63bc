//! What the machine does for others.

use super::*;

#[test]
fn services_are_started_by_commands() {
    let (outcome, text) = run(&Fake::default(), "httpd; nbd; nbd --write");
    assert_eq!(outcome, Outcome::Success);
    assert_eq!(
        text,
        "Http at port 80\n\
         Nbd { writable: false } at port 10809\n\
         Nbd { writable: true } at port 10809\n"
    );
}

#[test]
fn what_they_do_not_take_is_an_error() {
    for line in ["httpd 80", "nbd nvme0n1", "nbd --write --write"] {
        let (outcome, text) = run(&Fake::default(), line);
        assert_eq!(outcome, Outcome::Failure, "{text}");
        assert!(!text.contains("at port"), "{text}");
    }
}
