//! Snippets of the original's files: what each becomes, and what is told of it.

use std::{fs, path::Path};

use relais_config::{Config, Reading};
use relais_import::{
    Fate, ImportError, Imported,
    sun::{SunRules, SunVerdict, import},
};
use tempfile::TempDir;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn imported(files: &[(&str, &str)]) -> (Imported, SunRules) {
    import(folder(files).path()).unwrap()
}

/// The new file, which must have no mistake.
#[track_caller]
fn config(imported: &Imported) -> Config {
    let reading = Reading::of_text("new", &imported.text, None);
    reading.into_config().unwrap_or_else(|error| panic!("{error}\n{}", imported.text)).0
}

/// The fate of a setting, by a part of its name.
#[track_caller]
fn fate(imported: &Imported, setting: &str) -> (Fate, String) {
    let told = imported.told.iter().find(|told| told.setting.contains(setting));
    let told = told.unwrap_or_else(|| panic!("{setting} is not told: {:#?}", imported.told));
    (told.fate, told.meaning.clone())
}

const IMTA: &str = "! rules
$*      $A$E$F$U%$H$V$H@relay1.siroe.com
.lmtp   $E$F$U%$H.lmtp@lmtpcs-daemon
.lmtp   $B$F$U%$H@$H@lmtpcs-daemon
.       $U%$H@tcp-daemon

defaults notices 1 2 4 7 maxjobs 7 copysendpost

l viaaliasrequired
relay1.siroe.com

tcp_local smtp mx single_sys remotehost switchchannel
tcp-daemon

! tcp_lmtpcs (LMTP client - store)
tcp_lmtpcs defragment lmtp  multigate connectcanonical \\
   fileinto @$4O:$U+$S@$D port 225 nodns single_sys \\
   subdirs 20 maxjobs 7 pool SMTP_POOL dequeue_removeroute
lmtpcs-daemon
";

/// Keywords, each as it stands in a block of a channel, and the field that it becomes.
#[test]
fn each_keyword_becomes_its_setting() {
    let rows = [
        ("port 226", "port: 226"),
        ("nodns", "mx: NoDns"),
        (
            "nameservers 192.0.2.1 2001:db8::1 mx",
            "nameservers: [\"192.0.2.1:53\", \"[2001:db8::1]:53\"]",
        ),
        ("interfaceaddress 192.0.2.9", "interface_address: [\"192.0.2.9\"]"),
        ("daemon router", "daemon: \"x-daemon\""),
        ("maytls", "tls: (server: May, client: May)"),
        ("musttlsclient", "tls: (client: Must)"),
        ("maytls notlsserver", "tls: (client: May, server: No)"),
        ("single", "copies: Single"),
        ("single_sys multiple", "copies: Multiple"),
        ("sourceblocklimit 100", "sourceblocklimit: 102400"),
        ("backoff \"pt5m\" \"pt1h30m\"", "backoff: [\"5m\", \"90m\"]"),
        ("notices 1 2 4", "notices: [\"1d\", \"2d\", \"4d\"]"),
        ("noreverse", "reverse: false"),
        ("REMOTEHOST", "remotehost: true"),
        ("733", "route_style: Percents"),
        ("errwarnpost", "warnpost: Error"),
        ("sourcefilter file:///etc/spam.sieve", "sourcefilter: \"/etc/spam.sieve\""),
        ("subaddresswild", "subaddress: Wild"),
        ("linelength 998 inner", "max_line: 1000, inner: true"),
        ("aliaspostmaster inner", "inner: true"),
        ("charsetesc inner", "inner: true"),
    ];
    for (words, want) in rows {
        let imta =
            format!(". $U%$H@x-daemon\n\nl\nmx.example.org\n\ntcp_x smtp {words}\nx-daemon\n");
        let (imported, _) = imported(&[("imta.cnf", &imta)]);
        let plain: Vec<_> = imported.text.split_whitespace().collect();
        let plain = plain.join(" ").replace("( ", "(").replace(", )", ")");
        assert!(plain.contains(want), "{words}: {}", imported.text);
        let sections = format!("{}\nmessage: never", imported.text);
        assert!(sections.contains("imta.cnf:6: tcp_x smtp"), "{words}");
    }
}

