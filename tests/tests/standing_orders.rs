//! Orders of operators that are written down, and orders that stand.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::Output,
    thread,
    time::{Duration, Instant},
};

use relais_tests::{
    Dialogue, Instance, Load, Settings, Sink, SmallDisk, eventually, fetch, free_port, mailbox,
    message, needs, needs_root,
};
use serde_json::Value;

/// An engine whose mail for `one.test` goes to a sink, and nothing that listens at `two.test`.
fn office(edit: impl FnOnce(Settings) -> Settings) -> (Instance, Sink) {
    let port = free_port();
    let settings = Settings::standalone().stores(port).channel("stores", "backoff: [\"1h\"]");
    (Instance::new(edit(settings)), Sink::on(port))
}

/// One message; its queue id.
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
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_order_is_written_down_with_who_why_and_what_came_of_it() {
    let (instance, _sink) = office(|settings| settings);
    let mut running = instance.start();
    must(&instance, &["channel", "stop", "stores", "--reason", "they move\u{fc} house"]);
    let id = send(&instance, "ann@a.test", &["x@one.test", "y@one.test"], "one");
    must(&instance, &["queue", "hold", &id, "--reason", "look at it"]);
    must(&instance, &["queue", "release", "--from", "@a.test", "--dry-run"]);
    must(&instance, &["queue", "release", "--from", "@a.test"]);
    must(&instance, &["set", "stores.maxjobs", "3", "--reason", "less"]);
    must(&instance, &["mailbox", "create", "bob", "--reason", "new"]);
    must(&instance, &["mailbox", "quota", "bob"]);
    must(&instance, &["reload", "--dry-run"]);
    must(&instance, &["restart", "SMTP"]);
    let refused = instance.relais("set", &["nothing.maxjobs", "3"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    must(&instance, &["stop", "--wait"]);
    running.wait(std::time::Duration::from_secs(20));
    must(&instance, &["mailbox", "delete", "bob", "--yes"]);

    let entries = instance.json("audit", &[]);
    let told = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let end = &entry["end"];
        let result = end["result"].as_str().unwrap_or_default().to_owned();
        (text("command"), text("reason"), result, end["touched"].as_u64())
    };
    let told: Vec<_> = entries.iter().map(told).collect();
    let row = |command: &str, reason: &str, result: &str, touched: Option<u64>| {
        (command.to_owned(), reason.to_owned(), result.to_owned(), touched)
    };
    let want = [
        row("channel stop", "they move\u{fc} house", "done", None),
        row("queue hold", "look at it", "done", Some(1)),
        row("queue release", "", "done", Some(1)),
        row("set", "less", "done", None),
        row("mailbox create", "new", "done", None),
        row("restart", "", "done", None),
        row("set", "", "refused", None),
        row("stop", "", "done", None),
        row("mailbox delete", "", "done", None),
    ];
    assert_eq!(told, want);
    let who = &entries[0]["who"];
    assert_eq!(who["way"], "socket");
    assert!(who["uid"].is_u64() && who["gid"].is_u64() && who["pid"].is_u64(), "{who}");
    assert!(who["program"].as_str().is_some_and(|name| name.ends_with("relais")), "{who}");
    assert_eq!(entries[1]["what"]["ids"][0], id.as_str());
    assert_eq!(entries[2]["what"]["filter"]["from"], "@a.test");
    assert_eq!(entries[1]["end"]["recipients"], 2);
    assert_eq!(entries[8]["who"]["way"], "files");
    let by_nobody = instance.json("audit", &["--by", "nobody-of-that-name"]);
    assert!(by_nobody.is_empty(), "{by_nobody:?}");
    let uid = who["uid"].to_string();
    assert_eq!(instance.json("audit", &["--by", &uid, "--since", "1h"]).len(), want.len());
    let shown = must(&instance, &["audit"]);
    assert!(shown.contains("queue hold") && shown.contains("look at it"), "{shown}");
    let mode = fs::metadata(instance.data().join("audit.log")).expect("a file").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn an_order_that_cannot_be_written_down_is_refused_and_names_the_setting() {
    let (instance, _sink) = office(|settings| settings);
    fs::create_dir_all(instance.data().join("audit.log")).expect("room");
    let _running = instance.start();
    let refused = instance.relais("channel", &["stop", "stores"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(complaint(&refused).contains("admin.audit: Wanted"), "{refused:?}");
    let list = instance.json("channel", &["list"]).remove(0);
    let stopped = |channel: &Value| channel["stopped"] == true;
    assert!(!list.as_array().expect("a list").iter().any(stopped), "{list}");
    fs::remove_dir(instance.data().join("audit.log")).expect("empty");
    must(&instance, &["channel", "stop", "stores"]);
}

/// Adds an order; its number.
#[track_caller]
fn add(instance: &Instance, words: &[&str]) -> u64 {
    let words = [&["add"], words, &["--reason", "the test wants it"]].concat();
    let shown = instance.json("order", &words).remove(0);
    shown["id"].as_u64().unwrap_or_else(|| panic!("{shown}"))
}

/// An order that stands.
#[track_caller]
fn shown(instance: &Instance, id: u64) -> Value {
    instance.json("order", &["show", &id.to_string()]).remove(0)
}

/// Whether any order stands.
fn stands(instance: &Instance) -> bool {
    let listed = instance.json("order", &["list"]).remove(0);
    listed["orders"].as_array().is_some_and(|orders| !orders.is_empty())
}

/// How many entries are in this state.
fn count(instance: &Instance, state: &str) -> usize {
    instance.queue().iter().filter(|entry| entry["state"] == state).count()
}

/// The answer of `relais queue why` about its only entry.
#[track_caller]
fn why(instance: &Instance, id: &str) -> (String, String) {
    let answer = instance.json("queue", &["why", id]).remove(0);
    let text = |key: &str| answer[0][key].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (text("waits_for"), text("text"))
}

#[test]
fn a_hold_is_for_what_waits_and_what_comes_and_ends_with_a_release() {
    let (instance, sink) = office(|settings| settings);
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let waits = send(&instance, "ann@a.test", &["x@one.test"], "waits");
    send(&instance, "bob@b.test", &["y@one.test"], "other");
    let asked = ["add", "hold", "--from", "@a.test", "--reason", "x", "--dry-run"];
    let would = instance.json("order", &asked).remove(0);
    assert_eq!((&would["done"], &would["first"][0]["id"]), (&1.into(), &waits.as_str().into()));
    assert!(!stands(&instance), "nothing was done");

    let id = add(&instance, &["hold", "--from", "@a.test", "--for", "1h"]);
    eventually("what waits is held", PATIENCE, || count(&instance, "held") == 1);
    let comes = send(&instance, "ann@a.test", &["x@one.test"], "comes");
    assert_eq!(count(&instance, "held"), 2, "from the beginning");
    let mixed = send(&instance, "ann@a.test", &["x@one.test", "alice@relais.example"], "mixed");
    eventually("each entry is", PATIENCE, || count(&instance, "held") == 4);
    for held in [&waits, &comes, &mixed] {
        let (waits_for, text) = why(&instance, held);
        assert_eq!(waits_for, "held");
        assert!(text.contains(&format!("held by order {id} of ")), "{text}");
        assert!(text.contains("the test wants it"), "{text}");
    }
    let listed = must(&instance, &["order", "list"]);
    assert!(listed.contains("from @a.test") && listed.contains("the test wants it"), "{listed}");
    let status = must(&instance, &["status", "--all"]);
    assert!(status.contains("from @a.test"), "{status}");
    assert!(shown(&instance, id)["messages"].as_u64() >= Some(3), "{}", shown(&instance, id));
    assert!(instance.metric("relais_standing_orders{kind=\"hold\"}") > 0.5);
    must(&instance, &["queue", "retry", &waits, "--reason", "the test wants it"]);
    must(&instance, &["queue", "hold", "--from", "@b.test", "--reason", "the test wants it"]);
    readers_learn_nothing_of_operators(&instance, &[&waits, &comes]);

    must(&instance, &["queue", "release", "--from", "@b.test"]);
    must(&instance, &["channel", "start", "stores"]);
    eventually("other mail goes", PATIENCE, || sink.total() == 1);
    // Mail that an operator holds by hand is not the order's.
    must(&instance, &["channel", "stop", "stores"]);
    let by_hand = send(&instance, "bob@b.test", &["y@one.test"], "by hand");
    must(&instance, &["queue", "hold", &by_hand]);
    must(&instance, &["channel", "start", "stores"]);
    must(&instance, &["order", "remove", &id.to_string(), "--release", "--reason", "all is well"]);
    eventually("what it held goes", PATIENCE, || sink.total() == 4 && !stands(&instance));
    assert_eq!(count(&instance, "held"), 1, "but for what somebody else holds");
    let missing = instance.relais("order", &["remove", &id.to_string()]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    let by_order = format!("250 2.0.0 held by order {id} of ");
    for (its, by) in [(&waits, &*by_order), (&comes, &by_order), (&by_hand, "250 2.0.0 held by ")] {
        let traced = must(&instance, &["trace", its]);
        assert!(traced.contains("held      <") && traced.contains(by), "{traced}");
        let is_released = traced.contains(&format!("250 2.0.0 released by order {id} of "));
        assert_eq!(is_released, its != &by_hand, "{traced}");
    }
    let audited = instance.json("audit", &[]);
    let commands: Vec<_> = audited.iter().filter_map(|one| one["command"].as_str()).collect();
    for wanted in ["order add hold", "order remove", "order end"] {
        assert!(commands.contains(&wanted), "{commands:?}");
    }
}

/// Readers by TCP are not shown operators, their reasons or the addresses that they are about.
#[track_caller]
fn readers_learn_nothing_of_operators(instance: &Instance, held: &[&str]) {
    let of_each = held.iter().flat_map(|id| {
        [format!("/api/v1/queue/{id}/why"), format!("/api/v1/queue/{id}/history")]
            .into_iter()
            .chain([format!("/queue/{id}")])
    });
    let all = ["/orders", "/api/v1/orders", "/api/v1/status", "/api/v1/overview", "/hosts"];
    for path in all.map(str::to_owned).into_iter().chain(of_each) {
        let page = fetch(instance.settings.admin, &path).expect("an answer");
        assert_eq!(page.status, 200, "{path}");
        for secret in ["the test wants it", " of root", "by root", "@a.test,"] {
            assert!(!page.body.contains(secret), "{path}: {secret}: {}", page.body);
        }
    }
    let orders = fetch(instance.settings.admin, "/orders").expect("an answer").body;
    assert!(!orders.contains("@a.test") && orders.contains("<td>hold"), "{orders}");
    assert!(orders.contains("shown by the socket") && !orders.contains(">Reason<"), "{orders}");
    let history = format!("/api/v1/queue/{}/history", held[0]);
    let history = fetch(instance.settings.admin, &history).expect("an answer").body;
    assert!(history.contains("held by an operator"), "{history}");
}

#[test]
fn the_end_of_a_hold_leaves_what_somebody_else_has_ordered_since() {
    let (instance, sink) = office(|settings| settings);
    let _running = instance.start();
    sink.pause();
    let id = send(&instance, "ann@a.test", &["x@one.test"], "in hand");
    eventually("a job has it", PATIENCE, || count(&instance, "active") == 1);
    let ordered = || instance.queue()[0]["ordered"].as_str().map(str::to_owned);
    let hold = |words: &[&str]| {
        let order = add(&instance, &[&["hold", "--from", "@a.test"], words].concat());
        eventually("it is to be held", PATIENCE, || ordered().as_deref() == Some("hold"));
        order.to_string()
    };
    let order = hold(&[]);
    must(&instance, &["queue", "delete", &id]);
    must(&instance, &["order", "remove", &order, "--release"]);
    eventually("it ends", PATIENCE, || !stands(&instance));
    assert_eq!(ordered().as_deref(), Some("delete"));
    hold(&["--for", "1s", "--release"]);
    eventually("its own order goes with it", PATIENCE, || ordered().is_none());
    sink.resume();
    eventually("it is delivered", PATIENCE, || sink.total() == 1);
}

/// The end of this order is over, as if nothing had run for an hour.
fn an_hour_passes(instance: &Instance, id: u64) {
    let path = instance.data().join("standing.json");
    let mut kept: Value =
        serde_json::from_slice(&fs::read(&path).expect("a file")).expect("it is JSON");
    let orders = kept["orders"].as_array_mut().expect("a list");
    let order = orders.iter_mut().find(|order| order["id"] == id).expect("it stands");
    assert!(order["until"].is_string(), "{order}");
    order["until"] = order["since"].clone();
    fs::write(&path, kept.to_string()).expect("it is kept");
}

#[test]
fn a_suspension_outlives_kill_9_and_ends_by_itself_while_the_engine_is_down() {
    let (instance, sink) = office(|settings| settings);
    let running = instance.start();
    let until_removed = add(&instance, &["suspend", "--from", "ann@a.test", "--channel", "stores"]);
    let soon = add(&instance, &["hold", "--from", "eve@a.test", "--for", "1h", "--release"]);
    assert_ne!(until_removed, soon);
    let id = send(&instance, "ann@a.test", &["x@one.test"], "waits");
    send(&instance, "eve@a.test", &["x@one.test"], "held");
    send(&instance, "bob@b.test", &["x@one.test"], "goes");
    eventually("the others go", PATIENCE, || sink.total() == 1);
    eventually("it waits", PATIENCE, || count(&instance, "delayed") == 1);
    assert_eq!(count(&instance, "held"), 1);
    let (waits_for, text) = why(&instance, &id);
    assert_eq!(waits_for, "ordered");
    assert!(text.contains(&format!("order {until_removed} of ")), "{text}");
    assert!(text.contains("relais order remove"), "{text}");
    running.kill();
    an_hour_passes(&instance, soon);

    let _running = instance.start();
    eventually("the one that ended released its mail", PATIENCE, || sink.total() == 2);
    assert_eq!(shown(&instance, until_removed)["kind"], "suspend");
    must(&instance, &["queue", "retry", "--all"]);
    send(&instance, "ann@a.test", &["x@one.test"], "waits, too");
    eventually("both wait", PATIENCE, || count(&instance, "delayed") == 2);
    assert_eq!(sink.total(), 2, "a retry does not end it");
    must(&instance, &["order", "remove", &until_removed.to_string()]);
    eventually("all has gone", PATIENCE, || sink.total() == 4 && !stands(&instance));
}

#[test]
fn what_is_returned_is_refused_at_the_door_and_what_waits_goes_back_with_the_reason() {
    let (instance, sink) = office(|settings| settings);
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    send(&instance, "alice@relais.example", &["x@one.test"], "waits");
    let id = add(&instance, &["return", "--to", "@one.test"]);
    let notice = || {
        let inbox = mailbox(&instance.store(), "relais.example", "alice");
        inbox.iter().map(|octets| String::from_utf8_lossy(octets).into_owned()).next()
    };
    eventually("it goes back", PATIENCE, || notice().is_some());
    assert!(notice().is_some_and(|text| text.contains("the test wants it")));
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("EHLO client.test").expect(250);
    client.ask("MAIL FROM:<ann@a.test>").expect(250);
    let reply = client.ask("RCPT TO:<x@one.test>");
    reply.expect(550);
    assert!(reply.text.contains(&format!("refused by order {id}: ")), "{}", reply.text);
    assert!(reply.text.contains("the test wants it"), "{}", reply.text);
    client.ask("RCPT TO:<x@two.test>").expect(250);
    let route = instance.json("route", &["x@one.test", "--client", "127.0.0.1"]).remove(0);
    let told = route["results"][0]["order"].as_str().unwrap_or_default().to_owned();
    assert!(told.contains(&format!("order {id} ")), "{route}");
    assert_eq!((sink.total(), shown(&instance, id)["recipients"].as_u64()), (0, Some(2)));
}

#[test]
fn a_recipient_that_is_refused_has_nobody_elses_mail_held() {
    let held = "\n\"SEND_ACCESS\": [(\"*|*|*|ann*\", \"$Y$Hlook$ at$ it\")],";
    let (instance, sink) =
        office(|settings| settings.edit("mappings: {", &format!("mappings: {{{held}")));
    let _running = instance.start();
    send(&instance, "eve@a.test", &["ann@one.test"], "looked at");
    eventually("it is held", PATIENCE, || count(&instance, "held") == 1);
    add(&instance, &["return", "--to", "ann@one.test"]);
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("EHLO client.test").expect(250);
    client.ask("MAIL FROM:<eve@a.test>").expect(250);
    client.ask("RCPT TO:<ann@one.test>").expect(550);
    client.ask("RCPT TO:<bob@one.test>").expect(250);
    client.ask("DATA").expect(354);
    client.ask("Subject: both\r\n\r\ntext\r\n.").expect(250);
    eventually("bob has it", PATIENCE, || sink.total() == 1);
    assert_eq!(count(&instance, "held"), 1, "what was held is no order's");
}

#[test]
fn of_several_orders_the_kind_that_comes_first_counts_for_what_waits_and_comes() {
    let (instance, sink) = office(|settings| settings);
    let running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let by_hand = send(&instance, "bob@b.test", &["x@one.test"], "by hand");
    must(&instance, &["queue", "hold", &by_hand]);
    send(&instance, "ann@a.test", &["x@one.test"], "kept");
    let hold = add(&instance, &["hold", "--from", "@a.test"]);
    eventually("it is held", PATIENCE, || count(&instance, "held") == 2);
    let elsewhere = ["reroute", "--to", "@one.test", "--new-address", "alice@relais.example"];
    let preview = [&["add"], &elsewhere[..], &["--reason", "x", "--dry-run"]].concat();
    assert_eq!(instance.json("order", &preview).remove(0)["done"], 0, "others hold all of it");
    let elsewhere = add(&instance, &elsewhere);
    must(&instance, &["channel", "start", "stores"]);
    send(&instance, "ann@a.test", &["x@one.test", "y@two.test"], "kept, too");
    send(&instance, "eve@e.test", &["x@one.test"], "goes elsewhere");
    let inbox = || mailbox(&instance.store(), "relais.example", "alice").len();
    eventually("what nobody holds goes elsewhere", PATIENCE, || inbox() == 1);
    assert_eq!(count(&instance, "held"), 4);
    running.kill();
    let _running = instance.start();
    send(&instance, "eve@e.test", &["x@one.test"], "goes elsewhere");
    eventually("and after a start, too", PATIENCE, || inbox() == 2);
    assert_eq!((count(&instance, "held"), sink.total()), (4, 0));
    must(&instance, &["order", "remove", &elsewhere.to_string()]);
    let second = add(&instance, &["hold", "--to", "@two.test"]);
    must(&instance, &["order", "remove", &hold.to_string(), "--release"]);
    eventually("the other hold has its own", PATIENCE, || count(&instance, "held") == 2);
    must(&instance, &["order", "remove", &second.to_string(), "--release"]);
    eventually("nobody holds it", PATIENCE, || count(&instance, "held") == 1 && !stands(&instance));
}

#[test]
fn what_is_sent_elsewhere_goes_there_and_is_shown_first() {
    let (instance, sink) = office(|settings| settings);
    let _running = instance.start();
    send(&instance, "ann@a.test", &["x@two.test"], "waits");
    eventually("nobody is there", PATIENCE, || count(&instance, "delayed") == 1);
    let there = ["reroute", "--host", "[127.0.0.2]", "--new-host", "[127.0.0.1]"];
    let preview = [&["add"], &there[..], &["--reason", "x", "--dry-run"]].concat();
    let would = instance.json("order", &preview).remove(0);
    assert_eq!(would["rerouted"][0]["to"], "stores [127.0.0.1]", "{would}");
    let id = add(&instance, &there);
    eventually("what waits goes", PATIENCE, || sink.total() == 1);
    send(&instance, "ann@a.test", &["y@two.test"], "comes");
    eventually("and what comes", PATIENCE, || sink.total() == 2);
    must(&instance, &["order", "remove", &id.to_string()]);
    eventually("it ends", PATIENCE, || !stands(&instance));
    let to_alice =
        add(&instance, &["reroute", "--to", "@two.test", "--new-address", "alice@relais.example"]);
    send(&instance, "ann@a.test", &["z@two.test"], "to alice");
    let inbox = || mailbox(&instance.store(), "relais.example", "alice").len();
    eventually("another address has it", PATIENCE, || inbox() == 1);
    assert_eq!(shown(&instance, to_alice)["kind"], "reroute");
    let traced = must(&instance, &["trace", "z@two.test"]);
    let by = format!(", routed again by order {to_alice} of ");
    assert!(traced.contains(&by) && traced.contains("the test wants it"), "{traced}");
    let wrong = ["add", "reroute", "--host", "a", "--new-channel", "nowhere", "--reason", "x"];
    let refused = instance.relais("order", &wrong);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn an_order_that_a_full_disk_cannot_keep_changes_nothing_and_says_so() {
    if !needs_root() || !needs(&["mount"]) {
        return;
    }
    let (instance, _sink) =
        office(|settings| settings.edit("host:", "spool: (min_free: 0), host:"));
    fs::create_dir_all(instance.data()).expect("room");
    let disk = SmallDisk::over(instance.data(), "32m");
    let running = instance.start();
    let id = add(&instance, &["hold", "--from", "@a.test"]).to_string();
    let fill = || {
        let mut file = fs::File::create(instance.data().join("fill")).expect("a file");
        let mut size = 1 << 20;
        while size > 0 {
            // In ever smaller pieces, until there is room for none.
            if file.write_all(&vec![b'x'; size]).is_err() {
                size /= 2;
            }
        }
    };
    let stopped = || {
        let list = instance.json("channel", &["list"]).remove(0);
        let stopped = |channel: &Value| channel["stopped"] == true;
        list.as_array().expect("a list").iter().any(stopped)
    };
    let orders: [&[&str]; 4] = [
        &["channel", "stop", "stores"],
        &["order", "remove", &id],
        &["host", "suspend", "one.test", "--for", "1h", "--reason", "x"],
        &["set", "stores.maxjobs", "3", "--save"],
    ];
    let jobs = || instance.json("set", &["stores.maxjobs"]).remove(0)["now"].clone();
    let before = jobs();
    for order in orders {
        fill();
        let refused = instance.relais(order[0], &order[1..]);
        assert_eq!(refused.status.code(), Some(1), "{order:?}: {refused:?}");
        assert!(complaint(&refused).contains("nothing is changed"), "{order:?}: {refused:?}");
        fs::remove_file(instance.data().join("fill")).expect("it is there");
    }
    assert!(!stopped(), "no channel is");
    assert_eq!(
        (instance.json("order", &["show", &id]).remove(0)["ending"].clone(), jobs()),
        (false.into(), before)
    );
    let hosts = instance.json("host", &["list"]).remove(0);
    assert_eq!(hosts, Value::Array(Vec::new()));
    let left = fs::read_dir(instance.data()).expect("readable").flatten();
    let left = left.filter(|its| its.path().extension().is_some_and(|its| its == "new")).count();
    assert_eq!(left, 0, "no part of a file stays");
    for order in orders {
        must(&instance, order);
    }
    assert!(stopped(), "with room it is done");
    drop(running);
    drop(disk);
}

#[test]
fn what_is_slowed_down_goes_at_its_rate_and_others_as_ever() {
    let (instance, sink) = office(|settings| settings);
    let _running = instance.start();
    let id = add(&instance, &["slow", "--from", "news@a.test", "--rate", "4/1s"]);
    let began = Instant::now();
    for _ in 0..9 {
        send(&instance, "news@a.test", &["x@one.test"], "news");
    }
    send(&instance, "bob@b.test", &["x@one.test"], "other");
    eventually("all has gone", PATIENCE, || sink.total() == 10);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1_700), "8 quarters of a second: {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(shown(&instance, id)["messages"].as_u64() >= Some(7), "{}", shown(&instance, id));
}

#[test]
fn a_long_queue_is_held_by_an_order_while_other_mail_goes() {
    let (instance, sink) = office(|settings| settings);
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let load = Load::new(instance.settings.smtp, "x@one.test", 600);
    load.run(8, LONG);
    must(&instance, &["channel", "start", "stores"]);
    add(&instance, &["hold", "--to", "@one.test"]);
    send(&instance, "bob@b.test", &["alice@relais.example"], "meanwhile");
    let inbox = || mailbox(&instance.store(), "relais.example", "alice").len();
    eventually("other mail goes", PATIENCE, || inbox() == 1);
    let all = || count(&instance, "held") + sink.total();
    eventually("each is held, or was on its way", PATIENCE, || all() == LONG);
    let page = fetch(instance.settings.admin, "/api/v1/orders").expect("an answer");
    assert!(page.body.contains("\"kind\":\"hold\""), "{}", page.body);
}

#[test]
fn an_order_that_is_removed_stops_and_keeps_nothing_that_comes_meanwhile() {
    let (instance, sink) = office(|settings| settings);
    let _running = instance.start();
    must(&instance, &["channel", "stop", "stores"]);
    let load = Load::new(instance.settings.smtp, "x@one.test", 600);
    load.run(8, LONG);
    let mistaken = add(&instance, &["return", "--to", "@one.test"]);
    must(&instance, &["order", "remove", &mistaken.to_string()]);
    eventually("it ends", PATIENCE, || !stands(&instance));
    let left = || instance.queue().iter().filter(|entry| entry["channel"] == "stores").count();
    let is_at_rest = || {
        let before = left();
        thread::sleep(Duration::from_millis(500));
        before == left()
    };
    eventually("what had begun is done", PATIENCE, is_at_rest);
    assert!(left() > 0, "all was returned");
    must(&instance, &["channel", "start", "stores"]);
    let returned = || instance.log().matches("\"action\":\"R\"").count();
    eventually("what was not returned goes", PATIENCE, || left() == 0);
    eventually("each once", PATIENCE, || sink.total() + returned() == LONG);
    let went = sink.total();

    // Sessions and couriers that asked while an order stood are done after it.
    thread::scope(|scope| {
        let sending = scope.spawn(|| load.run(8, 2 * LONG));
        for _ in 0..2 {
            let hold = add(&instance, &["hold", "--to", "@one.test"]);
            must(&instance, &["order", "remove", &hold.to_string(), "--release"]);
        }
        sending.join().expect("all is taken");
    });
    eventually("nothing is kept", PATIENCE, || instance.queue().is_empty());
    let taken = load.acknowledged().len();
    assert!(sink.total() >= went + taken - LONG, "{} {went} {taken}", sink.total());
}

#[test]
fn an_end_that_cannot_be_kept_is_written_down_once_and_orders_in_a_circle_are_found() {
    let (instance, sink) = office(|settings| settings);
    let running = instance.start();
    for (from, to) in [("[127.0.0.2]", "[127.0.0.3]"), ("[127.0.0.3]", "[127.0.0.2]")] {
        add(&instance, &["reroute", "--host", from, "--new-host", to]);
    }
    let id = send(&instance, "ann@a.test", &["x@two.test"], "round");
    eventually("what goes in a circle is held", 3 * PATIENCE, || count(&instance, "held") == 1);
    assert!(why(&instance, &id).1.contains("in a circle"), "{:?}", why(&instance, &id));
    let short = add(&instance, &["suspend", "--from", "eve@a.test", "--for", "1h"]);
    running.kill();
    an_hour_passes(&instance, short);
    // The file cannot be replaced.
    let blocked = instance.data().join("standing.new");
    fs::create_dir(&blocked).expect("room");
    let _running = instance.start();
    let ends = || {
        let audit = instance.json("audit", &[]);
        let of = |one: &&Value| one["command"] == "order end" && one["what"]["id"] == short;
        audit.iter().filter(of).count()
    };
    eventually("it wants to end", PATIENCE, || ends() == 1);
    thread::sleep(Duration::from_secs(6));
    assert_eq!(ends(), 1, "once, though it was tried again");
    fs::remove_dir(&blocked).expect("it is empty");
    let gone = || instance.relais("order", &["show", &short.to_string()]).status.code() == Some(1);
    eventually("it has ended", PATIENCE, gone);
    assert_eq!((ends(), sink.total()), (1, 0));
}

const LONG: usize = 4_000;
const PATIENCE: Duration = Duration::from_secs(20);
