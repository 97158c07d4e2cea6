//! Addresses as they stand between angle brackets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relais_channels::mail::{Address, ReversePath};

fuzz_target!(|text: &str| {
    let _ = Address::parse_strictly(text);
    let _ = ReversePath::parse(text);
    if let Ok(address) = Address::parse(text) {
        let again = Address::parse(address.as_str());
        assert_eq!(again.as_ref().map(Address::as_str), Ok(address.as_str()), "{text:?}");
        assert!(!address.as_str().contains(['\r', '\n', '\0']), "{text:?}");
    }
});
