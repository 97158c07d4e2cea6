//! Everything that a client of SMTP may say.
#![no_main]

mod play;

use libfuzzer_sys::fuzz_target;
use relais_channels::server::Dialect;

fuzz_target!(|octets: &[u8]| play::play(Dialect::Smtp, b"EHLO x\r\n", octets));
