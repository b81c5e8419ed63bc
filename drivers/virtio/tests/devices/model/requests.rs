//! What a disk does with a request (section 5.2.6).

use super::bits;
use super::device::{Device, Part};
use super::mischief::Mischief;
use super::rings::Piece;

impl Device {
    fn config32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.config[at..at + 4].try_into().expect("four"))
    }

    /// Carries a request out. Returns the bytes that were written to memory.
    pub(crate) fn carry_out(&mut self, queue: usize, pieces: &[Piece]) -> u32 {
        match self.part {
            Part::Module => return self.carry_out_flush(pieces),
            Part::Source => return self.give_random(pieces),
            Part::Balloon => return self.take_notice(queue, pieces),
            Part::Share => return self.reply(pieces),
            Part::Graphics => return self.draw(queue, pieces),
            Part::Disk | Part::Card | Part::Console => {}
        }
        let (header, rest) = pieces.split_first().expect("a header");
        assert_eq!((header.len, header.is_writable), (16, false), "a header");
        let (status, data) = rest.split_last().expect("a status");
        assert_eq!((status.len, status.is_writable), (1, true), "a status");
        let kind = u32::from_le_bytes(self.ram.get(header.start));
        let sector = u64::from_le_bytes(self.ram.get(header.start + 8));
        let segments = data.len() as u32;
        if self.accepted & bits::SIZE_MAX != 0 {
            let most = self.config32(8);
            assert!(data.iter().all(|piece| piece.len <= most), "SIZE_MAX");
        }
        let most = match self.accepted & bits::SEG_MAX {
            0 => 1,
            _ => self.config32(12),
        };
        assert!(
            segments <= most.max(1),
            "{segments} segments, SEG_MAX {most}"
        );
        let honest = match kind {
            0 => self.read_blocks(sector, data),
            1 => self.write_blocks(sector, data),
            4 => self.flush(sector, data),
            8 => self.say_its_name(sector, data),
            11 => self.of_segment(data, bits::DISCARD),
            13 => self.of_segment(data, bits::WRITE_ZEROES),
            _ => Err(2),
        };
        let answer = honest.err().unwrap_or(0);
        let answer = match self.misbehaves(|what| matches!(what, Mischief::Status(_))) {
            Some(Mischief::Status(status)) => status,
            _ => answer,
        };
        let is_silent = matches!(self.mischief, Some((Mischief::Nothing, _)));
        if !is_silent {
            self.ram.device_writes(status.start, &[answer]);
        }
        honest.unwrap_or(0) + 1
    }

    /// The same, of persistent memory (section 5.19.6).
    fn carry_out_flush(&mut self, pieces: &[Piece]) -> u32 {
        let [request, answer] = pieces else {
            panic!("a request and an answer");
        };
        assert_eq!((request.len, request.is_writable), (4, false));
        assert_eq!((answer.len, answer.is_writable), (4, true));
        let kind = u32::from_le_bytes(self.ram.get(request.start));
        assert_eq!(kind, 0, "a flush");
        self.flushes += 1;
        let value = match self.misbehaves(|what| matches!(what, Mischief::Status(_))) {
            Some(Mischief::Status(status)) => status.into(),
            _ => 0_u32,
        };
        if !matches!(self.mischief, Some((Mischief::Nothing, _))) {
            self.ram.device_writes(answer.start, &value.to_le_bytes());
        }
        4
    }

    /// Where some sectors are in the disk.
    fn place(&self, sector: u64, bytes: u64) -> Result<core::ops::Range<usize>, u8> {
        assert!(bytes.is_multiple_of(512) && bytes != 0, "{bytes} bytes");
        let start = sector.checked_mul(512).ok_or(1)?;
        let end = start.checked_add(bytes).ok_or(1)?;
        if end > self.disk.len() as u64 {
            return Err(1);
        }
        Ok(start as usize..end as usize)
    }

    fn read_blocks(&mut self, sector: u64, data: &[Piece]) -> Result<u32, u8> {
        assert!(data.iter().all(|piece| piece.is_writable));
        let bytes: u64 = data.iter().map(|piece| u64::from(piece.len)).sum();
        let mut at = self.place(sector, bytes)?.start;
        for piece in data {
            let end = at + piece.len as usize;
            self.ram.device_writes(piece.start, &self.disk[at..end]);
            at = end;
        }
        Ok(bytes as u32)
    }

    fn write_blocks(&mut self, sector: u64, data: &[Piece]) -> Result<u32, u8> {
        assert!(self.accepted & bits::RO == 0, "the disk is read-only");
        assert!(data.iter().all(|piece| !piece.is_writable));
        let bytes: u64 = data.iter().map(|piece| u64::from(piece.len)).sum();
        let mut at = self.place(sector, bytes)?.start;
        for piece in data {
            let end = at + piece.len as usize;
            self.ram.device_reads(piece.start, &mut self.disk[at..end]);
            at = end;
        }
        Ok(0)
    }

    fn flush(&mut self, sector: u64, data: &[Piece]) -> Result<u32, u8> {
        assert!(self.accepted & bits::FLUSH != 0, "no cache was agreed on");
        assert_eq!((sector, data.len()), (0, 0));
        self.flushes += 1;
        Ok(0)
    }

    fn say_its_name(&mut self, sector: u64, data: &[Piece]) -> Result<u32, u8> {
        let Some(name) = self.serial else {
            return Err(2);
        };
        let [piece] = data else {
            panic!("one piece");
        };
        assert_eq!((sector, piece.len, piece.is_writable), (0, 20, true));
        self.ram.device_writes(piece.start, &name);
        Ok(20)
    }

    fn of_segment(&mut self, data: &[Piece], feature: u64) -> Result<u32, u8> {
        assert!(self.accepted & feature != 0, "it was not agreed on");
        let [segment] = data else {
            panic!("one segment");
        };
        assert_eq!((segment.len, segment.is_writable), (16, false));
        let sector = u64::from_le_bytes(self.ram.get(segment.start));
        let sectors = u32::from_le_bytes(self.ram.get(segment.start + 8));
        let flags = u32::from_le_bytes(self.ram.get(segment.start + 12));
        let (most, legal) = match feature {
            bits::DISCARD => (self.config32(36), 0),
            _ => (self.config32(48), 1),
        };
        assert!(sectors <= most && flags <= legal);
        let place = self.place(sector, u64::from(sectors) * 512)?;
        // What was discarded may read as anything.
        let byte = if feature == bits::DISCARD { 0xdd } else { 0 };
        self.disk[place].fill(byte);
        Ok(0)
    }
}
