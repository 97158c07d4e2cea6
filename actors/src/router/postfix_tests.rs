//! Aliases, virtual aliases, transports and accounts, as Postfix has them.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use relais_config::{
    Channel, Config,
    channel::{Program, Subaddress},
};

use super::{
    Resolver, Routes, Step,
    tests::{address, question, sample, way},
};
use crate::directory::{LdifDirectory, Source};

/// The sample for Postfix's way, with these files in its folder and these settings of its channel.
fn config(folder: &Path, files: &[(&str, &str)]) -> Config {
    let mut config = sample("postfix.ron");
    folder.clone_into(&mut config.data);
    for (name, text) in files {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        let table = match *name {
            "aliases" => &mut config.aliases.file,
            "virtual" => &mut config.virtual_alias.file,
            "transport" => &mut config.transport.file,
            _ => continue,
        };
        *table = Some((*name).into());
    }
    config.accounts = "accounts".into();
    let id = fs::metadata(folder).unwrap().uid();
    let account =
        |name: &str| format!("{name}:x:{id}:1::{}/home/{name}:/bin/sh\n", folder.display());
    fs::write(folder.join("accounts"), ["joe", "ann", "fred"].map(account).concat()).unwrap();
    config
}

/// The ways of each, without the domain of this host.
async fn same(config: &Config, rows: &[(&str, &str)]) {
    let routes = Routes::new(config).unwrap();
    for (text, want) in rows {
        let found = way(&routes, text, false, &Source::None).await;
        assert_eq!(found.replace("@mail.example.org", ""), *want, "{text}");
    }
}

#[test]
fn a_name_by_which_nobody_is_found_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), &[]);
    config.channels[0].mailbox_transport = Some("lmtp:unix:/s".to_owned());
    assert!(Routes::new(&config).is_ok());
    fs::write(folder.path().join("accounts"), "ann:x:1:1::/:\njoe.lock:x:2:1::/:\n").unwrap();
    let error = Routes::new(&config).unwrap_err().to_string();
    assert!(error.contains("accounts: line 2: no mailbox has the name \"joe.lock\""), "{error}");
}

#[tokio::test]
async fn each_name_of_a_next_hop_is_one_destination() {
    let folder = tempfile::tempdir().unwrap();
    let transport = "a.example lmtp1:inet:localhost:24\nb.example lmtp1:LOCALHOST:24\n\
                     c.example lmtp1:inet:[127.0.0.1]:24\nd.example lmtp1:127.0.0.1:24\n\
                     e.example lmtp1:inet:One.Example, inet:two:25\n";
    let config = config(folder.path(), &[("transport", transport)]);
    same(
        &config,
        &[
            ("x@a.example", "lmtp1 localhost:24 x@a.example"),
            ("x@b.example", "lmtp1 localhost:24 x@b.example"),
            ("x@c.example", "lmtp1 [127.0.0.1]:24 x@c.example"),
            ("x@d.example", "lmtp1 [127.0.0.1]:24 x@d.example"),
            ("x@e.example", "lmtp1 one.example,two:25 x@e.example"),
        ],
    )
    .await;
}

