//! The data of a packet, piece by piece.

use super::breach::Breach;

/// Numbers and texts of a packet.
pub(super) struct PacketReader<'a>(pub(super) &'a [u8]);

impl<'a> PacketReader<'a> {
    pub(super) fn next(&mut self) -> Result<u32, Breach> {
        let (word, rest) = self.0.split_first_chunk::<4>().ok_or(Breach::CutShort)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*word))
    }

    /// Octets up to a NUL.
    pub(super) fn text(&mut self) -> Result<&'a [u8], Breach> {
        let end = memchr::memchr(0, self.0).ok_or(Breach::CutShort)?;
        let (text, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Ok(text)
    }
}
