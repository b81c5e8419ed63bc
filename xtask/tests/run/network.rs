//! The network, with a server of the host's at the other end.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use harness::workspace;

use crate::support::{run, sha256};

/// A web server that has one thing, and answers so many times.
fn serve(content: Vec<u8>, times: usize) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there are ports");
    let port = listener.local_addr().expect("it has one").port();
    thread::spawn(move || {
        for stream in listener.incoming().take(times) {
            let mut stream = stream.expect("somebody calls");
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).expect("it asks");
                asked.push(byte[0]);
            }
            assert!(asked.starts_with(b"GET /thing HTTP/1.0\r\n"));
            let head = format!(
                "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n",
                content.len()
            );
            stream.write_all(head.as_bytes()).expect("it listens");
            stream.write_all(&content).expect("it listens");
        }
    });
    port
}

#[test]
fn a_machine_on_the_user_network_has_an_address_and_fetches_what_the_host_has() {
    let license = std::fs::read(workspace::root().join("LICENSE-APACHE")).expect("it is here");
    let content: Vec<u8> = license.iter().cycle().take(1_000_000).copied().collect();
    let (sum, port) = (sha256(&content), serve(content, 1));
    let script = format!("ping 10.0.2.2; wget --sum http://10.0.2.2:{port}/thing; ip; netstat");
    run(&["--net", "user", "--exec", &script])
        .ok()
        .shows("10.0.2.2 answers, number 3")
        .shows(&format!("{sum}  1000000 bytes\n"))
        .shows("address    10.0.2.15/24, lent by 10.0.2.2\n")
        .shows("route      0.0.0.0/0 by 10.0.2.2\n")
        .shows("names      10.0.2.3\n")
        .shows("1 opened");
}

#[test]
fn without_a_card_the_commands_say_what_to_do() {
    run(&["--exec", "ip; ping 10.0.2.2"])
        .failed()
        .shows("no network interfaces\n")
        .shows("`cargo xtask run --net user` gives the machine one");
}

#[test]
fn a_port_that_is_none_is_a_mistake() {
    run(&["--forward", "8080"]).failed().says("write two ports");
}
