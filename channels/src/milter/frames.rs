//! Packets: four octets of length, a command, and its data.

use std::mem;

/// Octets received and not yet understood.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    /// Octets of `buffer` that are behind us.
    taken: usize,
}

/// The octets are no packet that a filter may send.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadFrame {
    /// No room even for the command.
    #[error("a packet of the filter is empty")]
    Empty,
    /// More than [`MAX_FRAME`].
    #[error("a packet of the filter has {0} octets")]
    TooLong(u32),
}

impl Frames {
    /// Where the driver appends what it reads.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..mem::take(&mut self.taken));
        self.buffer.reserve(READ);
        &mut self.buffer
    }

    /// The next complete packet; `None` when more octets are needed.
    pub(super) fn take(&mut self) -> Result<Option<(u8, &[u8])>, BadFrame> {
        let rest = &self.buffer[self.taken..];
        let Some((length, behind)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length);
        let octets = usize::try_from(length).unwrap_or(usize::MAX);
        match octets {
            0 => return Err(BadFrame::Empty),
            octets if octets > MAX_FRAME => return Err(BadFrame::TooLong(length)),
            octets if octets > behind.len() => return Ok(None),
            _ => {}
        }
        let start = self.taken + length_octets();
        self.taken = start + octets;
        Ok(Some((self.buffer[start], &self.buffer[start + 1..self.taken])))
    }

    /// Whether everything received has been taken out.
    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.buffer.len()
    }
}

/// Appends a packet whose data `put` writes.
pub(super) fn put_frame(out: &mut Vec<u8>, command: u8, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(command);
    put(out);
    let length = u32::try_from(out.len() - start - length_octets()).unwrap_or(u32::MAX);
    out[start..start + length_octets()].copy_from_slice(&length.to_be_bytes());
}

const fn length_octets() -> usize {
    size_of::<u32>()
}

/// Octets of a packet: the largest that can be agreed on, and its command.
pub(super) const MAX_FRAME: usize = 1 << 20;
const READ: usize = 4 << 10;