/// The table of who gets what under each of the three transports; the addresses are Postfix's.
#[tokio::test]
async fn each_transport_of_the_local_channel_takes_its_own() {
    const LATER: &str = "451 4.3.5 this address cannot be served yet";
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("aliases", "team: joe, guest\npipe: \"|/bin/cat\"\n"),
        ("home/ann/.forward", "# on to\nbob\n"),
        ("home/fred/.forward", "\\fred, bob\n"),
        ("home/fred/.forward+away", "guest\n"),
    ];
    let mut config = config(folder.path(), &files);
    let local = |config: &mut Config, place: usize| {
        let transports = [0, 1, 2].map(|n| (n == place).then(|| "lmtp:unix:/s".to_owned()));
        let [mailbox, local, fallback] = transports;
        config.channels[0].mailbox_transport = mailbox;
        config.channels[0].local_transport = local;
        config.channels[0].fallback_transport = fallback;
    };
    local(&mut config, 0);
    let by_mailbox = [
        ("joe", "lmtp unix:/s joe"),
        ("Joe", "lmtp unix:/s Joe"),
        ("ann", "lmtp unix:/s bob"),
        ("ann+x", "lmtp unix:/s bob"),
        ("fred", "lmtp unix:/s fred\nlmtp unix:/s bob"),
        ("fred+away", "lmtp unix:/s guest"),
        ("team", "lmtp unix:/s joe\nlmtp unix:/s guest"),
        ("ghost", "lmtp unix:/s ghost"),
        ("joe+ext", "lmtp unix:/s joe+ext"),
        ("pipe", LATER),
    ];
    same(&config, &by_mailbox).await;
    local(&mut config, 1);
    let at_once = [
        ("joe", "lmtp unix:/s joe"),
        ("ann", "lmtp unix:/s ann"),
        ("team", "lmtp unix:/s team"),
        ("ghost", "lmtp unix:/s ghost"),
        ("joe+ext", "lmtp unix:/s joe+ext"),
        ("pipe", "lmtp unix:/s pipe"),
    ];
    same(&config, &at_once).await;
    // An account has a mailbox of this machine.
    local(&mut config, 2);
    let last = [
        ("joe", "l mail.example.org joe"),
        ("ann", "lmtp unix:/s bob"),
        ("fred", "l mail.example.org fred\nlmtp unix:/s bob"),
        ("team", "l mail.example.org joe\nlmtp unix:/s guest"),
        ("ghost", "lmtp unix:/s ghost"),
        ("joe+ext", "l mail.example.org joe+ext"),
        ("pipe", LATER),
    ];
    same(&config, &last).await;
    // With none of the three, names without an account are unknown.
    local(&mut config, 3);
    let none = [
        ("joe", "l mail.example.org joe"),
        ("ann", "550 5.1.1 unknown or illegal alias"),
        ("ghost", "550 5.1.1 unknown or illegal alias"),
        ("joe+ext", "l mail.example.org joe+ext"),
    ];
    same(&config, &none).await;
    // A file that others may write is nobody's own word.
    let forward = folder.path().join("home/ann/.forward");
    fs::set_permissions(&forward, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    same(&config, &[("ann", "l mail.example.org ann")]).await;
}

/// Mail for accounts waits where they have no mailboxes.
#[tokio::test]
async fn without_mailboxes_mail_for_accounts_waits() {
    const LATER: &str = "451 4.3.5 this address cannot be served yet";
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), &[("aliases", "team: joe, guest\n")]);
    config.native = None;
    config.channels[0].mailbox_transport = None;
    config.channels[0].fallback_transport = Some("lmtp:unix:/s".to_owned());
    let waiting = [
        ("joe", LATER),
        ("joe+ext", LATER),
        ("team", "lmtp unix:/s guest\nreprocess reprocess-daemon joe"),
        ("ghost", "lmtp unix:/s ghost"),
    ];
    same(&config, &waiting).await;
}

/// Files of aliases lie where the operator says, those of accounts in their homes.
#[tokio::test]
async fn files_are_the_ends_of_ways_where_they_may_be() {
    const LATER: &str = "451 4.3.5 this address cannot be served yet";
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("home/ann/mail").display().to_string();
    let others = own.replace("/ann/", "/joe/");
    let joes = format!("{others}, \\joe");
    let aliases = "log: /var/log/mail/x.log, joe\n\
                   etc: /etc/passwd\n\
                   up: /var/log/mail/../x\n\
                   dir: /var/log/mail/\n\
                   null: /dev/null\n\
                   two: \"/var/log/mail/a b\"\n";
    let files = [
        ("aliases", aliases),
        ("home/ann/.forward", &*own),
        ("home/fred/.forward", &*others),
        ("home/joe/.forward", &*joes),
    ];
    let mut config = config(folder.path(), &files);
    config.channels[0].mailbox_transport = None;
    let native = config.native.as_mut().unwrap();
    native.files.folders = vec!["/var/log/mail".into()];
    let ann = format!("l file:ann +{own}");
    let joes = format!("l file:joe +{others}\nl mail.example.org joe");
    let log = format!("l file: +/var/log/mail/x.log\n{joes}");
    let rows = [
        ("log", &*log),
        ("etc", LATER),
        ("up", LATER),
        ("dir", LATER),
        ("null", "l file: +/dev/null"),
        ("two", "l file: \"+/var/log/mail/a b\""),
        ("ann", &ann),
        ("joe", &joes),
        ("fred", LATER),
        // No stranger names a file.
        ("+/var/log/mail/x.log", "550 5.1.1 unknown or illegal alias"),
        ("\"/var/log/mail/x.log\"", "550 5.1.1 unknown or illegal alias"),
        ("joe+/var/log/mail/x.log", &joes),
    ];
    same(&config, &rows).await;
    config.native = None;
    same(&config, &[("null", LATER), ("joe", "550 5.1.1 unknown or illegal alias")]).await;
}

