//! Records of the spool whose checksum is right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relais_spool::fuzzing::record;

fuzz_target!(|octets: &[u8]| record(octets));
