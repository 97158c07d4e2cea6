//! Mail that stays on this machine, beside Postfix's local(8): mailboxes, files and `.forward`.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use relais_tests::{
    Dialogue, Instance, Settings, Sink, due_after, eventually, needs, needs_root, open_folder,
    postfix_services, run_with, succeed,
};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// A Postfix, and folders for both.
struct Postfix {
    folder: TempDir,
}

impl Postfix {
    fn start(port: u16) -> Self {
        let folder =
            tempfile::Builder::new().prefix("local-").tempdir_in("/tmp").expect("a folder");
        let postfix = Self { folder };
        let (config, data) = (postfix.path("config"), postfix.path("data"));
        for name in [
            "config",
            "queue",
            "data",
            "theirs",
            "ours",
            "files",
            "files/theirs",
            "files/ours",
            "home",
        ] {
            fs::create_dir(postfix.path(name)).expect("a fresh folder");
        }
        fs::set_permissions(postfix.folder.path(), Permissions::from_mode(0o755)).expect("ours");
        succeed(Command::new("chown").arg("postfix").arg(&data), b"");
        // As Debian has /var/mail.
        for name in ["theirs", "ours"] {
            succeed(Command::new("chown").arg("root:mail").arg(postfix.path(name)), b"");
            fs::set_permissions(postfix.path(name), Permissions::from_mode(0o2775)).expect("ours");
        }
        let files = postfix.path("files");
        succeed(Command::new("chown").args(["-R", "nobody"]).arg(files), b"");
        for side in ["theirs", "ours"] {
            for (user, forward) in FORWARDS {
                let home = postfix.path("home").join(side).join(user);
                fs::create_dir_all(&home).expect("a home");
                let text = forward.replace("HOME", &home.display().to_string());
                fs::write(home.join(".forward"), text).expect("a forward");
                succeed(Command::new("chown").arg("-R").arg(user).arg(&home), b"");
            }
            let aliases =
                ALIASES.replace("FILES", &postfix.path("files").join(side).display().to_string());
            fs::write(postfix.path(&format!("aliases-{side}")), aliases).expect("a table");
        }
        let place = postfix.folder.path().display().to_string();
        let main = MAIN.replace("FOLDER", &place).replace("PORT", &port.to_string());
        fs::write(config.join("main.cf"), main).expect("a configuration");
        fs::write(config.join("master.cf"), postfix_services(&SERVICES)).expect("a configuration");
        let aliases = format!("hash:{}", postfix.path("aliases-theirs").display());
        succeed(Command::new("/usr/sbin/postalias").arg("-c").arg(&config).arg(aliases), b"");
        succeed(&mut postfix.command("start"), b"");
        postfix
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(self.path("config")).arg(what);
        command
    }

    fn send(&self, to: &str, message: &[u8]) {
        let mut sendmail = Command::new("/usr/sbin/sendmail");
        sendmail.arg("-C").arg(self.path("config"));
        sendmail.args(["-i", "-f", "bob@client.test", "--", to]);
        succeed(&mut sendmail, message);
    }

    /// Ours, with the same aliases, accounts and homes.
    fn beside(&self, port: u16) -> Instance {
        let place = self.folder.path().display().to_string();
        let passwd = fs::read_to_string("/etc/passwd").expect("accounts");
        let passwd = passwd.lines().map(|line| {
            let mut fields: Vec<_> = line.split(':').map(str::to_owned).collect();
            let home = self.path("home/ours").join(&fields[0]).display().to_string();
            if let Some(field) = fields.get_mut(5) {
                *field = home;
            }
            fields.join(":")
        });
        fs::write(self.path("accounts"), passwd.collect::<Vec<_>>().join("\n")).expect("accounts");
        let native = format!(
            "native: (path: \"{place}/ours\", files: (folders: [\"{place}/files\"], user: \"nobody\"))"
        );
        let settings = Settings::postfix()
            .edit(
                "mailbox_transport: \"lmtp:unix:/var/imap/socket/lmtp\"",
                &format!("fallback_transport: \"lmtp:inet:[127.0.0.1]:{port}\""),
            )
            .edit("native: (path: \"/var/mail\")", &native)
            .section(&format!("accounts: \"{place}/accounts\""))
            .table("aliases", &format!("{place}/aliases-ours"));
        Instance::new(settings)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        run_with(&mut self.command("stop"), b"");
    }
}

/// The files below a folder and the messages of each, without the lines that tell how they came.
fn mailboxes(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for path in fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
        let text = String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let mut messages: Vec<String> = text
            .split_inclusive("\n\nFrom ")
            .map(|message| message.trim_end_matches("From ").to_owned())
            .map(|message| without_traces(&message))
            .collect();
        messages.sort_unstable();
        found.insert(name, messages);
    }
    found
}

