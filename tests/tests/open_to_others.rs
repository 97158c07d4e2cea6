//! Files below the data directory and in the store are for their readers alone; those that others
//! may read or write are named.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use relais_tests::{Dialogue, Instance, Settings, eventually, mailbox, message};

#[test]
fn domains_and_users_of_the_store_that_are_open_to_others_are_named_by_check_and_at_a_start() {
    let instance = Instance::new(Settings::standalone());
    let running = instance.start();
    let to = ["alice@relais.example", "bob@relais.example"];
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@sender.test", &to, &message("m", 500)).expect(250);
    eventually("it is delivered", Duration::from_secs(30), || {
        mailbox(&instance.store(), "relais.example", "bob").len() == 1
    });
    running.kill();
    let check = || {
        let told = instance.relais("check", &[]);
        assert_eq!(told.status.code(), Some(0), "{told:?}");
        String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned()
    };
    let told = check();
    assert!(!told.contains("open to other users"), "what we made is closed: {told}");

    let domain = instance.store().join("relais.example");
    open(&domain, 0o777);
    open(&domain.join("alice"), 0o750);
    // Beyond what is named, the places behind it are counted.
    for name in ["x1", "x2"] {
        fs::create_dir(domain.join(name)).expect("room");
        open(&domain.join(name), 0o755);
    }
    let told = check();
    for want in ["relais.example (0777), ", "relais.example/alice (0750), ", "(0755) and 1 more;"] {
        assert!(told.contains(want), "{want}: {told}");
    }
    let running = instance.start();
    let log = instance.log();
    let told = log.lines().rfind(|line| line.contains("open to other users")).unwrap_or_default();
    assert!(told.contains("relais.example/alice (0750)"), "{log}");
    running.kill();
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}
