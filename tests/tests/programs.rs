//! Mail handed to programs of this machine by the whole engine: for users whose delivery option says
//! so, for aliases, and by transports; and what becomes of it.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use relais_tests::{
    Dialogue, Instance, Ldif, Settings, eventually, is_root, message, needs, needs_root, run_with,
    succeed,
};
use serde_json::Value;
use tempfile::TempDir;

const MINUTE: Duration = Duration::from_secs(60);

/// An engine whose user alice, and some aliases, have programs; and a folder in which they may write.
struct Programs {
    folder: TempDir,
    instance: Instance,
}

/// Label, script and more settings. `DIR` is the folder.
type Row<'a> = (&'a str, &'a str, &'a str);

impl Programs {
    fn new(rows: &[Row<'_>], edit: impl Fn(Settings) -> Settings) -> Self {
        let folder = tempfile::Builder::new().prefix("programs-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let place = folder.path().display().to_string();
        let user = if is_root() { "user: \"nobody\", " } else { "" };
        let program = |(label, script, more): &Row<'_>| {
            let script = script.replace("DIR", &place).replace('$', "$$").replace("@@", "$");
            format!(
                "{label:?}: (command: [\"/bin/sh\", \"-c\", {script:?}, \"sh\", \"$user\", \"$subaddress\", \
                 \"$sender\"], {user}{more}), "
            )
        };
        let alias = |(label, ..): &Row<'_>| format!("\"to-{label}\": [\"|{label}\"]");
        let programs = rows.iter().map(program).collect::<Vec<_>>().concat();
        let mut aliases = rows.iter().map(alias).collect::<Vec<_>>();
        aliases.push("\"unlisted\": [\"|/bin/cat\"]".to_owned());
        let aliases = aliases.join(", ");
        let settings = Settings::standalone()
            .edit("delivery_options: [", "delivery_options: [\n \"#program=$M%$P@pipe-daemon\",")
            .edit(
                "(name: \"process\",",
                "(name: \"pipe\", tag: \"pipe-daemon\", program: Pipe, maxjobs: 2, backoff: [\"1s\"]),\n \
                 (name: \"process\",",
            )
            .section(&format!("programs: {{{programs}}}"))
            .section(&format!("aliases: {{{aliases}}}"));
        let instance = users().instance(edit(settings));
        Self { folder, instance }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn send(&self, from: &str, to: &[&str]) {
        let mut client = Dialogue::open(self.instance.settings.smtp);
        client.message(from, to, &message("m", 500)).expect(250);
    }

    fn is_empty(&self) -> bool {
        self.instance.queue().is_empty()
    }
}

fn users() -> Ldif {
    let keep = "mailDeliveryOption: program\nmailProgramDeliveryInfo: keep";
    let mailbox = "mailHost: localhost\nmailDeliveryOption: mailbox";
    let entries = Ldif::file().domain("relais.example", "");
    entries.user("alice", "relais.example", keep).user("bob", "relais.example", mailbox)
}

/// Each message in a file of its own; arguments, account and folder beside it.
const KEEP: &str = "cat > DIR/$QUEUE_ID; (echo \"$1|$2|$3|$RECIPIENT\"; id -un; pwd) > DIR/told";

#[test]
fn mail_is_handed_to_the_program_of_a_user_under_its_own_account() {
    let programs = Programs::new(&[("keep", KEEP, "")], |settings| settings);
    let check = programs.instance.relais("check", &[]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let _running = programs.instance.start();
    let route = programs.instance.relais("route", &["alice+work@relais.example"]);
    let route = String::from_utf8_lossy(&route.stdout).into_owned();
    assert!(route.contains("program keep: /bin/sh -c cat >"), "{route}");
    assert!(route.contains("alice%keep@pipe-daemon"), "{route}");
    let route = programs.instance.relais("route", &["unlisted@relais.example"]);
    let route = String::from_utf8_lossy(&route.stdout).into_owned();
    assert!(route.contains("\"|/bin/cat\": programs does not list that command"), "{route}");
    programs.send("Some.One@sender.test", &["alice+work@relais.example"]);
    eventually("it is there", MINUTE, || programs.read("told").lines().count() == 3);
    eventually("and nothing waits", MINUTE, || programs.is_empty());
    let told = programs.read("told");
    let account = if is_root() { "nobody".to_owned() } else { whoami() };
    let want = format!("alice|work|Some.One@sender.test|alice+work@relais.example\n{account}\n/\n");
    assert_eq!(told, want);
    let files = fs::read_dir(programs.folder.path()).unwrap().flatten();
    let kept: Vec<_> =
        files.map(|file| file.path()).filter(|path| !path.ends_with("told")).collect();
    let text = fs::read_to_string(&kept[0]).unwrap();
    let start =
        "Return-Path: <Some.One@sender.test>\nDelivered-To: alice+work@relais.example\nReceived: ";
    assert!(text.starts_with(start) && !text.contains('\r') && text.contains("\n\n"), "{text}");
    assert_ne!(fs::metadata(&kept[0]).unwrap().uid(), 0, "never root");
    let log = programs.instance.log();
    assert!(log.contains("delivered to the program keep"), "{log}");
    let delivered = programs.instance.metric("relais_delivery_results_total");
    assert!(delivered >= 1.0, "{delivered}");
}

fn whoami() -> String {
    let output = run_with(Command::new("id").arg("-un"), b"");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn exit_statuses_deliver_defer_and_return() {
    let rows: &[Row<'_>] = &[
        ("keep", "cat > DIR/kept", ""),
        ("nobody", "cat > /dev/null; echo we know nobody of that name; exit 67", ""),
        ("odd", "cat > /dev/null; exit 99", ""),
        ("own", "cat > /dev/null; echo 5.7.26 not from you; exit 1", ""),
        ("later", "cat > /dev/null; test -f DIR/now && cat > DIR/came && exit 0; exit 75", ""),
        ("slow", "cat > /dev/null; echo x >> DIR/begun; sleep 100", "timeout: \"1s\""),
        ("flood", "yes | head -c 50000000; exit 77", ""),
        ("deaf", "exec <&-; echo heard > DIR/deaf; exit 0", ""),
    ];
    let programs =
        Programs::new(rows, |settings| settings.edit("maxjobs: 2, backoff", "maxjobs: 9, backoff"));
    let running = programs.instance.start();
    let mut large = message("large", 500);
    large.extend(b"0123456789abcde\r\n".repeat(10 << 16));
    let mut client = Dialogue::open(programs.instance.settings.smtp);
    client.message("bob@relais.example", &["to-deaf@relais.example"], &large).expect(250);
    eventually("a program that reads nothing", MINUTE, || programs.read("deaf") == "heard\n");
    for label in ["nobody", "odd", "own", "flood", "later", "slow"] {
        programs.send("bob@relais.example", &[&format!("to-{label}@relais.example")]);
    }
    let notices = || relais_tests::mailbox(&programs.instance.store(), "relais.example", "bob");
    eventually("four are returned", MINUTE, || notices().len() == 4);
    let text = String::from_utf8_lossy(&notices().concat()).into_owned();
    for want in [
        "5.1.1",
        "we know nobody of that name",
        "5.3.0",
        "ended with status 99",
        "5.7.26",
        "not from you",
        "5.7.0",
        "permission denied",
    ] {
        assert!(text.contains(want), "{want}: {text}");
    }
    eventually("a slow one is killed and tried again", MINUTE, || {
        programs.read("begun").lines().count() >= 2
    });
    assert!(!programs.path("came").exists());
    fs::write(programs.path("now"), "").unwrap();
    eventually("one that could not is asked again", MINUTE, || programs.path("came").exists());
    eventually("the slow one alone waits", MINUTE, || programs.instance.queue().len() == 1);
    let waits = programs.instance.queue().remove(0);
    assert_eq!(waits["host"], "slow", "each program is a destination of its own");
    assert!(waits.to_string().contains("took longer than 1s"), "{waits}");
    assert!(running.memory().peak < 400 << 20);
}

/// By the name of the user: what the program does.
const FATES: &str = "cat > /dev/null; case \"$1\" in n*) exit ${1#n};; kill) kill -9 $$;; \
                     busy) echo 4.2.1 busy; exit 67;; away) echo 5.7.26 go away; exit 75;; \
                     part) echo 5.7; exit 77;; fine) echo 5.7.1 no; exit 0;; \
                     said) echo we know nobody; exit 67;; esac";

/// Postfix's pipe(8) with the same program. At its time limit alone it differs: it returns the mail.
#[test]
fn a_program_ends_for_us_as_it_ends_for_postfix() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let mut users: Vec<String> = (64..=78).chain([1, 99]).map(|n| format!("n{n}")).collect();
    users.extend(["kill", "busy", "away", "part", "fine", "said"].map(str::to_owned));
    let programs = Programs::new(&[("fate", FATES, "")], |settings| {
        settings
            .edit("rewrite_rules: [", "transport: {\"p.test\": \"pipe:fate\"},\n rewrite_rules: [")
            .edit("backoff: [\"1s\"]", "backoff: [\"1h\"]")
            .channel("pipe", "sendpost: Never")
    });
    let _running = programs.instance.start();
    for user in &users {
        programs.send("", &[&format!("{user}@p.test")]);
    }
    let postfix = Postfix::start(&programs);
    for user in &users {
        let mut sendmail = Command::new("/usr/sbin/sendmail");
        sendmail.arg("-C").arg(postfix.path("config")).args(["-f", "<>", "--"]);
        succeed(sendmail.arg(format!("{user}@p.test")), b"Subject: x\n\nx\n");
    }
    let mut theirs = BTreeMap::new();
    eventually("Postfix has tried all", 2 * MINUTE, || {
        theirs = postfix.fates();
        theirs.len() == users.len()
    });
    let mut ours = BTreeMap::new();
    eventually("so have we", MINUTE, || {
        ours = our_fates(&programs.instance.log());
        ours.len() == users.len()
    });
    assert_eq!(ours, theirs);
}

/// Users, the action as we call it, and the enhanced code.
type Fates = BTreeMap<String, (char, String)>;

fn our_fates(log: &str) -> Fates {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let tried =
        lines.filter(|line| line["message"] == "attempt ended" && line["channel"] == "pipe");
    let fate = |line: Value| {
        let user = line["to"].as_str()?.strip_prefix('<')?.split('@').next()?.to_owned();
        let action = line["action"].as_str()?.chars().next()?;
        let code = line["reply"].as_str()?.split(' ').nth(1)?.to_owned();
        // Nobody is told of what has no sender.
        Some((user, (if action == 'K' { 'R' } else { action }, code)))
    };
    tried.filter_map(fate).collect()
}

struct Postfix(TempDir);

impl Postfix {
    fn start(programs: &Programs) -> Self {
        let folder = tempfile::Builder::new().prefix("pipe-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let postfix = Self(folder);
        for name in ["config", "queue", "data"] {
            fs::create_dir(postfix.path(name)).unwrap();
        }
        succeed(Command::new("chown").arg("postfix").arg(postfix.path("data")), b"");
        let script = programs.path("fate");
        fs::write(&script, format!("#!/bin/sh\n{FATES}\n")).unwrap();
        fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
        let (place, script) = (postfix.0.path().display(), script.display());
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {place}/queue\ndata_directory = {place}/data\n\
             myhostname = mail.example.org\nmydestination = localhost\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nalias_maps =\nlocal_recipient_maps =\ndefault_transport = fate\n\
             transport_maps =\nmaillog_file = {place}/log\nmaillog_file_prefixes = {place}\n"
        );
        fs::write(postfix.path("config/main.cf"), main).unwrap();
        let pipe = format!("fate unix - n n - - pipe user=nobody argv={script} ${{user}}\n");
        fs::write(postfix.path("config/master.cf"), format!("{SERVICES}{pipe}")).unwrap();
        succeed(postfix.command().arg("start"), b"");
        postfix
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(self.path("config"));
        command
    }

    fn fates(&self) -> Fates {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let fate = |line: &str| {
            let user = line.split_once(" to=<")?.1.split('@').next()?.to_owned();
            let code = line.split_once(" dsn=")?.1.split(',').next()?.to_owned();
            let action = match line.split_once(" status=")?.1.split(' ').next()? {
                "sent" => 'D',
                "deferred" => 'Q',
                _ => 'R',
            };
            Some((user, (action, code)))
        };
        log.lines().filter(|line| line.contains("/pipe[")).filter_map(fate).collect()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        run_with(self.command().arg("stop"), b"");
    }
}

const SERVICES: &str = "\
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

#[test]
fn hostile_addresses_never_reach_a_shell() {
    let rows: &[Row<'_>] =
        &[("keep", "cat > /dev/null; printf '%s\\n' \"$1|$2|$3\" >> DIR/told", "")];
    let programs = Programs::new(rows, |settings| settings);
    let mark = programs.path("mark");
    let _running = programs.instance.start();
    let touch = format!("\"$(touch {})\"@sender.test", mark.display());
    let ticks = format!("\"`touch {}`;'\"@sender.test", mark.display());
    let senders = [touch.as_str(), &ticks, "\"a b\"@sender.test", "a'b@sender.test"];
    for from in senders {
        programs.send(from, &["alice@relais.example"]);
    }
    programs.send("a@sender.test", &["alice+../../x@relais.example"]);
    programs.send("a@sender.test", &["\"alice+$(id) x\"@relais.example"]);
    eventually("all are told", MINUTE, || programs.read("told").lines().count() == 6);
    let mut told: Vec<_> = programs.read("told").lines().map(str::to_owned).collect();
    let mut want: Vec<_> = senders.iter().map(|from| format!("alice||{from}")).collect();
    want.push("alice||a@sender.test".to_owned());
    want.push("alice|$(id) x|a@sender.test".to_owned());
    told.sort_unstable();
    want.sort_unstable();
    assert_eq!(told, want);
    // One that would be an option is returned, and no program is run.
    programs.send("bob@relais.example", &["alice+-rf@relais.example"]);
    let notices = || relais_tests::mailbox(&programs.instance.store(), "relais.example", "bob");
    eventually("it is returned", MINUTE, || notices().len() == 1);
    programs.send("-rf@sender.test", &["alice@relais.example"]);
    // No client chooses a program by its address.
    let mut client = Dialogue::open(programs.instance.settings.smtp);
    client.ask("MAIL FROM:<a@sender.test>").expect(250);
    for to in ["root%keep@pipe-daemon", "root%keep%pipe-daemon@localhost"] {
        assert_eq!(client.ask(&format!("RCPT TO:<{to}>")).code / 100, 5, "{to}");
    }
    thread::sleep(Duration::from_millis(300));
    assert_eq!(programs.read("told").lines().count(), 6);
    assert!(!mark.exists());
}

#[test]
fn a_crash_runs_a_program_once_more_and_jobs_are_counted() {
    let rows: &[Row<'_>] = &[(
        "keep",
        "cat > /dev/null; echo begun >> DIR/told; while ! test -f DIR/go; do sleep 0.1; done; \
         echo done >> DIR/told",
        "",
    )];
    let programs = Programs::new(rows, |settings| {
        settings
            .channel("pipe", "threaddepth: 1, max_client_threads: 1")
            .edit("job_controller: (", "job_controller: (keep_last_slot: false,")
    });
    let running = programs.instance.start();
    for _ in 0..6 {
        programs.send("a@sender.test", &["to-keep@relais.example"]);
    }
    let begun = || programs.read("told").lines().filter(|line| *line == "begun").count();
    eventually("two run at once", MINUTE, || begun() == 2);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(begun(), 2, "maxjobs: 2");
    running.kill();
    let _running = programs.instance.start();
    eventually("both run once more", MINUTE, || begun() == 4);
    fs::write(programs.path("go"), "").unwrap();
    eventually("nothing waits", MINUTE, || programs.is_empty());
    // Programs that outlived the engine end, too.
    let done = || programs.read("told").lines().filter(|line| *line == "done").count();
    eventually("all are done", MINUTE, || done() >= 6);
}

#[test]
fn programs_that_run_when_the_engine_stops_end_and_are_run_once_more() {
    let rows: &[Row<'_>] = &[(
        "keep",
        "cat > /dev/null; echo begun >> DIR/told; test -f DIR/go && exit 0; sleep 30; \
         echo done >> DIR/told",
        "",
    )];
    let programs = Programs::new(rows, |settings| {
        settings.edit("job_controller: (", "max_shutdown: \"1s\", job_controller: (")
    });
    let mut running = programs.instance.start();
    programs.send("a@sender.test", &["to-keep@relais.example"]);
    eventually("it runs", MINUTE, || programs.read("told") == "begun\n");
    running.terminate();
    let (status, took) = running.wait(MINUTE);
    assert!(status.success() && took < Duration::from_secs(15), "{status:?} {took:?}");
    let left = run_with(
        Command::new("pgrep").args(["-f", &programs.path("told").display().to_string()]),
        b"",
    );
    assert!(left.stdout.is_empty(), "{left:?}");
    fs::write(programs.path("go"), "").unwrap();
    let _running = programs.instance.start();
    eventually("nothing waits", MINUTE, || programs.is_empty());
    assert_eq!(programs.read("told"), "begun\nbegun\n");
}

#[test]
fn a_reload_puts_another_list_of_programs_in_force() {
    let rows: &[Row<'_>] = &[("keep", "cat > /dev/null; echo first >> DIR/told", "")];
    let programs = Programs::new(rows, |settings| settings.channel("pipe", "idle_time: \"0s\""));
    let instance = &programs.instance;
    let _running = instance.start();
    programs.send("a@sender.test", &["to-keep@relais.example"]);
    eventually("it runs", MINUTE, || programs.read("told") == "first\n");
    let file = instance.path("relais.ron");
    let text = fs::read_to_string(&file).unwrap();
    let edit = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
        instance.relais("reload", &[])
    };
    let refused = edit("\"keep\": (command: [\"/bin/sh\"", "\"keep\": (command: [\"sh\"");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(edit("echo first", "echo second").status.code(), Some(0));
    programs.send("a@sender.test", &["to-keep@relais.example"]);
    eventually("the other one runs", MINUTE, || programs.read("told") == "first\nsecond\n");
    let gone = edit("\"keep\": (command", "\"other\": (command");
    assert_eq!(gone.status.code(), Some(0), "{gone:?}");
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<a@sender.test>").expect(250);
    client.ask("RCPT TO:<to-keep@relais.example>").expect(451);
}

#[test]
fn check_and_start_refuse_what_cannot_be_run_as_listed() {
    let listed = |fields: &str| {
        let settings = Settings::standalone().section(&format!("programs: {{\"x\": ({fields})}}"));
        Instance::new(settings)
    };
    let said = |instance: &Instance| {
        let output = instance.relais("check", &[]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let rows = [
        (
            "command: [\"/bin/true\"], user: \"no-such-user\"",
            "this machine has no user no-such-user",
        ),
        ("command: [\"/bin/true\"], user: \"root\"", "no program runs as root"),
        ("command: [\"/bin/true\"]), \"X\": (command: [\"/bin/true\"]", "but for case"),
        ("command: [\"true\"]", "the program itself is named by no path"),
        ("command: [\"$user\"]", "the program itself is named by no path"),
        (
            "command: [\"/bin/sh\", \"-c\", \"echo $user\"]",
            "a value stands in the text of a script",
        ),
        ("command: [\"/bin/true\", \"$home\"]", "$home stands for nothing"),
    ];
    for (fields, want) in rows {
        let instance = listed(fields);
        let (code, text) = said(&instance);
        assert_eq!(code, Some(1), "{fields}: {text}");
        assert!(text.contains(want), "{fields}: {text}");
        let mut running = instance.spawn();
        let (status, _) = running.wait(MINUTE);
        assert!(!status.success(), "{fields}");
    }
    let user = if is_root() { ", user: \"nobody\"" } else { "" };
    let (code, text) = said(&listed(&format!("command: [\"/no/such\"]{user}")));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("/no/such is nothing that can be run: mail for it waits"), "{text}");
    assert!(text.contains("there is no channel of program Pipe"), "{text}");
    if is_root() {
        let (code, text) = said(&listed("command: [\"/bin/true\"]"));
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("the engine runs as root, and no program does"), "{text}");
    } else {
        let (_, text) = said(&listed("command: [\"/bin/true\"]"));
        assert!(text.contains("the engine's own account"), "{text}");
    }
    assert!(Path::new("/bin/true").exists());
}

#[test]
fn mail_for_a_program_that_is_not_there_waits_and_why_says_so() {
    let programs = Programs::new(&[("keep", KEEP, "")], |settings| {
        let user = if is_root() { "user: \"nobody\"" } else { "" };
        let gone = format!("programs: {{\"gone\": (command: [\"/nowhere/x\"], {user}), ");
        settings.edit("programs: {", &gone).edit("aliases: {", "aliases: {\"gone\": [\"|gone\"], ")
    });
    let instance = &programs.instance;
    let _running = instance.start();
    programs.send("a@sender.test", &["gone@relais.example"]);
    let why = || {
        let queue = instance.queue();
        let id = queue.first()?["id"].as_str()?.to_owned();
        let said = instance.relais("queue", &["why", &id]);
        Some(String::from_utf8_lossy(&said.stdout).into_owned())
    };
    let is_told = |said: String| {
        said.starts_with("The program gone of `programs` could not be run and is ")
            && said.contains("/nowhere/x: No such file or directory")
    };
    eventually("why names the program", MINUTE, || why().is_some_and(is_told));
}
