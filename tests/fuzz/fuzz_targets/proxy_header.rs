//! Headers of the PROXY protocol, as they come in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relais_channels::wire::proxy::{HeaderProgress, header};

fuzz_target!(|octets: &[u8]| {
    let mut done = 0;
    while let Ok(HeaderProgress::Missing(count)) = header(&octets[..done]) {
        assert!(count > 0, "nothing is missing, and it is not complete");
        done += count;
        assert!(done <= 4 << 10, "{done} octets of header");
        if done > octets.len() {
            return;
        }
    }
});