#[test]
fn what_has_no_counterpart_is_told_with_its_place_and_meaning() {
    let rows = [
        ("subdirs 20", Fate::NotNeeded, "files and directories"),
        ("immnonurgent", Fate::NotNeeded, "jobs start at once"),
        ("blocklimit 20", Fate::NoCounterpart, "sourceblocklimit"),
        ("mailfromdnsverify", Fate::NoCounterpart, "verify.spf"),
        ("SMTP_POOL", Fate::NoCounterpart, "`pool` before its name"),
        ("backoff nonsense", Fate::NoCounterpart, "no form"),
        ("logging", Fate::SameByDefault, ""),
        ("linelength 998", Fate::NoCounterpart, "max_line"),
        ("unrestricted", Fate::SameByDefault, ""),
        ("holdexquota", Fate::NoCounterpart, "quota_grace"),
        ("charset7 usascii", Fate::NoCounterpart, "CHARSET-CONVERSION"),
    ];
    for (words, want, meaning) in rows {
        let imta = format!("\nl\nmx.example.org\n\ntcp_x smtp {words}\nx-daemon\n");
        let (imported, _) = imported(&[("imta.cnf", &imta)]);
        config(&imported);
        let first = words.split(' ').next().unwrap();
        let (fate, told) = fate(&imported, &format!("tcp_x: {first}"));
        assert_eq!(fate, want, "{words}");
        assert!(told.contains(meaning), "{words}: {told}");
        if fate != Fate::Carried {
            assert!(
                imported.text.contains(&format!("imta.cnf:5: tcp_x: {first}")),
                "{}",
                imported.text
            );
        }
    }
}

#[test]
fn numbers_of_options_are_numbers_or_nothing() {
    let rows = [
        ("DOMAIN_UPLEVEL", "2", Fate::Carried, "domain_uplevel: 2"),
        ("DOMAIN_UPLEVEL", "4", Fate::NoCounterpart, ""),
        ("DOMAIN_UPLEVEL", "0, servers: []", Fate::NoCounterpart, ""),
        ("ALIAS_ENTRY_CACHE_SIZE", "500", Fate::Carried, "entries: 500"),
        ("ALIAS_ENTRY_CACHE_SIZE", "many", Fate::NoCounterpart, ""),
        ("ALIAS_ENTRY_CACHE_SIZE", "1), x: (", Fate::NoCounterpart, ""),
    ];
    for (name, value, want, holds) in rows {
        let options = format!("LDAP_HOST=ldap.siroe.com\nLDAP_USER_ROOT=o=x\n{name}={value}\n");
        let (imported, _) = imported(&[("imta.cnf", IMTA), ("option.dat", &options)]);
        config(&imported);
        assert_eq!(fate(&imported, name).0, want, "{name}={value}");
        assert!(imported.text.contains(holds), "{name}={value}: {}", imported.text);
    }
}

#[test]
fn every_line_of_a_source_is_in_the_new_file() {
    let files = [
        ("imta.cnf", IMTA),
        (
            "dispatcher.cnf",
            "MIN_PROCS=1\nODD=1\n[SERVICE=SMTP]\nPORT=25\nIMAGE=IMTA_BIN:tcp_smtp_server\nLOGFILE=x\n[SERVICE=POP]\nPORT=110\nIMAGE=IMTA_BIN:pop\n",
        ),
        (
            "job_controller.cnf",
            "MAX_MESSAGES=1000\nSECRET=hidden\n[POOL=ONE]\nJOB_LIMIT=5\n[PERIODIC_JOB=x]\nTIME=/04:00\n",
        ),
        ("mappings", "INTERNAL_IP\n\n  127.0.0.1 $Y\n  * $N\n\nODD\n\n  x $[image,routine,arg]\n"),
        (
            "option.dat",
            "DELIVERY_OPTIONS=\\\n  #*mailbox=@$X.LMTP:$M%$\\$2I$_+$2S@lmtpcs-daemon,\\\n  #forward=**\nLDAP_PASSWORD=hidden\nWHAT=1\n",
        ),
        ("general.txt", "not read"),
    ];
    let (imported, _) = imported(&files);
    config(&imported);
    for (name, text) in &files[..5] {
        let mut goes_on = false;
        for (n, line) in text.lines().enumerate() {
            let is_first = !std::mem::replace(&mut goes_on, line.ends_with('\\'));
            if is_first && !line.trim().is_empty() && !line.starts_with('!') {
                let place = format!("{name}:{}: ", n + 1);
                assert!(imported.text.contains(&place), "{place}{line}\n{}", imported.text);
            }
        }
    }
    assert!(!imported.text.contains("hidden"), "{}", imported.text);
    assert!(imported.told.iter().all(|told| !told.setting.contains("hidden")));
}

