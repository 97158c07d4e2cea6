//! The way of an attempt: the server, the protection of the connection, and the time that went by at
//! each stage.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

/// The way that an attempt took.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Trip {
    /// `host[address]:port`, or the path of its socket; empty when no server was connected to.
    pub peer: Arc<str>,
    /// TLS, whether the server's certificate is good, and AUTH, in words; empty when there was none.
    pub protection: Arc<str>,
    /// The stages.
    pub timings: Timings,
}

/// The time of each stage, in milliseconds, and 1 where it took less; 0 where there was none, or a kept
/// connection had passed it before.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Timings {
    /// From the moment at which we had the message to the beginning of the attempt.
    pub queue: u32,
    /// The server's addresses.
    pub dns: u32,
    /// Connecting, all addresses that were tried included.
    pub connect: u32,
    /// STARTTLS and the handshake.
    pub tls: u32,
    /// The greeting, who we are, and AUTH.
    pub greeting: u32,
    /// The message itself, from RSET or MAIL to the reply to its content.
    pub dialogue: u32,
}

impl Timings {
    /// Milliseconds, as far as the number goes.
    pub fn millis(time: Duration) -> u32 {
        u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
    }

    /// Each stage by its name, in their order.
    pub fn stages(self) -> [(&'static str, u32); 6] {
        let Self { queue, dns, connect, tls, greeting, dialogue } = self;
        [
            ("queue", queue),
            ("dns", dns),
            ("connect", connect),
            ("tls", tls),
            ("greeting", greeting),
            ("dialogue", dialogue),
        ]
    }
}

/// In seconds: `queue=0.012 connect=0.001 greeting=0.004 dialogue=0.020`; stages that took no time are left
/// out, but for the first and the last.
impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, millis) in self.stages() {
            if millis > 0 || matches!(name, "queue" | "dialogue") {
                write!(f, "{separator}{name}={}.{:03}", millis / 1_000, millis % 1_000)?;
                separator = " ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_shown_in_seconds() {
        let kept = Timings { queue: 12, dialogue: 1_020, ..Timings::default() };
        assert_eq!(kept.to_string(), "queue=0.012 dialogue=1.020");
        let new = Timings { dns: 1, connect: 30_000, tls: 9, greeting: 10, ..kept };
        let want = "queue=0.012 dns=0.001 connect=30.000 tls=0.009 greeting=0.010 dialogue=1.020";
        assert_eq!(new.to_string(), want);
    }
}
