//! Real programs of this machine, and what becomes of a message by each.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use relais_config::{ListedProgram, argument::Argument};
use tokio::io::AsyncReadExt;

use super::{Invocation, PartForProgram, Piped, RunAs, Runner, Unfit};
use crate::mail::{Attempt, Content, MessageId, Outcome};

fn listed(command: &[&str]) -> ListedProgram {
    let text = format!(
        "(host: \"a.example\", data: \"/d\", default_domain: \"a.example\", dispatcher: (services: {{}}), \
         channels: [(name: \"l\", tag: \"l\", program: Local)], programs: {{\"x\": (command: {command:?})}})"
    );
    let (config, _) = relais_config::Config::parse("f", &text).unwrap();
    config.programs[0].clone()
}

fn runner(program: ListedProgram) -> Runner {
    let run_as = RunAs { ids: None, name: "me".to_owned(), home: "/nowhere".into() };
    Runner { program, run_as }
}

fn sh(script: &str) -> Runner {
    runner(listed(&["/bin/sh", "-c", &script.replace('$', "$$")]))
}

fn alice() -> Piped<'static> {
    Piped {
        user: "alice",
        subaddress: "work",
        address: "alice+work@a.example",
        original: "team@a.example",
        sender: "bob@b.example",
        id: MessageId(7),
        date: "Sun Nov 29 20:54:45 2026",
    }
}

fn content(text: impl Into<Vec<u8>>) -> Content {
    Content::Whole(Bytes::from(text.into()))
}

async fn deliver(runner: &Runner, content: &Content) -> Attempt {
    runner.deliver(&alice(), content).await
}

fn words(attempt: &Attempt) -> String {
    match &attempt.outcomes[0] {
        Outcome::Delivered(reply) => format!("D {reply}"),
        Outcome::Deferred(reply) => format!("Q {reply}"),
        Outcome::Failed(reply) => format!("R {reply}"),
    }
}

#[tokio::test]
async fn exit_statuses_mean_what_sysexits_says() {
    let rows = [
        ("exit 0", "D 250 2.0.0 delivered to the program x"),
        ("echo noted; exit 0", "D 250 2.0.0 delivered to the program x. Output: noted"),
        ("echo 5.7.1 no; exit 0", "D 250 2.0.0 delivered to the program x. Output: 5.7.1 no"),
        ("exit 64", "R 550 5.3.0 command line usage error"),
        ("exit 65", "R 550 5.6.0 data format error"),
        ("exit 66", "R 550 5.3.0 cannot open input"),
        ("echo nobody >&2; exit 67", "R 550 5.1.1 user unknown. Output: nobody"),
        ("exit 68", "R 550 5.1.2 host name unknown"),
        ("exit 69", "R 550 5.3.0 service unavailable"),
        ("exit 70", "R 550 5.3.0 internal software error"),
        ("exit 71", "Q 451 4.3.0 system resource problem"),
        ("exit 72", "R 550 5.3.0 critical OS file missing"),
        ("exit 73", "R 550 5.2.0 can't create user output file"),
        ("exit 74", "R 550 5.3.0 input/output error"),
        ("exit 75", "Q 451 4.3.0 temporary failure"),
        ("exit 76", "R 550 5.5.0 remote error in protocol"),
        ("exit 77", "R 550 5.7.0 permission denied"),
        ("exit 78", "R 550 5.3.5 local configuration error"),
        ("exit 99", "R 550 5.3.0 the program x ended with status 99"),
        ("exit 1", "R 550 5.3.0 the program x ended with status 1"),
        ("kill -9 $$", "Q 451 4.3.0 the program x was ended by signal 9"),
        ("kill -SEGV $$", "Q 451 4.3.0 the program x was ended by signal 11"),
        ("echo 4.2.1 busy; exit 67", "Q 451 4.2.1 busy"),
        ("echo 5.7.26 go away; exit 75", "R 550 5.7.26 go away"),
        (
            "echo 2.0.0 fine; exit 1",
            "R 550 5.3.0 the program x ended with status 1. Output: 2.0.0 fine",
        ),
        ("echo 5.7; exit 77", "R 550 5.7.0 permission denied. Output: 5.7"),
        (
            r"printf 'a\033[2J\200b\r\n\n c \n'; exit 77",
            "R 550 5.7.0 permission denied. Output: a?[2J?b c",
        ),
    ];
    for (script, want) in rows {
        let attempt = deliver(&sh(script), &content("")).await;
        assert_eq!(words(&attempt), want, "{script}");
        assert!(attempt.trouble.is_none(), "{script}");
    }
}

