//! Guests of a few instructions, assembled by hand.
//!
//! The harness must not depend on a kernel that works in order to say that one does not.
//! These guests have no kernel: a PVH note, some 32-bit code, some text. They do exactly what a
//! test of the harness needs, be it a lie.

use std::path::Path;
use std::{fs, io};

/// Where the guest is loaded.
const BASE: u32 = 0x20_0000;
/// Bytes before the code: ELF header, two program headers, the note.
const CODE: usize = 52 + 2 * 32 + 20;

/// A guest in the making.
pub struct Micro {
    code: Vec<u8>,
    /// Texts, each with the place in the code that wants its address.
    texts: Vec<(usize, Vec<u8>)>,
    records: u32,
}

impl Default for Micro {
    fn default() -> Self {
        Self::new()
    }
}

impl Micro {
    /// A guest that does nothing yet.
    pub fn new() -> Self {
        // cld
        Self {
            code: vec![0xfc],
            texts: Vec::new(),
            records: 0,
        }
    }

    /// A guest that has begun the test of this name.
    pub fn begun(name: &str) -> Self {
        Self::new()
            .record("hello 1")
            .record(&format!("begin {name}"))
    }

    /// Sends bytes over the record channel.
    pub fn send(mut self, bytes: &[u8]) -> Self {
        self.code.push(0xbe); // mov esi, text
        self.texts.push((self.code.len(), bytes.to_vec()));
        self.code.extend([0; 4]);
        self.code.push(0xb9); // mov ecx, length
        self.code.extend((bytes.len() as u32).to_le_bytes());
        self.code.extend([0x66, 0xba, 0xe9, 0x00]); // mov dx, 0xe9
        self.code.extend([0xf3, 0x6e]); // rep outsb
        self
    }

    /// Sends the next record.
    pub fn record(mut self, text: &str) -> Self {
        let line = format!("{} {text}\u{1e}\n", self.records);
        self.records += 1;
        self.send(line.as_bytes())
    }

    /// Sends a record with a call, and waits for its answer in the mailbox at this address.
    pub fn call(self, mailbox: u32, text: &str) -> Self {
        let ticket = self.records + 1;
        let mut this = self.record(text);
        this.code.extend([0x81, 0x3d]); // cmp dword [mailbox], ticket
        this.code.extend(mailbox.to_le_bytes());
        this.code.extend(ticket.to_le_bytes());
        this.code.extend([0x75, 0xf4]); // jne to the comparison
        this
    }

    /// Goes on only if memory holds this word, and hangs otherwise.
    pub fn expect(mut self, address: u32, word: u32) -> Self {
        self.code.extend([0x81, 0x3d]); // cmp dword [address], word
        self.code.extend(address.to_le_bytes());
        self.code.extend(word.to_le_bytes());
        self.code.extend([0x75, 0xfe]); // jne to itself
        self
    }

    /// Ends the machine through `isa-debug-exit`.
    pub fn exit(mut self, value: u8) -> Self {
        self.code.extend([0xb0, value, 0xe6, 0xf4]); // mov al, value; out 0xf4, al
        self
    }

    /// Has an exception, without a handler for it or for what follows.
    pub fn triple_fault(mut self) -> Self {
        self.code.extend([0x0f, 0x01, 0x1d]); // lidt [zeros]
        self.texts.push((self.code.len(), vec![0; 6]));
        self.code.extend([0; 4]);
        self.code.push(0xcc); // int3
        self
    }

    /// Writes the guest's ELF file. Behind its last instruction the guest hangs.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// # Panics
    /// If the guest is larger than a page.
    pub fn write(mut self, path: &Path) -> io::Result<()> {
        self.code.extend([0xf4, 0xeb, 0xfd]); // hlt; jmp to it
        let mut file = vec![0; CODE];
        for (place, text) in &self.texts {
            let address = BASE as usize + CODE + self.code.len() + file.len() - CODE;
            self.code[*place..place + 4].copy_from_slice(&(address as u32).to_le_bytes());
            file.extend(text);
        }
        file.splice(CODE..CODE, self.code);

        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            file[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0");
        put(&[2, 0, 3, 0]); // executable, 386
        let len = 0x1000;
        let entry = BASE + CODE as u32;
        let sizes = [52 | 32 << 16, 2 | 40 << 16, 0];
        let header = [1, entry, 52, 0, 0];
        let load = [1, 0, BASE, BASE, len, len, 7, 4];
        let note_at = CODE as u32 - 20;
        let note = [4, note_at, BASE + note_at, BASE + note_at, 20, 20, 4, 4];
        let pvh = [4, 4, 18, u32::from_le_bytes(*b"Xen\0"), entry];
        for word in [&header[..], &sizes, &load, &note, &pvh].concat() {
            put(&u32::to_le_bytes(word));
        }
        assert!(file.len() <= len as usize, "a micro guest is small");
        file.resize(len as usize, 0);
        fs::write(path, file)
    }
}
