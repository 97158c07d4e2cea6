//! Parts of mail are looked at, taken out and replaced by the whole engine on their way from a client to
//! the store.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use relais_tests::{
    Dialogue, EICAR, ForeignFilter, Instance, Settings, eventually, is_root, mailbox, needs, within,
};
use tempfile::TempDir;

const MINUTE: Duration = Duration::from_secs(60);

/// An engine with a conversion channel, and a folder in which programs may write.
struct Converting {
    folder: TempDir,
    instance: Instance,
}

impl Converting {
    /// `entries` of the table; programs by label and script, in which `DIR` is the folder.
    fn new(entries: &str, programs: &[(&str, &str)], edit: impl Fn(Settings) -> Settings) -> Self {
        let folder = tempfile::Builder::new().prefix("conversion-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let place = folder.path().display().to_string();
        let user = if is_root() { "user: \"nobody\", " } else { "" };
        let program = |(label, script): &(&str, &str)| {
            let script = script.replace("DIR", &place).replace('$', "$$");
            format!(
                "{label:?}: (command: [\"/bin/sh\", \"-c\", {script:?}, \"sh\", \"$sender\"], \
                 {user}timeout: \"3s\"), "
            )
        };
        let programs = programs.iter().map(program).collect::<Vec<_>>().concat();
        let settings = Settings::standalone()
            .edit(
                "(name: \"process\",",
                "(name: \"conversion\", tag: \"conversion-daemon\", program: Conversion, \
                 backoff: [\"1s\"]),\n (name: \"process\",",
            )
            .section(&format!("conversions: [{entries}]"))
            .section(&format!("programs: {{{programs}}}"));
        Self { folder, instance: Instance::new(edit(settings)) }
    }

    fn send(&self, content: &str) {
        self.send_to(&["bob@relais.example"], content);
    }

    fn send_to(&self, to: &[&str], content: &str) {
        let mut client = Dialogue::open(self.instance.settings.smtp);
        let content = content.replace('\n', "\r\n");
        client.message("alice@relais.example", to, content.as_bytes()).expect(250);
    }

    /// The messages that a user has, without the fields that the way has put before them.
    fn mail(&self, user: &str) -> Vec<String> {
        let all = mailbox(&self.instance.store(), "relais.example", user);
        let text = |mail: Vec<u8>| {
            let text = String::from_utf8_lossy(&mail).replace("\r\n", "\n");
            let at = text.find("X-First: 1\n").unwrap_or(0);
            text[at..].to_owned()
        };
        all.into_iter().map(text).collect()
    }

    #[track_caller]
    fn arrives(&self, user: &str, count: usize) -> Vec<String> {
        let all = || self.mail(user).len() == count;
        assert!(within(MINUTE, all), "{:#?} {}", self.instance.queue(), self.instance.log());
        self.mail(user)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn parts(&self, result: &str) -> f64 {
        self.instance.metric(&format!("relais_conversion_parts_total{{result=\"{result}\"}}"))
    }
}

const HEAD: &str = "X-First: 1\nFrom: alice@relais.example\nSubject: x\nMIME-Version: 1.0\n\
                    Content-Type: multipart/mixed; boundary=b\n\nprologue\n";

fn mixed(parts: &[&str]) -> String {
    let parts = parts.iter().map(|part| format!("--b\n{part}\n"));
    let parts = parts.collect::<Vec<_>>().concat();
    format!("{HEAD}{parts}--b--\nepilogue\n")
}

const EXE: &str = "Content-Type: application/octet-stream; name=\"a.exe\"\n\
                   Content-Transfer-Encoding: base64\n\nTVqQAAMAAAAEAAAA";

#[test]
fn an_attachment_goes_and_everything_else_stays_to_the_octet() {
    let entries =
        "(out_channel: \"tcp_lmtp*\", in_filename: \"*.exe\", action: Delete, text: \"gone\")";
    let converting = Converting::new(entries, &[], |settings| settings);
    let check = converting.instance.relais("check", &[]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let _running = converting.instance.start();
    let text = "Content-Type: text/plain; charset=utf-8\n\n\u{fc} = 1 \n.dot";
    converting.send(&mixed(&[text, EXE, "X-Odd:  y\n\n--c\n"]));
    let plain = mixed(&[text]);
    converting.send_to(&["bob@relais.example", "alice@relais.example"], &plain);
    let mail = converting.arrives("bob", 2);
    let gone = "Content-Type: text/plain;\n charset=\"utf-8\"\n\
                Content-Transfer-Encoding: quoted-printable\nContent-Disposition: inline\n\ngone";
    assert!(mail.contains(&mixed(&[text, gone, "X-Odd:  y\n\n--c\n"])), "{mail:#?}");
    assert!(mail.contains(&plain), "{mail:#?}");
    assert_eq!(converting.arrives("alice", 1), [plain]);
    eventually("nothing waits", MINUTE, || converting.instance.queue().is_empty());
    assert!((converting.parts("deleted") - 1.0).abs() < 0.1);
    let log = converting.instance.log();
    assert!(
        log.contains("a part is converted") && log.contains("from channel conversion"),
        "{log}"
    );
    let route = converting.instance.relais("route", &["bob@relais.example"]);
    let route = String::from_utf8_lossy(&route.stdout).into_owned();
    assert!(route.contains("goes by the channel conversion first"), "{route}");
}

#[test]
fn programs_look_at_parts_and_replace_them() {
    let entries = "(in_type: \"application\", in_subtype: \"x-virus\", action: Bounce, text: \"no viruses\"), \
                   (in_type: \"application\", action: Scan, program: \"scan\", bounce_status: [1], \
                    hold_status: [2], delete_status: [3], text: \"found\", go_on: true), \
                   (in_subtype: \"msword\", action: Run, program: \"text\", out_type: \"text\", \
                    out_subtype: \"plain\", out_parameters: {\"charset\": \"utf-8\"}), \
                   (in_subtype: \"x-old\", action: Run, program: \"old\", options: true)";
    let scan = "read word; echo \"$1 $INPUT_TYPE/$INPUT_SUBTYPE $INPUT_FILENAME $word $(id -un)\" >> DIR/told; \
                echo a.zip: STATUS=NOCHANGE >&2; echo STATUS=NOCHANGE >&2; case $word in virus) exit 1;; odd) exit 2;; bad) exit 3;; esac";
    // As scripts of the original are written.
    let old = "tr a-z A-Z < $INPUT_FILE > $OUTPUT_FILE; \
               (echo OUTPUT_TYPE=text; echo OUTPUT_SUBTYPE=x-new) > $OUTPUT_OPTIONS";
    let programs = [("scan", scan), ("text", "sed 's/^/text: /'"), ("old", old)];
    let converting = Converting::new(entries, &programs, |settings| settings);
    let _running = converting.instance.start();
    let part = |kind: &str, text: &str| {
        format!("Content-Type: application/{kind}; name=\"a b\"\nX-Kept: 1\n\n{text}")
    };
    for word in ["virus", "odd", "bad"] {
        converting.send(&mixed(&[&part("x", word)]));
    }
    converting.send(&mixed(&[&part("msword", "\u{fc}ber\nus"), &part("x-old", "old")]));
    let mail = converting.arrives("bob", 2);
    let deleted = "Content-Type: text/plain;\n charset=\"utf-8\"\nX-Kept: 1\n\
                   Content-Disposition: inline\nContent-Transfer-Encoding: quoted-printable\n\nfound";
    let text = "Content-Type: text/plain;\n name=\"a b\";\n charset=\"utf-8\"\nX-Kept: 1\n\
                Content-Transfer-Encoding: quoted-printable\n\ntext: =C3=BCber\ntext: us";
    let new = "Content-Type: text/x-new;\n name=\"a b\"\nX-Kept: 1\n\
               Content-Transfer-Encoding: quoted-printable\n\nOLD";
    assert!(mail.contains(&mixed(&[deleted])), "{mail:#?}");
    assert!(mail.contains(&mixed(&[text, new])), "{mail:#?}");
    converting.arrives("alice", 1);
    let notice = mailbox(&converting.instance.store(), "relais.example", "alice").concat();
    let notice = String::from_utf8_lossy(&notice).into_owned();
    assert!(notice.contains("5.7.1") && notice.contains("found"), "{notice}");
    let account = if is_root() { "nobody" } else { "" };
    let told = converting.read("told");
    let line = format!("alice@relais.example application/x a_b virus {account}");
    assert!(told.contains(&line), "{told}");
    eventually("one is held", MINUTE, || {
        let queue = converting.instance.queue();
        queue.len() == 1 && queue[0]["state"] == "held" && queue[0]["channel"] == "tcp_lmtpcs"
    });
    let id = converting.instance.queue()[0]["id"].as_str().unwrap().to_owned();
    converting.instance.relais("queue", &["release", &id]);
    let mail = converting.arrives("bob", 3);
    assert!(mail.contains(&mixed(&[&part("x", "odd")])), "as it was: {mail:#?}");
    assert_eq!(fs::read_dir(converting.instance.data().join("conversion")).unwrap().count(), 0);
    let log = converting.instance.log();
    assert!(log.contains("lines of options count for entries with options: true"), "{log}");
}

#[test]
fn a_program_that_hangs_fails_or_floods_loses_nothing() {
    let entries = "(in_subtype: \"slow\", action: Run, program: \"slow\"), \
                   (in_subtype: \"flood\", action: Run, program: \"flood\", output_size: 100000), \
                   (in_subtype: \"fail\", action: Scan, program: \"fail\"), \
                   (in_subtype: \"noise\", action: Run, program: \"noise\"), \
                   (in_subtype: \"greedy\", action: Run, program: \"greedy\", memory: \"64MiB\")";
    let go = "test -f DIR/go && cat && exit 0";
    let scripts = [
        ("slow", format!("{go}; sleep 1000")),
        ("flood", format!("{go}; yes")),
        ("noise", format!("{go}; exec yes >&2")),
        ("fail", format!("{go}; echo it went wrong >&2; exit 75")),
        ("greedy", format!("{go}; exec python3 -c 'print(len(bytearray(1 << 28)))'")),
    ];
    let scripts: Vec<(&str, &str)> = scripts.iter().map(|(label, it)| (*label, &**it)).collect();
    let converting = Converting::new(entries, &scripts, |settings| settings);
    let running = converting.instance.start();
    for kind in ["slow", "flood", "noise", "fail", "greedy"] {
        converting.send(&mixed(&[&format!("Content-Type: application/{kind}\n\n{kind}")]));
    }
    let waiting = || {
        let queue = converting.instance.queue();
        queue.iter().map(ToString::to_string).collect::<Vec<_>>().concat()
    };
    for want in [
        "took longer than 3s",
        "printed more than 100000 octets",
        "wrote more than 1048576 octets to standard error",
        "it went wrong",
        "greedy: it ended",
    ] {
        eventually(want, MINUTE, || waiting().contains(want));
    }
    assert!(converting.mail("bob").is_empty());
    assert!(running.memory().peak < 400 << 20);
    fs::write(converting.folder.path().join("go"), "").unwrap();
    let mail = converting.arrives("bob", 5);
    assert!(mail.iter().all(|mail| mail.contains("epilogue")), "{mail:#?}");
    eventually("nothing waits", MINUTE, || converting.instance.queue().is_empty());
}

#[test]
fn pieces_meet_whose_way_has_changed_meanwhile() {
    let entries =
        "(in_channel: \"tcp_lmtpss\", in_filename: \"*.exe\", action: Delete, text: \"gone\")";
    let converting = Converting::new(entries, &[], |settings| {
        settings.channel("tcp_lmtpcs", "defragment: true")
    });
    let instance = &converting.instance;
    let _running = instance.start();
    let piece = |number: usize, body: &str| {
        format!(
            "From: alice@relais.example\nMIME-Version: 1.0\nContent-Type: message/partial; \
             id=\"a@x\"; number={number}; total=2\n\n{body}"
        )
    };
    let whole = mixed(&[EXE]);
    let (begin, end) = whole.split_at(whole.find("TVqQ").unwrap());
    converting.send(&piece(1, begin));
    eventually("it waits", MINUTE, || instance.queue().len() == 1);
    let file = instance.path("relais.ron");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("in_channel: \"tcp_lmtpss\"", "in_channel: \"tcp_local\""))
        .unwrap();
    let reload = instance.relais("reload", &[]);
    assert!(reload.status.success(), "{reload:?}");
    converting.send(&piece(2, end));
    let mail = converting.arrives("bob", 1).remove(0);
    assert!(mail.contains("\n\ngone\n") && !mail.contains("TVqQ"), "{mail}");
    eventually("nothing waits", MINUTE, || instance.queue().is_empty());
}

#[test]
fn programs_of_debian_do_as_the_handbook_has_them() {
    if !needs(&[
        "/usr/bin/clamdscan",
        "/usr/bin/antiword",
        "/usr/sbin/clamd",
        "/usr/sbin/clamav-milter",
    ]) {
        return;
    }
    let clamav = ForeignFilter::clamav();
    let conf = clamav.file("clamd.conf").display().to_string();
    let entries = "(in_channel: \"tcp_local\", action: Scan, program: \"clamav\", bounce_status: [1], \
                    text: \"it has a virus\", go_on: true), \
                   (in_type: \"application\", in_subtype: \"msword\", action: Run, program: \"antiword\", \
                    keep_status: [1], memory: \"512MiB\", out_type: \"text\", out_subtype: \"plain\", \
                    out_parameters: {\"charset\": \"utf-8\"})";
    let scan = format!("exec /usr/bin/clamdscan --config-file={conf} --no-summary -");
    let programs = [("clamav", &*scan), ("antiword", "exec /usr/bin/antiword -m UTF-8.txt -")];
    let converting = Converting::new(entries, &programs, |settings| settings);
    let _running = converting.instance.start();
    // Many programs call RTF so; antiword reads none.
    let rich = mixed(&["Content-Type: application/msword; name=\"a.doc\"\n\n{\\rtf1 text}"]);
    let virus = mixed(&[&format!("Content-Type: application/x\n\n{EICAR}")]);
    converting.send(&rich);
    assert_eq!(converting.arrives("bob", 1), std::slice::from_ref(&rich));
    converting.send(&virus);
    converting.arrives("alice", 1);
    let notice = mailbox(&converting.instance.store(), "relais.example", "alice").remove(0);
    let notice = String::from_utf8_lossy(&notice);
    assert!(notice.contains("550 5.7.1 it has a virus"), "{notice}");
    drop(clamav);
    converting.send(&rich);
    let waits = || {
        let queue = converting.instance.queue();
        queue.len() == 1 && queue[0].to_string().contains("it ended with status 2")
    };
    eventually("nothing goes by unseen", MINUTE, waits);
    assert_eq!(converting.mail("bob").len(), 1);
    assert!((converting.parts("kept") - 2.0).abs() < 0.1, "{}", converting.parts("kept"));
}

#[test]
fn a_program_that_hangs_is_left_alone_and_mail_that_does_not_need_it_goes_on() {
    let entries = "(in_subtype: \"slow\", action: Run, program: \"slow\")";
    let slow = "echo begun >> DIR/told; test -f DIR/go && exec cat; exec sleep 1000";
    let converting = Converting::new(entries, &[("slow", slow)], |settings| settings);
    let _running = converting.instance.start();
    let part = |kind: &str| mixed(&[&format!("Content-Type: application/{kind}\n\n{kind}")]);
    let slow = 40;
    for _ in 0..slow {
        converting.send(&part("slow"));
    }
    let says = |text: &str| {
        let queue = converting.instance.queue();
        queue.iter().any(|entry| entry.to_string().contains(text))
    };
    eventually("it is left alone", MINUTE, || says("it has hung, and is tried again in"));
    let runs = || converting.read("told").lines().count();
    let before = runs();
    for _ in 0..20 {
        converting.send(&part("other"));
    }
    converting.arrives("bob", 20);
    assert!(runs() < before + 10, "{before} runs, then {}", runs());
    let log = converting.instance.log();
    assert!(log.contains("over 3 messages in a row: it is left alone for 9s"), "{log}");
    fs::write(converting.folder.path().join("go"), "").unwrap();
    converting.arrives("bob", 20 + slow);
    eventually("nothing waits", MINUTE, || converting.instance.queue().is_empty());
}

#[test]
fn conversions_see_the_whole_of_a_message_in_pieces() {
    let entries = "(in_filename: \"*.exe\", action: Delete, text: \"gone\"), \
                   (in_type: \"message\", in_subtype: \"partial\", action: Hold, text: \"a piece\")";
    let converting = Converting::new(entries, &[], |settings| {
        settings.channel("tcp_lmtpcs", "defragment: true, defragment_for: \"6s\"")
    });
    let check = converting.instance.relais("check", &[]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let running = converting.instance.start();
    let text = "Content-Type: text/plain; charset=utf-8\n\ntext";
    let whole = mixed(&[text, EXE]);
    let (begin, end) = whole.split_at(whole.find("TVqQ").unwrap());
    let piece = |id: &str, number: usize, body: &str| {
        format!(
            "From: alice@relais.example\nMIME-Version: 1.0\nContent-Type: message/partial; \
             id=\"{id}@x\"; number={number}; total=2\n\n{body}"
        )
    };
    converting.send(&piece("both", 2, end));
    eventually("it waits", MINUTE, || converting.instance.queue().len() == 1);
    running.kill();
    let _running = converting.instance.start();
    converting.send(&piece("both", 1, begin));
    converting.send(&piece("half", 1, begin));
    let mail = converting.arrives("bob", 1).remove(0);
    assert!(mail.contains("\n\ntext\n") && mail.contains("\n\ngone\n"), "{mail}");
    assert!(!mail.contains("TVqQ") && !mail.contains("partial"), "{mail}");
    let half = || {
        let queue = converting.instance.queue();
        let entry = queue.first().filter(|_| queue.len() == 1);
        entry.is_some_and(|its| its["state"] == "held" && its["channel"] == "tcp_lmtpcs")
    };
    assert!(within(MINUTE, half), "{:#?}", converting.instance.queue());
    let metric = |name| converting.instance.metric(&format!("relais_defragment_{name}"));
    assert!((metric("put_together_total") - 1.0).abs() < 0.1);
    assert!((metric("pieces")).abs() < 0.1);
    assert_eq!(converting.mail("bob").len(), 1);
}

#[test]
fn kill_9_in_the_middle_loses_and_doubles_nothing() {
    let entries = "(in_subtype: \"x\", action: Run, program: \"slow\")";
    let slow = "echo begun >> DIR/told; while ! test -f DIR/go; do sleep 0.05; done; tr a-z A-Z";
    let converting = Converting::new(entries, &[("slow", slow)], |settings| settings);
    let instance = &converting.instance;
    let running = instance.start();
    // Converted mail waits here, so that nothing but conversions is broken off.
    let order = |what: &str| {
        let output = instance.relais("channel", &[what, "tcp_lmtpcs"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    };
    order("stop");
    let count = 12;
    let part = |n: usize| format!("Content-Type: application/x\n\nbody {n:02}");
    for n in 0..count {
        converting.send(&mixed(&[&part(n)]));
    }
    eventually("programs run", MINUTE, || !converting.read("told").is_empty());
    running.kill();
    let running = instance.start();
    eventually("they run once more", MINUTE, || converting.read("told").lines().count() > 1);
    fs::write(converting.folder.path().join("go"), "").unwrap();
    let converted =
        || instance.queue().iter().filter(|entry| entry["channel"] == "tcp_lmtpcs").count();
    eventually("some are converted", MINUTE, || converted() > 0);
    running.kill();
    let _running = instance.start();
    let all = || instance.queue().len() == count && converted() == count;
    assert!(within(MINUTE, all), "{:#?}", instance.queue());
    order("start");
    let mail = converting.arrives("bob", count);
    for n in 0..count {
        let body = STANDARD.encode(format!("BODY {n:02}"));
        let copies = mail.iter().filter(|mail| mail.contains(&body)).count();
        assert_eq!(copies, 1, "{n}: {mail:#?}");
    }
    eventually("nothing waits", MINUTE, || instance.queue().is_empty());
    assert_eq!(converting.mail("bob").len(), count);
}

#[test]
fn what_waits_for_a_conversion_is_found_by_the_host_that_it_goes_on_to() {
    let entries = "(in_subtype: \"x\", action: Run, program: \"late\")";
    let converting = Converting::new(entries, &[("late", "exit 9")], |settings| settings);
    let instance = &converting.instance;
    let _running = instance.start();
    assert!(instance.relais("channel", &["stop", "conversion"]).status.success());
    converting.send(&mixed(&["Content-Type: application/x\n\nbody"]));
    let [entry] = &instance.queue()[..] else { panic!("{:#?}", instance.queue()) };
    assert_eq!(entry["host"], "tcp_lmtpcs/localhost", "{entry}");
    let list = |host: &str| instance.relais("queue", &["list", "--host", host]).stdout;
    let id = entry["id"].as_str().unwrap();
    for (host, want) in [("localhost", true), ("tcp_lmtpcs/localhost", true), ("other", false)] {
        let listed = String::from_utf8_lossy(&list(host)).into_owned();
        assert_eq!(listed.contains(id), want, "{host}: {listed}");
    }
    let why = String::from_utf8_lossy(&instance.relais("queue", &["why", id]).stdout).into_owned();
    let way =
        "Its parts are looked at (conversions) on its way to localhost by channel tcp_lmtpcs.";
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(why.contains(way) && !why.contains("another one now"), "{why}");
}

#[test]
fn texts_get_another_charset_and_tables_say_which_mail_is_looked_at() {
    let tables = "mappings: {\"CONVERSIONS\": [(\"IN-CHAN=*;OUT-CHAN=tcp_none;CONVERT\", \"Yes\")], \
                  \"CHARSET-CONVERSION\": [(\"IN-CHAN=tcp_local;OUT-CHAN=*;CONVERT\", \"Yes\"), \
                  (\"IN-CHAN=*;OUT-CHAN=*;IN-CHARSET=iso-8859-1\", \"OUT-CHARSET=utf-8\"), \
                  (\"IN-CHAN=*;OUT-CHAN=*;IN-CHARSET=x-own\", \"OUT-CHARSET=koi8-r,RELABEL-ONLY=1\")],";
    let converting = Converting::new("", &[], |settings| settings.edit("mappings: {", tables));
    let check = converting.instance.relais("check", &[]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let _running = converting.instance.start();
    let latin = "Content-Type: text/html; charset=ISO-8859-1\nContent-Transfer-Encoding: \
                 quoted-printable\n\nGr=FC=DFe =3D =\nx";
    let own = "Content-Type: text/plain; charset=x-own\n\nx";
    converting.send(&mixed(&[latin, own, EXE]));
    let mail = converting.arrives("bob", 1).remove(0);
    let latin = "Content-Type: text/html;\n charset=\"utf-8\"\nContent-Transfer-Encoding: \
                 quoted-printable\n\nGr=C3=BC=C3=9Fe =3D x";
    assert_eq!(mail, mixed(&[latin, own, EXE]), "a name of no charset is left alone");
}

#[test]
fn a_large_message_does_not_lie_in_memory() {
    let entries = "(in_type: \"application\", action: Run, program: \"cat\", out_subtype: \"y\")";
    let converting = Converting::new(entries, &[("cat", "cat")], |settings| settings);
    let running = converting.instance.start();
    let line = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789a\n";
    let body = line.repeat((24 << 20) / line.len());
    let before = running.memory().peak;
    converting.send(&mixed(&[&format!("Content-Type: application/x\n\n{body}"), EXE]));
    let mail = converting.arrives("bob", 1).remove(0);
    assert!(mail.len() > 32 << 20 && mail.ends_with("--b--\nepilogue\n"));
    assert!(mail.contains("Content-Type: application/y") && !mail.contains("application/x"));
    let more = running.memory().peak - before;
    assert!(more < 20 << 20, "{more}");
}
