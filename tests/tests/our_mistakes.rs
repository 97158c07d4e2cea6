//! Mistakes that only our administrator can mend defer; an address that is nobody's, or a circle,
//! bounces.

use std::time::Duration;

use relais_tests::{Dialogue, Instance, Settings, eventually, mailbox, message};

const DIRECTORY: &str = "\
dn: o=relais.example,dc=relais,dc=example
objectClass: sunManagedOrganization
sunPreferredDomain: relais.example

dn: uid=alice,o=relais.example,dc=relais,dc=example
objectClass: inetMailUser
uid: alice
mail: alice@relais.example
mailHost: localhost

dn: o=smart.example,dc=relais,dc=example
objectClass: sunManagedOrganization
sunPreferredDomain: smart.example
mailRoutingSmartHost: hub.elsewhere.test

dn: uid=broken,o=relais.example,dc=relais,dc=example
objectClass: inetMailUser
uid: broken
mail: broken@relais.example
mailDeliveryOption: forward
mailForwardingAddress: no address at all

dn: uid=half,o=relais.example,dc=relais,dc=example
objectClass: inetMailUser
uid: half
mail: half@relais.example
mailHost: localhost
mailDeliveryOption: mailbox
mailDeliveryOption: forward
mailForwardingAddress: no address at all

dn: uid=blank,o=relais.example,dc=relais,dc=example
objectClass: inetMailUser
uid: blank
mail: blank@relais.example\t
mailDeliveryOption: forward\t
mailForwardingAddress: alice@relais.example\t \n
dn: cn=ghosts,o=relais.example,dc=relais,dc=example
objectClass: inetMailGroup
mail: ghosts@relais.example
uniqueMember: uid=ghost,o=relais.example,dc=relais,dc=example

dn: cn=one,o=relais.example,dc=relais,dc=example
objectClass: inetMailGroup
mail: one@relais.example
mgrpRFC822MailMember: two@relais.example

dn: cn=two,o=relais.example,dc=relais,dc=example
objectClass: inetMailGroup
mail: two@relais.example
mgrpRFC822MailMember: one@relais.example

dn: cn=leavers,o=relais.example,dc=relais,dc=example
objectClass: inetMailGroup
mail: leavers@relais.example
mgrpRFC822MailMember: nobody@relais.example
";

fn instance() -> Instance {
    let settings = Settings::standalone()
        .edit("directory: Ldif()", "directory: Ldif(file: \"users.ldif\")")
        .section("aliases: {\"typo\": [\"a b c\"], \"loop\": [\"loop@localhost\"]}");
    let instance = Instance::new(settings);
    std::fs::create_dir_all(instance.data()).unwrap();
    std::fs::write(instance.data().join("users.ldif"), DIRECTORY).unwrap();
    instance
}

#[test]
fn our_own_mistakes_defer_and_nobodys_addresses_bounce() {
    let instance = instance();
    let _running = instance.start();
    let rows = [
        ("x@smart.example", "451 4.3.5 no channel is for this address yet"),
        ("broken@relais.example", "451 4.3.5 this address leads to no address yet"),
        ("typo@localhost", "451 4.3.5 this address leads to no address yet"),
        ("ghosts@relais.example", "451 4.3.5 no member of the list has a mail address yet"),
        ("half@relais.example", "250 2.1.5"),
        ("blank@relais.example", "250 2.1.5"),
        ("loop@localhost", "554 5.4.6 the address leads back to itself"),
        ("one@relais.example", "554 5.4.6 the address leads back to itself"),
        ("leavers@relais.example", "550 5.1.1 unknown or illegal alias"),
        ("nobody@relais.example", "550 5.1.1 unknown or illegal alias"),
    ];
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<alice@relais.example>").expect(250);
    for (to, want) in rows {
        let reply = client.ask(&format!("RCPT TO:<{to}>"));
        assert!(reply.text.starts_with(want), "{to}: {}", reply.text);
    }
    let log = instance.log();
    for (member, why) in [
        ("hub.elsewhere.test", "no rule or channel is for that"),
        ("no address at all", "which is no address"),
        ("uid=ghost", "has no mail address"),
    ] {
        let told = |line: &str| [member, why, "WARN"].iter().all(|word| line.contains(word));
        assert!(log.lines().any(told), "{member}: {log}");
    }

    // A user with a mailbox beside a broken forward gets the mail; of the rest the sender is told.
    let mut client = Dialogue::open(instance.settings.smtp);
    let sent = client.message("alice@relais.example", &["half@relais.example"], &message("h", 500));
    sent.expect(250);
    let boxes = || mailbox(&instance.store(), "relais.example", "half").len();
    eventually("the mailbox has it", PATIENCE, || boxes() == 1);
    let notices = || mailbox(&instance.store(), "relais.example", "alice");
    eventually("the sender is told", PATIENCE, || notices().len() == 1);
    let notice = String::from_utf8_lossy(&notices()[0]).into_owned();
    assert!(notice.contains("550 5.1.3 malformed address"), "{notice}");
    eventually("nothing is left", PATIENCE, || instance.queue().is_empty());
}

#[test]
fn an_option_that_leads_to_no_channel_does_not_pass_check() {
    let option = "\"#&members=*\"";
    let settings =
        Settings::standalone().edit(option, "\"#&members=*\", \"program=$M@nosuch-daemon\"");
    let instance = Instance::new(settings);
    let output = instance.relais("check", &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let words = "delivery_options[2]: no channel has the tag \"nosuch-daemon\"";
    assert!(said.contains(words), "{said}");
}

const PATIENCE: Duration = Duration::from_secs(60);
