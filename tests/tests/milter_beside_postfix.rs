//! Postfix and ours with the same filter beside each other: the same decisions, the same message, and the
//! same things told.

use std::{fs, path::Path, process::Command, time::Duration};

use relais_tests::{
    Dialogue, Instance, PythonMilter, Settings, Sink, eventually, free_port, needs, needs_root,
    open_folder, postfix_services, run_with, succeed,
};
use serde_json::Value;
use tempfile::TempDir;

const FILTER: &str = "/usr/lib/python3/dist-packages/Milter/__init__.py";
const SENDER: &str = "ann@client.test";

/// A Postfix that takes SMTP, asks a filter, and delivers all mail by LMTP.
struct FilteringPostfix {
    smtp: u16,
    folder: TempDir,
}

impl FilteringPostfix {
    fn start(filter: &Path, sink: u16) -> Self {
        let postfix = Self { smtp: free_port(), folder: open_folder() };
        let path = |name: &str| postfix.folder.path().join(name);
        for made in ["config", "queue", "data"] {
            fs::create_dir(path(made)).expect("a fresh folder");
        }
        succeed(Command::new("chown").arg("postfix").arg(path("data")), b"");
        let place = postfix.folder.path().display();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {place}/queue\ndata_directory = {place}/data\n\
             myhostname = localhost\nmydestination =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\nalias_maps =\nlocal_recipient_maps =\n\
             relay_domains = relais.example\nlmtp_generic_maps =\nlmtp_destination_recipient_limit = 1\n\
             default_transport = lmtp:inet:[127.0.0.1]:{sink}\nrelay_transport = lmtp:inet:[127.0.0.1]:{sink}\n\
             virtual_alias_maps =\nsmtpd_milters = unix:{}\nmilter_macro_daemon_name = SMTP\n\
             smtpd_recipient_restrictions = permit_mynetworks, reject\nsmtputf8_enable = no\n\
             maillog_file = {place}/log\nmaillog_file_prefixes = {place}\n",
            filter.display()
        );
        fs::write(path("config").join("main.cf"), main).expect("a configuration");
        let smtp = format!("127.0.0.1:{}", postfix.smtp);
        let services = [(&*smtp, "inet n - n - - smtpd"), ("lmtp", "unix - - n - - lmtp")];
        fs::write(path("config").join("master.cf"), postfix_services(&services))
            .expect("a configuration");
        succeed(&mut postfix.command("start"), b"");
        let listens = || Dialogue::connect(postfix.smtp).is_ok();
        eventually("Postfix listens", Duration::from_secs(20), listens);
        postfix
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(self.folder.path().join("config")).arg(what);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for FilteringPostfix {
    fn drop(&mut self) {
        run_with(&mut self.command("stop"), b"");
    }
}

/// The replies to a whole transaction, by their codes, and the words of the last.
fn transact(
    port: u16,
    (hello, sender, recipient): (&str, &str, &str),
    content: &str,
) -> (Vec<u16>, String) {
    let (mut client, greeting) = Dialogue::connect(port).expect("a connection");
    let mut replies = vec![greeting];
    let commands = [
        format!("EHLO {hello}"),
        format!("MAIL FROM:<{sender}>"),
        format!("RCPT TO:<{recipient}>"),
        "DATA".to_owned(),
    ];
    for command in commands {
        replies.push(client.ask(&command));
        if replies.last().is_some_and(|reply| reply.code >= 400) {
            break;
        }
    }
    if replies.last().is_some_and(|reply| reply.code == 354) {
        replies.push(client.finish(content.as_bytes()));
    }
    let last = replies.last().expect("a greeting");
    let words = if last.code < 400 { String::new() } else { last.text.clone() };
    let codes = replies.iter().map(|reply| reply.code).collect();
    client.ask("QUIT");
    (codes, words)
}

/// A message as it was handed on, without the lines that tell who handed it on.
fn plain(content: &str) -> String {
    let mut is_trace = false;
    let kept = content.split_inclusive("\r\n").filter(|line| {
        let is_folded = line.starts_with([' ', '\t']);
        let traces = ["Received:", "Return-Path:", "Delivered-To:"];
        is_trace =
            if is_folded { is_trace } else { traces.iter().any(|its| line.starts_with(its)) };
        !is_trace
    });
    kept.collect()
}

/// The place of a field among those of the trace.
fn is_above_received(content: &str, field: &str) -> Option<bool> {
    Some(content.find(field)? < content.find("Received:")?)
}

/// Events in the words of both: ids, ports and addresses of the server aside.
fn told(filter: &PythonMilter) -> Vec<(String, Value, Value)> {
    let mut told = Vec::new();
    for event in filter.events() {
        let name = event["event"].as_str().unwrap_or_default().to_owned();
        if matches!(&*name, "negotiate" | "close" | "abort") {
            continue;
        }
        let mut macros = event["macros"].clone();
        let names = [
            "i",
            "v",
            "{client_addr}",
            "{client_name}",
            "{client_ptr}",
            "{client_resolve}",
            "{rcpt_host}",
            "{rcpt_mailer}",
        ];
        for name in names {
            macros.as_object_mut().map(|macros| macros.remove(name));
        }
        let mut what = event["what"].clone();
        if name == "connect" {
            what[2][1] = Value::Null;
        }
        told.push((name, what, macros));
    }
    told
}

/// Transactions: HELO, sender, recipient, and lines of the header.
const ROWS: &[(&str, &str, &str, &str)] = &[
    ("client.test", SENDER, "alice@relais.example", ""),
    ("client.test", "mail-reject@c.test", "alice@relais.example", ""),
    ("client.test", "mail-tempfail@c.test", "alice@relais.example", ""),
    ("client.test", "mail-code@c.test", "alice@relais.example", ""),
    ("client.test", "mail-lines@c.test", "alice@relais.example", ""),
    ("client.test", "mail-accept@c.test", "alice@relais.example", "X-Do: reject\r\n"),
    ("client.test", "mail-discard@c.test", "alice@relais.example", "X-Do: reject\r\n"),
    ("helo-code.client.test", SENDER, "alice@relais.example", ""),
    ("helo-accept.client.test", "mail-reject@c.test", "alice@relais.example", "X-Do: reject\r\n"),
    ("client.test", SENDER, "rcpt-reject@relais.example", ""),
    ("client.test", SENDER, "rcpt-tempfail@relais.example", ""),
    ("client.test", SENDER, "rcpt-code@relais.example", ""),
    ("client.test", SENDER, "rcpt-discard@relais.example", ""),
    ("client.test", SENDER, "alice@relais.example", "X-At: header-reject\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-At: eoh-tempfail\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-At: eoh-accept\r\nX-Do: reject\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-At: body-code\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: reject\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: lines\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: discard\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: addheader X-New a\\n\tb\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: insheader 0 X-New top\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: insheader 1 X-New below\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: insheader 2 X-New second\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: insheader 99 X-New last\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: chgheader 1 received new\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: chgheader 1 Received\r\n"),
    (
        "client.test",
        SENDER,
        "alice@relais.example",
        "X-Do: chgheader 2 X-Do changed\r\nX-Do: body x\r\n",
    ),
    ("client.test", SENDER, "alice@relais.example", "X-Do: chgheader 3 X-Do added\r\n"),
    (
        "client.test",
        SENDER,
        "alice@relais.example",
        "X-Do: chgheader 1 subject\r\nX-Do: chgheader 1 X-Folded\r\n",
    ),
    (
        "client.test",
        SENDER,
        "alice@relais.example",
        "X-Do: insheader 0 X-A 1\r\nX-Do: insheader 0 X-A 2\r\nX-Do: chgheader 1 X-A 3\r\n",
    ),
    ("client.test", SENDER, "alice@relais.example", "X-Do: body one\\r\\ntwo\\n.\\nend\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: body \r\nX-Do: addheader X-New v\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: addrcpt <bob@relais.example>\r\n"),
    (
        "client.test",
        SENDER,
        "alice@relais.example",
        "X-Do: addrcpt bob@relais.example NOTIFY=NEVER\r\n",
    ),
    (
        "client.test",
        SENDER,
        "alice@relais.example",
        "X-Do: addrcpt <bob@relais.example>\r\nX-Do: delrcpt <alice@relais.example>\r\n",
    ),
    ("client.test", SENDER, "alice@relais.example", "X-Do: delrcpt alice@relais.example\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: chgfrom <eve@other.test>\r\n"),
    ("client.test", SENDER, "alice@relais.example", "X-Do: chgfrom <>\r\n"),
    ("client.test", "", "alice@relais.example", "X-Do: chgfrom eve@other.test ENVID=x\r\n"),
];

#[test]
fn postfix_and_ours_make_the_same_of_a_filter() {
    if !needs(&[FILTER, "/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let (filter_of_ours, filter_of_postfix) = (PythonMilter::start(&[]), PythonMilter::start(&[]));
    let (ours, theirs) = (Sink::start(), Sink::start());
    let aliases: String = ["reject", "tempfail", "code", "discard"]
        .map(|verb| format!("\"rcpt-{verb}\": [\"alice\"], "))
        .concat();
    let settings = Settings::standalone()
        .deliver_to(ours.port)
        .edit("channel: \"tcp_local\",", "channel: \"tcp_local\", milters: [\"py\"],")
        .section(&format!(
            "milters: {{\"py\": (socket: \"unix:{}\")}}",
            filter_of_ours.socket().display()
        ))
        .section(&format!("aliases: {{{aliases}}}"));
    let instance = Instance::new(settings);
    let _running = instance.start();
    let postfix = FilteringPostfix::start(&filter_of_postfix.socket(), theirs.port);
    ours.keep_contents();
    theirs.keep_contents();
    for (n, (hello, sender, recipient, header)) in ROWS.iter().enumerate() {
        let id = format!("row-{n}@client.test");
        let row = format!("{n}: {hello} {sender} {recipient} {header:?}");
        let content = format!(
            "Received: by elsewhere.test; now\r\nSubject: a test\r\nMessage-ID: <{id}>\r\n\
             Date: Mon, 30 Nov 2026 10:00:00 +0000\r\nFrom: {SENDER}\r\nX-Folded: a\r\n\tb\r\n{header}\r\nhello\r\n..dots\r\n"
        );
        filter_of_ours.forget();
        filter_of_postfix.forget();
        let who = (*hello, *sender, *recipient);
        let said_by_ours = transact(instance.settings.smtp, who, &content);
        let said_by_postfix = transact(postfix.smtp, who, &content);
        assert_eq!(said_by_ours, said_by_postfix, "{row}");
        assert_eq!(told(&filter_of_ours), told(&filter_of_postfix), "{row}");
        // How many copies there are to be, and for whom.
        let is_taken = said_by_ours.0.last() == Some(&250);
        let discards = ["discard", "delrcpt alice"].iter().any(|word| row.contains(word));
        let both = row.contains("addrcpt") && !row.contains("delrcpt");
        let copies = if !is_taken || discards { 0 } else { 1 + usize::from(both) };
        let sent = |sink: &Sink| {
            let handed: Vec<_> = sink.handed().into_iter().filter(|(its, _)| *its == id).collect();
            let recipients: Vec<_> =
                handed.into_iter().flat_map(|(_, recipients)| recipients).collect();
            recipients.len()
        };
        let arrived = || sent(&ours) >= copies && sent(&theirs) >= copies;
        let arrived = relais_tests::within(Duration::from_secs(20), arrived);
        assert!(arrived, "{row}: {}\n{}", instance.log(), postfix.log());
        if copies == 0 {
            continue;
        }
        let (mine, other) = (ours.content_of(&id), theirs.content_of(&id));
        assert!(mine.contains("Received: ") && mine.contains("Date: "), "{row}: {mine}");
        assert_eq!(plain(&mine), plain(&other), "{row}");
        let places = [&mine, &other].map(|content| is_above_received(content, "X-New:"));
        assert_eq!(places[0], places[1], "{row}");
        let sender_of = |sink: &Sink| sink.senders().last().map(|(sender, _)| sender.clone());
        assert_eq!(sender_of(&ours), sender_of(&theirs), "{row}");
    }
}