#[test]
fn a_relay_before_stores_is_read_as_a_whole() {
    let options = "DELIVERY_OPTIONS=\\\n    #*mailbox=@$X.LMTP:$M%$\\$2I$_+$2S@lmtpcs-daemon,\\\n    \
                   #&members=*,\\\n    #*^!autoreply=$M+$D@bitbucket\n";
    let imta = format!("{IMTA}\nbitbucket\nbitbucket-daemon\n");
    let (imported, _) = imported(&[
        ("imta.cnf", &imta),
        ("option.dat", options),
        (
            "msg.conf",
            "service.defaultdomain = siroe.com\nlocal.ugldaphost = \"ldap1 ldap2:390\"\nlocal.ugldapbasedn = \"o=siroe\"\n",
        ),
    ]);
    let config = config(&imported);
    assert_eq!((&*config.host, &*config.default_domain), ("relay1.siroe.com", "siroe.com"));
    let lmtp = config.channels.iter().find(|its| its.name == "tcp_lmtpcs").unwrap();
    assert_eq!((lmtp.port, lmtp.multigate, lmtp.defragment), (Some(225), true, true));
    assert_eq!(lmtp.notices.as_ref().map(Vec::len), Some(4));
    let Some(relais_config::Directory::Ldap(ldap)) = &config.directory else { panic!("no LDAP") };
    assert_eq!(ldap.servers, ["ldap://ldap1:389", "ldap://ldap2:390"]);
    // The original names the channel there, relais its tag.
    assert!(imported.text.contains("#*^!autoreply=$M+$D@bitbucket-daemon"));
    assert_eq!(config.delivery_options.len(), 3);
}

#[test]
fn rules_as_read_lead_where_the_documents_say() {
    let imta = IMTA.replace(
        "$*      $A$E$F$U%$H$V$H@relay1.siroe.com",
        "siroe.com $U%$D@relay1.siroe.com\n.siroe.com $U%$H$D@tcp-daemon",
    );
    let (_, rules) = imported(&[("imta.cnf", &imta)]);
    let way = |channel: &str, address: &str| SunVerdict::Channel {
        channel: channel.to_owned(),
        address: address.to_owned(),
    };
    let rows = [
        ("dan@siroe.com", way("l", "dan@siroe.com")),
        ("dan@sc.cs.siroe.com", way("tcp_local", "dan@sc.cs.siroe.com")),
        ("dan@example.org", way("tcp_local", "dan@example.org")),
        ("dan@store1.siroe.com.lmtp", way("tcp_lmtpcs", "dan@store1.siroe.com.lmtp")),
        ("dan@relay1.siroe.com", way("l", "dan@relay1.siroe.com")),
        ("dan%example.org@relay1.siroe.com", way("tcp_local", "dan@example.org")),
        ("@relay1.siroe.com:dan@example.org", way("tcp_local", "dan@example.org")),
    ];
    for (address, want) in rows {
        assert_eq!(rules.verdict(address, "tcp_local", false), want, "{address}");
    }
    // A decision of the directory has an answer for each case.
    let (_, rules) = imported(&[("imta.cnf", IMTA)]);
    let either = [true, false].map(|ours| rules.verdict("dan@siroe.com", "tcp_local", ours));
    assert_eq!(either, [way("l", "dan@siroe.com"), way("tcp_local", "dan@siroe.com")]);
}

