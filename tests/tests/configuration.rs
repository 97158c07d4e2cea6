//! The configuration as `relais check` and `relais config` tell of it.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use relais_tests::{Instance, Settings, example, program};
use serde_json::Value;

/// `relais ARGS...` in a folder, with nothing named but what `args` name.
fn relais_in(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command.output().expect("relais runs")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// The findings of `check --json`, and its exit status.
#[track_caller]
fn findings(instance: &Instance) -> (Vec<Value>, Option<i32>) {
    let output = instance.relais("check", &["--json"]);
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (found.as_array().expect("a list").clone(), output.status.code())
}

#[test]
fn check_says_no_to_whatever_run_refuses() {
    let rows = [
        ("nothing", Settings::standalone(), 0),
        (
            "authorities of servers that are not there",
            Settings::standalone().channel("tcp_lmtpcs", "tls: (client: Must, ca: \"none\")"),
            1,
        ),
        (
            "a password's file that is not there",
            Settings::standalone().edit(
                "directory: Ldif()",
                "directory: Ldap(servers: [\"ldap://localhost\"], user_base: \"o=x\", bind_dn: \"cn=x\", \
                 bind_password_file: \"none\")",
            ),
            1,
        ),
        (
            "a file that is not there",
            Settings::standalone().edit("directory: Ldif()", "directory: Ldif(file: \"none\")"),
            1,
        ),
        (
            "a rule to a tag that no channel has",
            Settings::standalone().edit("H@localhost\"", "H@locahlost\""),
            1,
        ),
        ("a guard that would stop nobody", Settings::standalone().edit("TCP|*|", "TCP|"), 1),
    ];
    for (name, settings, want) in rows {
        let instance = Instance::new(settings);
        let (found, code) = findings(&instance);
        assert_eq!(code, Some(want), "{name}: {found:#?}");
        let errors = found.iter().filter(|finding| finding["severity"] == "error").count();
        assert_eq!(errors > 0, want == 1, "{name}: {found:#?}");
        if want == 1 {
            let run = instance.relais("run", &[]);
            assert_eq!(run.status.code(), Some(1), "{name}: {run:?}");
        }
    }
}

#[test]
fn check_as_json_lists_warnings_with_their_severity_in_the_order_of_the_file() {
    let settings = Settings::standalone()
        .channel("tcp_lmtpcs", "subdirs: 20")
        .edit("program: Bitbucket", "program: Bitbuckets");
    let (found, code) = findings(&Instance::new(settings));
    assert_eq!(code, Some(1), "{found:#?}");
    let named = |field: &str| found.iter().find(|finding| finding["field"] == field);
    let warning = named("channels[2].subdirs").unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!(warning["severity"], "warning");
    let error = named("channels[7].program").unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!(error["severity"], "error");
    let places: Vec<_> = found.iter().map(|f| (f["line"].as_u64(), f["column"].as_u64())).collect();
    assert!(places.is_sorted(), "{found:#?}");
}

#[test]
fn what_shows_only_in_other_files_has_a_place_and_says_what_is_accepted() {
    let settings = Settings::standalone()
        .edit("directory: Ldif()", "directory: Ldif(file: \"none.ldif\")")
        .section("aliases: (file: \"no-aliases\")")
        .section("notary: (language: \"xx\")");
    let text = settings.text().to_owned();
    let (found, _) = findings(&Instance::new(settings));
    for (field, mark, accepted) in [
        ("directory.file", "\"none.ldif\"", "a file of LDIF records"),
        ("notary.language", "\"xx\"", "words in en, de, fr"),
        ("aliases.file", "\"no-aliases\"", "a file with a key and a value in each line"),
    ] {
        let finding = found.iter().find(|finding| finding["field"] == field);
        let finding = finding.unwrap_or_else(|| panic!("{field}: {found:#?}"));
        let line = text.lines().position(|line| line.contains(mark)).unwrap();
        let column = text.lines().nth(line).unwrap().find(mark).unwrap();
        assert_eq!(finding["line"], line + 1, "{finding}");
        assert_eq!(finding["column"], column + 1, "{finding}");
        let message = finding["message"].as_str().unwrap();
        assert!(message.contains(accepted), "{message}");
    }
}

#[test]
fn nobody_running_is_told_with_the_absolute_place_and_the_likely_cause() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().canonicalize().unwrap();
    let shown = here.display();
    let said = |args: &[&str]| {
        let output = relais_in(&here, args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        text(&output.stderr)
    };
    // Nothing named, and no file: the built-in default of this folder.
    let none = said(&["status"]);
    assert!(none.contains(&format!("no engine is running on {shown}/relais-data ")), "{none}");
    assert!(none.contains(&format!("no relais.ron in {shown}")), "{none}");
    assert!(none.contains("--config FILE or --data DIR"), "{none}");
    let data = said(&["queue", "list", "--data", "elsewhere"]);
    assert!(data.contains(&format!("no engine is running on {shown}/elsewhere ")), "{data}");
    assert!(data.contains("--data"), "{data}");
    fs::create_dir(here.join("etc")).unwrap();
    fs::write(here.join("etc/relais.ron"), example("standalone")).unwrap();
    let file = said(&["counters", "--config", "etc/relais.ron"]);
    assert!(file.contains(&format!("running on {shown}/etc/relais-data ")), "{file}");
    assert!(file.contains("that is what etc/relais.ron says"), "{file}");
}

#[test]
fn a_relative_data_lies_beside_the_file() {
    let instance = Instance::new(Settings::standalone());
    let beside = instance.path("relais-data");
    let file = instance.path("relais.ron");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.arg("run").arg("--config").arg(&file).current_dir(elsewhere.path());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    let ask = |folder: &Path, args: &[&str]| relais_in(folder, args).status.success();
    let config = file.to_str().unwrap();
    while !ask(elsewhere.path(), &["status", "--config", config]) {
        assert!(started.elapsed() < Duration::from_secs(60), "the engine does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(beside.join("admin.sock").exists());
    assert!(!elsewhere.path().join("relais-data").exists());
    // In the file's folder nothing need be named.
    assert!(ask(beside.parent().unwrap(), &["status"]));
    assert!(ask(elsewhere.path(), &["stop", "--config", config]));
    child.wait().unwrap();
}

#[test]
fn check_without_a_file_says_that_it_checked_the_built_in_default() {
    let folder = tempfile::tempdir().unwrap();
    let output = relais_in(folder.path(), &["check"]);
    let said = text(&output.stdout);
    // One that somebody runs on this machine has its ports.
    assert!(output.status.success() || said.contains("another program listens"), "{output:?}");
    assert!(said.contains("this is the built-in default"), "{output:?}");
    let json = relais_in(folder.path(), &["check", "--json"]);
    serde_json::from_slice::<Value>(&json.stdout).unwrap();
    assert!(text(&json.stderr).contains("this is the built-in default"), "{json:?}");
}

#[test]
fn templates_nest_so_deep_and_no_deeper_in_the_file_and_when_an_address_comes() {
    let deep = |n: usize| format!("$U%{}x{}@localhost", "${T,".repeat(n), "}".repeat(n));
    // In the file: a mistake with its place.
    let rule = format!("rewrite_rules: [\n        (\"deep.test\", \"{}\"),", deep(16_000));
    let settings = Settings::standalone().edit("rewrite_rules: [", &rule);
    let (found, code) = findings(&Instance::new(settings));
    assert_eq!(code, Some(1));
    let finding = found.iter().find(|f| f["field"] == "rewrite_rules[0]").expect("named");
    assert!(finding["message"].as_str().unwrap().contains("nested too deeply"), "{finding}");
    // From the general database: parsed when a stranger's recipient comes.
    let settings = Settings::standalone()
        .edit("rewrite_rules: [", "rewrite_rules: [\n        (\"deep.test\", \"$($H$D)\"),")
        .section(&format!("general: {{\"deep.test\": \"{}\"}}", deep(16_000)));
    let instance = Instance::new(settings);
    let _running = instance.start();
    let reply = rcpt(instance.settings.smtp, "x@deep.test");
    assert!(reply.starts_with("550 "), "{reply}");
    assert!(instance.is_ready(), "{}", instance.log());
}

/// The reply to a stranger's RCPT.
fn rcpt(port: u16, address: &str) -> String {
    use std::io::{BufRead, BufReader, Write};
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let (mut lines, mut stream) = (BufReader::new(stream.try_clone().unwrap()).lines(), stream);
    let mut reply = String::new();
    for command in ["", "HELO x.test\r\n", "MAIL FROM:<>\r\n", &format!("RCPT TO:<{address}>\r\n")]
    {
        stream.write_all(command.as_bytes()).unwrap();
        reply = lines.next().expect("a reply").unwrap();
    }
    reply
}

#[test]
fn check_takes_time_and_memory_in_proportion_to_the_file_and_refuses_what_is_too_large() {
    let tables = |n: usize| {
        let table = |i| format!("        \"T{i}\": [(\"*\", \"$Y$0\"), (\"x{i}\", \"$N\")],\n");
        let tables: String = (0..n).map(table).collect();
        Settings::standalone().edit("mappings: {", &format!("mappings: {{\n{tables}"))
    };
    let took = |settings: Settings| {
        let instance = Instance::new(settings);
        let started = Instant::now();
        let output = instance.relais("check", &[]);
        assert!(output.status.success(), "{output:?}");
        started.elapsed()
    };
    let (few, many) = (took(tables(500)), took(tables(4_000)));
    assert!(many < few * 8 * 4 + Duration::from_secs(2), "{few:?} for 500, {many:?} for 4,000");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.ron");
    fs::write(&file, vec![b' '; 50_000_000]).unwrap();
    let mut command = Command::new("sh");
    command.arg("-c").arg("ulimit -v 1000000; exec \"$0\" check --config \"$1\"");
    let output = command.arg(program()).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stdout).contains("larger than 16 MiB"), "{output:?}");
}

#[test]
fn a_slip_is_told_in_words_of_the_file_with_its_place() {
    // what is changed, where the slip is shown, and what is said
    let rows = [
        ("// admin", "# admin", "\"#\" begins no comment here", "behind //"),
        ("host: \"localhost\"", "\"host\": \"localhost\"", "without quotes: host", "host: value"),
        ("pools: { ", "pools: ( ", "pools is a map: it stands in braces", "pools: {\"DEFAULT\""),
        (
            "interface_address: \"127.0.0.1\", ports: [2525]),",
            "interface_address: \"127.0.0.1\", ports: [2525],",
            "the ( of \"SMTP\" that was opened here is not closed",
            "a ) is missing before line",
        ),
        ("maxjobs: 7", "idle_time: 15 min", "15 min stands without quotes", "\"15 min\""),
    ];
    let base = example("standalone").replace("    admin: (", "    // admin\n    admin: (");
    for (from, to, message, accepted) in rows {
        assert!(base.contains(from), "{from}");
        let instance = Instance::new(Settings::standalone());
        fs::write(instance.path("relais.ron"), base.replacen(from, to, 1)).unwrap();
        let (found, code) = findings(&instance);
        assert_eq!(code, Some(1), "{to}");
        assert_eq!(found.len(), 1, "{to}: {found:#?}");
        let said = found[0]["message"].as_str().unwrap();
        assert!(said.contains(message) && said.contains(accepted), "{to}: {said}");
        assert!(found[0]["line"].as_u64() > Some(1), "{to}: {found:#?}");
    }
    let instance = Instance::new(Settings::standalone());
    fs::write(instance.path("relais.ron"), "myhostname = mail.example.org\n").unwrap();
    let (found, _) = findings(&instance);
    let said = found[0]["message"].as_str().unwrap();
    assert!(said.contains("no configuration of relais"), "{said}");
}

/// A directory with one slip of each kind.
const SLIPS: &str = "\
dn: o=x.test,dc=test
objectClass: sunManagedOrganization
sunPreferredDomain: x.test

dn: uid=jo,o=x.test,dc=test
objectClass: inetMailUser
uid: jo
mail: jo@x.test \x20
mailHost: localhost \x20

dn: uid=homeless,o=x.test,dc=test
objectClass: inetMailUser
uid: homeless
mail: homeless@x.test
mailDeliveryOption: mailbox

dn: uid=twin1,o=x.test,dc=test
objectClass: inetMailUser
uid: twin1
mail: twin@x.test
mailHost: localhost

dn: uid=twin2,o=x.test,dc=test
objectClass: inetMailUser
uid: twin2
mail: twin@x.test
mailHost: localhost

dn: uid=far,o=x.test,dc=test
objectClass: inetMailUser
uid: far
mail: far@undeclared.test
mailHost: localhost

dn: cn=lost,o=x.test,dc=test
objectClass: inetMailGroup
mail: lost@x.test
mgrpRFC822MailMember: jo@x.test
mgrpRFC822MailMember: nobody@x.test

dn: cn=a,o=x.test,dc=test
objectClass: inetMailGroup
mail: a@x.test
mgrpRFC822MailMember: b@x.test

dn: cn=b,o=x.test,dc=test
objectClass: inetMailGroup
mail: b@x.test
mgrpRFC822MailMember: a@x.test

dn: uid=quota,o=x.test,dc=test
objectClass: inetMailUser
uid: quota
mail: quota@x.test
mailHost: localhost
mailQuota: 1000 stamps
mailDeliveryOption: mailbx
mailUserStatus: enabled
";

#[test]
fn check_finds_the_slips_of_a_directory_and_our_own_mistakes_defer() {
    let settings = Settings::standalone()
        .edit("directory: Ldif()", "directory: Ldif(file: \"people.ldif\")")
        .edit("default_domain: \"relais.example\"", "default_domain: \"x.test\"")
        .section(
            "aliases: {\"sales\": [\"jo\"], \"gone\": [\"nobody@x.test\"], \"jo\": [\"sales\"]}",
        );
    let instance = Instance::new(settings);
    fs::create_dir_all(instance.data()).unwrap();
    fs::write(instance.data().join("people.ldif"), SLIPS).unwrap();
    let (found, code) = findings(&instance);
    assert_eq!(code, Some(0), "{found:#?}");
    let said = |field: &str, words: &[&str]| {
        found.iter().any(|finding| {
            let message = finding["message"].as_str().unwrap();
            finding["field"].as_str().unwrap().starts_with(field)
                && finding["line"].as_u64() > Some(1)
                && words.iter().all(|word| message.contains(word))
        })
    };
    for words in [
        &["uid=homeless", "homeless@x.test", "451 4.3.5 no host is known"][..],
        &["2 entries have the address twin@x.test", "uid=twin1", "uid=twin2"],
        &["uid=far", "declares the domain undeclared.test"],
        &["cn=lost", "leads to nobody@x.test", "550 5.1.1"],
        &["cn=a", "a@x.test", "leads back to itself"],
        &["uid=quota", "mailQuota \"1000 stamps\" does not count"],
        &["uid=quota", "no option \"mailbx\""],
        &["uid=quota", "mailuserstatus \"enabled\" is not known"],
    ] {
        assert!(said("directory.file", words), "{words:?} is not in {found:#?}");
    }
    assert!(said("aliases[\"gone\"]", &["the alias gone", "nobody@x.test"]), "{found:#?}");
    let both = ["the directory has jo@x.test, too, in uid=jo,", "never the alias"];
    assert!(said("aliases[\"jo\"]", &both), "{found:#?}");
    // Settings that are right are not spoken of.
    let of_jo = found.iter().any(|f| f["message"].as_str().unwrap().starts_with("uid=jo,"));
    assert!(!of_jo && !said("aliases[\"sales\"]", &[]), "{found:#?}");

    let _running = instance.start();
    for (address, reply) in [
        ("jo@x.test", "250 "),
        ("sales@x.test", "250 "),
        ("homeless@x.test", "451 4.3.5"),
        ("twin@x.test", "451 4.3.5"),
        ("nobody@x.test", "550 5.1.1"),
    ] {
        let said = rcpt(instance.settings.smtp, address);
        assert!(said.starts_with(reply), "{address}: {said}");
    }
}

#[test]
fn config_is_what_is_in_force_live_changes_included_and_loads_again() {
    let instance = Instance::new(Settings::standalone());
    let printed = |args: &[&str]| {
        let output = instance.relais("config", args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        text(&output.stdout)
    };
    let loads = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("relais.ron"), text).unwrap();
        let output = relais_in(folder.path(), &["check", "--json"]);
        assert!(output.status.success(), "{output:?}\n{text}");
    };
    assert!(printed(&[]).contains("no engine runs on "), "{}", printed(&[]));
    let _running = instance.start();
    for (key, value) in
        [("tcp_lmtpcs.maxjobs", "3"), ("SMTP_POOL.job_limit", "44"), ("tcp_lmtpcs.idle_time", "7s")]
    {
        let set = instance.relais("set", &[key, value]);
        assert!(set.status.success(), "{set:?}");
    }
    // The file is edited, but the engine has not read it.
    let edited = instance.settings.text().replace("max_messages: 100000", "max_messages: 5000");
    fs::write(instance.path("relais.ron"), edited).unwrap();
    let all = printed(&[]);
    for word in [
        "the engine that runs on",
        "live: tcp_lmtpcs.maxjobs is 3",
        "the file says 7",
        "maxjobs: 3",
        "job_limit: 44",
        "idle_time: \"7s\"",
        "max_messages: 100000",
        "normalbackoff: [\"1h\", \"2h\"",
        "notices: [\"3d\", \"6d\", \"9d\", \"12d\"]",
        "max_client_threads: 10",
    ] {
        assert!(all.contains(word), "{word} is not in\n{all}");
    }
    loads(&all);
    let changed = printed(&["--changed"]);
    loads(&changed);
    assert!(changed.contains("maxjobs: 3") && changed.contains("job_limit: 44"), "{changed}");
    for word in ["backoff", "max_messages", "min_free", "postmaster", "connect_time"] {
        assert!(!changed.contains(word), "{word} is in\n{changed}");
    }
    for (key, want) in [
        ("tcp_lmtpcs.maxjobs", "3 // 3 by relais set, until it stops; the file says 7"),
        ("tcp_lmtpcs.idle_time", "\"7s\" // 7s by relais set, until it stops; the file says 2s"),
        ("spool.min_free", "\"64MiB\""),
        ("channels[2].notices", "[\"3d\", \"6d\", \"9d\", \"12d\"]"),
        ("SMTP.max_conns", "50"),
        ("default_domain", "\"relais.example\""),
    ] {
        assert_eq!(printed(&[key]).trim_end(), want, "{key}");
    }
    let output = instance.relais("config", &["spool.min_fre"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("min_free"), "{output:?}");
}