#[tokio::test]
async fn a_program_gets_the_message_its_arguments_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let script = "cat; echo =; echo \"$$1|$$2\"; env | sort; pwd; ls -l /proc/self/fd";
    let mut program =
        listed(&["/bin/sh", "-c", &format!("({script}) > $$0"), "", "$user", "${id}"]);
    program.command[3] = Argument::parse(seen.to_str().unwrap()).unwrap();
    program.from_line = true;
    let kept = folder.path().join("kept");
    let _open = fs::File::create(&kept).unwrap();
    let attempt = deliver(&runner(program), &content("Subject: x\r\n\r\na\r\n")).await;
    assert_eq!(words(&attempt), "D 250 2.0.0 delivered to the program x");
    let text = fs::read_to_string(seen).unwrap();
    let want = format!(
        "From bob@b.example  Sun Nov 29 20:54:45 2026\nReturn-Path: <bob@b.example>\n\
         Delivered-To: alice+work@a.example\nSubject: x\n\na\n=\nalice|{}\n",
        MessageId(7)
    );
    assert!(text.starts_with(&want), "{text}");
    let set: Vec<&str> = text[want.len()..].lines().take_while(|line| line.contains('=')).collect();
    let names: Vec<&str> = set.iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let own = ["OLDPWD", "PWD", "SHLVL", "TZ", "_"];
    let names: Vec<&str> = names.into_iter().filter(|name| !own.contains(name)).collect();
    let known = [
        "DOMAIN",
        "EXTENSION",
        "HOME",
        "LOCAL",
        "LOGNAME",
        "ORIGINAL_RECIPIENT",
        "PATH",
        "QUEUE_ID",
        "RECIPIENT",
        "SENDER",
        "SHELL",
        "USER",
    ];
    assert_eq!(names, known, "{text}");
    assert!(set.contains(&"EXTENSION=work") && set.contains(&"SENDER=bob@b.example"), "{text}");
    let rest: Vec<&str> = text[want.len()..].lines().skip(set.len()).collect();
    assert_eq!(rest[0], "/", "{text}");
    let ours = kept.to_str().unwrap();
    assert!(text.contains("/proc/") && !text.contains(ours), "{text}");
}

#[tokio::test]
async fn a_program_that_does_not_read_is_no_hindrance() {
    let large = content(vec![b'x'; 10 << 20]);
    let rows = [
        ("never reads", "exit 0", "D 250 2.0.0 delivered to the program x"),
        ("closes at once", "exec <&-; sleep 0.2; exit 0", "D 250 2.0.0 delivered to the program x"),
        ("reads a part", "head -c 100 > /dev/null; exit 77", "R 550 5.7.0 permission denied"),
        ("reads all", "test $(wc -c) -gt 10485760", "D 250 2.0.0 delivered to the program x"),
    ];
    for (name, script, want) in rows {
        assert_eq!(words(&deliver(&sh(script), &large).await), want, "{name}");
    }
    // The same from a file.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    fs::write(&path, "a\r\n".repeat(1 << 20)).unwrap();
    let file = Content::File { path: path.clone(), size: 3 << 20 };
    let plain = |script: &str| {
        let mut runner = sh(script);
        (runner.program.return_path, runner.program.delivered_to) = (false, false);
        runner
    };
    let counted = plain("test $(wc -c) -eq 2097152");
    assert_eq!(words(&deliver(&counted, &file).await), "D 250 2.0.0 delivered to the program x");
    let mut whole = plain("test $(wc -c) -eq 3145728");
    whole.program.crlf = true;
    assert_eq!(words(&deliver(&whole, &file).await), "D 250 2.0.0 delivered to the program x");
    // Half a message is never taken for the whole.
    let seen = folder.path().join("seen");
    let late = sh(&format!("cat > /dev/null; touch {}", seen.display()));
    let short = Content::File { path, size: 4 << 20 };
    assert!(
        words(&deliver(&late, &short).await).starts_with("Q 451 4.3.0 the message cannot be read")
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!seen.exists());
}