#[tokio::test]
async fn a_member_of_its_own_alias_is_the_user() {
    let folder = tempfile::tempdir().unwrap();
    let aliases = "joe: joe, x\n\
                   kim: \\kim, joe\n\
                   \"two words\": joe\n\
                   list: :include:members, x\n\
                   owner-list: boss\n\
                   lost: :include:nowhere\n\
                   a: b\n\
                   b: a, x\n\
                   round: about\n\
                   about: round\n\
                   plus: sales+*\n\
                   wild+*: any+*@example.net\n";
    let members = "# those who belong to it\nkim, x\nbeyond@example.net\n";
    let mut config = config(folder.path(), &[("aliases", aliases), ("members", members)]);
    config.transport.own.insert("example.net".to_owned(), "lmtp1:".to_owned());
    let lmtp = |names: &[&str]| {
        let line = |name: &&str| format!("lmtp unix:/var/imap/socket/lmtp {name}");
        names.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let list =
        format!("{}\nlmtp1 example.net beyond@example.net", lmtp(&["kim", "joe", "x"]).as_str());
    let rows = [
        ("joe", lmtp(&["joe", "x"])),
        ("kim", lmtp(&["kim", "joe", "x"])),
        ("\"two words\"", lmtp(&["joe", "x"])),
        ("list", list),
        ("lost", "451 4.3.5 the members of this list cannot be read now".to_owned()),
        ("a", lmtp(&["x"])),
        ("round", "554 5.4.6 the address leads back to itself".to_owned()),
        ("plus", lmtp(&["sales"])),
        ("plus+Ext", lmtp(&["sales+Ext"])),
        ("wild+Ext", "lmtp1 example.net any+Ext@example.net".to_owned()),
        ("wild", lmtp(&["wild"])),
    ];
    let rows: Vec<_> = rows.iter().map(|(name, want)| (*name, want.as_str())).collect();
    same(&config, &rows).await;
    let routes = Routes::new(&config).unwrap();
    let to = address("list");
    let found = Resolver::new(&routes, &Source::None, question(&to, false)).route().await;
    let owner = |way: &super::Route| way.errors_to.as_deref() == Some("owner-list");
    assert!(found.outcome.unwrap().iter().all(owner));
}

#[tokio::test]
async fn a_subaddress_is_looked_for_as_the_channel_says() {
    let folder = tempfile::tempdir().unwrap();
    let aliases = "exact+sub: a\nwild+*: b\nplain: c\n";
    let mut config = config(folder.path(), &[("aliases", aliases)]);
    let own = |name| format!("lmtp unix:/var/imap/socket/lmtp {name}");
    let (a, b, c) = (own("a"), own("b"), own("c"));
    for (ways, wild, plain) in [
        (Subaddress::Exact, own("wild+sub"), own("plain+sub")),
        (Subaddress::Wild, b.clone(), own("plain+sub")),
        (Subaddress::Relaxed, b, c),
    ] {
        config.channels[0].subaddress = ways;
        let rows = [("exact+Sub", &*a), ("wild+sub", &*wild), ("plain+sub", &*plain)];
        same(&config, &rows).await;
    }
}

#[tokio::test]
async fn transports_are_found_in_the_order_of_transport_5() {
    let folder = tempfile::tempdir().unwrap();
    let transport = "u+x@d.example  lmtp1:unix:/exact\n\
                     u@d.example    lmtp1:unix:/user\n\
                     d.example      lmtp1:unix:/Domain\n\
                     .example       lmtp2:inet:Parent:24\n\
                     .b.example     lmtp2:\n\
                     example.org    :\n\
                     keep.example   :inet:other:25\n\
                     home@example.org  lmtp2:inet:elsewhere\n\
                     lists.example  l:\n\
                     gone.example   error:5.1.6 moved\\: ask there\n\
                     later.example  retry:\n\
                     coded.example  error:550 5.1.6 moved\n\
                     soon.example   retry:450 soon\n\
                     *              lmtp:inet:any\n";
    let mut config = config(folder.path(), &[("transport", &transport.replace("\\:", ":"))]);
    config.channels[0].mailbox_transport = Some("lmtp:unix:/s".to_owned());
    let relaying = "550 5.7.1 relaying not permitted";
    let rows = [
        ("U+X@D.example", "lmtp1 unix:/exact U+X@D.example"),
        ("u+y@d.example", "lmtp1 unix:/user u+y@d.example"),
        ("v@d.example.", "lmtp1 unix:/Domain v@d.example"),
        ("v@a.d.example", "lmtp2 parent:24 v@a.d.example"),
        ("v@a.b.example", "lmtp2 a.b.example v@a.b.example"),
        ("v@keep.example", "tcp_local other:25 v@keep.example"),
        ("v@example.org", "lmtp unix:/s v@example.org"),
        ("home@example.org", "lmtp2 elsewhere home@example.org"),
        ("mlist@lists.example", "451 4.3.5 this address cannot be served yet"),
        ("v@lists.example", "lmtp unix:/s v@lists.example"),
        ("v@gone.example", "550 5.1.6 moved: ask there"),
        ("v@later.example", "450 4.0.0 no mail is taken for this address"),
        ("v@coded.example", "550 5.1.6 moved"),
        ("v@soon.example", "450 4.0.0 soon"),
        // An entry for everybody makes nobody ours, and one for a domain no way through it.
        ("v@other.test", relaying),
        ("v%other.test@d.example", relaying),
        ("@x.example:v@d.example", relaying),
    ];
    same(&config, &rows).await;
    let routes = Routes::new(&config).unwrap();
    let outside = way(&routes, "v@other.test", true, &Source::None).await;
    assert_eq!(outside, "lmtp any v@other.test");
    config.transport.own.insert("void.example".to_owned(), "discard:".to_owned());
    same(&config, &[("v@void.example", "451 4.3.5 this address cannot be served yet")]).await;
    config.channels.push(Channel::new("void", "Void-daemon", Program::Bitbucket));
    same(&config, &[("v@void.example", "void void-daemon v@void.example")]).await;
}

#[tokio::test]
async fn virtual_aliases_are_found_in_the_order_of_virtual_5() {
    let folder = tempfile::tempdir().unwrap();
    let table = "u+x@v.example  exact@v.test\n\
                 u@v.example    a@v.test, b@v.test\n\
                 @v.example     sink@v.test\n\
                 @map.example   @v.test\n\
                 bare           bare@v.test\n\
                 self@w.example self@w.example, more@w.example\n\
                 more@w.example last@v.test\n\
                 one@w.example  two@w.example\n\
                 two@w.example  one@w.example\n\
                 mlist@w.example mlist@localhost\n\
                 virt.example   any\n\
                 u@virt.example a@v.test\n\
                 open@virt.example x@elsewhere.example\n";
    let mut config = config(folder.path(), &[("virtual", table)]);
    config.transport.own.insert("v.test".to_owned(), "lmtp1:unix:/v".to_owned());
    config.transport.own.insert("w.example".to_owned(), "lmtp1:unix:/w".to_owned());
    let (relaying, unknown) =
        ("550 5.7.1 relaying not permitted", "550 5.1.1 unknown or illegal alias");
    let rows = [
        ("U+X@v.example", "lmtp1 unix:/v exact@v.test"),
        ("u+y@V.example", "lmtp1 unix:/v a+y@v.test\nlmtp1 unix:/v b+y@v.test"),
        ("z+y@v.example", "lmtp1 unix:/v sink@v.test"),
        ("Z+y@map.example", "lmtp1 unix:/v Z+y@v.test"),
        ("bare", "lmtp1 unix:/v bare@v.test"),
        ("bare+d@localhost", "lmtp1 unix:/v bare+d@v.test"),
        ("bare@w.example", "lmtp1 unix:/w bare@w.example"),
        ("self@w.example", "lmtp1 unix:/w self@w.example\nlmtp1 unix:/v last@v.test"),
        ("one@w.example", "554 5.4.6 the address leads back to itself, or to too many"),
        ("mlist@w.example", "451 4.3.5 this address cannot be served yet"),
        ("u@virt.example", "lmtp1 unix:/v a@v.test"),
        ("other@virt.example", unknown),
        ("open@virt.example", "tcp_local elsewhere.example x@elsewhere.example"),
        ("x%elsewhere.example@map.example", relaying),
        ("@map.example:x@elsewhere.example", relaying),
    ];
    same(&config, &rows).await;
}

/// Sections 1.2 to 1.4 of the reference: what holds between the tables.
#[tokio::test]
async fn one_table_has_its_say_before_another() {
    let folder = tempfile::tempdir().unwrap();
    let many = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!(" m{n}@v.test")).collect();
        names.concat()
    };
    let table = format!(
        "virt.example    any\nu@virt.example  a@v.test\n\
         two@v.example   same@v.test, SAME@v.test, same@v.test\n\
         most@v.example {}\ntoo.many@v.example {}\n\
         list@v.example  @v.test, other@v.test\n\
         late@v.example  other@v.test, @v.test\n",
        many(999),
        many(1_001),
    );
    let files = [
        ("virtual", table.as_str()),
        ("aliases", "team: joe, ann\n"),
        ("home/ann/.forward", "bob\n"),
        ("home/ann/.forward+a/b", "carol\n"),
    ];
    fs::create_dir_all(folder.path().join("home/ann/.forward+a")).unwrap();
    let mut config = config(folder.path(), &files);
    let own = [
        ("v.test", "lmtp1:unix:/v"),
        // Another user is as unknown as without a transport.
        ("virt.example", "lmtp1:unix:/virt"),
    ];
    for (pattern, transport) in own {
        config.transport.own.insert(pattern.to_owned(), transport.to_owned());
    }
    let rows = [
        ("u@virt.example", "lmtp1 unix:/v a@v.test"),
        ("other@virt.example", "550 5.1.1 unknown or illegal alias"),
        ("two@v.example", "lmtp1 unix:/v same@v.test"),
        ("too.many@v.example", "554 5.4.6 the address leads back to itself, or to too many"),
        ("list+x@v.example", "lmtp1 unix:/v list+x@v.test\nlmtp1 unix:/v other+x@v.test"),
        // An extension that is a path names no file.
        ("ann+a/b", "lmtp unix:/var/imap/socket/lmtp bob"),
        ("team", "lmtp unix:/var/imap/socket/lmtp joe\nlmtp unix:/var/imap/socket/lmtp bob"),
    ];
    same(&config, &rows).await;
    let routes = Routes::new(&config).unwrap();
    let most = way(&routes, "most@v.example", false, &Source::None).await;
    assert_eq!(most.lines().count(), 999, "{most}");
    // A transport for the domain of this host comes before its aliases and accounts.
    config.transport.own.insert("mail.example.org".to_owned(), "lmtp1:unix:/all".to_owned());
    let rows = [
        ("team", "lmtp1 unix:/all team"),
        ("ann", "lmtp1 unix:/all ann"),
        ("joe+ext", "lmtp1 unix:/all joe+ext"),
        ("ghost", "lmtp1 unix:/all ghost"),
    ];
    same(&config, &rows).await;
}

