//! Users, groups and domains in a real `OpenLDAP` server: of the original's schemas, and of trees that
//! know nothing of mail relays; and servers that go away.

use std::{
    fmt::Write,
    fs, io,
    net::TcpStream,
    os::unix::net::UnixListener,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use relais_tests::{
    Authority, Dialogue, Instance, Load, Settings, Slapd, eventually, free_port, maildir_folder,
    message, message_ids, needs, python, scripts,
};
use serde_json::Value;

const PACKAGES: &[&str] = &[Slapd::PROGRAM, "/usr/bin/ldapmodify"];
const MINUTE: Duration = Duration::from_secs(60);

/// A user of ours: the uid, the organization, more attributes.
fn user(uid: &str, under: &str, more: &str) -> String {
    format!(
        "dn: uid={uid},{under}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n\
         objectClass: inetMailUser\nuid: {uid}\ncn: {uid}\nsn: {uid}\nmailHost: localhost\n{more}\n\n"
    )
}

/// The sample asks this directory.
fn asking(directory: &str) -> Settings {
    Settings::standalone()
        .edit("directory: Ldif()", directory)
        .edit("default_domain: \"relais.example\"", "default_domain: \"siroe.com\"")
}

/// Where an address leads, or the reply.
fn leads(instance: &Instance, address: &str) -> String {
    let output = instance.relais("route", &["--json", address]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let route: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}"));
    if route["accepted"] != true {
        return route["reply"].as_str().unwrap_or(&text).to_owned();
    }
    let results = route["results"].as_array().expect("results").iter();
    let one = |result: &Value| result["address"].as_str().unwrap_or_default().to_owned();
    results.map(one).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn lead(instance: &Instance, rows: &[(&str, &str)]) {
    for (address, want) in rows {
        let got = leads(instance, address);
        assert!(got.starts_with(want), "{address}: {got}, wanted {want}");
    }
}

#[test]
fn organizations_carry_the_names_of_their_domains() {
    if !needs(PACKAGES) {
        return;
    }
    let people = "ou=people,dc=siroe,dc=com";
    let sesta = "o=sesta,dc=siroe,dc=com";
    let tree = [
        "dn: ou=people,dc=siroe,dc=com\nobjectClass: organizationalUnit\nou: people\n\n".to_owned(),
        format!(
            "dn: {sesta}\nobjectClass: organization\nobjectClass: sunManagedOrganization\no: sesta\n\
             sunPreferredDomain: sesta.com\nassociatedDomain: sesta.example\n\n"
        ),
        "dn: o=closed,dc=siroe,dc=com\nobjectClass: organization\nobjectClass: \
         sunManagedOrganization\no: closed\nsunPreferredDomain: closed.com\nmailDomainStatus: \
         inactive\n\n"
            .to_owned(),
        user("jdoe", people, "mail: jdoe@siroe.com\nmailAlternateAddress: jane.doe@siroe.com"),
        user("anna", sesta, "mail: anna@sesta.com\nmailEquivalentAddress: anna@sesta.example"),
        user("gone", people, "mail: gone@siroe.com\nmailUserStatus: deleted"),
        user("twin", people, "mail: twin@siroe.com"),
        user("twin2", people, "mail: twin@siroe.com"),
        user("odd", people, "mail: o'neil+x@siroe.com\nmailAlternateAddress: a(b)c@siroe.com"),
        user("late", "o=closed,dc=siroe,dc=com", "mail: late@closed.com"),
        user(
            "fwd",
            people,
            "mail: fwd@siroe.com\nmailDeliveryOption: forward\nmailForwardingAddress: anna@sesta.com",
        ),
        format!(
            "dn: cn=team,{people}\nobjectClass: groupOfUniqueNames\nobjectClass: \
             inetLocalMailRecipient\nobjectClass: inetMailGroup\ncn: team\nmail: team@siroe.com\n\
             uniqueMember: uid=jdoe,{people}\nuniqueMember: uid=anna,{sesta}\n\
             mgrpRFC822MailMember: fwd@siroe.com\n\n"
        ),
    ];
    let slapd = Slapd::start(&tree.concat());
    let instance = Instance::new(asking(&slapd.section("timeout: \"5s\"")));
    let rows = [
        ("jdoe@siroe.com", "jdoe"),
        ("Jane.Doe@SIROE.com", "jdoe"),
        ("jane.doe+Work@siroe.com", "jdoe+Work"),
        ("anna@sesta.com", "anna@sesta.com"),
        ("anna@sesta.example", "anna@sesta.com"),
        ("team@siroe.com", "anna@sesta.com jdoe"),
        ("fwd@siroe.com", "anna@sesta.com"),
        ("o'neil+x@siroe.com", "odd"),
        ("\"a(b)c\"@siroe.com", "odd"),
        ("nobody@siroe.com", "550 5.1.1"),
        ("gone@siroe.com", "550 5.1.6"),
        ("twin@siroe.com", "451 4.3.5"),
        ("late@closed.com", "450 4.2.1"),
        ("anna@elsewhere.com", "550 5.7.1"),
        // A filter that they broke would find everybody.
        ("*@siroe.com", "550 5.1.1"),
        ("\"*)(uid=*\"@siroe.com", "550 5.1.1"),
        ("\"jdoe)(|(uid=*\"@siroe.com", "550 5.1.1"),
        ("\"\\\\2a\"@siroe.com", "550 5.1.1"),
    ];
    lead(&instance, &rows);
    // An operator sees what was asked, of whom, and what came of it.
    let route = instance.relais("route", &["--json", "jdoe@siroe.com"]);
    let told = String::from_utf8_lossy(&route.stdout).into_owned();
    let search = format!(
        "ldap://127.0.0.1:{} dc=siroe,dc=com?sub?(|(mail=jdoe@siroe.com)(mailAlternateAddress=\
         jdoe@siroe.com)(mailEquivalentAddress=jdoe@siroe.com)): 1 entry",
        slapd.port
    );
    assert!(told.contains(&search), "{told}");
}

#[test]
fn rules_of_a_user_are_one_script_in_the_order_that_they_give() {
    if !needs(PACKAGES) {
        return;
    }
    let people = "ou=people,dc=siroe,dc=com";
    let rules = [
        "require \"fileinto\";\n# $Rule Info: Order=2 Name=(second)\n\
         if header :contains \"subject\" [\"both\", \"one\"] { fileinto \"B\"; }",
        "require \"fileinto\";\n# $Rule Info: Order=0 Name=(off)\ndiscard; stop;",
        "require [\"fileinto\"];\n# $Rule Info: Order=1 Name=(first)\n\
         if header :contains \"subject\" \"both\" { fileinto \"A\"; }\n\
         elsif header :contains \"subject\" \"one\" { fileinto \"A\"; stop; }",
    ];
    let tree = [
        "dn: ou=people,dc=siroe,dc=com\nobjectClass: organizationalUnit\nou: people\n\n".to_owned(),
        user("jdoe", people, &format!("mail: jdoe@siroe.com{}", scripts(&rules))),
    ];
    let slapd = Slapd::start(&tree.concat());
    let instance = Instance::new(asking(&slapd.section("timeout: \"5s\"")));
    let _running = instance.start();
    let rows: [(&str, &[&str]); 3] = [("both", &["A", "B"]), ("one", &["A"]), ("else", &[""])];
    for (subject, _) in rows {
        let content = format!("Message-ID: <{subject}@t>\r\nSubject: {subject}\r\n\r\nbody\r\n");
        let mut client = Dialogue::open(instance.settings.smtp);
        let to = ["jdoe@siroe.com"];
        client.message("a@relais.example", &to, content.as_bytes()).expect(250);
    }
    let has = |folder: &str, subject: &str| {
        let folder = maildir_folder(&instance.store(), ("jdoe", "siroe.com"), folder);
        message_ids(&folder).contains(&format!("{subject}@t"))
    };
    for (subject, folders) in rows {
        for folder in folders {
            let there = || has(folder, subject);
            eventually(&format!("{subject} in {folder:?}"), MINUTE, there);
        }
    }
    eventually("nothing waits", MINUTE, || instance.queue().is_empty());
    for (subject, folders) in rows {
        for folder in ["", "A", "B"] {
            assert_eq!(has(folder, subject), folders.contains(&folder), "{subject} in {folder:?}");
        }
    }
}

#[test]
fn a_tree_of_domain_components_says_where_users_lie() {
    if !needs(PACKAGES) {
        return;
    }
    let root = "o=internet,dc=siroe,dc=com";
    let dc = |name: &str, under: &str, more: &str| {
        // OpenLDAP lets entries of its own class alone lead elsewhere.
        let class =
            if more.contains("Alias") { "alias\nobjectClass: extensibleObject" } else { "domain" };
        format!("dn: dc={name},{under}\nobjectClass: {class}\n{more}\ndc: {name}\n\n")
    };
    let domain = "objectClass: inetDomain\ninetDomainBaseDN: o=sesta,dc=siroe,dc=com";
    let alias = |to: &str| {
        format!("objectClass: inetDomainAlias\naliasedObjectName: dc={to},dc=com,{root}")
    };
    let tree = [
        format!("dn: {root}\nobjectClass: organization\no: internet\n\n"),
        "dn: o=sesta,dc=siroe,dc=com\nobjectClass: organization\no: sesta\n\n".to_owned(),
        dc("com", root, "description: a label"),
        dc("sesta", &format!("dc=com,{root}"), domain),
        dc("florizel", &format!("dc=com,{root}"), &alias("sesta")),
        dc("a", &format!("dc=com,{root}"), &alias("b")),
        dc("b", &format!("dc=com,{root}"), &alias("a")),
        user(
            "anna",
            "o=sesta,dc=siroe,dc=com",
            "mail: anna@sesta.com\nmailAlternateAddress: anna@florizel.com",
        ),
    ];
    let slapd = Slapd::start(&tree.concat());
    let fields = format!("schema: Schema1, domain_base: \"{root}\", timeout: \"5s\"");
    let instance = Instance::new(asking(&slapd.section(&fields)));
    let rows = [
        ("anna@sesta.com", "anna@sesta.com"),
        ("anna@florizel.com", "anna@sesta.com"),
        ("bert@sesta.com", "550 5.1.1"),
        ("anna@com", "550 5.7.1"),
        // Aliases that go round in a circle are nobody's fault who sends mail.
        ("anna@a.com", "451"),
    ];
    lead(&instance, &rows);
}

/// An `inetOrgPerson` without a word of mail hosts. The server gives `localityName` as `l`.
#[test]
fn ordinary_trees_need_no_schema_of_ours() {
    if !needs(PACKAGES) {
        return;
    }
    let tree = [
        "dn: ou=staff,dc=siroe,dc=com\nobjectClass: organizationalUnit\nou: staff\n\n",
        "dn: cn=Jane Doe,ou=staff,dc=siroe,dc=com\nobjectClass: inetOrgPerson\ncn: Jane Doe\nsn: Doe\n\
         uid: jdoe\nmail: jane@siroe.com\nl: localhost\njpegPhoto:: /9j/4AAQSkZJRg==\n\n",
    ];
    let slapd = Slapd::start(&tree.concat());
    let fields = "schema: Mail, domains: [\"siroe.com\"], address_attributes: [\"mail\"], user_classes: \
                  [\"inetOrgPerson\"], attributes: {\"mailHost\": \"localityName\"}";
    let rows = [
        ("jane@siroe.com", "jdoe"),
        ("jane+x@siroe.com", "jdoe+x"),
        ("x@siroe.com", "550 5.1.1"),
        ("jane@other.com", "550 5.7.1"),
    ];
    let instance = Instance::new(asking(&slapd.section(fields)));
    lead(&instance, &rows);
}

/// Debian's copy of the schema without what Active Directory has and it has not: a class with the
/// login name, and a rule by which addresses are compared. Without one nothing is found.
fn active_directory_schema(folder: &Path) -> String {
    let schema = fs::read_to_string("/etc/ldap/schema/msuser.schema").expect("Debian's slapd");
    let name = "NAME 'proxyAddresses'";
    assert!(schema.contains(name));
    let file = folder.join("ad.schema");
    let class = "\nobjectclass ( 1.3.6.1.4.1.4203.666.77.3.1 NAME 'securityPrincipal' SUP top AUXILIARY \
                 MUST sAMAccountName )\n";
    let schema = schema.replace(name, &format!("{name}\n\tEQUALITY caseIgnoreMatch")) + class;
    fs::write(&file, schema).expect("a file");
    format!("include /etc/ldap/schema/nis.schema\ninclude {}", file.display())
}

#[test]
fn active_directory_is_asked_in_its_own_words() {
    if !needs(PACKAGES) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let tree = [
        "dn: cn=Users,dc=siroe,dc=com\nobjectClass: applicationProcess\ncn: Users\n\n",
        "dn: cn=Jane Doe,cn=Users,dc=siroe,dc=com\nobjectClass: user\nobjectClass: securityPrincipal\ncn: Jane Doe\nsn: Doe\n\
         instanceType: 4\nnTSecurityDescriptor: x\nobjectCategory: cn=Person,dc=siroe,dc=com\n\
         sAMAccountName: jdoe\nmail: jane@siroe.com\nproxyAddresses: SMTP:jane@siroe.com\n\
         proxyAddresses: smtp:jd@siroe.com\nproxyAddresses: X400:c=us\n\n",
    ];
    let slapd = Slapd::start_with(&active_directory_schema(folder.path()), &tree.concat());
    let fields = "schema: Mail, domains: [\"siroe.com\"], user_classes: [\"user\"], group_classes: \
                  [\"group\"], attributes: {\"uid\": \"sAMAccountName\", \"uniqueMember\": \"member\"}, \
                  address_attributes: [\"mail\", \"proxyAddresses\"], alias_urls: \
                  [\"ldap:///$B??sub?(|(mail=$A)(proxyAddresses=smtp:$A))\"]";
    // Such a tree does not say which store has a mailbox: the option does.
    let settings = asking(&slapd.section(fields)).edit("@$X.LMTP", "@localhost.LMTP");
    let instance = Instance::new(settings);
    lead(
        &instance,
        &[("jane@siroe.com", "jdoe"), ("JD@siroe.com", "jdoe"), ("c=us@siroe.com", "550")],
    );
}

/// `OpenLDAP` 2.5.13 finds nobody by an attribute of its `msuser.schema`, and says that all is well.
#[test]
fn an_attribute_that_the_server_compares_with_nothing_is_told_of() {
    if !needs(PACKAGES) {
        return;
    }
    let include = "include /etc/ldap/schema/nis.schema\ninclude /etc/ldap/schema/msuser.schema";
    let slapd = Slapd::start_with(include, "");
    let fields = "schema: Mail, domains: [\"siroe.com\"], address_attributes: [\"mail\", \
                  \"proxyAddresses\"], attributes: {\"uid\": \"sAMAccountName\"}";
    let instance = Instance::new(asking(&slapd.section(fields)));
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<a@b.test>").expect(250);
    client.ask("RCPT TO:<jane@siroe.com>").expect(550);
    let told = |name: &str| {
        let log = instance.log();
        log.lines().any(|line| line.contains("has no rule to compare") && line.contains(name))
    };
    eventually("it is told", MINUTE, || told("proxyAddresses") && told("sAMAccountName"));
    assert!(!told("\"mail\""));
}

/// A server, an engine that asks it, and a domain that needs no directory.
fn users(count: usize) -> String {
    let mut tree =
        "dn: ou=people,dc=siroe,dc=com\nobjectClass: organizationalUnit\nou: people\n\n".to_owned();
    for i in 0..count {
        let _ = write!(
            tree,
            "{}",
            user(
                &format!("u{i}"),
                "ou=people,dc=siroe,dc=com",
                &format!("mail: u{i}@siroe.com\nuserPassword: pw{i}")
            )
        );
    }
    tree
}

fn metric(instance: &Instance, start: &str) -> f64 {
    let page = relais_tests::fetch(instance.settings.admin, "/metrics").expect("metrics").body;
    let line = page.lines().find(|line| line.starts_with(start));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_else(|| panic!("{start} is not there:\n{page}"))
}

#[test]
fn the_next_server_is_asked_until_the_first_is_back() {
    if !needs(PACKAGES) {
        return;
    }
    let tree = users(50);
    let (mut first, second) = (Slapd::start(&tree), Slapd::start(&tree));
    let urls = [first.port, second.port].map(|port| format!("ldap://127.0.0.1:{port}"));
    let servers = urls.each_ref().map(String::as_str);
    let fields = "timeout: \"4s\", cache: (ttl: \"1ms\", negative_ttl: \"1ms\")";
    let instance = Instance::new(asking(&first.section_of(&servers, fields)));
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let mut number = 0;
    let mut ask = |client: &mut Dialogue| {
        let begun = Instant::now();
        client.ask("RSET").expect(250);
        client.ask("MAIL FROM:<a@b.test>").expect(250);
        client.ask(&format!("RCPT TO:<u{}@siroe.com>", number % 50)).expect(250);
        number += 1;
        begun.elapsed()
    };
    let answered = |url: &str| {
        metric(
            &instance,
            &format!("relais_directory_operations_total{{server=\"{url}\",result=\"answered\"}}"),
        )
    };
    let up =
        |url: &str| metric(&instance, &format!("relais_directory_server_up{{server=\"{url}\"}}"));
    ask(&mut client);
    assert!(answered(&urls[0]) >= 1.0 && answered(&urls[1]) < 1.0);
    // It ends: the very next recipient is found by the other.
    first.stop();
    ask(&mut client);
    assert!(answered(&urls[1]) >= 1.0 && up(&urls[0]) < 1.0);
    assert!(instance.log().contains("an LDAP server does not answer"));
    let status = String::from_utf8(instance.relais("status", &[]).stdout).expect("text");
    assert!(status.contains(&format!("{} away: ", urls[0])), "{status}");
    assert!(status.contains(&format!("{} answers", urls[1])), "{status}");
    first.start_again();
    eventually("it is asked again", MINUTE, || up(&urls[0]) > 0.0);
    let before = answered(&urls[1]);
    ask(&mut client);
    assert!((answered(&urls[1]) - before).abs() < 0.5);
    let told = || instance.log().contains("an LDAP server answers again");
    eventually("it is told", MINUTE, told);
    // It hangs: a half of the time is for it, the other for the second; then it is left alone.
    first.freeze();
    eventually("it is left alone", MINUTE, || {
        // It may have answered once more before it stopped.
        let waited = ask(&mut client);
        assert!(waited < Duration::from_millis(3_500), "{waited:?}");
        up(&urls[0]) < 1.0
    });
    let waited = ask(&mut client);
    assert!(waited < Duration::from_millis(500), "{waited:?}");
    first.thaw();
    eventually("it is asked again", MINUTE, || up(&urls[0]) > 0.0);
}

#[test]
fn without_a_server_recipients_wait_and_other_mail_flows() {
    if !needs(PACKAGES) {
        return;
    }
    let slapd = Slapd::start(&users(2));
    let fields = "timeout: \"2s\", cache: (ttl: \"1ms\", negative_ttl: \"1ms\")";
    let settings = asking(&slapd.section(fields));
    let settings = settings
        .edit("rewrite_rules: [", "rewrite_rules: [(\"other.test\", \"$U%other.test@bitbucket\"),");
    // The rule for everything asks the directory: a domain of its own comes before it.
    let settings = settings.edit("(\"$*\",    \"$A$E$F", "(\".\",    \"$A$E$F");
    let instance = Instance::new(settings);
    let _running = instance.start();
    slapd.freeze();
    let ask = |recipient: &str| {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.ask("MAIL FROM:<a@b.test>").expect(250);
        let begun = Instant::now();
        let reply = client.ask(&format!("RCPT TO:<{recipient}>"));
        (reply.text, begun.elapsed())
    };
    let waiting = thread::scope(|scope| {
        let asked: Vec<_> = (0..20).map(|_| scope.spawn(|| ask("u0@siroe.com"))).collect();
        let (reply, waited) = ask("x@other.test");
        assert!(
            reply.starts_with("250") && waited < Duration::from_millis(500),
            "{reply} {waited:?}"
        );
        asked.into_iter().map(|asked| asked.join().expect("a reply")).collect::<Vec<_>>()
    });
    for (reply, waited) in waiting {
        assert!(reply.starts_with("451 4"), "{reply}");
        assert!(waited < Duration::from_millis(2_900), "{waited:?}");
    }
    let is_up = format!("relais_directory_server_up{{server=\"ldap://127.0.0.1:{}\"}}", slapd.port);
    eventually("it is known to be away", MINUTE, || metric(&instance, &is_up) < 1.0);
    // Nobody waits for what is known.
    let (reply, waited) = ask("u1@siroe.com");
    assert!(
        reply.starts_with("451 4") && waited < Duration::from_millis(500),
        "{reply} {waited:?}"
    );
    slapd.thaw();
    eventually("mail is taken again", MINUTE, || ask("u1@siroe.com").0.starts_with("250"));
}

/// A replica without its data, a base with a mistake in it, an account that may not read: nobody is
/// unknown for that.
#[test]
fn a_base_that_is_not_there_bounces_nothing() {
    if !needs(PACKAGES) {
        return;
    }
    let (empty, full) = (Slapd::start(""), Slapd::start(&users(1)));
    let fields = "schema: Mail, domains: [\"siroe.com\"], timeout: \"3s\"";
    let base =
        |section: &str| section.replace("\"dc=siroe,dc=com\"", "\"ou=people,dc=siroe,dc=com\"");
    let instance = Instance::new(asking(&base(&empty.section(fields))));
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<a@b.test>").expect(250);
    client.ask("RCPT TO:<u0@siroe.com>").expect(451);
    eventually("it is told", MINUTE, || instance.log().contains("look at user_base"));
    // Another server has it.
    let urls = [empty.port, full.port].map(|port| format!("ldap://127.0.0.1:{port}"));
    let servers = urls.each_ref().map(String::as_str);
    let instance = Instance::new(asking(&base(&empty.section_of(&servers, fields))));
    lead(&instance, &[("u0@siroe.com", "u0"), ("u1@siroe.com", "550 5.1.1")]);
}

#[test]
fn mail_is_taken_without_a_server_where_the_channel_says_so() {
    if !needs(PACKAGES) {
        return;
    }
    let slapd = Slapd::start(&users(3));
    let settings = asking(&slapd.section("timeout: \"1s\", cache: (ttl: \"1h\")"))
        .channel("tcp_local", "directory_away: Queue")
        .edit("mappings: {", "mappings: {\n\"INTERNAL_IP\": [(\"127.0.0.9\", \"$Y\")],");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let ask = |client: u8, recipient: &str| {
        let port = instance.settings.smtp;
        let (mut client, _) =
            Dialogue::connect_from([127, 0, 0, client], port).expect("a greeting");
        client.ask("EHLO client.test").expect(250);
        client.ask("MAIL FROM:<a@b.test>").expect(250);
        let reply = client.ask(&format!("RCPT TO:<{recipient}>"));
        if reply.code == 250 {
            client.ask("DATA").expect(354);
            client.finish(&message("x", 500)).expect(250);
        }
        reply.text
    };
    // The domain is known from now on.
    assert!(ask(1, "u0@siroe.com").starts_with("250"));
    slapd.freeze();
    assert!(ask(1, "u1@siroe.com").starts_with("250"));
    assert!(ask(9, "u2@siroe.com").starts_with("250"));
    // Nobody can say whether this domain is ours: a stranger comes back.
    assert!(ask(1, "u2@sesta.com").starts_with("451 4"));
    let waits = || instance.queue().iter().any(|entry| entry["channel"] == "reprocess");
    assert!(waits(), "{:?}", instance.queue());
    slapd.thaw();
    eventually("all is delivered", MINUTE, || {
        let _ = instance.relais("queue", &["retry", "--channel", "reprocess"]);
        instance.queue().is_empty()
    });
    for user in ["u0", "u1", "u2"] {
        let stored = relais_tests::mailbox(&instance.store(), "siroe.com", user);
        assert_eq!(stored.len(), 1, "{user}");
    }
    assert!(!instance.log().contains("\"bounced\""));
}

#[test]
fn nothing_bounces_and_nothing_is_lost_while_the_server_is_started_anew() {
    if !needs(PACKAGES) {
        return;
    }
    let mut slapd = Slapd::start(&users(2));
    let fields = "timeout: \"2s\", cache: (ttl: \"1ms\", negative_ttl: \"1ms\")";
    let rule = "rewrite_rules: [(\"other.test\", \"$U%other.test@bitbucket\"),";
    let settings = asking(&slapd.section(fields)).edit("rewrite_rules: [", rule);
    // The rule for everything asks the directory: a domain of its own comes before it.
    let instance = Instance::new(settings.edit("(\"$*\",    \"$A$E$F", "(\".\",    \"$A$E$F"));
    let _running = instance.start();
    let load = Load::new(instance.settings.smtp, "u1@siroe.com", 1_000);
    let ask = |recipient: &str| {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.ask("MAIL FROM:<a@b.test>").expect(250);
        let begun = Instant::now();
        let reply = client.ask(&format!("RCPT TO:<{recipient}>")).text;
        (reply, begun.elapsed())
    };
    let back = thread::scope(|scope| {
        let pause = scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            slapd.stop();
            std::thread::sleep(Duration::from_millis(700));
            slapd.start_again();
            Instant::now()
        });
        let asker = scope.spawn(|| {
            let (mut slowest, mut slowest_other) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..15 {
                let (reply, took) = ask("u0@siroe.com");
                assert!(reply.starts_with("250") || reply.starts_with("451 4.4.3"), "{reply}");
                slowest = slowest.max(took);
                let (reply, took) = ask("x@other.test");
                assert!(reply.starts_with("250"), "{reply}");
                slowest_other = slowest_other.max(took);
                std::thread::sleep(Duration::from_millis(100));
            }
            (slowest, slowest_other)
        });
        while !pause.is_finished() {
            load.run(4, load.started() + 40);
            std::thread::sleep(Duration::from_millis(20));
        }
        let (slowest, slowest_other) = asker.join().expect("replies");
        assert!(slowest < Duration::from_millis(2_900), "{slowest:?} for a recipient");
        assert!(slowest_other < Duration::from_secs(1), "{slowest_other:?} for other mail");
        pause.join().expect("a server")
    });
    eventually("mail is taken again", Duration::from_secs(10), || {
        ask("u1@siroe.com").0.starts_with("250")
    });
    let recovered = back.elapsed();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@b.test", &["u1@siroe.com"], &message("last", 100)).expect(250);
    println!(
        "{} messages taken; mail is taken {recovered:?} after the server is back",
        load.acknowledged().len()
    );
    assert!(recovered < Duration::from_secs(8), "{recovered:?}");
    eventually("all is delivered", MINUTE, || instance.queue().is_empty());
    let stored = relais_tests::mailbox(&instance.store(), "siroe.com", "u1").concat();
    let stored = String::from_utf8_lossy(&stored);
    let acknowledged = load.acknowledged();
    // How many there are is a matter of how busy the machine is.
    assert!(acknowledged.len() >= 10, "{} messages were taken", acknowledged.len());
    for id in acknowledged {
        let times = stored.matches(&format!("Message-ID: <{id}>")).count();
        assert_eq!(times, 1, "{id}");
    }
    assert!(!instance.log().contains("\"bounced\""), "{}", instance.log());
    let answers = relais_tests::mailbox(&instance.store(), "siroe.com", "u0");
    assert!(answers.is_empty(), "nobody is told of a failure");
}