#[tokio::test]
async fn time_and_output_have_a_limit_and_nobody_lingers() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let mut slow = sh("sleep 60 & sleep 60");
    slow.program.timeout = Duration::from_millis(300);
    let want = "Q 451 4.3.0 the program x took longer than 300ms";
    assert_eq!(words(&deliver(&slow, &content("x")).await), want);
    // A process that is left behind holds the output open, and ends with the program.
    let mark = folder.path().join("mark");
    let lingers = sh(&format!("(sleep 1; touch {}) & exit 0", mark.display()));
    assert_eq!(
        words(&deliver(&lingers, &content("x")).await),
        "D 250 2.0.0 delivered to the program x"
    );
    // One that has left the group is not waited for.
    let left = sh("setsid sleep 20 & exit 0");
    assert_eq!(
        words(&deliver(&left, &content("x")).await),
        "D 250 2.0.0 delivered to the program x"
    );
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(!mark.exists());
    let mut flood = sh("head -c 20000000 /dev/zero | tr '\\0' x; exit 77");
    flood.program.output = 10;
    let want = "R 550 5.7.0 permission denied. Output: xxxxxxxxxx";
    assert_eq!(words(&deliver(&flood, &content("x")).await), want);
    let mut endless = sh("yes; exit 0");
    endless.program.timeout = Duration::from_millis(300);
    assert!(words(&deliver(&endless, &content("x")).await).starts_with("Q 451 4.3.0"));
}

#[tokio::test]
async fn dropping_a_delivery_ends_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let sleepy = sh(&format!("cat > /dev/null; sleep 0.5; touch {}", mark.display()));
    let large = content(vec![b'x'; 1 << 20]);
    let limited = tokio::time::timeout(Duration::from_millis(200), deliver(&sleepy, &large));
    assert!(limited.await.is_err());
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(!mark.exists());
}

/// Runs a program over a part; the other end of `out` is read after a while.
async fn converted(script: &str, patience: Duration) -> (Result<u64, String>, usize) {
    let mut runner = sh(script);
    runner.program.timeout = Duration::from_secs(3);
    let part = PartForProgram {
        input: tempfile::tempfile().unwrap(),
        sender: "a@b.example",
        id: MessageId(7),
        environment: Vec::new(),
        output: 1 << 20,
        memory: None,
    };
    let (mut out, mut disk) = tokio::io::duplex(1_024);
    let reading = tokio::spawn(async move {
        tokio::time::sleep(patience).await;
        let mut kept = Vec::new();
        disk.read_to_end(&mut kept).await.unwrap();
        kept.len()
    });
    let ended = runner.convert(part, &mut out).await;
    drop(out);
    let ended = ended.map(|its| its.printed).map_err(|error| error.to_string());
    (ended, reading.await.unwrap())
}