#[tokio::test]
async fn access_tables_are_asked_about_virtual_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), &[("virtual", "x@v.example joe\ny@v.example joe\n")]);
    let entries = [("tcp_local|*|tcp_local|x@v.example", "$NNot$ you")];
    let entries = entries.map(|(pattern, template)| (pattern.to_owned(), template.to_owned()));
    let table = relais_config::MappingTable::parse(entries.into()).unwrap();
    config.mappings.insert("ORIG_SEND_ACCESS".to_owned(), table);
    let joe = "lmtp unix:/var/imap/socket/lmtp joe";
    let no = "550 5.7.1 Not you";
    let rows = [("x@v.example", no), ("\"x\"@v.example", no), ("X@v.example.", no)];
    same(&config, &rows).await;
    same(&config, &[("y@v.example", joe)]).await;
}

#[tokio::test]
async fn a_name_beyond_ascii_gets_one_copy_in_any_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("virtual", "lü@v.example bö@b.example, BÖ@B.example, bo\u{308}@b.example\n"),
        ("aliases", "lö.ü: bö, BÖ, bo\u{308}\nout: bö@b.example, bo\u{308}@b.example\n"),
    ];
    let mut config = config(folder.path(), &files);
    config.channels[0].mailbox_transport = Some("lmtp:unix:/s".to_owned());
    let to = ["bö", "BÖ", "bo\u{308}"].map(str::to_owned);
    config.aliases.insert("lä.ü".to_owned(), to.into());
    let (near, far) = ("lmtp unix:/s bö", "tcp_local b.example bö@b.example");
    let rows = [
        ("lü@v.example", far),
        ("LU\u{308}@v.example", far),
        ("out", far),
        ("lö.ü", near),
        ("lä.ü", near),
        ("LÄ.Ü", near),
    ];
    same(&config, &rows).await;
}