fn without_traces(message: &str) -> String {
    let message = message.strip_prefix("From ").unwrap_or(message);
    let (postmark, rest) = message.split_once('\n').expect("a line before a message");
    let (sender, date) = postmark.split_once("  ").expect("two blanks");
    assert_eq!(date.len(), 24, "{postmark}");
    let mut kept = format!("{sender}\n");
    let mut lines = rest.split_inclusive('\n').peekable();
    let mut names = Vec::new();
    while let Some(line) = lines.peek() {
        let traces = ["Return-Path:", "X-Original-To:", "Delivered-To:", "Received:"];
        let Some(name) = traces.iter().find(|name| line.starts_with(**name)) else { break };
        names.push(*name);
        if *name != "Received:" {
            kept.push_str(line);
        }
        lines.next();
        while lines.next_if(|line| line.starts_with([' ', '\t'])).is_some() {}
    }
    names.dedup();
    assert_eq!(names, ["Return-Path:", "X-Original-To:", "Delivered-To:", "Received:"]);
    kept.extend(lines);
    kept
}

fn odd(n: usize) -> Vec<u8> {
    let head = format!(
        "Message-ID: <odd-{n}@client.test>\nDate: Sun, 29 Nov 2026 20:54:45 +0000\nFrom: bob@client.test\n\
         To: all@client.test\nSubject: odd {n}\n"
    );
    let rest = match n {
        0 => "\n",
        1 => "\nFrom here\n>From there\n From\nFrom\n",
        2 => "\nno newline at the end",
        3 => "\n.\n..\n.x\n\n\n",
        _ => "\nFrom\nFrom \nFromage\n\u{e9} 8 bits\n",
    };
    [head.as_bytes(), rest.as_bytes()].concat()
}

fn with_crlf(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text).replace('\n', "\r\n");
    let text = if text.ends_with('\n') { text } else { text + "\r\n" };
    text.into_bytes()
}

/// Message-IDs and recipients that a sink was given.
fn handed(sink: &Sink) -> Vec<(String, String)> {
    let of = |(id, to): (String, Vec<String>)| to.into_iter().map(move |to| (id.clone(), to));
    let mut all: Vec<_> = sink.handed().into_iter().flat_map(of).collect();
    all.sort_unstable();
    all
}

#[test]
fn mailboxes_and_files_are_those_of_postfix() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let (their_sink, our_sink) = (Sink::start(), Sink::start());
    let postfix = Postfix::start(their_sink.port);
    let instance = postfix.beside(our_sink.port);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    for to in RECIPIENTS {
        for kind in 0..5 {
            let message = odd(kind);
            let to = format!("{to}@mail.example.org");
            postfix.send(&to, &message);
            client.message("bob@client.test", &[&to], &with_crlf(&message)).expect(250);
        }
    }
    eventually("all is delivered", LIMIT, || {
        instance.queue().is_empty()
            && run_with(
                Command::new("/usr/sbin/postqueue").arg("-c").arg(postfix.path("config")).arg("-j"),
                b"",
            )
            .stdout
            .is_empty()
    });
    let [theirs, ours] = ["theirs", "ours"].map(|side| mailboxes(&postfix.path(side)));
    let counts: Vec<_> = ours.iter().map(|(name, all)| (name.as_str(), all.len())).collect();
    assert_eq!(theirs, ours);
    // games: itself, as a member of crew, and with an extension.
    assert_eq!(counts, [("games", 15), ("man", 5)]);
    let [theirs, ours] =
        ["theirs", "ours"].map(|side| mailboxes(&postfix.path("files").join(side)));
    assert_eq!(theirs, ours);
    assert_eq!(ours["log"].len(), 5);
    let [theirs, ours] =
        ["theirs", "ours"].map(|side| postfix.path("home").join(side).join("news/mail"));
    let messages =
        |path: &Path| fs::read_to_string(path).expect("a file").matches("\nSubject: ").count();
    assert_eq!((messages(&theirs), messages(&ours)), (5, 5));
    for [theirs, ours] in [
        ["theirs/games", "ours/games"],
        ["files/theirs/log", "files/ours/log"],
        ["home/theirs/news/mail", "home/ours/news/mail"],
    ] {
        let [theirs, ours] =
            [theirs, ours].map(|name| fs::metadata(postfix.path(name)).expect("a file"));
        let of = |meta: &fs::Metadata| (meta.uid(), meta.gid(), meta.mode());
        assert_eq!(of(&theirs), of(&ours));
    }
    // A name without an account goes to the LMTP server; the forward's target, too.
    assert_eq!(handed(&their_sink), handed(&our_sink));
    assert_eq!(
        our_sink.total(),
        15,
        "ghost, the other member of crew, the target of uucp's forward"
    );
    let told = String::from_utf8_lossy(&instance.relais("route", &["games+x"]).stdout).into_owned();
    assert!(told.contains("/ours/games of games"), "{told}");
    let log = instance.log();
    assert!(
        log.contains("250 2.0.0 delivered to mailbox") && log.contains("delivered to file: "),
        "{log}"
    );
    assert!(instance.metric("relais_channel_messages_total") > 0.0);
}