#[tokio::test]
async fn a_converted_part_is_all_of_it_or_none() {
    let print = "head -c 50000 /dev/zero";
    assert_eq!(converted(print, Duration::ZERO).await, (Ok(50_000), 50_000));
    let slow = converted(print, Duration::from_millis(1_500)).await;
    assert_eq!(slow, (Ok(50_000), 50_000), "a disk that is slow");
    let (stuck, _) = converted(print, Duration::from_secs(4)).await;
    assert!(stuck.as_ref().is_err_and(|why| why.contains("has no end")), "{stuck:?}");
    let begun = Instant::now();
    let (held, _) =
        converted("echo head; setsid sleep 30 & sleep 0.5; exit 0", Duration::ZERO).await;
    assert!(held.as_ref().is_err_and(|why| why.contains("another process")), "{held:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_program_that_cannot_be_run_has_its_mail_wait() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, mode: u32, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    };
    let rows = [
        (file("plain", 0o644, "#!/bin/sh\n"), "Permission denied"),
        (folder.path().join("none"), "No such file or directory"),
        (folder.path().to_owned(), "Permission denied"),
        (file("odd", 0o755, "\x7fELF, or not\n"), "Exec format error"),
    ];
    for (path, want) in rows {
        let attempt = deliver(&runner(listed(&[path.to_str().unwrap()])), &content("x")).await;
        let said = words(&attempt);
        assert!(said.starts_with("Q 451 4.3.5 the program x cannot be run: "), "{said}");
        assert!(said.contains(want), "{said}");
        assert!(attempt.trouble.is_some(), "the next message would fare no better");
    }
    let mut nowhere = sh("exit 0");
    nowhere.program.directory = Path::new("/nowhere/at/all").to_owned();
    assert!(deliver(&nowhere, &content("x")).await.trouble.is_some());
}

#[test]
fn hostile_addresses_stay_what_they_are_or_are_refused() {
    let program = listed(&["/x", "$user", "-f$sender", "$subaddress", "--", "$sender"]);
    let plain = alice();
    let arguments = |piped: &Piped<'_>| Invocation::of(&program, piped).map(|its| its.arguments);
    let same = |sender: &str| {
        Ok(["alice", &format!("-f{sender}"), "work", "--", sender].map(str::to_owned).to_vec())
    };
    for sender in ["$(x)@y", "\"a b;'`|&\"@y", "-rf@y", "*@y", "a\\\"b@y"] {
        assert_eq!(arguments(&Piped { sender, ..plain }), same(sender), "{sender}");
    }
    let null = arguments(&Piped { sender: "", ..plain });
    assert_eq!(null, same("MAILER-DAEMON"));
    let refused = [
        ("an option", Piped { user: "-rf", ..plain }, Unfit::Option),
        ("an option behind it", Piped { subaddress: "-x", ..plain }, Unfit::Option),
        ("a path", Piped { user: "a/b", ..plain }, Unfit::Value("user")),
        ("the folder above", Piped { user: "..", ..plain }, Unfit::Value("user")),
        ("NUL", Piped { sender: "a\0@b", ..plain }, Unfit::Value("sender")),
        ("an end of line", Piped { original: "a\n@b", ..plain }, Unfit::Value("original address")),
        ("a C1 control", Piped { user: "a\u{85}", ..plain }, Unfit::Value("user")),
    ];
    for (name, piped, want) in refused {
        assert_eq!(arguments(&piped), Err(want), "{name}");
    }
    let long = "x".repeat(513);
    assert_eq!(arguments(&Piped { sender: &long, ..plain }), Err(Unfit::Value("sender")));
    for subaddress in ["../../etc", ".ssh", "a/b"] {
        let got = arguments(&Piped { subaddress, ..plain }).unwrap();
        assert_eq!(got[2], "", "{subaddress}");
    }
    let odd = Piped { sender: "() { :;}; x@y", ..plain };
    let set = Invocation::of(&program, &odd).unwrap().environment;
    assert!(set.contains(&("SENDER", "_____:____x@y".to_owned())), "{set:?}");
    let spaced = Piped { sender: "\"a b\"@y", ..plain };
    let head = Invocation::of(&ListedProgram { from_line: true, ..program }, &spaced).unwrap().head;
    assert_eq!(head[0], "From \"a-b\"@y  Sun Nov 29 20:54:45 2026");
}
