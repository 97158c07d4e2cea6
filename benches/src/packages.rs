//! Peers, sources and sinks come from Debian's packages.

use std::{path::Path, process::Command};

use relais_tests::is_root;

/// Installs what is missing, for a `store` or for a relay; ends the program when it cannot.
pub fn install(store: bool) {
    let wanted: &[(&str, &str)] = if store { &STORE } else { &RELAY };
    let missing = || -> Vec<_> {
        let absent = wanted.iter().filter(|(_, file)| !Path::new(file).exists());
        absent.map(|(package, _)| *package).collect()
    };
    if !missing().is_empty() && is_root() {
        apt_get(&["update", "-qq"]);
        apt_get(
            &[&["install", "-y", "-qq", "--no-install-recommends"], missing().as_slice()].concat(),
        );
    }
    let missing = missing();
    if !missing.is_empty() {
        eprintln!("missing Debian packages; as root: apt-get install {}", missing.join(" "));
        std::process::exit(1);
    }
}

fn apt_get(args: &[&str]) {
    // RUNLEVEL keeps the packages' own daemons from being started.
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    let _ = command.status();
}

const RELAY: [(&str, &str); 2] =
    [("postfix", "/usr/sbin/smtp-source"), ("postfix", "/usr/lib/postfix/sbin/lmtp")];
const STORE: [(&str, &str); 3] = [
    ("postfix", "/usr/sbin/smtp-source"),
    ("dovecot-lmtpd", "/usr/lib/dovecot/lmtp"),
    ("cyrus-common", "/usr/lib/cyrus/bin/lmtpd"),
];
