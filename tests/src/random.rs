//! Random numbers that can be had again: the seed is printed, and `RELAIS_SEED` sets it.

use std::{env, time::SystemTime};

/// A small generator (splitmix64); good enough to pick moments.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Seeded from `RELAIS_SEED`, else from the clock; says which on standard output.
    pub fn seeded() -> Self {
        let seed = env::var("RELAIS_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            now.map_or(1, |since| since.subsec_nanos().into())
        });
        println!("RELAIS_SEED={seed}");
        Self(seed)
    }

    /// The same numbers each time.
    pub fn fixed(seed: u64) -> Self {
        Self(seed)
    }

    /// One of these.
    pub fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.between(0, of.len() as u64) as usize]
    }

    /// A number of `low..high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (z ^ (z >> 31)) % (high - low)
    }
}