#[tokio::test]
async fn transports_know_a_domain_by_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let transport = "Dömäin.ΟΔΟΣ lmtp1:inet:localhost:24\n";
    let config = config(folder.path(), &[("transport", transport)]);
    let routes = Routes::new(&config).unwrap();
    for (domain, is_meant) in [("Dömäin.ΟΔΟΣ", true), ("dömäin.οδοσ", true), ("dömäin.οδος", false)]
    {
        let found = way(&routes, &format!("x@{domain}"), false, &Source::None).await;
        assert_eq!(found.starts_with("lmtp1 "), is_meant, "{domain}: {found}");
    }
}

#[tokio::test]
async fn aliases_may_come_before_the_directory() {
    let mut config = sample("standalone.ron");
    config.aliases.insert("alice".to_owned(), vec!["bob".to_owned()]);
    let directory = LdifDirectory::standalone().unwrap();
    for (first, want) in [(false, "alice"), (true, "bob")] {
        config.aliases_first = first;
        let routes = Routes::new(&config).unwrap();
        let found = way(&routes, "alice@relais.example", false, &directory).await;
        assert_eq!(found, format!("tcp_lmtpcs localhost {want}"));
    }
}

#[tokio::test]
async fn the_general_database_may_be_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut config =
        config(folder.path(), &[("general", "Store9  a.example\nhost.example LMTP\n")]);
    config.general.file = Some("general".into());
    let rule = relais_config::RewriteRule::parse("g.example", "$U%$(store9)@lmtp1-daemon").unwrap();
    config.rewrite_rules.insert(0, rule);
    same(&config, &[("x@g.example", "lmtp1 a.example x@a.example")]).await;
    let stores = Routes::new(&config).unwrap().policy.lmtp_stores.unwrap();
    assert!(stores.contains("host.example") && stores.len() == 1);
}

#[tokio::test]
async fn each_table_is_told_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut config =
        config(folder.path(), &[("virtual", "x@v.example joe"), ("aliases", "joe: kim")]);
    config.transport.own.insert("v.test".to_owned(), "lmtp1:".to_owned());
    let routes = Routes::new(&config).unwrap();
    let to = address("x@v.example");
    let asked = question(&to, false);
    let found = Resolver::new(&routes, &Source::None, asked).traced().route().await;
    let sources = found.steps.iter().filter_map(|step| match step {
        Step::Alias { source, .. } => Some(*source),
        _ => None,
    });
    let sources: Vec<_> = sources.collect();
    assert_eq!(sources, ["virtual_alias", "aliases", "mailbox_transport"]);
}
