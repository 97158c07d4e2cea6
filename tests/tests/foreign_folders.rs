//! Folders that users' scripts name, in the stores of others: a real Dovecot that knows them, and one that
//! does not, so that no script bounces its user's mail.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use relais_tests::{
    Dialogue, ForeignStore, Instance, Ldif, Settings, message_ids, needs, needs_root, within,
};

const MINUTE: Duration = Duration::from_secs(60);
const DOMAIN: &str = "folders.test";
const DOVECOT: &str = "/usr/lib/dovecot/lmtp";
const USERS: [&str; 2] = ["jdoe@folders.test", "bob@folders.test"];

const WORK: &str = r#"require ["fileinto", "copy"];
if header :is "subject" "both" { fileinto :copy "Work"; fileinto :copy "Other"; }
elsif header :is "subject" "deep" { fileinto "Work.Deep"; }
elsif header :is "subject" "odd" { fileinto "a b..c"; }
else { fileinto "Work"; }"#;

/// A relay before `store` whose user jdoe has a script.
fn before(store: &ForeignStore) -> Instance {
    let settings =
        Settings::standalone().deliver_to(store.port).channel("tcp_lmtpcs", "private: false");
    let script = BASE64_STANDARD.encode(WORK);
    let ldif = Ldif::file().domain(DOMAIN, "");
    let ldif =
        ldif.user("jdoe", DOMAIN, &format!("mailHost: localhost\nmailSieveRuleSource:: {script}"));
    ldif.user("bob", DOMAIN, "mailHost: localhost").instance(settings)
}

fn send(instance: &Instance, to: &[&str], (id, subject): (&str, &str)) {
    let content = format!("Message-ID: <{id}>\r\nSubject: {subject}\r\n\r\nbody\r\n");
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@b.example", to, content.as_bytes()).expect(250);
    let emptied = within(MINUTE, || instance.queue().is_empty());
    assert!(emptied, "{:#?} {}", instance.queue(), instance.log());
}

/// The Message-IDs in a folder of a user, in order.
fn ids(store: &ForeignStore, user: &str, folder: &str) -> Vec<String> {
    let mut ids = message_ids(&store.maildir(user).join(folder));
    ids.sort_unstable();
    ids
}

#[test]
fn a_store_that_knows_no_folders_gets_mail_for_the_inbox() {
    if !needs_root() || !needs(&["dovecot", DOVECOT]) {
        return;
    }
    let store = ForeignStore::dovecot_of_users(&USERS, "recipient_delimiter =\n");
    let instance = before(&store);
    let _running = instance.start();
    let [jdoe, bob] = USERS;
    send(&instance, &[jdoe], ("1@t", "work"));
    send(&instance, &[jdoe, bob], ("2@t", "work"));
    // Two folders and the INBOX: one copy is enough.
    send(&instance, &[jdoe], ("3@t", "both"));
    assert_eq!(ids(&store, jdoe, ""), ["1@t", "2@t", "3@t"]);
    assert_eq!(ids(&store, bob, ""), ["2@t"]);
    assert!(!store.maildir(jdoe).join(".Work").exists());
    let log = instance.log();
    let refused = "in the INBOX, as <jdoe+Work@folders.test> was refused: 550 5.1.1";
    assert!(log.contains(refused), "{log}");
    let metric = "relais_folders_refused_total{channel=\"tcp_lmtpcs\"}";
    assert!((instance.metric(metric) - 4.0).abs() < 0.1, "{}", instance.metric(metric));
}

#[test]
fn a_store_that_knows_folders_has_mail_in_them() {
    if !needs_root() || !needs(&["dovecot", DOVECOT]) {
        return;
    }
    let lines = "recipient_delimiter = +\nlmtp_save_to_detail_mailbox = yes\n\
                 lda_mailbox_autocreate = yes\n";
    let store = ForeignStore::dovecot_of_users(&USERS, lines);
    let instance = before(&store);
    let _running = instance.start();
    let [jdoe, bob] = USERS;
    send(&instance, &[jdoe, bob], ("1@t", "work"));
    send(&instance, &[jdoe], ("2@t", "both"));
    for (id, subject) in [("3@t", "deep"), ("4@t", "odd")] {
        send(&instance, &[jdoe], (id, subject));
    }
    assert_eq!(ids(&store, jdoe, ".Work"), ["1@t", "2@t"]);
    assert_eq!(ids(&store, jdoe, ".Other"), ["2@t"]);
    // The store has its own separator between names, and the INBOX for what can be no folder's.
    assert_eq!(ids(&store, jdoe, ".Work.Deep"), ["3@t"]);
    assert_eq!(ids(&store, jdoe, ""), ["2@t", "4@t"]);
    assert_eq!(ids(&store, bob, ""), ["1@t"]);
    let metric = "relais_folders_refused_total{channel=\"tcp_lmtpcs\"}";
    assert!(instance.metric(metric) < 0.1);
}
