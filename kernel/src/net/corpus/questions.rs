//! Answers to what the target asks: leases and names. Who asks says by which number the answer is known, so each
//! is made from the question.

use super::Case;
use super::build::{IP, L4, summed};
use alloc::vec;
use alloc::vec::Vec;

/// Where the message of UDP starts.
const MESSAGE: usize = L4 + 8;

/// A frame from whom the question went to.
fn answer(question: &[u8], target: [u8; 4], message: &[u8]) -> Vec<u8> {
    let mut frame = question[..MESSAGE].to_vec();
    frame[..6].copy_from_slice(&question[6..12]);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    frame[IP + 12..IP + 16].copy_from_slice(&[10, 0, 0, 1]);
    frame[IP + 16..IP + 20].copy_from_slice(&target);
    let total = (28 + message.len()) as u16;
    frame[IP + 2..IP + 4].copy_from_slice(&total.to_be_bytes());
    frame[L4..L4 + 2].copy_from_slice(&question[L4 + 2..L4 + 4]);
    frame[L4 + 2..L4 + 4].copy_from_slice(&question[L4..L4 + 2]);
    frame[L4 + 4..L4 + 6].copy_from_slice(&(total - 20).to_be_bytes());
    frame.extend(message);
    summed(frame)
}

/// An offer, or whatever the options say.
fn dhcp(question: &[u8], yours: [u8; 4], options: &[u8]) -> Vec<u8> {
    let mut message = question[MESSAGE..MESSAGE + 236].to_vec();
    message[0] = 2;
    message[16..20].copy_from_slice(&yours);
    message.extend([99, 130, 83, 99]);
    message.extend(options);
    answer(question, [255; 4], &message)
}

/// The right answer to a question for an address, whichever it is.
pub(crate) fn dhcp_answer(question: &[u8]) -> Vec<u8> {
    let options = &question[MESSAGE + 240..];
    let is_request = options.windows(3).any(|three| three == [53, 1, 3]);
    let kind = if is_request { 5 } else { 2 };
    let options = [
        53, 1, kind, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0, 255,
    ];
    dhcp(question, [10, 0, 0, 9], &options)
}

/// Absurd answers to a question for an address: offers that must not be taken, or do no harm.
pub(crate) fn dhcp_answers(question: &[u8]) -> Vec<Case> {
    let offer = |yours, options: &[u8]| dhcp(question, yours, options);
    let kind = [53, 1, 2];
    let server = [54, 4, 10, 0, 0, 1];
    let with = |rest: &[u8]| offer([10, 0, 0, 9], &[&kind, &server[..], rest].concat());
    let mut cases = Vec::new();
    for (name, frame) in [
        ("DHCP: of no options", offer([10, 0, 0, 9], &[])),
        (
            "DHCP: of no kind",
            offer([10, 0, 0, 9], &[1, 4, 255, 255, 255, 0, 255]),
        ),
        (
            "DHCP: a kind of no bytes",
            offer([10, 0, 0, 9], &[53, 0, 255]),
        ),
        (
            "DHCP: an unknown kind",
            offer([10, 0, 0, 9], &[53, 1, 99, 255]),
        ),
        ("DHCP: options without end", with(&[1, 4, 255, 255, 255, 0])),
        ("DHCP: an option behind the end", with(&[3, 255, 1])),
        ("DHCP: a mask of holes", with(&[1, 4, 255, 0, 255, 0, 255])),
        ("DHCP: a mask of nothing", with(&[1, 4, 0, 0, 0, 0, 255])),
        (
            "DHCP: a mask of three bytes",
            with(&[1, 3, 255, 255, 255, 255]),
        ),
        ("DHCP: a router of no bytes", with(&[3, 0, 255])),
        (
            "DHCP: a router of five bytes",
            with(&[3, 5, 1, 2, 3, 4, 5, 255]),
        ),
        ("DHCP: a lease of no time", with(&[51, 4, 0, 0, 0, 0, 255])),
        (
            "DHCP: a lease for ever",
            with(&[51, 4, 255, 255, 255, 255, 255]),
        ),
        ("DHCP: a lease of one byte", with(&[51, 1, 9, 255])),
        (
            "DHCP: 60 servers for names",
            with(&[&[6, 240], &[9; 240][..], &[255]].concat()),
        ),
        ("DHCP: nothing but padding", with(&[0; 300])),
        ("DHCP: no address", offer([0; 4], &[53, 1, 2, 255])),
        (
            "DHCP: everybody's address",
            offer([255; 4], &[53, 1, 2, 54, 4, 10, 0, 0, 1, 255]),
        ),
        (
            "DHCP: a group's address",
            offer([224, 0, 0, 1], &[53, 1, 2, 54, 4, 10, 0, 0, 1, 255]),
        ),
        (
            "DHCP: no",
            offer([0; 4], &[53, 1, 6, 54, 4, 10, 0, 0, 1, 255]),
        ),
        (
            "DHCP: granted, and never offered",
            offer([10, 0, 0, 9], &[53, 1, 5, 255]),
        ),
    ] {
        cases.push(Case::one(name, frame));
    }
    let whole = with(&[1, 4, 255, 255, 255, 0, 255]);
    let cut = (MESSAGE..whole.len()).step_by(7);
    let cut = cut.map(|len| answer(question, [255; 4], &whole[MESSAGE..len]));
    cases.push(Case::new("DHCP: cut", cut.collect()));
    cases
}

