//! The deployment of two tiers: the shipped front end before two of the shipped back ends, with a
//! real `OpenLDAP` server, users on both stores and in two domains.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use relais_tests::{
    Dialogue, Instance, Ldif, Notice, Running, SmallDisk, TwoTiers, distinct_files, eventually,
    fetch, mailbox, message, message_ids,
};
use serde_json::Value;

const SIROE: &str = "siroe.com";
const SESTA: &str = "sesta.com";

/// `jdoe`, `anna`, `karl` and `away` are at home on the first store, the others on the second.
fn people() -> Ldif {
    let entries = Ldif::slapd().domain(SESTA, "");
    let at = |store: usize, more: &str| format!("mailHost: {}\n{more}", TwoTiers::HOSTS[store]);
    let entries = entries
        .user("jdoe", SIROE, &at(0, "mailQuota: 1M\nmailMsgQuota: 500"))
        .user("anna", SIROE, &at(0, ""))
        .user("karl", SESTA, &at(0, ""))
        .user(
            "away",
            SIROE,
            &at(0, "mailDeliveryOption: forward\nmailForwardingAddress: jane@sesta.com"),
        )
        .user("bob", SIROE, &at(1, ""))
        .user("jane", SESTA, &at(1, "mailAlternateAddress: jane.doe@sesta.com\nmailQuota: 2M"))
        .user("full", SESTA, &at(1, "mailQuota: 3K"))
        .user("held", SIROE, &at(1, "mailUserStatus: hold"));
    let [jdoe, jane] =
        [("jdoe", SIROE), ("jane", SESTA)].map(|(uid, domain)| entries.dn(uid, domain));
    let members = format!(
        "uniqueMember: {jdoe}\nuniqueMember: {jane}\nmgrpRFC822MailMember: bob@siroe.com\n\
         mgrpRFC822MailMember: guest@elsewhere.test"
    );
    entries.group("team", SIROE, &members)
}

/// The programs of both tiers, the stores first.
fn started(tiers: &TwoTiers) -> ([Option<Running>; 2], Running) {
    ([0, 1].map(|store| Some(tiers.stores[store].start())), tiers.relay.start())
}

fn send(tiers: &TwoTiers, from: &str, to: &[&str], name: &str) {
    let mut client = Dialogue::open(tiers.relay.settings.smtp);
    client.message(from, to, &message(name, 2_000)).expect(250);
}