/// Rules and what becomes of them, beside a channel with further hosts and one that is not needed; the new
/// file has no mistake.
#[test]
fn rules_lead_by_each_host_of_a_channel_or_refuse() {
    let blocks = "\n\nl\nmx.example.org\n\ntcp_x smtp\nx-daemon\nhub.example.org\n\
                  one.example.net two.example.net\n\ndefragment\ndefragment-daemon\n";
    let rows = [
        ("a.com $U%$D@hub.example.org", "(\"a.com\", \"$U%$D@x-daemon\")"),
        ("a.com $U%$D@HUB.example.org$E$F", "(\"a.com\", \"$U%$D@x-daemon$E$F\")"),
        ("a.com $U@hub.example.org", "(\"a.com\", \"$U%hub.example.org@x-daemon\")"),
        ("a.com $U@$D@hub.example.org", "(\"a.com\", \"$U@$D@hub.example.org@x-daemon\")"),
        ("a.com $U@$D@b.com@hub.example.org", "(\"a.com\", \"$U@$D@b.com@x-daemon\")"),
        ("a.com $U%$D@x-daemon", "(\"hub.example.org\", \"$U%$D@x-daemon\")"),
        ("a.com $U%$D@x-daemon", "(\"two.example.net\", \"$U%$D@x-daemon\")"),
        (".net $U%$H$D@x-daemon", "!(\"two.example.net\", "),
        (
            "a.com $U%$D@x-daemon$Mtcp_x$1~-error",
            "$U%$D@x-daemon$Mtcp_x$1~-error$?unknown host or domain\")",
        ),
        ("a.com $U%$D@x$Mtcp_x$1~-daemon", "$U%$D@x$Mtcp_x$?unknown host or domain$1~-daemon\")"),
        ("a.com $U%$D@nowhere", "$U%$D@nowhere$?unknown host or domain\")"),
        ("a.com $U%$D@defragment-daemon", "$U%$D@defragment-daemon$?unknown host or domain\")"),
        ("a.com $?Call us; or postmaster@a.com", "\"$?Call us; or postmaster@a.com\")"),
        ("a.com $4001002?Try\tlater", "(\"a.com\", \"$4001002?Try later\")"),
        ("a.com $?no$ mail", "(\"a.com\", \"$?no mail\")"),
        ("a.com $U%$D@x$Mtcp_x$1~-y$?no such host", "// imta.cnf:1: a.com"),
    ];
    for (rule, want) in rows {
        let imta = format!("{rule}\n. $U%$H@x-daemon{blocks}");
        let (imported, _) = imported(&[("imta.cnf", &imta)]);
        config(&imported);
        match want.strip_prefix('!') {
            Some(absent) => assert!(!imported.text.contains(absent), "{rule}: {}", imported.text),
            None => assert!(imported.text.contains(want), "{rule}: {}", imported.text),
        }
    }
}

/// Aliases, and what stands in the new file of them.
#[test]
fn aliases_are_read_where_the_original_has_its_tables() {
    let more = [("list.txt", "ann@siroe.com\n"), ("more", "zed: ann@siroe.com\n")];
    let rows = [
        ("list: <IMTA_TABLE:list.txt", "\"list\": [\"</", "list.txt\"]"),
        (
            "list: <imta_table:list.txt, [AUTH_LIST] ann@siroe.com",
            "list.txt\", ",
            "[AUTH_LIST] ann@siroe.com\"]",
        ),
        (
            "<IMTA_TABLE:more\nroot: a,\\\n b@c.com",
            "\"zed\": [\"ann@siroe.com\"]",
            "\"root\": [\"a\", \"b@c.com\"]",
        ),
        (
            "root: a\nlist: <IMTA_LANG:list.txt",
            "\"root\": [\"a\"]",
            "aliases:2: list: <IMTA_LANG:list.txt: the alias is left out",
        ),
        ("root: a\nodd", "\"root\": [\"a\"]", "aliases:2: odd: the alias is left out"),
        ("root: a\n<more", "aliases: (file: ", "as it stands"),
        ("root: a\n<nowhere", "the file is left out", "nowhere"),
        ("list: </nowhere/list.txt", "aliases: (file: ", "mail to the list waits"),
    ];
    for (text, first, second) in rows {
        let files = [("imta.cnf", IMTA), ("aliases", text), more[0], more[1]];
        let (imported, _) = imported(&files);
        config(&imported);
        for want in [first, second] {
            assert!(imported.text.contains(want), "{text}: {want}: {}", imported.text);
        }
    }
}