#[test]
fn a_server_over_tls_is_who_it_says_or_is_not_asked() {
    if !needs(PACKAGES) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path());
    let (certificate, key) = authority.sign("ldap", &["localhost"], 2099);
    let tls = format!(
        "TLSCertificateFile {}\nTLSCertificateKeyFile {}",
        certificate.display(),
        key.display()
    );
    let slapd = Slapd::start_with(&tls, &users(1));
    let url = |host: &str| format!("ldap://{host}:{}", slapd.port);
    let ca = authority.file();
    let rows = [
        (url("localhost"), format!("starttls: true, ca: {ca:?}"), "u0"),
        // A certificate for another name, and one by nobody we know.
        (url("127.0.0.1"), format!("starttls: true, ca: {ca:?}"), "451"),
        (url("localhost"), "starttls: true".to_owned(), "451"),
    ];
    for (url, fields, want) in rows {
        let instance = Instance::new(asking(
            &slapd.section_of(&[&url], &format!("timeout: \"3s\", {fields}")),
        ));
        lead(&instance, &[("u0@siroe.com", want)]);
    }
}

#[test]
fn users_log_in_with_the_password_that_the_server_knows() {
    if !needs(PACKAGES) {
        return;
    }
    let slapd = Slapd::start(&users(3));
    let (submits, settings) = (free_port(), asking(&slapd.section("timeout: \"3s\"")));
    let smtp = settings.smtp;
    let settings = settings
        .section("tls: (certificate: \"localhost.crt\", key: \"localhost.key\")")
        .section("authentication: (failure_time: \"1ms\", max_failures: 100, max_user_failures: 8)")
        .channel("tcp_local", "tls: (server: May), sasl: (server: May)")
        .edit(&format!("ports: [{smtp}]"), &format!("ports: [{smtp}], tls_ports: [{submits}]"));
    let instance = Instance::new(settings);
    let authority = Authority::new(instance.data());
    authority.sign("localhost", &["localhost"], 2099);
    let _running = instance.start();
    let script = format!(
        r#"
import smtplib, ssl
CA = ssl.create_default_context(cafile='{}')
def login(user, password):
    with smtplib.SMTP_SSL("localhost", {submits}, context=CA) as client:
        client.ehlo()
        try:
            return client.login(user, password)[0]
        except smtplib.SMTPAuthenticationError as error:
            return error.smtp_code

assert login("u0@siroe.com", "pw0") == 235
assert login("u1", "pw1") == 235
assert login("u0@siroe.com", "pw1") == 535
assert login("u0@siroe.com", "") in (501, 535)
assert login("nobody@siroe.com", "pw0") == 535
assert login("u*@siroe.com", "pw0") == 535
# A directory takes all of these for one name: they are one user for the limits, too.
assert login("  U0@siroe.com ", "pw0") == 235
for spelling in ("u2 ", " u2", "U2", "u2  "):
    # Python tries PLAIN, then LOGIN.
    assert login(spelling, "wrong") == 535
assert login("u2", "pw2") == 454
"#,
        authority.file().display()
    );
    python(&script);
}

/// A server behind a UNIX socket: octets are carried between it and the server's port.
#[test]
fn a_server_is_asked_by_a_unix_socket() {
    if !needs(PACKAGES) {
        return;
    }
    let slapd = Slapd::start(&users(2));
    let path = slapd.path().join("ldapi");
    let listener = UnixListener::bind(&path).expect("a socket");
    let port = slapd.port;
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(("127.0.0.1", port)).expect("the server");
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut from, &mut to));
            let (mut from, mut to) = (server, client);
            thread::spawn(move || io::copy(&mut from, &mut to));
        }
    });
    let url = format!("ldapi://{}", path.display().to_string().replace('/', "%2F"));
    let instance = Instance::new(asking(&slapd.section_of(&[&url], "")));
    lead(&instance, &[("u1@siroe.com", "u1"), ("nobody@siroe.com", "550 5.1.1")]);
}