fn text_of(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

/// Messages in the INBOX of a user.
fn has(tiers: &TwoTiers, store: usize, user: &str, domain: &str) -> usize {
    mailbox(&tiers.stores[store].store(), domain, user).len()
}

fn status(instance: &Instance) -> Value {
    instance.json("status", &[]).remove(0)
}

/// A line of `relais counters`: messages and recipients.
fn counted(instance: &Instance, channel: &str, event: &str) -> (u64, u64) {
    let counters = instance.json("counters", &[]).remove(0);
    let of = |what: &str| counters[channel][event][what].as_u64().unwrap_or_default();
    (of("messages"), of("recipients"))
}

#[test]
fn everything_is_where_it_belongs() {
    if !TwoTiers::are_possible() {
        return;
    }
    let tiers = TwoTiers::new(&people(), "", |store, settings| match store {
        0 => settings,
        _ => settings.edit("autocreate: Inbox", "autocreate: Inbox, quota_grace: \"1s\""),
    });
    let _programs = started(&tiers);
    let TwoTiers { relay, stores, .. } = &tiers;
    stores[0].relais("mailbox", &["create", "jdoe"]);
    for sub in ["cur", "new", "tmp"] {
        let folder = tiers.maildir(0, ("jdoe", SIROE), ".Work").join(sub);
        fs::create_dir_all(folder).expect("room");
    }
    let (mut stranger, _) =
        Dialogue::connect_from([127, 0, 2, 1], relay.settings.smtp).expect("a connection");
    stranger.ask("EHLO mx.sender.test").expect(250);
    let to = [
        "jdoe@siroe.com",
        "jdoe+Work@siroe.com",
        "anna@siroe.com",
        "karl+Nowhere@sesta.com",
        "bob@siroe.com",
        "jane.doe@SESTA.com",
        "away@siroe.com",
        "held@siroe.com",
        "team@siroe.com",
    ];
    stranger.message("a@sender.test", &to, &message("for all", 2_000)).expect(250);

    let delivered = |store: usize| counted(&stores[store], "tcp_lmtpss", "delivered");
    eventually("each store has its part", PATIENCE, || {
        [0, 1].iter().all(|store| delivered(*store).0 == 1)
    });
    // One transaction for each store, whoever led there; one file for all of its mailboxes.
    assert_eq!((delivered(0), delivered(1)), ((1, 4), (1, 2)));
    let here = |store, user, domain| has(&tiers, store, user, domain);
    for (store, user, domain) in [(0, "jdoe", SIROE), (0, "anna", SIROE), (0, "karl", SESTA)] {
        assert_eq!(here(store, user, domain), 1, "{user}");
    }
    assert_eq!(message_ids(&tiers.maildir(0, ("jdoe", SIROE), ".Work")).len(), 1);
    assert_eq!((here(1, "bob", SIROE), here(1, "jane", SESTA)), (1, 1));
    let is_message = |path: &Path| path.parent().is_some_and(|folder| folder.ends_with("new"));
    for store in stores {
        assert_eq!(distinct_files(&store.store(), is_message), 1, "one file, several names");
    }
    assert!(!tiers.maildir(0, ("away", SIROE), "").exists(), "who forwards keeps nothing");

    // Nobody is forgotten: who is held, and the guest of the list, whose host nobody can look up.
    let want = ["hold hold-daemon held", "tcp_local elsewhere.test delayed"];
    eventually("nobody is forgotten", PATIENCE, || {
        let mut left: Vec<_> = relay.queue().iter().map(place_of).collect();
        left.sort();
        left == want
    });
    let id = relay.queue()[0]["id"].as_str().expect("an id").to_owned();
    let why = text_of(&relay.relais("queue", &["why", &id]));
    assert!(why.contains("451 4.4.3 look up elsewhere.test: "), "{why}");
    assert!(why.contains(&format!("relais queue release {id}")), "{why}");
    assert!(relay.relais("queue", &["release", &id]).status.success());
    eventually("what was held is there", PATIENCE, || here(1, "held", SIROE) == 1);
    assert_eq!(delivered(1), (2, 3));

    the_quotas_have_arrived(&tiers);
    strangers_are_turned_away(&tiers);
    a_full_mailbox_is_told_of(&tiers);
}

/// Channel, host and state.
fn place_of(entry: &Value) -> String {
    let of = |name: &str| entry[name].as_str().unwrap_or_default();
    format!("{} {} {}", of("channel"), of("host"), of("state"))
}

fn the_quotas_have_arrived(tiers: &TwoTiers) {
    // store, user, what is remembered, what other programs read, what an operator is told
    let rows = [
        (0, "jdoe", SIROE, "xquota 1048576,500", "1048576S,500C\n", "1.0 MiB, 500 messages"),
        (1, "jane", SESTA, "xquota 2097152,-2", "2097152S,100000C\n", "2.0 MiB, 100000 messages"),
        (
            0,
            "anna",
            SIROE,
            "maildirsize 1073741824S,100000C",
            "1073741824S,100000C\n",
            "1.0 GiB, 100000 messages",
        ),
    ];
    for (store, user, domain, said, head, told) in rows {
        let maildir = tiers.maildir(store, (user, domain), "");
        let file = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        let remembered = file(maildir.join("../relais-quota"));
        assert_eq!(remembered.lines().next(), Some(said), "{user}");
        let size = file(maildir.join("maildirsize"));
        assert!(size.starts_with(head), "{user}: {size}");
        let name = format!("{user}@{domain}");
        let quota = text_of(&tiers.stores[store].relais("mailbox", &["quota", &name]));
        assert!(quota.contains(&format!("limit: {told}")), "{quota}");
    }
}

/// The relay is known by its address, and nobody else.
fn strangers_are_turned_away(tiers: &TwoTiers) {
    for (n, store) in tiers.stores.iter().enumerate() {
        let address = format!("{}:{}", TwoTiers::address(n), store.settings.lmtp);
        let address = address.parse().expect("an address");
        let (mut stranger, greeting) =
            Dialogue::connect_between([127, 0, 2, 1], address).expect("a connection");
        greeting.expect_start("500 Do not connect to this machine");
        assert!(stranger.is_closed());
        let (_, greeting) =
            Dialogue::connect_between([127, 0, 0, 1], address).expect("a connection");
        greeting.expect(220);
    }
}

/// First its mail waits, then its sender, a user of ours, is told.
fn a_full_mailbox_is_told_of(tiers: &TwoTiers) {
    let relay = &tiers.relay;
    for name in ["fits", "does not"] {
        send(tiers, "bob@siroe.com", &["full@sesta.com"], name);
    }
    let is_tried = |entry: &Value| entry["attempts"].as_u64() > Some(0);
    let is_it = |entry: &Value| entry["channel"] == "tcp_lmtpcs" && is_tried(entry);
    let waiting = || relay.queue().into_iter().find(is_it);
    eventually("it waits for room", PATIENCE, || waiting().is_some());
    let id = waiting().expect("it waits")["id"].as_str().expect("an id").to_owned();
    let why = text_of(&relay.relais("queue", &["why", &id]));
    assert!(why.contains("422 4.2.2 Quota Exceeded"), "{why}");
    assert_eq!(has(tiers, 1, "full", SESTA), 1);
    thread::sleep(Duration::from_secs(2));
    let retried = relay.relais("queue", &["retry", &id]);
    assert!(retried.status.success(), "{retried:?}");
    eventually("the sender is told", PATIENCE, || has(tiers, 1, "bob", SIROE) == 2);
    let texts = mailbox(&tiers.stores[1].store(), SIROE, "bob");
    let is_notice = |text: &&Vec<u8>| String::from_utf8_lossy(text).contains("multipart/report");
    let notice = texts.iter().find(is_notice).expect("a notice");
    let notice = Notice::read(notice);
    let recipient = notice.recipient();
    assert_eq!(recipient.get("Final-Recipient"), Some("rfc822;full@sesta.com"));
    assert_eq!(recipient.get("Status"), Some("5.2.2"));
    let said = recipient.get("Diagnostic-Code").unwrap_or_default();
    assert!(said.contains("522 5.2.2 Persistent Quota Exceeded"), "{said}");
}

#[test]
fn mail_for_a_store_that_is_away_waits_for_it_alone() {
    if !TwoTiers::are_possible() {
        return;
    }
    let tiers = TwoTiers::new(&people(), "", |_, settings| settings);
    let (mut stores, mut relay) = started(&tiers);
    let both = ["anna@siroe.com", "bob@siroe.com"];
    send(&tiers, "a@sender.test", &both, "before");
    let count = || (has(&tiers, 0, "anna", SIROE), has(&tiers, 1, "bob", SIROE));
    eventually("both work", PATIENCE, || count() == (1, 1));

    // The second one is stopped, for maintenance.
    let stopped = tiers.stores[1].relais("stop", &["--wait"]);
    assert!(stopped.status.success(), "{stopped:?}");
    drop(stores[1].take());
    let begun = Instant::now();
    for n in 0..5 {
        send(&tiers, "a@sender.test", &both, &format!("stopped {n}"));
    }
    eventually("the other one's mail goes on", SOON, || count().0 == 6);
    println!("the other store's mail took {:?}", begun.elapsed());
    eventually("both ends of the relay say the same", PATIENCE, || is_told(&tiers, 1, 5));
    // Nothing of that is forgotten, nor is any of it put off for long.
    relay.kill();
    relay = tiers.relay.start();
    assert_eq!(tiers.relay.due_later_than(66), [Value::Null; 0]);
    eventually("it is told again", PATIENCE, || is_told(&tiers, 1, 5));
    stores[1] = Some(tiers.stores[1].start());
    eventually("all arrives by itself", PATIENCE, || count() == (6, 6));

    // The first one dies.
    drop(stores[0].take());
    for n in 0..5 {
        send(&tiers, "a@sender.test", &both, &format!("killed {n}"));
    }
    eventually("the other one's mail goes on", SOON, || count().1 == 11);
    eventually("it is told", PATIENCE, || is_told(&tiers, 0, 5));
    stores[0] = Some(tiers.stores[0].start());
    // The probe may come first.
    tiers.relay.relais("queue", &["retry", "--host", TwoTiers::HOSTS[0]]);
    eventually("all arrives", SOON, || count() == (11, 11));
    assert!(tiers.relay.queue().is_empty());
    drop(relay);
}

/// Whether status, why, the listing and the metrics of the relay say that so many messages wait for
/// this store, and nothing of the other.
fn is_told(tiers: &TwoTiers, store: usize, messages: u64) -> bool {
    let (relay, host) = (&tiers.relay, TwoTiers::HOSTS[store]);
    let status = status(relay);
    let troubles = status["troubles"].as_array().cloned().unwrap_or_default();
    let channels = status["channels"].as_array().cloned().unwrap_or_default();
    let Some(channel) = channels.iter().find(|its| its["name"] == "tcp_lmtpcs") else {
        return false;
    };
    let page = fetch(relay.settings.admin, "/metrics").expect("a page").body;
    let gauge = |state: &str, count: u64| {
        let line = format!(
            "relais_channel_queue_messages{{channel=\"tcp_lmtpcs\",state=\"{state}\"}} {count}"
        );
        page.lines().any(|its| its == line)
    };
    let queue = relay.queue();
    let whys = queue.iter().all(|entry| {
        let id = entry["id"].as_str().unwrap_or_default();
        let why = text_of(&relay.relais("queue", &["why", id]));
        why.contains(&format!("{host} could not be talked to. It is left alone until "))
            && why.contains("Connection refused")
    });
    matches!(&troubles[..], [only] if only["host"] == host && only["until"].is_string())
        && (channel["delayed"].as_u64(), channel["ready"].as_u64()) == (Some(messages), Some(0))
        && gauge("delayed", messages)
        && gauge("ready", 0)
        && queue.len() as u64 == messages
        && queue.iter().all(|entry| entry["host"] == host && entry["state"] == "delayed")
        && whys
}

#[test]
fn a_store_whose_disk_is_full_for_a_while_loses_nothing_and_holds_up_nobody_else() {
    if !TwoTiers::are_possible() {
        return;
    }
    let tiers = TwoTiers::new(&people(), "", |_, settings| settings);
    fs::create_dir_all(tiers.stores[0].store()).expect("room");
    let _disk = SmallDisk::over(&tiers.stores[0].store(), "24m");
    let _programs = started(&tiers);
    let both = ["anna@siroe.com", "bob@siroe.com"];
    send(&tiers, "a@sender.test", &both, "before");
    let count = || (has(&tiers, 0, "anna", SIROE), has(&tiers, 1, "bob", SIROE));
    eventually("both work", PATIENCE, || count() == (1, 1));
    let filler = tiers.stores[0].store().join("filler");
    let _ = fs::write(&filler, vec![0; 24 << 20]);
    for n in 0..10 {
        send(&tiers, "a@sender.test", &both, &format!("full {n}"));
    }
    eventually("the other one's mail goes on", SOON, || count().1 == 11);
    let full = "452 4.3.1 no space left for mail";
    eventually("the relay says why", PATIENCE, || {
        let queue = tiers.relay.queue();
        let why = |entry: &Value| {
            let id = entry["id"].as_str().unwrap_or_default();
            text_of(&tiers.relay.relais("queue", &["why", id])).contains(full)
        };
        queue.len() == 10 && queue.iter().all(why)
    });
    assert_eq!(count().0, 1);
    // The other end says so, too.
    let page = fetch(tiers.stores[0].settings.admin, "/readyz").expect("a page");
    assert!(page.body.contains("no space left on its file system"), "{}", page.body);
    assert!(tiers.stores[1].is_ready());
    fs::remove_file(filler).expect("ours");
    eventually("all arrives by itself", PATIENCE, || count() == (11, 11));
    eventually("an empty queue", SOON, || tiers.relay.queue().is_empty());
    assert_eq!(tiers.relay.metric("relais_notices_total").to_string(), "0", "nobody was told");
}

#[test]
fn a_store_under_stress_gets_fewer_connections_and_the_other_as_many_as_before() {
    if !TwoTiers::are_possible() {
        return;
    }
    // Every commit takes longer than no time at all.
    let tiers = TwoTiers::new(&people(), "", |store, settings| match store {
        0 => settings,
        _ => settings.edit("autocreate: Inbox", "autocreate: Inbox, stress_at: \"0s\""),
    });
    let _programs = started(&tiers);
    for n in 0..4 {
        send(&tiers, "a@sender.test", &["anna@siroe.com", "bob@siroe.com"], &format!("m{n}"));
    }
    let stressed = || status(&tiers.relay)["stressed"].as_array().cloned().unwrap_or_default();
    eventually("the relay heeds it", PATIENCE, || !stressed().is_empty());
    let stressed = stressed();
    assert_eq!(stressed.len(), 1, "{stressed:?}");
    assert_eq!(stressed[0]["host"], TwoTiers::HOSTS[1]);
    assert_eq!(stressed[0]["connections"], 1);
    let is = |store: usize| tiers.stores[store].metric("relais_store_stressed");
    eventually("both ends count it", PATIENCE, || {
        tiers.relay.metric("relais_stressed_destinations").to_string() == "1" && is(1) > 0.5
    });
    assert!(is(0) < 0.5);
    let page = text_of(&tiers.relay.relais("status", &[]));
    let line = |host: &str| page.contains(&format!("{host} (tcp_lmtpcs) is under stress"));
    assert!(line(TwoTiers::HOSTS[1]) && !line(TwoTiers::HOSTS[0]), "{page}");
    eventually("all of it arrives all the same", PATIENCE, || {
        has(&tiers, 0, "anna", SIROE) == 4 && has(&tiers, 1, "bob", SIROE) == 4
    });
}

/// For a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(120);
/// Mail that waits for nobody takes no longer than that.
const SOON: Duration = Duration::from_secs(10);
