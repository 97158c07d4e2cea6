//! Ways into UNIX mailboxes and files by delivery options, and by nobody's own word.

use std::fs;

use relais_config::{Channel, DeliveryOption, Native, NativeFiles, channel::Program};

use super::{
    Routes,
    tests::{sample, way},
};
use crate::directory::LdifDirectory;

const LATER: &str = "451 4.3.5 this address cannot be served yet";
const NOBODY: &str = "550 5.1.1 unknown or illegal alias";

fn user(uid: &str, more: &str) -> String {
    format!(
        "\ndn: uid={uid},o=relais.example,dc=example\nobjectClass: inetMailUser\nuid: {uid}\n\
         mail: {uid}@relais.example\n{more}\n"
    )
}

#[tokio::test]
async fn a_delivery_option_leads_to_the_mailbox_of_its_user_and_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = sample("standalone.ron");
    folder.path().clone_into(&mut config.data);
    fs::write(folder.path().join("accounts"), "jdoe:x:7:7::/home/jdoe:/bin/sh\n").unwrap();
    config.accounts = "accounts".into();
    config.channels.push(Channel::new("native", "native-daemon", Program::Local));
    let files = NativeFiles { folders: vec!["/var/log/mail".into()], user: None };
    config.native = Some(Native { path: "/var/mail".into(), files });
    for option in
        ["#*native=$M@native-daemon", "#*unix=$M@native-daemon", "#*file=+$F@native-daemon"]
    {
        config.delivery_options.push(DeliveryOption::parse(option).unwrap());
    }
    let ldif = [
        "dn: o=relais.example,dc=example\nobjectClass: sunManagedOrganization\n\
         sunPreferredDomain: relais.example\n"
            .to_owned(),
        user("jdoe", "mailDeliveryOption: native"),
        user("other", "mailDeliveryOption: unix"),
        user("kept", "mailDeliveryOption: file\nmailDeliveryFileURL: /var/log/mail/kept"),
        user("etc", "mailDeliveryOption: file\nmailDeliveryFileURL: /etc/passwd"),
        user("sly", "mailDeliveryOption: forward\nmailForwardingAddress: /var/log/mail/x"),
        user(
            "host",
            "mailDeliveryOption: native\nmailHost: native-daemon\n\
             mailRoutingAddress: +/var/log/mail/x",
        ),
        user("plain", "mailRoutingAddress: +/var/log/mail/x@native-daemon"),
    ];
    let directory = LdifDirectory::parse("f", &ldif.concat()).unwrap();
    let routes = Routes::new(&config).unwrap();
    let rows = [
        ("jdoe@relais.example", "native native-daemon jdoe@native-daemon"),
        ("jdoe+work@relais.example", "native native-daemon jdoe@native-daemon"),
        ("other@relais.example", NOBODY),
        ("kept@relais.example", "native file: +/var/log/mail/kept@native-daemon"),
        ("etc@relais.example", LATER),
        // No user names a file, and no stranger.
        ("sly@relais.example", LATER),
        ("host@relais.example", NOBODY),
        ("plain@relais.example", NOBODY),
        ("+/var/log/mail/x@native-daemon", NOBODY),
        ("jdoe@native-daemon", NOBODY),
    ];
    for (text, want) in rows {
        assert_eq!(way(&routes, text, false, &directory).await, want, "{text}");
    }
}
