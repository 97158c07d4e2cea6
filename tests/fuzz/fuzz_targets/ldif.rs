//! A directory's file, and the passwords in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relais_actors::directory::{Entry, LdifDirectory, StoredPassword};

fuzz_target!(|text: &str| {
    let _ = LdifDirectory::parse("f", text);
    let mut entry = Entry::new("cn=x");
    for value in text.lines() {
        entry.add("userPassword", value);
    }
    StoredPassword::of(&entry).for_each(|password| drop(password));
});