/// Options that are given twice, or by both files, count once.
#[test]
fn options_that_are_given_again_count_once() {
    let options = "LDAP_HOST=a.siroe.com\nLDAP_PASSWORD=x\nLDAP_TIMEOUT=5\nLDAP_TIMEOUT=9\n\
                   MAX_RECEIVED_LINES=7\nMAX_RECEIVED_LINES=8\nRETURN_ADDRESS=a@b.c\nRETURN_ADDRESS=d@e.f\n";
    let conf = "local.ugldaphost = b.siroe.com\nlocal.ugldapbindcred = y\n\
                local.ugldapbinddn = cn=dm\nlocal.ugldapbasedn = o=x\n";
    let (imported, _) =
        imported(&[("imta.cnf", IMTA), ("option.dat", options), ("msg.conf", conf)]);
    let config = config(&imported);
    let Some(relais_config::Directory::Ldap(ldap)) = &config.directory else { panic!("no LDAP") };
    assert_eq!(ldap.servers, ["ldap://a.siroe.com:389"]);
    assert_eq!((ldap.timeout.as_secs(), config.max_received_lines), (9, 8));
    for (setting, place) in [("LDAP_HOST=b", "option.dat:1"), ("LDAP_TIMEOUT=5", "option.dat:4")] {
        let (is, why) = fate(&imported, setting);
        assert_eq!(is, Fate::NotNeeded, "{setting}");
        assert!(why.contains(place), "{setting}: {why}");
    }
}

/// Entries that the new file could not have are left out and told of.
#[test]
fn files_that_say_things_twice_or_wrong_become_files_without_a_mistake() {
    let imta = |block: &str| format!("{IMTA}\n{block}");
    let twice = imta("tcp_local smtp\nother-daemon\n");
    let same_tag = imta("tcp_two smtp\ntcp-daemon\n");
    let switch = imta("tcp_two smtp saslswitchchannel tcp_nowhere\ntwo-daemon\n");
    let port = imta("tcp_two smtp port 700000\ntwo-daemon\n");
    let limit = imta("tcp_two smtp maxjobs 0 addrsperfile 0 recipientlimit 0\ntwo-daemon\n");
    let rows = [
        ("imta.cnf", twice.as_str(), "other-daemon"),
        ("imta.cnf", &same_tag, "tcp_two"),
        ("imta.cnf", &switch, "tcp_nowhere"),
        ("imta.cnf", &port, "700000"),
        ("imta.cnf", &limit, "maxjobs"),
        ("dispatcher.cnf", "MAX_PROCS=3\nMAX_PROCS=4\n", "MAX_PROCS=3"),
        (
            "dispatcher.cnf",
            "[SERVICE=A]\nPORT=25\nPORT=26\nIMAGE=tcp_smtp_server\n[SERVICE=A]\nPORT=27\n\
             IMAGE=tcp_smtp_server\n",
            "PORT=25",
        ),
        (
            "dispatcher.cnf",
            "[SERVICE=A]\nPORT=25\nPARAMETER=CHANNEL=tcp_no\nIMAGE=tcp_smtp_server\n",
            "tcp_no",
        ),
        ("job_controller.cnf", "[POOL=A]\nJOB_LIMIT=1\n[POOL=A]\nJOB_LIMIT=2\n", "POOL=A"),
        ("job_controller.cnf", "[POOL=A]\nJOB_LIMIT=0\nMAX_AGE=0\n", "JOB_LIMIT"),
        ("option.dat", "DELIVERY_OPTIONS=#*mailbox=$M@nowhere-daemon\n", "nowhere-daemon"),
        ("option.dat", "LDAP_HOST=\nLDAP_USER_ROOT=\nLDAP_TIMEOUT=x\n", "LDAP_TIMEOUT"),
        ("option.dat", "RETURN_ADDRESS=nobody at all\n", "RETURN_ADDRESS"),
        ("option.dat", "MAX_RECEIVED_LINES=999999999\n", "MAX_RECEIVED_LINES"),
        ("mappings", "FROM_ACCESS\n\n  TCP|*|25|*|*|SMTP|MAIL|*|*|*  $N\n", "SMTP"),
        ("mappings", "SEND_ACCESS\n\n  *|*|*|*  $J$N\n", "$J"),
        ("mappings", "A\n\n  * $Y\n\nA\n\n  x $N\n", "A"),
    ];
    for (name, text, told) in rows {
        let mut files = vec![("imta.cnf", IMTA)];
        files.retain(|(known, _)| *known != name);
        files.push((name, text));
        let (imported, _) = imported(&files);
        config(&imported);
        assert!(imported.text.contains(told), "{name}: {text}: {}", imported.text);
        let _ = fate(&imported, told);
    }
}

