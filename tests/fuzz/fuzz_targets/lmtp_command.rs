//! One line of LMTP.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relais_channels::server::{
    Dialect,
    command::{Command, Envelopes},
};

fuzz_target!(|line: &[u8]| {
    for envelopes in [Envelopes::Strict, Envelopes::Tolerant] {
        if let Err(error) = Command::parse(line, Dialect::Lmtp, envelopes) {
            let reply = error.reply();
            assert!((400..600).contains(&reply.code));
        }
    }
});
