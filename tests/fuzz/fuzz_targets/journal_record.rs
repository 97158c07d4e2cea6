//! Records of the journal of mailboxes, right or damaged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relais_channels::fuzzing::journal;

fuzz_target!(|octets: &[u8]| journal(octets));