/// Rules that cannot be said are told of, and the second opinion knows that it cannot tell.
#[test]
fn rules_that_are_left_out_are_told_of() {
    let blocks = "\n\nl\nmx.example.org\n\ntcp_x smtp\nx-daemon\nx-daemon.example.org\n";
    let rows = [
        ("a.com $U%$D@x-daemon more", "white space"),
        ("a.com", "part is empty"),
        ("a.com $U%$D@x-daemon$Mtcp_x$1~.example.org", "another host of the channel"),
    ];
    for (rule, why) in rows {
        let imta = format!("{rule}\n. $U%$H@x-daemon{blocks}");
        let (imported, rules) = imported(&[("imta.cnf", &imta)]);
        config(&imported);
        let (is, told) = fate(&imported, rule);
        assert_eq!(is, Fate::NoCounterpart, "{rule}");
        assert!(told.contains(why), "{rule}: {told}");
        let is_unclear = matches!(rules.verdict("x@a.com", "tcp_x", false), SunVerdict::Unclear(_));
        assert_eq!(is_unclear, !rule.contains("$1~"), "{rule}");
    }
}

#[test]
fn rules_as_read_refuse_with_words_and_know_every_host() {
    let imta = "b.com $4001002?Try$ later\nc.com $?No; write to postmaster@siroe.com\n\
                d.com $U%$D@hub.example.org\ne.com $U%$D@x-daemon$Mtcp_x$1~-error\n\
                f.com $Ma$Mtcp_x$U%$D@x-daemon\nf.com $?no\ng.com $U%i.com$Tt|\n\
                t|. $U%$H@x-daemon\nh.com $U%$D@x-daemon$Qy\n. $U%$H@y-daemon\n\n\
                l\nmx.example.org\n\ntcp_x smtp\nx-daemon\nhub.example.org\n\n\
                tcp_y smtp\ny-daemon\n";
    let (_, rules) = imported(&[("imta.cnf", imta)]);
    let way = |channel: &str, address: &str| SunVerdict::Channel {
        channel: channel.to_owned(),
        address: address.to_owned(),
    };
    let rows = [
        ("a@b.com", "tcp_y", SunVerdict::Later),
        ("a@c.com", "tcp_y", SunVerdict::Unknown),
        ("a@d.com", "tcp_y", way("tcp_x", "a@d.com")),
        ("a@hub.example.org", "tcp_y", way("tcp_x", "a@hub.example.org")),
        ("a@e.com", "tcp_x", SunVerdict::Unknown),
        ("a@e.com", "tcp_y", way("tcp_x", "a@e.com")),
        ("a@f.com", "tcp_x", way("tcp_x", "a@f.com")),
        ("a@f.com", "tcp_y", SunVerdict::Unknown),
        ("a@g.com", "tcp_y", way("tcp_x", "a@i.com")),
        ("a@h.com", "tcp_y", way("tcp_x", "a@h.com")),
        ("a@i.com", "tcp_y", way("tcp_y", "a@i.com")),
    ];
    for (address, source, want) in rows {
        assert_eq!(rules.verdict(address, source, false), want, "{address} by {source}");
    }
}

