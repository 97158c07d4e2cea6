//! Look-ups by URL in rewrite rules and mapping tables, domains that cover those below them, and
//! vanity domains, with a real `OpenLDAP` server and with an LDIF file.

use std::{fs, time::Duration};

use relais_tests::{Dialogue, Instance, Settings, Slapd, eventually, needs};
use serde_json::Value;

const PACKAGES: &[&str] = &[Slapd::PROGRAM, "/usr/bin/ldapmodify"];
const MINUTE: Duration = Duration::from_secs(60);

fn user(uid: &str, more: &str) -> String {
    format!(
        "dn: uid={uid},dc=siroe,dc=com\nobjectClass: inetOrgPerson\nobjectClass: \
         inetLocalMailRecipient\nobjectClass: inetMailUser\nuid: {uid}\ncn: {uid}\nsn: {uid}\n\
         mail: {uid}@siroe.com\nmailHost: localhost\n{more}\n\n"
    )
}

/// The sample with this directory, these rules before its own, and these tables.
fn sample(directory: &str, rules: &str, tables: &str) -> Settings {
    Settings::standalone()
        .edit("directory: Ldif()", directory)
        .edit("default_domain: \"relais.example\"", "default_domain: \"siroe.com\"")
        .edit("rewrite_rules: [", &format!("rewrite_rules: [{rules}"))
        .edit("mappings: {", &format!("mappings: {{{tables}"))
        // The rule for everything asks the directory: these come before it.
        .edit("(\"$*\",    \"$A$E$F", "(\".\",    \"$A$E$F")
}

fn leads(instance: &Instance, address: &str) -> String {
    let output = instance.relais("route", &["--json", address]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let route: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}"));
    let reply = route["reply"].as_str().unwrap_or_default().to_owned();
    let results = route["results"].as_array().expect("results").iter();
    let one = |result: &Value| result["address"].as_str().unwrap_or_default().to_owned();
    let leads = results.map(one).collect::<Vec<_>>().join(" ");
    if leads.is_empty() { reply } else { leads }
}

#[track_caller]
fn lead(instance: &Instance, rows: &[(&str, &str)]) {
    for (address, want) in rows {
        let got = leads(instance, address);
        assert!(got.starts_with(want), "{address}: {got}, wanted {want}");
    }
}

/// Names of people of old, and who may write from and to where.
const RULES: &str = r#"
    ("old.example", "$U%$]ldap:///dc=siroe,dc=com?cn?sub?(&(objectClass=inetMailUser)(mailEquivalentAddress=$A))[@bitbucket"),
    ("soft.example", "$.soft.$U%$]ldap:///dc=siroe,dc=com?cn?sub?(mailEquivalentAddress=$A)[@bitbucket"),
    ("base.example", "$U%$]ldap:///uid=$U,dc=siroe,dc=com?uid[@bitbucket"),
    (".example", "$U%$H$D@bitbucket"),"#;
const TABLES: &str = r#"
    "FROM_ACCESS": [("*|*|MAIL|*|*|*", "$N550 not you, $]ldap:///dc=siroe,dc=com?uid?sub?(&(uid=spam*)(mailEquivalentAddress=$3))[")],
    "ORIG_SEND_ACCESS": [("*|*|*|*", "$N550 not there, $|MEMBERS;$3|")],
    "MEMBERS": [("*", "$]ldap:///dc=siroe,dc=com?uid?sub?(&(uid=closed)(mailEquivalentAddress=$0))[$Y")],"#;

fn people() -> String {
    [
        user("jdoe", "mailEquivalentAddress: jane@old.example"),
        user("spammer", "mailEquivalentAddress: bad@from.test"),
        user("closed", "mailEquivalentAddress: shut@other.example"),
        user("twin1", "mailEquivalentAddress: twin@old.example"),
        user("twin2", "mailEquivalentAddress: twin@old.example"),
    ]
    .concat()
}

/// Replies to a sender and a recipient.
fn say(instance: &Instance, from: &str, to: &str) -> String {
    let mut client = Dialogue::open(instance.settings.smtp);
    let reply = client.ask(&format!("MAIL FROM:<{from}>"));
    if !reply.text.starts_with("250") {
        return reply.text;
    }
    client.ask(&format!("RCPT TO:<{to}>")).text
}

fn urls_are_looked_up(instance: &Instance) {
    lead(
        instance,
        &[
            ("jane@old.example", "jane@jdoe"),
            ("JANE@old.example", "JANE@jdoe"),
            ("nobody@old.example", "nobody@old.example"),
            ("*@old.example", "*@old.example"),
            ("\"*)(uid=*\"@old.example", "\"*)(uid=*\"@old.example"),
            ("twin@old.example", "451 4"),
            ("jane@soft.example", "jane@soft.example"),
            ("jdoe@base.example", "jdoe@jdoe"),
            ("\"x,dc=y\"@base.example", "\"x,dc=y\"@base.example"),
            ("dc=siroe@base.example", "dc=siroe@base.example"),
            ("nobody@base.example", "nobody@base.example"),
        ],
    );
    let rows = [
        ("a@b.test", "x@other.example", "250"),
        ("bad@from.test", "x@other.example", "550 5.7.1 not you, spammer"),
        ("*@from.test", "x@other.example", "250"),
        ("a@b.test", "shut@other.example", "550 5.7.1 not there, closed"),
    ];
    for (from, to, want) in rows {
        let got = say(instance, from, to);
        assert!(got.contains(want), "{from} {to}: {got}");
    }
}

