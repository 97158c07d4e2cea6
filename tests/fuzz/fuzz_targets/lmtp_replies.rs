//! Replies of a next hop.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relais_channels::fuzzing::replies;

fuzz_target!(|octets: &[u8]| replies(octets));
