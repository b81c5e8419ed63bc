//! Two machines on a wire: the shell is on one, and the test answers on the other.

use super::{Outcome, run};
use crate::testing::Fake;
use kernel::executor::{self, Task};
use kernel::net::stack::{Backlog, Ipv4, Options, Stack};
use kernel::net::{Offloads, Stream, Wire};
use std::net::{IpAddr, Ipv4Addr};

fn options(last: u8) -> Options {
    Options {
        ipv4: Ipv4::Fixed {
            address: Ipv4Addr::new(10, 0, 0, last),
            prefix: 24,
            router: None,
            dns: vec![IpAddr::from([10, 0, 0, 2])],
        },
        ipv6: false,
        ..Options::default()
    }
}

/// A machine with a network, and who answers there.
struct Linked {
    machine: Fake,
    other: Stack,
    _tasks: Vec<Task<()>>,
}

fn linked() -> Linked {
    let [one, other] = Wire::pair(1500, Offloads::ALL);
    let stacks = [
        Stack::new(one, options(1)).unwrap(),
        Stack::new(other, options(2)).unwrap(),
    ];
    let mut tasks = Vec::new();
    for stack in stacks.clone() {
        tasks.push(executor::spawn(async move { stack.drive().await }));
    }
    let [one, other] = stacks;
    let machine = Fake {
        stacks: vec![one],
        ..Fake::default()
    };
    Linked {
        machine,
        other,
        _tasks: tasks,
    }
}

fn output(linked: &Linked, script: &str) -> String {
    let (outcome, text) = run(&linked.machine, script);
    assert_eq!(outcome, Outcome::Success, "{script}: {text}");
    text
}

fn error(linked: &Linked, script: &str) -> String {
    let (outcome, text) = run(&linked.machine, script);
    assert_eq!(outcome, Outcome::Failure, "{script}: {text}");
    text
}

/// A web server that knows one page.
fn serve(stack: &Stack, answer: &'static [u8]) -> Task<()> {
    let stack = stack.clone();
    executor::spawn(async move {
        let mut listener = stack.listen(80, Backlog::default()).unwrap();
        loop {
            let mut connection = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            let mut bytes = [0; 100];
            while !asked.ends_with(b"\r\n\r\n") {
                let read = connection.read(&mut bytes).await.unwrap();
                asked.extend_from_slice(&bytes[..read]);
            }
            assert!(asked.starts_with(b"GET /page HTTP/1.0\r\nHost: 10.0.0.2\r\n"));
            connection.write(answer).await.unwrap();
            connection.close().await.unwrap();
        }
    })
}

#[test]
fn a_machine_without_a_network_says_so() {
    let machine = Fake::default();
    assert_eq!(run(&machine, "ip").1, "no network interfaces\n");
    assert_eq!(run(&machine, "netstat").1, "no network interfaces\n");
    let (outcome, text) = run(&machine, "ping 10.0.0.1");
    assert_eq!(outcome, Outcome::Failure);
    assert!(text.contains("--net user"), "{text}");
}

#[test]
fn addresses_are_shown_and_given() {
    let linked = linked();
    output(&linked, "ping 10.0.0.2");
    let text = output(&linked, "ip");
    let name = linked.machine.stacks[0].name().to_owned();
    assert!(text.starts_with(&format!(
        "{name}: 02:00:00:00:00:02, packets of up to 1500 bytes\n"
    )));
    assert!(
        text.contains("    address    10.0.0.1/24\n    names      10.0.0.2\n"),
        "{text}"
    );
    assert!(
        text.contains("    neighbour  10.0.0.2 is 02:00:00:00:00:03\n"),
        "{text}"
    );

    output(
        &linked,
        &format!("ip {name} 10.0.0.9/16 10.0.0.2; ping 10.0.0.2 1"),
    );
    let text = output(&linked, "ip");
    assert!(
        text.contains("10.0.0.9/16") && text.contains("route      0.0.0.0/0 by 10.0.0.2"),
        "{text}"
    );
    output(&linked, &format!("ip {name} dhcp"));
    assert!(output(&linked, "ip").contains("nobody has lent one"));
    for wrong in [
        "ip x y",
        "ip x 1.2.3.4",
        "ip x 1.2.3.4/33",
        "ip x 0.0.0.0/8",
        "ip x 1.2.3.4/8 y",
    ] {
        assert!(error(&linked, wrong).contains("usage: ip"), "{wrong}");
    }
    assert!(error(&linked, "ip nobody dhcp").contains("no network interface `nobody`"));
}

#[test]
fn who_is_there_answers() {
    let linked = linked();
    let text = output(&linked, "ping 10.0.0.2");
    assert_eq!(text.lines().count(), 3);
    assert!(
        text.lines()
            .last()
            .unwrap()
            .starts_with("10.0.0.2 answers, number 3, after "),
        "{text}"
    );
    assert!(error(&linked, "ping 10.0.0.3 2").ends_with("10.0.0.3: no answer\n"));
    assert!(error(&linked, "ping 11.0.0.3").ends_with("there is no way there\n"));
    assert!(error(&linked, "ping").contains("usage: ping"));
}

#[test]
fn a_page_is_printed_or_summed_up() {
    let linked = linked();
    let _server = serve(
        &linked.other,
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n",
    );
    assert_eq!(output(&linked, "wget http://10.0.0.2/page"), "hello\n");
    assert_eq!(
        output(&linked, "wget --sum http://10.0.0.2/page"),
        "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  6 bytes\n"
    );
    let text = output(&linked, "netstat");
    assert!(
        text.contains("TimeWait") || text.contains("2 opened"),
        "{text}"
    );
    assert!(error(&linked, "wget http://10.0.0.2:81/page").contains("given up"));
    assert!(error(&linked, "wget ftp://10.0.0.2/page").contains("usage: wget"));
}

#[test]
fn a_page_that_is_none_is_an_error() {
    for (answer, says) in [
        (
            &b"HTTP/1.1 404 Not Found\r\n\r\n"[..],
            "the server says 404",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello\n",
            "3 bytes are missing",
        ),
        (b"220 mail\r\n\r\n", "not one of a web server"),
        (b"", "not one of a web server"),
    ] {
        let linked = linked();
        let _server = serve(&linked.other, answer);
        let text = error(&linked, "wget http://10.0.0.2/page");
        assert!(text.contains(says), "{text}");
    }
}

/// The other end answers questions for names.
#[test]
fn a_name_is_looked_up() {
    let linked = linked();
    let other = linked.other.clone();
    let _server = executor::spawn(async move {
        let socket = other.udp(53).unwrap();
        let mut bytes = [0; 512];
        loop {
            let (len, from) = socket.receive_from(&mut bytes).await.unwrap();
            let mut answer = bytes[..len].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[7] = 1;
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 2]);
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    assert_eq!(output(&linked, "nslookup host.example"), "10.0.0.2\n");
    assert!(output(&linked, "ping host.example 1").starts_with("10.0.0.2 answers"));
    assert!(error(&linked, "nslookup a..b").contains("that is no name"));
}
