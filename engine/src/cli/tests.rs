//! Commands as operators type them, against a console without an engine.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use relais_channels::mail::{Entry, Envelope, MessageId, Recipient};
use relais_config::{Config, admin::Admin};
use relais_storage::{NewContent, QueueStorage};

use relais_actors::front::inherited::Inherited;

use super::*;
use crate::{
    admin::{Console, Endpoint, Offer, client::Client, fake::Fake},
    console::explain::FILES,
    logging::Sink,
    state::audit::AuditLog,
};

/// An engine that does nothing but answer.
struct Idle {
    fake: Fake,
    config: Config,
}

impl Runnable for Idle {
    type Console = Fake;
    type Error = String;

    fn new(config: Config, _: Reread, _: Inherited, _: Sink, _: AuditLog) -> Self {
        Self { fake: Fake::default(), config }
    }

    fn console(&self) -> Fake {
        self.fake.clone()
    }

    async fn start(&mut self) -> Result<Vec<Listening>, String> {
        let place = |service: &relais_config::Service| Listening {
            service: service.name.clone(),
            places: service.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect(),
        };
        Ok(self.config.dispatcher.services.iter().map(place).collect())
    }

    async fn ended(&self) -> Result<String, String> {
        while self.fake.0.stops.load(Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok("asked to".to_owned())
    }

    async fn drain(self) {}
}

/// Exit status and standard output.
fn relais(arguments: &[&str]) -> (ExitCode, String) {
    let mut out = Vec::new();
    let arguments = ["relais"].iter().chain(arguments).map(OsString::from);
    let code = main::<Idle>(arguments, FILES, &mut out);
    (code, String::from_utf8(out).unwrap())
}

fn refusal(arguments: &[&str]) -> String {
    let arguments = ["relais"].iter().chain(arguments);
    let arguments = Arguments::try_parse_from(arguments).unwrap();
    match perform::<Idle>(arguments, FILES, &mut Vec::new()) {
        Err(Refusal::Because(why) | Refusal::NotFound(why) | Refusal::WrongUse(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// A directory with an engine on it that answers and has 600 entries in its queue.
fn answering() -> (tempfile::TempDir, Fake, Endpoint) {
    let (data, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    fake.0.entries.store(600, Relaxed);
    let audit = AuditLog::new(data.path(), &Admin::default());
    let endpoint = Endpoint::start(fake.clone(), data.path(), Offer::default(), audit).unwrap();
    (data, fake, endpoint)
}

fn write(dir: &Path, text: &str) -> String {
    let file = dir.join("relais.ron");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn every_command_answers_people_and_scripts() {
    let (data, fake, _endpoint) = answering();
    let data = data.path().to_str().unwrap();
    // command, what people read, what scripts read
    let rows = [
        ("status", "SMTP     tcp_local", "\"services\":[{"),
        ("counters", "tcp_local  received", "{\"tcp_local\":{"),
        ("cert", "has no certificate", "[]"),
        ("queue summary", "tcp_lmtpcs         3", "\"channels\":[{"),
        ("queue show 0000000000001", "from    <ann@example.org>", "\"id\":\"0000000000001\""),
        ("queue list --limit 2", "\n2 entries\n", "{\"id\":\"0000000000000\""),
        ("route alice@relais.example", "accepted: 250", "\"accepted\":true"),
    ];
    for (command, people, scripts) in rows {
        let words: Vec<_> = command.split(' ').chain(["--data", data]).collect();
        let (code, text) = relais(&words);
        assert_eq!(code, ExitCode::SUCCESS, "{command}");
        assert!(text.contains(people), "{command}: {text}");
        let (code, text) = relais(&[&words[..], &["--json"]].concat());
        assert_eq!(code, ExitCode::SUCCESS, "{command}");
        assert!(text.contains(scripts), "{command}: {text}");
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).expect(command);
        }
    }
    let (code, _) = relais(&["stop", "--data", data]);
    assert_eq!((code, fake.0.stops.load(Relaxed)), (ExitCode::SUCCESS, 1));
}

#[test]
fn texts_that_nobody_sees_and_names_longer_than_any_are_wrong_use() {
    let (data, _fake, _endpoint) = answering();
    let (data, long) = (data.path().to_str().unwrap(), "a".repeat(70_000));
    let order = ["order", "add", "hold", "--from", "@a.test", "--reason"];
    let rows = [
        [&order[..], &["closed\u{202e}"]].concat(),
        [&order[..], &["a\u{2066}b"]].concat(),
        [&order[..], &["a\nb"]].concat(),
        vec!["send", "-F", "\u{202e}ann", "--to", "bob@a.test"],
        vec!["trace", &long],
        vec!["trace", "--json", &long],
        vec!["trace", "--forget", &long],
    ];
    for words in rows {
        let (code, _) = relais(&[&words[..], &["--data", data]].concat());
        assert_eq!(code, ExitCode::from(2), "{:?}", &words[..2]);
    }
    let why = refusal(&["trace", &long, "--data", data]);
    assert_eq!(why, "the name is too long: it has 70000 octets, and 4096 are the most");
    let (code, text) = relais(&["trace", &long[..4_096], "--data", data]);
    assert_ne!(code, ExitCode::from(2), "{text}");
}

#[test]
fn a_listing_holds_every_entry() {
    let (data, _fake, _endpoint) = answering();
    let data = data.path().to_str().unwrap();
    let (_, text) = relais(&["queue", "list", "--json", "--data", data]);
    assert_eq!(text.lines().count(), 600);
    let (_, text) = relais(&["queue", "list", "--data", data]);
    assert!(text.ends_with("\n600 entries\n"), "{text}");
    assert_eq!(text.matches("STATE").count(), 1, "in a pipe there is one heading");
    let (code, text) = relais(&["queue", "list", "--held", "--data", data]);
    assert_eq!((code, text.as_str()), (ExitCode::SUCCESS, "0 entries\n"));
}

#[test]
fn no_is_1_and_wrong_use_is_2() {
    let (data, _fake, _endpoint) = answering();
    let data = data.path().to_str().unwrap();
    let nobody = tempfile::tempdir().unwrap();
    let nobody = nobody.path().to_str().unwrap();
    let rows: [(&[&str], u8); 19] = [
        (&["route", "bob@elsewhere.example"], 1),
        (&["status", "--data", nobody], 1),
        (&["stop", "--data", nobody], 1),
        (&["queue", "show", "0000000000002", "--data", data], 1),
        (&["queue", "show", "../status", "--data", data], 2),
        (&["queue", "list", "--state", "lost", "--data", data], 2),
        (&["queue", "list", "--older-than", "soon", "--data", data], 2),
        (&["queue", "delete", "--from", "", "--data", data], 2),
        (&["queue", "list", "--channel", "", "--data", data], 2),
        (&["queue"], 2),
        (&["spool"], 2),
        (&["spool", "check", "--data", nobody], 1),
        (&["route"], 2),
        (&["route", "a@b", "--channel", "nowhere"], 2),
        (&["reload", "--data", nobody], 1),
        (&["restart", "--data", nobody], 1),
        (&["status", "--jason"], 2),
        (&["--config", "/nonexistent.ron", "check"], 1),
        (&["--help"], 0),
    ];
    for (arguments, want) in rows {
        assert_eq!(relais(arguments).0, ExitCode::from(want), "{arguments:?}");
    }
}

#[test]
fn a_refusal_says_what_to_do() {
    let nobody = tempfile::tempdir().unwrap();
    let data = nobody.path().to_str().unwrap();
    let want = format!(
        "no engine is running on {data} (no admin.sock); that is what --data says; is it the one \
         the engine runs with?"
    );
    assert_eq!(refusal(&["status", "--data", data]), want);
    let want = "there is no channel \"tcp_lmtpc\"; did you mean tcp_lmtpcs? there are: tcp_lmtpcs, \
                tcp_lmtpss, tcp_local, ";
    let said = refusal(&["route", "a@b", "--channel", "tcp_lmtpc"]);
    assert!(said.starts_with(want), "{said}");
    let (data, _fake, _endpoint) = answering();
    let data = data.path().to_str().unwrap();
    let want = "no message 0000000000002 in the queue";
    assert_eq!(refusal(&["queue", "show", "0000000000002", "--data", data]), want);
}

#[test]
fn a_spool_is_checked_and_its_index_rebuilt_without_an_engine() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    assert!(refusal(&["spool", "check", "--data", data]).starts_with("there is no spool in "));
    let place = store_two(&dir.path().join("spool"));

    let (code, out) = relais(&["spool", "check", "--data", data]);
    assert_eq!(code, ExitCode::SUCCESS, "{out}");
    assert!(out.contains("messages: 2 alive, 0 held, 0 done"), "{out}");
    assert!(out.ends_with("no damage\n"), "{out}");
    let (code, out) = relais(&["spool", "rebuild", "--data", data]);
    assert_eq!(code, ExitCode::SUCCESS, "{out}");
    assert!(out.starts_with("tcp_local: 2 untried, 0 tried, 0 held\n"), "{out}");
    assert!(out.contains("index of 2 entries made from "), "{out}");
    let (_, out) = relais(&["spool", "rebuild", "--json", "--data", data]);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["entries"]["tcp_local"]["untried"], 2, "{out}");
    let lock = crate::state::lock::Lock::acquire(dir.path()).unwrap();
    let refused = refusal(&["spool", "rebuild", "--data", data]);
    assert!(refused.starts_with("another engine (process "), "{refused}");
    drop(lock);

    let path = dir.path().join("spool/00000001.msg");
    let mut octets = std::fs::read(&path).unwrap();
    octets[(place.offset + place.length) as usize - 1] ^= 1;
    std::fs::write(&path, octets).unwrap();
    let (code, out) = relais(&["spool", "check", "--data", data]);
    assert_eq!(code, ExitCode::from(1), "{out}");
    let want = format!("damaged: 00000001.msg, offset {}, ", place.offset);
    assert!(out.starts_with(&want) && out.contains(", message 0000000000001\n"), "{out}");
    assert!(out.ends_with("1 damaged, 0 missing\n"), "{out}");
    let (code, out) = relais(&["spool", "check", "--json", "--data", data]);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["damage"][0]["acknowledged"]), (ExitCode::from(1), &true.into()));
}

#[test]
fn every_command_that_shows_something_takes_json() {
    fn walk(command: &clap::Command, path: &str, without: &mut Vec<String>) {
        let inner: Vec<_> =
            command.get_subcommands().filter(|inner| inner.get_name() != "help").collect();
        for inner in &inner {
            walk(inner, format!("{path} {}", inner.get_name()).trim_start(), without);
        }
        if inner.is_empty() && !command.get_arguments().any(|its| its.get_id() == "json") {
            without.push(path.to_owned());
        }
    }
    let mut without = Vec::new();
    walk(&<arguments::Arguments as clap::CommandFactory>::command(), "", &mut without);
    assert_eq!(
        without,
        [
            "run",
            "metrics",
            "channel stop",
            "channel start",
            "send",
            "completions",
            "man",
            "stop",
            "start",
            "restart"
        ],
        "these show nothing, or in a form of others"
    );
}

#[test]
fn a_size_that_is_none_is_answered_by_what_is_taken() {
    for (size, want) in [
        ("1q", relais_config::units::SIZE_FORMS),
        ("much", relais_config::units::SIZE_FORMS),
        ("99999999999GiB", "is too large"),
    ] {
        let typed = ["relais", "queue", "list", "--larger-than", size];
        let refused = <arguments::Arguments as clap::Parser>::try_parse_from(typed);
        let said = refused.expect_err(size).to_string();
        assert!(said.contains(want), "{said}");
    }
}

/// Stores two messages; says where the first is.
fn store_two(dir: &Path) -> relais_storage::Place {
    let settings = relais_config::Spool::default();
    let (opened, _) =
        relais_spool::Spool::open(dir, &settings, Arc::new(relais_spool::RealDisk)).unwrap();
    actix_rt::System::new().block_on(async {
        let spool = opened.start(|_| ()).unwrap();
        let mut places = Vec::new();
        for id in 1..=2 {
            let recipients = vec![Recipient::new("r@example.org", "r")];
            let (channel, host) = ("tcp_local".into(), "example.org".into());
            let envelope = Envelope {
                sender: "s@example.net".into(),
                source_channel: "tcp_local".into(),
                client: "client [192.0.2.1]".into(),
                ..Envelope::plain(MessageId(id), id, vec![Entry { channel, host, recipients }])
            };
            let content = NewContent::Whole("hello".into());
            places.push(spool.append(&mut envelope.into(), content).await.unwrap().place);
        }
        spool.close().await.unwrap();
        places[0]
    })
}

#[test]
fn check_tells_every_mistake_and_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let text = relais_config::STANDALONE.replace("maxjobs: 7", "maxjobs: 0");
    let text = text.replace("program: Hold", "program: Held");
    let file = write(dir.path(), &text);
    let (code, out) = relais(&["check", "--config", &file]);
    assert_eq!(code, ExitCode::from(1));
    assert!(out.contains(": 2 mistakes, "), "{out}");
    assert!(out.contains("^^^^"), "{out}");
    let (code, out) = relais(&["check", "--json", "--config", &file]);
    assert_eq!(code, ExitCode::from(1));
    let mistakes: serde_json::Value = serde_json::from_str(&out).unwrap();
    for key in ["file", "line", "column", "field", "message"] {
        assert!(mistakes.as_array().unwrap().iter().all(|m| m.get(key).is_some()), "{key}");
    }
    let of = |severity: &str| {
        let all = mistakes.as_array().unwrap().iter();
        all.filter(|finding| finding["severity"] == severity).count()
    };
    assert_eq!(of("error"), 2, "{out}");
    assert_eq!(of("error") + of("warning"), mistakes.as_array().unwrap().len(), "{out}");
    assert!(refusal(&["run", "--config", &file]).starts_with("2 mistakes in "));
}

