//! Messages in chunks.
#![no_main]

mod play;

use libfuzzer_sys::fuzz_target;
use relais_channels::server::Dialect;

const START: &[u8] = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT ";

fuzz_target!(|octets: &[u8]| play::play(Dialect::Smtp, START, octets));
