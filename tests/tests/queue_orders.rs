//! Orders about the queue hit what they name, and say what they do before and after.

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use relais_tests::{
    Dialogue, Instance, Load, Notice, Settings, Sink, eventually, fetch, free_port, mailbox,
    message, within,
};
use serde_json::Value;

/// An engine whose mail for `one.test` goes to a sink, and nothing that listens at `two.test`.
fn office(fields: &str) -> (Instance, Sink) {
    let port = free_port();
    let settings = Settings::standalone().stores(port).channel("stores", fields);
    (Instance::new(settings), Sink::on(port))
}

/// One message to these; its queue id.
#[track_caller]
fn send(instance: &Instance, from: &str, to: &[&str], name: &str) -> String {
    let mut client = Dialogue::open(instance.settings.smtp);
    let reply = client.message(from, to, &message(name, 600));
    let id = reply.expect(250).text.trim_end().rsplit(' ').next();
    id.expect("a queue id").to_owned()
}

/// Runs a command that must succeed; what it printed.
#[track_caller]
fn must(instance: &Instance, command: &[&str]) -> String {
    let output = instance.relais(command[0], &command[1..]);
    assert!(output.status.success(), "relais {command:?}: {output:?}");
    said(&output)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `relais WORDS` with these variables on a terminal of so many columns, and types an answer.
fn on_terminal(
    instance: &Instance,
    variables: &str,
    columns: usize,
    words: &str,
    answer: &str,
) -> (Option<i32>, String) {
    instance.on_terminal(variables, columns, words, answer)
}

/// The queue ids that a listing with these options names, sorted.
#[track_caller]
fn ids(instance: &Instance, options: &[&str]) -> Vec<String> {
    let entries = instance.json("queue", &[&["list"], options].concat());
    let id = |entry: &Value| entry["id"].as_str().expect("an id").to_owned();
    let mut ids: Vec<_> = entries.iter().map(id).collect();
    ids.sort();
    ids
}

#[test]
fn an_address_names_itself_and_no_other() {
    let (instance, _sink) = office("backoff: [\"1h\"]");
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let put = |from: &str, to: &str| send(&instance, from, &[to], "exact");
    let ann = put("ann@a.test", "x@one.test");
    let joann = put("joann@a.test", "xx@one.test");
    let longer = put("ann@a.test.example", "x@two.test");
    let upper = put("Ann@A.test", "X@one.test");
    let nobody = put("", "max@one.test");
    let dotted = put("a..b@dots.test", "y@one.test");
    let quoted = put("\"q\"@Dots.test", "y@one.test");
    let sorted = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
        ids.sort();
        ids
    };
    // options, the entries that they name
    let rows: [(&[&str], Vec<String>); 22] = [
        (&["--from", "ann@a.test"], sorted(&[&ann])),
        (&["--from", "<ann@a.test>"], sorted(&[&ann])),
        (&["--from", "ann@A.TEST"], sorted(&[&ann])),
        (&["--from", "Ann@a.test"], sorted(&[&upper])),
        (&["--from", "ann"], vec![]),
        (&["--from", "@a.test"], sorted(&[&ann, &joann, &upper])),
        (&["--from", "~ann@a"], sorted(&[&ann, &joann, &longer, &upper])),
        (&["--from", "<>"], sorted(&[&nobody])),
        (&["--to", "x@one.test"], sorted(&[&ann])),
        (&["--to", "~x@one"], sorted(&[&ann, &joann, &upper, &nobody])),
        (&["--to", "@two.test"], sorted(&[&longer])),
        (&["--to", "@TWO.test", "--from", "@a.test"], vec![]),
        (&["--host", "127.0.0"], vec![]),
        (&["--host", "~0.0.2"], sorted(&[&longer])),
        (&["--from", "a..b@dots.test"], sorted(&[&dotted])),
        (&["--from", "<a..b@dots.test.>"], sorted(&[&dotted])),
        (&["--from", "\"a..b\"@DOTS.test"], sorted(&[&dotted])),
        (&["--from", "a.b@dots.test"], vec![]),
        (&["--from", "q@dots.test"], sorted(&[&quoted])),
        (&["--from", "\"q\"@dots.test"], sorted(&[&quoted])),
        (&["--from", "@dots.test."], sorted(&[&dotted, &quoted])),
        (
            &["--channel", "~stor"],
            sorted(&[&ann, &joann, &longer, &upper, &nobody, &dotted, &quoted]),
        ),
    ];
    for (options, want) in rows {
        assert_eq!(ids(&instance, options), want, "{options:?}");
        let dry = instance.relais("queue", &[&["delete", "--dry-run", "--json"], options].concat());
        let found = i32::from(want.is_empty());
        assert_eq!(dry.status.code(), Some(found), "{options:?}: {dry:?}");
        let dry: Value = serde_json::from_slice(&dry.stdout).expect("one object");
        assert_eq!(dry["done"], want.len() as u64, "delete {options:?}: {dry}");
    }
    let output = instance.relais("queue", &["delete", "--from", "ann"]);
    assert_eq!(said(&output), "0 entries deleted\n");
    assert!(complaint(&output).contains("\"~ann\" names those that hold"), "{output:?}");
    let output = instance.relais("queue", &["list", "--channel", "~no_such"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = instance.relais("queue", &["delete", "--from", ""]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("the null sender is named by '<>'"), "{output:?}");
    must(&instance, &["queue", "delete", "--from", "ann@a.test"]);
    assert_eq!(ids(&instance, &[]), sorted(&[&joann, &longer, &upper, &nobody, &dotted, &quoted]));
    must(&instance, &["queue", "return", "--from", "@A.test"]);
    eventually("the returned ones are gone", PATIENCE, || {
        ids(&instance, &["--from", "@a.test"]).is_empty()
    });
    let left = ids(&instance, &[]);
    assert!(left.contains(&longer) && left.contains(&nobody), "{left:?}");
}

#[test]
fn a_dry_run_shows_the_first_twenty_and_what_was_asked_about_is_what_is_hit() {
    let (instance, _sink) = office("backoff: [\"1h\"]");
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    for n in 0..23 {
        send(&instance, "ann@a.test", &[&format!("u{n}@one.test"), "v@one.test"], "many");
    }
    let text = must(&instance, &["queue", "delete", "--all", "--dry-run"]);
    let last = text.lines().last().expect("a line");
    assert_eq!(last, "23 entries would be deleted; the first 20 are shown");
    assert_eq!(text.lines().count(), 1 + 20 + 1, "{text}");
    let dry = instance.json("queue", &["delete", "--all", "--dry-run"]).remove(0);
    let first = dry["first"].as_array().expect("a list");
    assert_eq!((first.len(), &dry["done"], &dry["recipients"]), (20, &23.into(), &46.into()));
    assert_eq!(first[0], instance.queue()[0]);
    let held = instance.json("queue", &["hold", "--all"]).remove(0);
    assert!(held.get("first").is_none(), "only a dry run shows them: {held}");

    // On a terminal it is asked, once, with the number.
    let on_terminal =
        |words: &str, answer: &str| on_terminal(&instance, "TERM=xterm", 80, words, answer);
    let number = "delete 23 entries with 46 recipients, without a word to anybody? [y/N]";
    let (code, text) = on_terminal("queue delete --all", "n");
    assert!(code == Some(1) && text.contains(number), "{text}");
    assert!(text.contains("nothing was done"), "{text}");
    assert!(!text.contains("deleted"), "what is only counted is not done: {text:?}");
    let (_, text) = on_terminal("queue return --all", "n");
    assert!(text.contains("nothing was done") && !text.contains("returned"), "{text:?}");
    let (_, text) = on_terminal("queue delete --all", "");
    assert!(text.contains("nothing was done"), "Enter alone is no yes: {text}");
    assert_eq!(instance.queue().len(), 23);
    let (code, text) = on_terminal("queue release --all", "y");
    assert!(code == Some(0) && text.contains("release 23 entries with 46 rec"), "{text}");
    let (code, text) = on_terminal("queue hold --held", "");
    assert!(code == Some(1) && !text.contains("[y/N]"), "it reaches nothing: {text}");
    let (code, text) = on_terminal("queue delete --to u3@one.test --yes", "");
    assert!(code == Some(0) && !text.contains("[y/N]"), "{text}");
    let (code, text) = on_terminal("queue delete --from ann@a.test", "y");
    assert!(code == Some(0) && text.contains("delete 22 entries"), "{text}");
    assert!(instance.queue().is_empty());
}

#[test]
fn what_was_deleted_counts_as_deleted_and_an_order_is_logged_with_its_reason() {
    let (instance, _sink) = office("backoff: [\"1h\"]");
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let ids: Vec<_> = (0..3)
        .map(|_| send(&instance, "ann@a.test", &["x@one.test", "y@one.test"], "counted"))
        .collect();
    must(&instance, &["queue", "delete", &ids[0], "--reason", "spam run of Monday"]);
    must(&instance, &["queue", "hold", &ids[1], "--reason", "wait for legal"]);
    let counters = instance.json("counters", &[]).remove(0);
    let of = |event: &str| {
        let tally = &counters["stores"][event];
        (tally["messages"].as_u64(), tally["recipients"].as_u64())
    };
    assert_eq!(of("deleted"), (Some(1), Some(2)), "{counters}");
    assert_eq!(of("failed"), (Some(0), Some(0)), "{counters}");
    let text = must(&instance, &["counters"]);
    assert!(text.lines().any(|line| line.contains("stores") && line.contains("deleted")), "{text}");
    let log = instance.log();
    let transaction = |line: &&str| line.contains("\"action\":\"X\"") && line.contains(&ids[0]);
    let line = log.lines().find(transaction).expect("a line of the deletion");
    assert!(line.contains(": spam run of Monday"), "{line}");
    let order = |line: &&str| line.contains("order about the queue") && line.contains("legal");
    let line = log.lines().find(order).expect("a line of the order");
    assert!(line.contains("\"action\":\"hold\"") && line.contains("\"done\":1"), "{line}");
    let history = instance.json("queue", &["history", &ids[1]]).remove(0);
    let reason = history[1]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("held by") && reason.ends_with(": wait for legal"), "{reason}");
    for wrong in ["", "two\nlines", &"x".repeat(501)] {
        let output = instance.relais("queue", &["hold", &ids[2], "--reason", wrong]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

#[test]
fn the_reason_of_a_return_stands_in_the_notice_and_the_return_is_visible_at_once() {
    let (instance, _sink) = office("backoff: [\"1h\"]");
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let alice = "alice@relais.example";
    let id = send(&instance, alice, &["x@one.test", "y@one.test"], "returned");
    let reason = "Büro geschlossen";
    must(&instance, &["queue", "return", &id, "--reason", reason]);
    // The notice waits for a second, for others that it could share.
    let listed = instance.queue();
    assert_eq!(listed[0]["ordered"], "return", "{listed:?}");
    let text = must(&instance, &["queue", "why", &id]);
    assert!(text.contains("An operator returns it"), "{text}");
    let text = must(&instance, &["queue", "show", &id]);
    assert!(text.contains("to be returned as soon as its sender has been told"), "{text}");
    let mail = || mailbox(&instance.store(), "relais.example", "alice");
    eventually("the notice", PATIENCE, || mail().len() == 1);
    let notice = Notice::read(&mail()[0]);
    assert!(notice.text.contains(reason), "{}", notice.text);
    let shown = notice.message().get("X-relais-Reason");
    assert_eq!(shown, Some("B?ro geschlossen"), "{:?}", notice.message());
    assert!(!String::from_utf8_lossy(&mail()[0]).contains("returned by"), "and not by whom");
    let log = instance.log();
    let returned = |line: &&str| line.contains("\"action\":\"R\"") && line.contains(&id);
    let line = log.lines().find(returned).expect("a line of the return");
    assert!(line.contains("returned by") && line.contains(&format!(": {reason}")), "{line}");
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
}

/// In text and in JSON, before and after; and so it is.
#[test]
fn a_return_says_of_whom_nobody_can_be_told() {
    let (instance, _sink) = office("backoff: [\"1h\"]");
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let alice = "alice@relais.example";
    let nobody = "; nobody can be told of 1 of 1 recipient: their mail has no sender (<>)";
    let never = "; nobody is told of 1 of 2 recipients: the sender asked for no notice (NOTIFY)";
    let no_way = "; the postmaster is told of 1 of 1 recipient: no rule leads to the sender";
    // sender, recipients with what they want, what is said, null_sender, notify_never, no_way
    let rows: [(&str, &[&str], String, [u64; 3]); 5] = [
        (alice, &["<a@one.test>"], "returned".to_owned(), [0, 0, 0]),
        ("", &["<a@one.test>"], format!("removed{nobody}"), [1, 0, 0]),
        (
            alice,
            &["<a@one.test> NOTIFY=NEVER"],
            format!("removed{}", never.replace("2 recipients", "1 recipient")),
            [0, 1, 0],
        ),
        (
            alice,
            &["<a@one.test> NOTIFY=NEVER", "<b@one.test> NOTIFY=FAILURE"],
            format!("returned{never}"),
            [0, 1, 0],
        ),
        ("x@elsewhere.test", &["<a@one.test>"], format!("returned{no_way}"), [0, 0, 1]),
    ];
    for (from, to, said, untold) in &rows {
        let mut client = Dialogue::open(instance.settings.smtp);
        client.ask(&format!("MAIL FROM:<{from}>")).expect(250);
        for to in *to {
            client.ask(&format!("RCPT TO:{to}")).expect(250);
        }
        client.ask("DATA").expect(354);
        let reply = client.finish(&message("untold", 500));
        let id = reply.expect(250).text.trim_end().rsplit(' ').next().expect("an id").to_owned();
        let json = instance.json("queue", &["return", &id, "--dry-run"]).remove(0);
        let told = ["null_sender", "notify_never", "no_way"];
        let found = told.map(|what| json["untold"][what].as_u64().unwrap_or(0));
        assert_eq!(found, *untold, "{from} {to:?}: {json}");
        let text = must(&instance, &["queue", "return", &id, "--dry-run"]);
        let would = said.replacen("re", "would be re", 1);
        assert!(text.contains(&format!("1 entry {would}")), "{from} {to:?}: {text}");
        let text = must(&instance, &["queue", "return", &id]);
        assert_eq!(text.trim_end(), format!("1 entry {said}"), "{from} {to:?}");
        let why = instance.relais("queue", &["why", &id]);
        let is_wrong =
            said.starts_with("removed") && self::said(&why).contains("its sender's notice");
        assert!(!is_wrong, "{from} {to:?}: {why:?}");
    }
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    // Alice is the postmaster, too.
    let mail = mailbox(&instance.store(), "relais.example", "alice");
    let of_others =
        mail.iter().filter(|mail| Notice::read(mail).header.get("To") == Some("x@elsewhere.test"));
    assert_eq!((mail.len(), of_others.count()), (3, 1), "and nobody else");
}

#[test]
fn a_host_in_trouble_is_tried_again_at_one_time_everywhere_and_hours_have_minutes() {
    let (instance, sink) = office("backoff: [\"90m\"]");
    let _running = instance.start();
    sink.answer("RCPT TO:<busy@", "451 4.7.1 greylisted, come back");
    let gone = send(&instance, "ann@a.test", &["x@two.test"], "probed");
    let busy = send(&instance, "ann@a.test", &["busy@one.test"], "busy");
    let entry = |id: &str| instance.queue().into_iter().find(|entry| entry["id"] == *id);
    let is_delayed = |id: &str| entry(id).is_some_and(|entry| entry["state"] == "delayed");
    eventually("failed attempts", PATIENCE, || is_delayed(&gone) && is_delayed(&busy));
    let same_second = || {
        let status = instance.json("status", &[]).remove(0);
        let until = status["troubles"][0]["until"].as_str().expect("a time").to_owned();
        let listed = entry(&gone).expect("it waits");
        listed["due"].as_str().expect("a time")[..19] == until[..19]
    };
    eventually("the same time in both", PATIENCE, same_second);
    let text = must(&instance, &["queue", "list"]);
    let line = |id: &str| text.lines().find(|line| line.starts_with(id)).expect("its line");
    assert!(!line(&gone).contains("in 1h"), "{text}");
    let next = line(&busy).split(" in ").nth(1).expect("a time");
    let next = next.split(' ').next().unwrap_or_default();
    assert!(next.starts_with("1h") && next.ends_with('m'), "{next}: {text}");
    assert!(line(&busy).ends_with("451 4.7.1 greylisted, come back"), "the last reply: {text}");
    let younger = ids(&instance, &["--older-than", "1h20m"]);
    assert!(younger.is_empty(), "{younger:?}");
}

/// Untried mail for a host that is left alone is not ready: it goes with the probe.
#[test]
fn what_waits_for_a_probe_is_delayed_until_then_in_every_listing() {
    let (instance, _sink) = office("backoff: [\"90m\"], maxjobs: 1");
    let _running = instance.start();
    let first = send(&instance, "ann@a.test", &["x@two.test"], "probe");
    eventually("an attempt", PATIENCE, || {
        instance.queue().iter().any(|entry| entry["attempts"].as_u64() > Some(0))
    });
    let behind = send(&instance, "ann@a.test", &["y@two.test"], "behind");
    // Where a probe runs in between all are asked once more.
    eventually("one state and one time", PATIENCE, || {
        let listed = instance.queue();
        let of = |id: &str| listed.iter().find(|entry| entry["id"] == *id).expect("it waits");
        let same = |id: &str| {
            let history = instance.json("queue", &["history", id]).remove(0);
            let newest = history.as_array().and_then(|lines| lines.last().cloned());
            let newest = newest.expect("a line");
            let second = |due: &Value| due.as_str().map(|due| due[..19].to_owned());
            newest["state"] == "delayed"
                && of(id)["state"] == "delayed"
                && second(&newest["due"]).is_some()
                && second(&newest["due"]) == second(&of(id)["due"])
        };
        let summary = instance.json("queue", &["summary"]).remove(0);
        let sum = &summary["channels"][0];
        same(&first)
            && same(&behind)
            && (&sum["ready"], &sum["delayed"]) == (&0.into(), &2.into())
            && ids(&instance, &["--state", "ready"]).is_empty()
            && ids(&instance, &["--state", "delayed"]).len() == 2
    });
}

#[test]
fn what_was_ordered_of_an_entry_in_hand_is_withdrawn_by_a_release() {
    let (instance, sink) = office("maxjobs: 1");
    let _running = instance.start();
    sink.pause();
    let id = send(&instance, "ann@a.test", &["x@one.test"], "one");
    eventually("a job has it", PATIENCE, || instance.queue()[0]["state"] == "active");
    let other = send(&instance, "ann@a.test", &["x@two.test"], "two");
    must(&instance, &["queue", "hold", &other]);
    let ordered = || {
        let entry = instance.queue().into_iter().find(|entry| entry["id"] == *id);
        entry.expect("it waits")["ordered"].as_str().map(str::to_owned)
    };
    let releases: [&[&str]; 4] =
        [&[&id], &["--all", "--yes"], &["--to", "x@one.test"], &["--host", "127.0.0.1", "--held"]];
    for (order, release) in ["hold", "return", "delete", "hold"].into_iter().zip(releases) {
        must(&instance, &["queue", order, &id]);
        assert_eq!(ordered().as_deref(), Some(order));
        // Its column is no wider for that: nothing else has to go.
        let (_, text) = on_terminal(&instance, "TERM=xterm NO_COLOR=1", 80, "queue list", "");
        assert!(text.contains(&format!(" to {order} ")) && text.contains("AGE"), "{text}");
        let asked = [&["release", "--dry-run"], release].concat();
        let would = instance.json("queue", &asked).remove(0);
        let done = instance.json("queue", &[&["release"], release].concat()).remove(0);
        assert_eq!(would["done"], done["done"], "{release:?}: {would} {done}");
        assert_eq!(ordered(), None, "{release:?}");
    }
    sink.resume();
    eventually("it is delivered", PATIENCE, || ids(&instance, &[]) == [&*other]);
    assert!(!instance.log().contains("\"action\":\"X\""), "{}", instance.log());
}

/// Exit status 1: no.
#[test]
fn an_order_whose_options_name_nothing_says_so_by_its_exit_status() {
    let (instance, _sink) = office("backoff: [\"90m\"]");
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let orders = ["hold", "release", "retry", "return", "delete", "reroute"];
    for order in orders {
        must(&instance, &["queue", order, "--all", "--yes"]);
    }
    let id = send(&instance, "ann@a.test", &["x@one.test"], "one");
    for order in orders {
        for options in [&["--from", "bob@a.test"][..], &["--from", "bob@a.test", "--dry-run"]] {
            let output = instance.relais("queue", &[&[order], options].concat());
            let said = complaint(&output);
            assert_eq!(output.status.code(), Some(1), "{order} {options:?}: {output:?}");
            assert!(said.contains("nothing in the queue"), "{order}: {said}");
        }
        let output = instance.relais("queue", &[order, "06C1FJ4V80000"]);
        assert_eq!(output.status.code(), Some(1), "{order}: {output:?}");
        assert_eq!(instance.relais("queue", &[order]).status.code(), Some(2), "{order}");
    }
    let release = instance.relais("queue", &["release", "--from", "ann@a.test"]);
    assert_eq!(release.status.code(), Some(1), "nothing of hers is held: {release:?}");
    for order in ["show", "why", "history"] {
        let unknown = instance.relais("queue", &[order, "06C1FJ4V80000"]);
        assert_eq!(unknown.status.code(), Some(1), "{order}: {unknown:?}");
        must(&instance, &["queue", order, &id]);
    }
    // Entries that are so already have been found, and said; and nothing is a listing, too.
    let told = must(&instance, &["queue", "release", &id]);
    assert_eq!(told, "0 entries released; 1 left as they are (1, they are not held)\n");
    must(&instance, &["queue", "hold", &id]);
    for order in ["hold", "retry"] {
        let told = must(&instance, &["queue", order, &id]);
        assert!(told.contains("; 1 left as they are (1, they are held)"), "{order}: {told}");
    }
    must(&instance, &["queue", "list", "--from", "bob@a.test"]);
}

#[test]
fn no_listing_wraps_on_a_terminal_and_a_pipe_gets_everything() {
    let (instance, sink) = office("backoff: [\"90m\"]");
    let _running = instance.start();
    let said = "451 4.7.1 greylisted: please come back in a while, or in another while after that";
    sink.answer("RCPT TO:<", said);
    let from = "newsletter-bounces+recipient=far.away.example@mailing-lists.example.org";
    let to = "a.user.with.a.very.long.name.indeed@one.test";
    let id = send(&instance, from, &[to, "b@one.test"], "wide");
    send(&instance, "", &["x@two.test"], "wide");
    eventually("failed attempts", PATIENCE, || {
        instance.queue().iter().all(|entry| entry["state"] == "delayed")
    });
    let commands = [
        "queue list".to_owned(),
        format!("queue show {id}"),
        format!("queue history {id}"),
        format!("queue why {id}"),
        "queue summary".to_owned(),
        "queue delete --all --dry-run".to_owned(),
        "channel list".to_owned(),
        "counters".to_owned(),
        "status".to_owned(),
    ];
    let is_escape = |c: char| c == '\u{1b}';
    // A colour is `ESC [ digits m`.
    let plain = |line: &str| {
        let mut pieces = line.trim_end().split(is_escape);
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.fold(first, |text, piece| text + piece.split_once('m').map_or("", |(_, t)| t))
    };
    for command in &commands {
        for columns in [60, 80, 132] {
            let (code, text) = on_terminal(&instance, "TERM=xterm", columns, command, "");
            assert_eq!(code, Some(0), "{command}: {text}");
            // A progress bar is overwritten.
            for line in text.lines().filter_map(|line| line.trim_end().rsplit('\r').next()) {
                let line = plain(line);
                assert!(line.chars().count() <= columns, "{columns}, {command}: {line}");
            }
        }
    }
    let (_, text) = on_terminal(&instance, "TERM=xterm", 80, "queue list", "");
    assert!(text.contains("\u{1b}[33mdelayed"), "a colour for those that wait: {text:?}");
    assert!(text.contains("LAST REPLY") && text.contains("451 4.7.1"), "{text}");
    let (_, text) = on_terminal(&instance, "TERM=xterm NO_COLOR=1", 80, "queue list", "");
    assert!(text.contains("delayed") && !text.contains(is_escape), "{text:?}");
    let text = must(&instance, &["queue", "list"]);
    assert!(text.contains(from) && text.contains(to) && text.contains(said), "{text}");
    assert!(!text.contains(is_escape), "{text}");
}

#[test]
fn what_is_told_and_asked_does_not_wrap_on_a_terminal_and_a_wrong_name_is_put_right() {
    let mut settings = Settings::standalone().stores(free_port());
    for n in 0..20 {
        let channel = format!("(name: \"ch{n}\", tag: \"ch{n}-daemon\", program: Lmtp),");
        settings = settings.edit("program: Local),", &format!("program: Local),\n{channel}"));
    }
    let instance = Instance::new(settings);
    let running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    send(&instance, "", &["x@one.test"], "told");
    let narrow = |words: &str, answer: &str| {
        let (_, text) = on_terminal(&instance, "TERM=xterm NO_COLOR=1", 80, words, answer);
        // The answer, typed ahead, stands above the question: what follows is on the same line.
        let lines = text.lines().flat_map(|line| line.trim_end().split("[y/N] "));
        for line in lines.filter_map(|line| line.rsplit('\r').next()) {
            assert!(line.chars().count() <= 80, "{words}: {line}");
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    // words, answer, a part of what is seen when lines are put together again
    for (words, answer, want) in [
        ("channel stop stores", "", "channel stores was stopped already"),
        ("channel start tcp_local", "", "channel tcp_local was not stopped"),
        ("channel stop ch3", "", "what comes in by it is taken as before"),
        ("set stores.maxjobs 5 --save", "", "after a restart, too (/"),
        ("set nosuch", "", "`relais set` lists all with their values"),
        ("queue return --all", "n", "nobody can be told of 1 of 1 recipient: their mail has no"),
        (
            "channel stop store",
            "",
            "no channel \"store\"; did you mean stores? there are: stores, ",
        ),
        ("queue list --channel store", "", "did you mean stores? there are: stores, "),
        ("queue delete --channel ~strs", "", "did you mean stores? there are: stores, "),
        ("route a@b --channel tcp_locl", "", "did you mean tcp_local? there are: tcp_local, "),
    ] {
        let seen = narrow(words, answer);
        assert!(seen.contains(want), "{words}: {seen}");
        let names = seen.matches("ch1").count();
        assert!(names <= 8, "eight names at most: {words}: {seen}");
    }
    running.kill();
    assert!(narrow("status", "").contains("no engine is running"));
    let (_, text) = on_terminal(&instance, "TERM=xterm NO_COLOR=1", 40, "spool check", "");
    let seen = text.lines().filter_map(|line| line.trim_end().rsplit('\r').next());
    assert!(seen.clone().all(|line| line.chars().count() <= 40), "{text}");
    assert!(seen.clone().any(|line| line.starts_with("large messages: 0 files,")), "{text}");
}

#[test]
fn content_is_shown_octet_by_octet_in_a_pipe_and_harmless_on_a_terminal() {
    let fields = "backoff: [\"90m\"]";
    let port = free_port();
    let settings = Settings::standalone().stores(port).channel("stores", fields);
    let settings = settings.section("spool: (large_message: \"64KiB\")");
    let instance = Instance::new(settings);
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let put = |content: &[u8]| {
        let mut client = Dialogue::open(instance.settings.smtp);
        let reply = client.message("ann@a.test", &["x@one.test"], content);
        let text = &reply.expect(250).text;
        text.trim_end().rsplit(' ').next().expect("a queue id").to_owned()
    };
    let hostile = b"Subject: bell\r\n\r\n\x1b]0;owned\x07\x1b[2Jtext \xe2\x80\xaetxet\r\n";
    let small = put(hostile);
    let line = format!("{}\r\n", "0123456789".repeat(7));
    let body = format!("Subject: large\r\n\r\n{}", line.repeat(40_000));
    let large = put(body.as_bytes());
    for (id, sent) in [(&small, &hostile[..]), (&large, body.as_bytes())] {
        let output = instance.relais("queue", &["show", id, "--content"]);
        assert!(output.status.success(), "{:?}", complaint(&output));
        assert!(output.stdout.starts_with(b"Received: "), "ours stands before it");
        assert!(output.stdout.ends_with(sent), "{} octets", output.stdout.len());
        let head = instance.relais("queue", &["show", id, "--content", "--head", "3"]).stdout;
        assert!(output.stdout.starts_with(&head) && head.ends_with(b"\r\n"));
        assert_eq!(String::from_utf8_lossy(&head).lines().count(), 3);
    }
    let (_, text) =
        on_terminal(&instance, "TERM=xterm", 80, &format!("queue show {small} --content"), "");
    assert!(text.contains("^[]0;owned^G^[[2Jtext ?txet"), "{text:?}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let shown = must(&instance, &["queue", "show", &large]);
    assert!(shown.contains("Subject: large"), "a large message has its header, too: {shown}");
    let page = fetch(instance.settings.admin, &format!("/api/v1/queue/{small}/content"));
    assert_eq!(page.expect("an answer").status, 403, "on the socket only");
    for (args, code) in [
        (&["show", "0000000000000", "--content"][..], 1),
        (&["show", &small, "--head", "3"], 2),
        (&["show", &small, "--content", "--head", "0"], 2),
        (&["show", &small, "--content", "--json"], 2),
    ] {
        assert_eq!(instance.relais("queue", args).status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn set_shows_what_is_and_what_it_changes_and_keeps_what_it_is_told_to() {
    let (instance, _sink) = office("maxjobs: 2");
    let running = instance.start();
    let limit = |key: &str| {
        let shown = instance.json("set", &[key]).remove(0);
        let shown = shown.as_array().expect("a list")[0].clone();
        assert_eq!(shown["key"], key, "{shown}");
        [shown["value"].clone(), shown["configured"].clone(), shown["saved"].clone()]
    };
    let all = must(&instance, &["set"]);
    for key in ["max_messages ", "SMTP_POOL.job_limit ", "stores.maxjobs ", "stores.idle_time "] {
        assert!(all.lines().any(|line| line.starts_with(key)), "{key}: {all}");
    }
    assert_eq!(limit("stores.maxjobs"), [2.into(), 2.into(), Value::Null]);
    let text = must(&instance, &["set", "stores.maxjobs", "4", "--save"]);
    let line = "channels: [(name: \"stores\", ..., maxjobs: 4), ...],";
    assert!(text.contains("4, was 2; after a restart, too") && text.contains(line), "{text}");
    let text = must(&instance, &["set", "SMTP_POOL.job_limit", "7"]);
    assert!(text.contains("7, was 10; until the engine stops, then 10"), "{text}");
    must(&instance, &["set", "stores.idle_time", "1h20m", "--save"]);
    must(&instance, &["set", "stores@127.0.0.1.connections", "3", "--save"]);
    assert_eq!(limit("stores.idle_time")[0], "80m");
    running.kill();

    let mut running = instance.start();
    assert_eq!(limit("stores.maxjobs"), [4, 2, 4].map(Value::from));
    assert_eq!(limit("SMTP_POOL.job_limit"), [10.into(), 10.into(), Value::Null]);
    assert_eq!(limit("stores.idle_time")[0], "80m");
    assert_eq!(limit("stores@[127.0.0.1].connections")[0], 3);
    assert!(instance.log().contains("a saved limit stands above the configuration"));
    let text = must(&instance, &["set", "stores.maxjobs", "default", "--save"]);
    assert!(text.contains("2, was 4; after a restart, too"), "{text}");
    must(&instance, &["set", "stores@[127.0.0.1].connections", "none", "--save"]);
    running.terminate();
    running.wait(PATIENCE);

    let _running = instance.start();
    assert_eq!(limit("stores.maxjobs"), [2.into(), 2.into(), Value::Null]);
    assert_eq!(limit("stores@[127.0.0.1].connections")[0], Value::Null);
    // what is typed, what the error lists
    let rows: [(&[&str], &str); 10] = [
        (&["stores.jobs", "1"], "stores.max_client_threads"),
        (&["stores.jobs"], "stores@HOST.connections"),
        (&["stores.maxjob"], "did you mean stores.maxjobs? there are: stores.maxjobs, "),
        (&["maxmessages"], "did you mean max_messages?"),
        (&["SMPT_POOL.job_limit", "1"], "did you mean SMTP_POOL? there are: SMTP_POOL, DEFAULT"),
        (&["store.maxjobs", "1"], "did you mean stores? there are: stores, "),
        (&["stores.maxjobs", "many"], "1 to 10000 does"),
        (&["stores.idle_time", "5"], "such as 90s or 5m"),
        (&["stores@127.0.0.1.connections", "0"], "1 to 10000 does, or none"),
        (&["stores@127.0.0.1.maxjobs", "1"], "stores@HOST.connections"),
    ];
    for (args, want) in rows {
        let output = instance.relais("set", args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(complaint(&output).contains(want), "{args:?}: {}", complaint(&output));
    }
}

#[test]
fn connections_follow_the_limits_of_a_job_and_of_a_host_at_once() {
    let (instance, sink) = office("maxjobs: 1, max_client_threads: 6, threaddepth: 1");
    let _running = instance.start();
    let connections = |wanted: u64| {
        let threads = || {
            let list = instance.json("channel", &["list"]).remove(0);
            let list = list.as_array().expect("a list");
            let stores = list.iter().find(|one| one["name"] == "stores").expect("it is there");
            stores["threads"].as_u64().expect("a number")
        };
        assert!(within(PATIENCE, || threads() == wanted), "{} instead of {wanted}", threads());
    };
    must(&instance, &["set", "stores@127.0.0.1.connections", "2"]);
    sink.pause();
    for _ in 0..40 {
        send(&instance, "a@a.test", &["x@one.test"], "limits");
    }
    connections(2);
    must(&instance, &["set", "stores@127.0.0.1.connections", "4"]);
    connections(4);
    sink.slow_down(Duration::from_millis(200));
    sink.resume();
    // Connections end between two messages.
    must(&instance, &["set", "stores@127.0.0.1.connections", "1"]);
    connections(1);
    must(&instance, &["set", "stores.max_client_threads", "3"]);
    must(&instance, &["set", "stores@127.0.0.1.connections", "none"]);
    // The last one is kept for the mail of another host.
    connections(2);
    sink.slow_down(Duration::ZERO);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    assert_eq!(sink.total(), 40);
}

/// Puts another rule for `two.test` in the place of the one that names 127.0.0.2.
fn move_host(instance: &Instance) {
    let file = instance.path("relais.ron");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    assert!(text.contains("two.test@[127.0.0.2]"), "{text}");
    let text = text.replace("two.test@[127.0.0.2]", "two.test@[127.0.0.1]");
    std::fs::write(file, text).expect("room");
}

#[test]
fn what_waits_for_a_host_that_was_given_up_is_routed_again() {
    let (instance, sink) = office("backoff: [\"90m\"]");
    let mut running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let moves = send(&instance, "ann@a.test", &["x@two.test", "y@two.test"], "moves");
    let stays = send(&instance, "ann@a.test", &["z@three.test"], "stays");
    let text = must(&instance, &["queue", "retry", &moves]);
    let stopped = "channel stores is stopped: nothing moves until `relais channel start stores`";
    assert!(text.contains(stopped), "{text}");
    let same = instance.json("queue", &["reroute", "--all", "--dry-run"]).remove(0);
    assert_eq!((&same["done"], &same["idle"]), (&0.into(), &2.into()), "{same}");
    running.terminate();
    running.wait(PATIENCE);
    move_host(&instance);

    let _running = instance.start();
    let before = instance.queue();
    let text = must(&instance, &["queue", "reroute", "--all", "--dry-run"]);
    assert!(text.contains("1 entry would be routed again; 1 left as they are"), "{text}");
    let line = text.lines().find(|line| line.contains("x@two.test")).expect("a line");
    assert!(line.starts_with(&moves) && line.contains("stores [127.0.0.2]"), "{text}");
    assert!(line.ends_with("stores [127.0.0.1]"), "{text}");
    assert_eq!(instance.queue(), before, "a dry run changes nothing");
    let done = instance.json("queue", &["reroute", "--to", "@two.test"]).remove(0);
    assert_eq!((&done["done"], &done["recipients"]), (&1.into(), &2.into()), "{done}");
    assert_eq!(
        ids(&instance, &["--host", "127.0.0.1"]),
        std::slice::from_ref(&moves),
        "under its id"
    );
    assert!(ids(&instance, &["--host", "127.0.0.2"]).is_empty());
    let again = instance.json("queue", &["reroute", "--all"]).remove(0);
    assert_eq!((&again["done"], &again["idle"]), (&0.into(), &2.into()), "{again}");
    must(&instance, &["channel", "start", "stores"]);
    eventually("it is delivered", PATIENCE, || sink.total() == 1);
    eventually("and gone", PATIENCE, || ids(&instance, &[]) == [stays.clone()]);
    let log = instance.log();
    let delivered = |line: &&str| line.contains("\"action\":\"D\"") && line.contains(&moves);
    let line = log.lines().find(delivered).expect("a line of the delivery");
    assert!(line.contains("<x@two.test>,<y@two.test>"), "{line}");
}

#[test]
fn what_is_held_is_routed_again_and_stays_held_and_what_is_left_is_said_why() {
    let (instance, sink) = office("backoff: [\"90m\"]");
    let mut running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let held = send(&instance, "ann@a.test", &["x@two.test"], "held");
    let lost = send(&instance, "ann@a.test", &["y@gone.test"], "lost");
    let stays = send(&instance, "ann@a.test", &["z@one.test"], "stays");
    must(&instance, &["queue", "hold", &held, "--reason", "look at it"]);
    running.terminate();
    running.wait(PATIENCE);
    move_host(&instance);
    // Nothing leads there any more.
    let file = instance.path("relais.ron");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    let rule = text.lines().find(|line| line.contains("(\"gone.test\"")).expect("a rule");
    std::fs::write(&file, text.replace(rule, "")).expect("room");

    let mut running = instance.start();
    let why = must(&instance, &["queue", "why", &held]);
    assert!(why.contains("another one now: by stores to [127.0.0.1]"), "{why}");
    assert!(why.contains(&format!("`relais queue reroute {held}` takes it")), "{why}");
    let before = instance.queue();
    let told = must(&instance, &["queue", "reroute", "--all", "--dry-run"]);
    let want = "1 entry would be routed again; 2 left as they are (1, their recipients go that way \
                already; 1, no recipient of theirs can be routed); 1 held as before, until `relais \
                queue release`";
    assert!(told.contains(want), "{told}");
    assert_eq!(instance.queue(), before, "a dry run changes nothing");
    assert!(!instance.log().contains("routed anew"), "and nothing is said to have been");
    let told = must(&instance, &["queue", "reroute", "--all"]);
    assert!(told.contains(&want.replace("would be ", "")), "{told}");
    assert!(instance.log().contains("routed anew"), "what was done is in the log");
    assert_eq!(ids(&instance, &["--held"]), std::slice::from_ref(&held), "under its id");
    assert_eq!(ids(&instance, &["--held", "--host", "127.0.0.1"]).len(), 1, "where it goes now");
    let why = must(&instance, &["queue", "why", &held]);
    assert!(why.contains("held by") && why.contains("look at it"), "its reason stays: {why}");
    running.terminate();
    running.wait(PATIENCE);
    let _running = instance.start();
    assert_eq!(ids(&instance, &["--held"]), std::slice::from_ref(&held), "over a start, too");

    must(&instance, &["queue", "delete", &lost]);
    sink.pause();
    must(&instance, &["channel", "start", "stores"]);
    eventually("a job has it", PATIENCE, || ids(&instance, &["--state", "active"]) == [&*stays]);
    let told = must(&instance, &["queue", "reroute", &stays]);
    assert!(
        told.contains("0 entries routed again; 1 left as they are (1, a job has them"),
        "{told}"
    );
    sink.resume();
    must(&instance, &["queue", "release", &held]);
    eventually("both are delivered", PATIENCE, || instance.queue().is_empty() && sink.total() == 2);
}

#[test]
fn a_kill_while_mail_is_routed_again_neither_loses_nor_doubles_a_recipient() {
    const MESSAGES: usize = 150;
    let (instance, _sink) = office("backoff: [\"90m\"]");
    let mut running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let mut sent: Vec<_> = (0..MESSAGES)
        .map(|_| send(&instance, "ann@a.test", &["x@two.test", "y@two.test"], "moves"))
        .collect();
    sent.sort();
    running.terminate();
    running.wait(PATIENCE);
    move_host(&instance);
    let both = |entry: &Value| entry["recipients"].as_array().is_some_and(|all| all.len() == 2);
    let mut interrupted = 0;
    let mut after = Duration::from_millis(15);
    loop {
        let running = instance.start();
        assert_eq!(ids(&instance, &[]), sent, "one entry of each message");
        assert!(instance.queue().iter().all(both), "each with both recipients");
        let moved = ids(&instance, &["--host", "127.0.0.1"]).len();
        if moved == MESSAGES {
            break;
        }
        interrupted += usize::from(moved > 0);
        let mut order = instance.command("queue", &["reroute", "--all"]);
        let mut order = order.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("relais");
        std::thread::sleep(after);
        running.kill();
        order.wait().expect("it ends");
        after += Duration::from_millis(15);
    }
    println!("{interrupted} kills were in the middle");
}

/// An entry that is released from a hold channel goes on in a record of its own before its old
/// entry is done.
#[test]
fn a_kill_while_held_mail_is_released_neither_loses_nor_doubles_a_message() {
    const MESSAGES: usize = 300;
    let instance = hold_office();
    let mut running = instance.start();
    must(&instance, &["channel", "stop", "tcp_lmtpcs"]);
    let load = Load::new(instance.settings.smtp, "carol@relais.example", 600);
    load.run(20, MESSAGES);
    let in_channel = |name: &str| ids(&instance, &["--channel", name]);
    eventually("all is held", PATIENCE, || ids(&instance, &["--held"]).len() == MESSAGES);
    let sent = in_channel("hold");
    let (mut interrupted, mut life) = (0, Duration::from_millis(10));
    while !in_channel("hold").is_empty() {
        let mut order = instance.command("queue", &["release", "--all", "--yes"]);
        let mut order = order.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("relais");
        std::thread::sleep(life);
        running.kill();
        order.wait().expect("it ends");
        life += Duration::from_millis(15);
        running = instance.start();
        interrupted += usize::from(!in_channel("hold").is_empty());
    }
    println!("{interrupted} kills were in the middle");
    assert!(interrupted > 0, "no kill was in the middle");
    assert_eq!(in_channel("tcp_lmtpcs"), sent, "each once, under its id");
    must(&instance, &["channel", "start", "tcp_lmtpcs"]);
    let delivered = || mailbox(&instance.store(), "relais.example", "carol").len();
    eventually("all is delivered", PATIENCE, || instance.queue().is_empty());
    assert_eq!(delivered(), MESSAGES, "each once");
}

/// An operator who is told that something is or will be done is told so for good.
#[test]
fn what_was_ordered_and_answered_is_done_though_the_engine_is_killed() {
    let port = free_port();
    let instance = Instance::new(Settings::standalone().stores(port));
    let sinks = [1, 2, 3].map(|n| Sink::at(([127, 0, 0, n], port).into()));
    let notices = || mailbox(&instance.store(), "relais.example", "alice").len();
    let mail = |to: &str| send(&instance, "alice@relais.example", &[to], "ordered");
    let running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let [returned, deleted, held] = ["x@one.test"; 3].map(mail);
    for (action, id, done) in [
        ("return", &returned, "returned"),
        ("delete", &deleted, "deleted"),
        ("hold", &held, "held"),
    ] {
        let told = must(&instance, &["queue", action, id]);
        assert!(told.contains(&format!("1 entry {done}")), "{told}");
    }
    running.kill();
    sinks.iter().for_each(Sink::pause);
    let running = instance.start();
    eventually("the sender has it back", PATIENCE, || notices() == 1);
    eventually("one is left", PATIENCE, || ids(&instance, &[]) == [&*held]);
    assert_eq!(ids(&instance, &["--held"]), [&*held]);

    // The same of what a job has in hand, and what was ordered last counts.
    must(&instance, &["channel", "start", "stores"]);
    let [delivered, deleted, returned] = ["x@one.test", "x@two.test", "x@three.test"].map(mail);
    eventually("jobs have them", PATIENCE, || ids(&instance, &["--state", "active"]).len() == 3);
    for (action, id) in [("hold", &delivered), ("delete", &deleted), ("return", &returned)] {
        let told = must(&instance, &["queue", action, id, "--reason", "a \"reason\""]);
        assert!(told.contains("1 in the hands of a job"), "{told}");
    }
    must(&instance, &["queue", "release", &delivered]);
    running.kill();
    sinks.iter().for_each(Sink::resume);
    let mut running = instance.start();
    eventually("the sender has that back, too", PATIENCE, || notices() == 2);
    let logged = |action: &str, id: &str| {
        let (action, log) = (format!("\"action\":\"{action}\""), instance.log());
        log.lines().filter(|line| line.contains(&action) && line.contains(id)).count()
    };
    eventually("what was released is delivered", PATIENCE, || logged("D", &delivered) == 1);
    eventually("one is left", PATIENCE, || ids(&instance, &[]) == [&*held]);
    assert_eq!((logged("X", &deleted), logged("D", &deleted), logged("D", &returned)), (1, 0, 0));

    // An order that is done does not come back by the line that was written down.
    must(&instance, &["queue", "release", &held]);
    eventually("an empty queue", PATIENCE, || instance.queue().is_empty());
    running.terminate();
    running.wait(PATIENCE);
    let _running = instance.start();
    assert!(instance.queue().is_empty());
    assert_eq!((notices(), logged("D", &held)), (2, 1));
}

#[test]
fn what_is_released_into_a_hold_channel_again_says_so() {
    let rules = "rewrite_rules: [\n        (\"kept.test\", \"$U%kept.test@hold-daemon\"),";
    let settings = Settings::standalone().stores(free_port()).edit("rewrite_rules: [", rules);
    let instance = Instance::new(settings);
    let _running = instance.start();
    let id = send(&instance, "ann@a.test", &["x@kept.test"], "kept");
    let is_held = || ids(&instance, &["--held"]) == [&*id];
    eventually("it is held", PATIENCE, is_held);
    let why = || must(&instance, &["queue", "why", &id]);
    assert!(why().contains("channel hold holds all its mail"), "{}", why());
    must(&instance, &["queue", "release", &id]);
    eventually("it says why it is so again", PATIENCE, || {
        is_held() && why().contains("its route leads to a hold channel again")
    });
    assert_eq!(instance.queue().len(), 1);
}

/// A user whose mail goes into a hold channel, and one who gets hers.
fn hold_office() -> Instance {
    let settings = Settings::standalone()
        .edit("directory: Ldif()", "directory: Ldif(file: \"users.ldif\")")
        .edit("\"#*forward=**\",", "\"#*forward=**\",\n        \"#/hold=@hold-daemon:$A\",");
    let instance = Instance::new(settings);
    let user = |name: &str, more: &str| {
        format!(
            "dn: uid={name},o=relais.example,dc=relais,dc=example\nobjectClass: inetMailUser\n\
             uid: {name}\nmail: {name}@relais.example\nmailHost: localhost\n{more}\n"
        )
    };
    let users = user("alice", "") + &user("carol", "mailUserStatus: hold\n");
    let organisation = "dn: o=relais.example,dc=relais,dc=example\n\
                        objectClass: sunManagedOrganization\nsunPreferredDomain: relais.example\n\n";
    std::fs::create_dir_all(instance.data()).expect("room");
    std::fs::write(instance.data().join("users.ldif"), organisation.to_owned() + &users)
        .expect("room");
    instance
}

const PATIENCE: Duration = Duration::from_secs(30);