#[test]
fn mail_that_comes_back_and_mail_that_cannot_be_appended_is_told_of() {
    if !needs_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mail = folder.path().join("mail");
    fs::create_dir(&mail).expect("room");
    let mail_text = mail.display().to_string();
    let settings = Settings::postfix()
        .edit("mailbox_transport: \"lmtp:unix:/var/imap/socket/lmtp\",", "")
        .edit("native: (path: \"/var/mail\")", &format!("native: (path: {mail_text:?})"))
        .channel("l", "backoff: [\"1s\"]");
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<a@b.test>").expect(250);
    client.ask("RCPT TO:<no-such-user@mail.example.org>").expect(550);
    client.ask("RSET").expect(250);
    let mut send = |head: &str| {
        let text = format!("{head}Subject: x\r\n\r\nx\r\n");
        client.message("a@b.test", &["games@mail.example.org"], text.as_bytes()).expect(250);
    };
    send("Delivered-To: games@mail.example.org\r\n");
    eventually("it is returned", LIMIT, || instance.log().contains("554 5.4.6"));
    assert!(!mail.join("games").exists());
    // A folder in its place.
    fs::create_dir(mail.join("games")).expect("room");
    send("");
    let held_up = || {
        let refused = |entry: &serde_json::Value| {
            let reply = entry["recipients"][0]["last_reply"].to_string();
            reply.contains("4.2.0 Mailbox not supported: it is a folder")
        };
        instance.queue().into_iter().find(refused)
    };
    eventually("it is put off", LIMIT, || held_up().is_some());
    let id = held_up().expect("it waits")["id"].as_str().expect("an id").to_owned();
    let why = String::from_utf8_lossy(&instance.relais("queue", &["why", &id]).stdout).into_owned();
    assert!(why.contains("it is a folder"), "{why}");
    fs::remove_dir(mail.join("games")).expect("there");
    instance.relais("queue", &["retry", &id]);
    eventually("it is delivered", LIMIT, || mail.join("games").is_file());
}

/// As at a store: another program has it for a moment, and the usual wait would be an hour.
#[test]
fn a_mailbox_that_is_locked_is_tried_again_within_a_minute() {
    if !needs_root() {
        return;
    }
    let folder = open_folder();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).expect("our folder");
    let mail = folder.path().display();
    let settings = Settings::postfix()
        .edit("mailbox_transport: \"lmtp:unix:/var/imap/socket/lmtp\",", "")
        .edit("native: (path: \"/var/mail\")", &format!("native: (path: \"{mail}\")"));
    let instance = Instance::new(settings);
    let _running = instance.start();
    let (lock, mailbox) = (folder.path().join("games.lock"), folder.path().join("games"));
    fs::write(&lock, "").expect("room");
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message("a@b.test", &["games@mail.example.org"], b"Subject: x\r\n\r\nx\r\n").expect(250);
    let due = || instance.queue().first().and_then(due_after);
    eventually("it is put off", LIMIT, || due().is_some());
    assert!(due().is_some_and(|wait| (1..=75).contains(&wait)), "{:?}", due());
    let entry = instance.queue().remove(0);
    let reply = entry["recipients"][0]["last_reply"].to_string();
    assert!(reply.contains("420 4.2.0 Mailbox Locked"), "{entry}");
    fs::remove_file(lock).expect("there");
    instance.relais("queue", &["retry", "--all", "--yes"]);
    eventually("it is delivered", LIMIT, || mailbox.is_file());
}

const RECIPIENTS: [&str; 9] =
    ["games", "games+Ext", "crew", "man", "news", "log", "ghost", "uucp", "null"];

const FORWARDS: [(&str, &str); 2] = [("news", "HOME/mail\n"), ("uucp", "target\n")];

const ALIASES: &str = "crew: games, other\nlog: FILES/log\nnull: /dev/null\n";

const MAIN: &str = "compatibility_level = 3.6
queue_directory = FOLDER/queue
data_directory = FOLDER/data
myhostname = mail.example.org
mydomain = example.org
myorigin = mail.example.org
mydestination = localhost, mail.example.org, example.org
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps = hash:FOLDER/aliases-theirs
recipient_delimiter = +
local_recipient_maps =
mail_spool_directory = FOLDER/theirs
forward_path = FOLDER/home/theirs/$user/.forward
fallback_transport = lmtp:inet:[127.0.0.1]:PORT
maillog_file = FOLDER/log
maillog_file_prefixes = FOLDER
";

const SERVICES: [(&str, &str); 2] =
    [("local", "unix - n n - - local"), ("lmtp", "unix - - n - - lmtp")];