/// The right answer to a question for a name.
pub(crate) fn dns_answer(question: &[u8]) -> Vec<u8> {
    let asked = &question[MESSAGE..];
    let head = [&asked[..2], &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]].concat();
    let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 44];
    answer(
        question,
        [10, 0, 0, 2],
        &[&head, &asked[12..], &record].concat(),
    )
}

/// Absurd answers to a question for a name.
pub(crate) fn dns_answers(question: &[u8]) -> Vec<Case> {
    let asked = &question[MESSAGE..];
    let from = [10, 0, 0, 2];
    let ident = &asked[..2];
    // The question as it was, and answers behind it.
    let with = |count: u16, records: &[u8]| {
        let [high, low] = count.to_be_bytes();
        let head = [ident, &[0x81, 0x80, 0, 1, high, low, 0, 0, 0, 0]].concat();
        answer(question, from, &[&head, &asked[12..], records].concat())
    };
    let record = |name: &[u8], kind: u8, len: u16, data: &[u8]| {
        let [high, low] = len.to_be_bytes();
        [name, &[0, kind, 0, 1, 0, 0, 0, 9, high, low], data].concat()
    };
    // Where the first record starts.
    let here = asked.len() as u8;
    let mut cases = Vec::new();
    for (name, frame) in [
        (
            "DNS: a name that points to itself",
            with(1, &record(&[0xc0, here], 1, 4, &[1; 4])),
        ),
        (
            "DNS: two names that point to each other",
            with(1, &[0xc0, here + 2, 0xc0, here]),
        ),
        (
            "DNS: a name that points forward",
            with(1, &record(&[0xc0, here + 12], 1, 4, &[1; 4])),
        ),
        (
            "DNS: a name that points behind the end",
            with(1, &record(&[0xff, 0xff], 1, 4, &[1; 4])),
        ),
        (
            "DNS: a name of a label too long",
            with(1, &record(&[0x7f, 1, 1], 1, 4, &[1; 4])),
        ),
        (
            "DNS: a label of an unknown kind",
            with(1, &record(&[0x80, 1, 0], 1, 4, &[1; 4])),
        ),
        ("DNS: a name without end", with(1, &[1, b'a'].repeat(200))),
        ("DNS: half a pointer", with(1, &[0xc0])),
        (
            "DNS: an alias of itself",
            with(1, &record(&[0xc0, 12], 5, 2, &[0xc0, 12])),
        ),
        (
            "DNS: an alias that points to itself",
            with(1, &record(&[0xc0, 12], 5, 2, &[0xc0, here + 12])),
        ),
        (
            "DNS: an alias of nothing",
            with(1, &record(&[0xc0, 12], 5, 0, &[])),
        ),
        (
            "DNS: an address of no bytes",
            with(1, &record(&[0xc0, 12], 1, 0, &[])),
        ),
        (
            "DNS: an address of three bytes",
            with(1, &record(&[0xc0, 12], 1, 3, &[1; 3])),
        ),
        (
            "DNS: an address longer than all",
            with(1, &record(&[0xc0, 12], 1, 65_535, &[1; 4])),
        ),
        ("DNS: 65535 answers and none", with(65_535, &[])),
        ("DNS: no answer", with(0, &[])),
        ("DNS: nothing", answer(question, from, &[])),
        ("DNS: a number", answer(question, from, ident)),
        ("DNS: a question", answer(question, from, asked)),
        ("DNS: half a head", answer(question, from, &asked[..7])),
        (
            "DNS: 60 answers",
            with(60, &record(&[0xc0, 12], 1, 4, &[1; 4]).repeat(60)),
        ),
    ] {
        cases.push(Case::one(name, frame));
    }
    let mut many = vec![0; 12];
    many[..2].copy_from_slice(ident);
    (many[2], many[4], many[5]) = (0x81, 255, 255);
    cases.push(Case::one(
        "DNS: 65535 questions",
        answer(question, from, &many),
    ));
    cases
}