#[test]
fn hostile_files_end_within_bounds() {
    let bound = |files: &[(&str, &str)]| {
        let folder = folder(files);
        match import(folder.path()) {
            Err(ImportError::Bound { bound, .. }) => bound,
            other => panic!("{:?}", other.map(|its| its.0.text)),
        }
    };
    assert!(bound(&[("imta.cnf", "<imta.cnf\n")]).contains("deep"));
    assert!(bound(&[("imta.cnf", "<a\n<a\n"), ("a", "<imta.cnf\n<imta.cnf\n")]).contains("deep"));
    assert!(bound(&[("imta.cnf", "<nowhere\n")]).contains("not there"));
    assert!(bound(&[("imta.cnf", &"x".repeat(70_000))]).contains("octets"));
    let host = format!("{}a", "a.".repeat(30_000));
    let long = format!("\nl\nmx.example.org\n\ntcp_x smtp\nx-daemon\n{host}\n");
    let (far, _) = imported(&[("imta.cnf", &long)]);
    assert_eq!(
        fate(&far, "tcp_x: a.a"),
        (Fate::NoCounterpart, "a host of more than 255 octets".to_owned())
    );
    let endless = format!("{}\n", "x".repeat(60_000) + "\\");
    assert!(bound(&[("imta.cnf", &endless.repeat(100))]).contains("octets"));
    let folder = folder(&[]);
    assert!(matches!(import(folder.path()), Err(ImportError::Absent { .. })));
    assert!(import(Path::new("/dev")).is_err());
    // Nothing that stands in a source leaves its comment or its text.
    let odd = "$*\u{202e}\t\u{1b}[2J \"\\ x\n\n\u{7}l \" smtp\nho\"st) .\n\n[ = \u{0}\n";
    let (imported, _) = imported(&[("imta.cnf", odd), ("mappings", odd), ("option.dat", odd)]);
    assert!(!imported.text.contains(['\u{1b}', '\u{202e}', '\u{0}', '\u{7}']), "{}", imported.text);
}

/// The back end without an MTA of the 2005Q4 guide, and the blocks of chapter 8, as they stand there.
#[test]
fn older_blocks_of_the_guides_are_read_too() {
    let dispatcher = "! rfc 2033 LMTP server - store 
!
[SERVICE=LMTPSS]
PORT=225
IMAGE=IMTA_BIN:tcp_lmtp_server
LOGFILE=IMTA_LOG:tcp_lmtpss_server.log
PARAMETER=CHANNEL=tcp_lmtpss
STACKSIZE=2048000
! INTERFACE_ADDRESS=!
! rfc 2033 LMTP server - native
!
[SERVICE=LMTPSN]
PORT=226
IMAGE=IMTA_BIN:tcp_lmtpn_server
LOGFILE=IMTA_LOG:tcp_lmtpsn_server.log
PARAMETER=CHANNEL=tcp_lmtpsn
STACKSIZE=2048000
";
    let imta = "! tcp_lmtpss (LMTP server - store)
tcp_lmtpss lmtp 
tcp_lmtpss-daemon

!
! tcp_lmtpsn (LMTP server - native)
tcp_lmtpsn lmtp 
tcp_lmtpsn-daemon
";
    let (store, _) = imported(&[("dispatcher.cnf", dispatcher), ("imta.cnf", imta)]);
    let its = config(&store);
    assert_eq!(its.dispatcher.services.len(), 2);
    assert!(its.native.is_some() && its.store.is_some() && its.job_controller.is_none());

    let imta = "! test.cnf - An example configuration file.
! Rewrite Rules

l
mx.siroe.com

a_channel defragment charset7 usascii

b_channel noreverse notices 1 2 3

tcp_intranet smtp mx single_sys subdirs 20 noreverse maxjobs 7 SMTP_POOL
maytlsserver allowswitchchannel saslswitchchannel tcp_auth
";
    let (relay, _) = imported(&[("imta.cnf", imta)]);
    for (setting, part) in [
        ("a_channel", "no official host name"),
        ("tcp_intranet: SMTP_POOL", "`pool` before its name"),
        ("tcp_intranet: maytlsserver", "lack its `\\\\`"),
    ] {
        let told = relay.told.iter().filter(|told| told.setting.contains(setting));
        let said: Vec<_> = told.map(|told| told.meaning.as_str()).collect();
        assert!(
            said.iter().any(|said| said.contains(&part.replace("\\\\", "\\"))),
            "{setting}: {said:?}"
        );
    }
    assert!(relay.text.contains("notices: [\"1d\", \"2d\", \"3d\"]"));
}