#[test]
fn the_configuration_in_force_loads_again() {
    let (code, default) = relais(&["config", "--default"]);
    assert_eq!((code, default.as_str()), (ExitCode::SUCCESS, relais_config::STANDALONE));
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), &default);
    let (code, printed) = relais(&["config", "--config", &file, "--data", "/elsewhere"]);
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(printed.contains("data: \"/elsewhere\""), "{printed}");
    let file = write(dir.path(), &printed);
    assert_eq!(relais(&["check", "--config", &file]).0, ExitCode::SUCCESS);
}

#[test]
fn run_says_where_it_is_and_ends_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let file =
        write(dir.path(), &relais_config::STANDALONE.replace("127.0.0.1:9225", "127.0.0.1:0"));
    let data = dir.path().join("data").to_str().unwrap().to_owned();
    let running = std::thread::spawn({
        let (file, data) = (file.clone(), data.clone());
        move || relais(&["run", "--config", &file, "--data", &data])
    });
    while !Path::new(&data).join("admin.sock").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = refusal(&["run", "--config", &file, "--data", &data]);
    assert!(second.starts_with("another engine (process "), "{second}");
    assert_eq!(relais(&["status", "--data", &data]).0, ExitCode::SUCCESS);
    assert_eq!(relais(&["stop", "--data", &data]).0, ExitCode::SUCCESS);
    let (code, out) = running.join().unwrap();
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(out.contains("  SMTP       127.0.0.1:2525\n"), "{out}");
    assert!(out.contains("/data/admin.sock, http://127.0.0.1:"), "{out}");
    assert!(out.contains("/data/store/<domain>/<user>/Maildir\n"), "{out}");
    assert!(out.contains("--url smtp://127.0.0.1:2525"), "{out}");
    assert!(out.contains("--mail-rcpt alice@relais.example"), "{out}");
}

#[actix_rt::test]
async fn a_console_answers_before_its_engine_is_ready() {
    let (data, fake, _endpoint) = answering();
    fake.0.not_ready.lock().unwrap().replace("recovering the spool".to_owned());
    assert!(fake.ready().is_err());
    let client = Client::new(data.path());
    client.get::<serde_json::Value>("/api/v1/status").await.unwrap();
}