#[test]
fn rules_and_tables_look_up_by_url() {
    if !needs(PACKAGES) {
        return;
    }
    let slapd = Slapd::start(&people());
    let section = slapd.section("timeout: \"1s\", url_cache: (ttl: \"1s\", negative_ttl: \"1s\")");
    let instance = Instance::new(sample(&section, RULES, TABLES));
    let _running = instance.start();
    urls_are_looked_up(&instance);
    let output = instance.relais("mapping", &["MEMBERS", "shut@other.example"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("(uid=closed)"), "{text}");
    // A result is believed for a while, and then looked up anew.
    slapd.modify("dn: uid=jdoe,dc=siroe,dc=com\nchangetype: modify\nreplace: cn\ncn: other\n");
    eventually("it is looked up anew", MINUTE, || {
        leads(&instance, "jane@old.example") == "jane@other"
    });
    slapd.freeze();
    eventually("results are not believed for ever", MINUTE, || {
        say(&instance, "a@b.test", "jane@old.example").starts_with("451 4")
    });
    // Each table asks, too: the rule's own word for that time is not reached by a client.
    lead(&instance, &[("jane@soft.example", "451 4"), ("jane@old.example", "451 4")]);
    slapd.thaw();
    eventually("mail is taken again", MINUTE, || {
        say(&instance, "a@b.test", "jane@old.example").starts_with("250")
    });
}

#[test]
fn a_rule_says_what_counts_while_the_directory_is_away() {
    if !needs(PACKAGES) {
        return;
    }
    let mut slapd = Slapd::start(&people());
    let instance = Instance::new(sample(&slapd.section("timeout: \"1s\""), RULES, ""));
    slapd.stop();
    let _running = instance.start();
    lead(&instance, &[("jane@soft.example", "jane@soft"), ("jane@old.example", "451 4")]);
}

#[test]
fn an_ldif_file_is_looked_into_by_the_same_urls() {
    let settings = sample("directory: Ldif(file: \"PEOPLE\")", RULES, TABLES);
    let file = std::env::temp_dir().join(format!("relais-urls-{}.ldif", settings.smtp));
    fs::write(&file, people()).expect("a file");
    let instance = Instance::new(settings.edit("PEOPLE", &file.display().to_string()));
    let running = instance.start();
    urls_are_looked_up(&instance);
    drop(running);
    let _ = fs::remove_file(file);
}

/// Each member is looked up by itself: none of many is one too many.
#[test]
fn access_to_the_members_of_a_long_list_is_looked_up_one_by_one() {
    let table = r#""SEND_ACCESS": [("*|*|*|*", "$N550 not $]ldap:///dc=siroe,dc=com?uid?sub?(&(uid=closed)(mailEquivalentAddress=$3))[")],"#;
    let settings = sample("directory: Ldif(file: \"PEOPLE\")", RULES, table);
    let file = std::env::temp_dir().join(format!("relais-urls-{}.ldif", settings.smtp));
    let members = (0..40).map(|n| format!("mgrpRFC822MailMember: m{n}@other.example\n"));
    let list = "dn: cn=l,dc=siroe,dc=com\nobjectClass: inetMailGroup\ncn: l\nmail: l@siroe.com\n";
    let ours = "dn: dc=siroe,dc=com\nobjectClass: sunManagedOrganization\nsunPreferredDomain: siroe.com\n\n";
    let shut = "mgrpRFC822MailMember: shut@other.example\n";
    let members = members.collect::<String>();
    fs::write(&file, format!("{ours}{}{list}{members}{shut}\n", people())).expect("a file");
    let instance = Instance::new(settings.edit("PEOPLE", &file.display().to_string()));
    let running = instance.start();
    let got = say(&instance, "x@y.test", "l@siroe.com");
    assert!(got.starts_with("250"), "{got}");
    let output = instance.relais("route", &["l@siroe.com"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(told.matches("refuses: 550 not closed").count(), 1, "{told}");
    drop(running);
    let _ = fs::remove_file(file);
}

#[test]
fn a_domain_covers_those_below_it_and_users_have_domains_to_themselves() {
    if !needs(PACKAGES) {
        return;
    }
    let slapd = Slapd::start(
        &[
            user("jdoe", ""),
            user("exact", "mailAlternateAddress: exact@host1.siroe.com"),
            user("vain", "mailAlternateAddress: me@vain.example\nmsgVanityDomain: vain.example"),
        ]
        .concat(),
    );
    let urls = "\"ldap:///$V?*?sub?$R\", \"ldap:///$B?*?sub?(&(msgVanityDomain=$D)$R)\"";
    let with = |fields: &str| {
        let fields = format!("alias_urls: [{urls}], {fields}");
        Instance::new(sample(&slapd.section(&fields), "", ""))
    };
    let vanity = "domain_match_url: \"ldap:///$B??sub?(msgVanityDomain=$D)\"";
    let (jdoe, exact, vain) = ("jdoe@host1.siroe.com", "exact@host1.siroe.com", "me@vain.example");
    let unknown = "550 5.1.1";
    let rows = [
        ("", ["550 5.7.1", "550 5.7.1", "550 5.7.1"]),
        ("domain_uplevel: 1", [unknown, "exact", "550 5.7.1"]),
        ("domain_uplevel: 3", ["jdoe", "exact", "550 5.7.1"]),
        (vanity, ["550 5.7.1", "550 5.7.1", "vain"]),
    ];
    for (fields, want) in rows {
        let instance = with(fields);
        for (address, want) in [jdoe, exact, vain].into_iter().zip(want) {
            let got = leads(&instance, address);
            assert!(got.starts_with(want), "{fields:?}: {address}: {got}, wanted {want}");
        }
    }
    let instance = with(vanity);
    lead(&instance, &[("other@vain.example", unknown), ("jdoe@siroe.com", "jdoe")]);
}
