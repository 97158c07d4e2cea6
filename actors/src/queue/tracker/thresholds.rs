//! The numbers of the seed's section 8.7.1, for a limit M.

/// Limits of memory. Compare strictly, as the fields say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Thresholds {
    /// M: never more than this; a new message is taken while fewer are known.
    pub max: usize,
    /// M/2: with fewer than this and something overflowed, the disk is scanned.
    pub low: usize,
    /// 3M/4: a scan stops here, so that new mail finds room.
    pub refill: usize,
    /// 7M/8: what a scan has read beyond `refill` it brings up to this. Ours, not the seed's: a
    /// portion is large, and most of it may be known.
    pub scanned: usize,
    /// 5M/8 known and 3M/8 delayed: a message that fails is forgotten until the next scan.
    pub forget_known: usize,
    /// See `forget_known`.
    pub forget_delayed: usize,
    /// M/4: one destination keeps at most this when others want room. Ours, not the seed's.
    pub share: usize,
}

impl Thresholds {
    /// For a limit of `max` entries, at least 8.
    pub fn of(max: usize) -> Self {
        let max = max.max(8);
        Self {
            max,
            low: max / 2,
            refill: max / 4 * 3,
            scanned: max / 8 * 7,
            forget_known: max / 8 * 5,
            forget_delayed: max / 8 * 3,
            share: max / 4,
        }
    }

    /// The share of each of `troubled` destinations when others want room: together no more than
    /// one destination that is well.
    pub(super) fn trickle(&self, troubled: usize) -> usize {
        (self.share / troubled.max(1)).max(1)
    }
}
