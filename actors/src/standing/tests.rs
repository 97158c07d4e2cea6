//! Orders, against a model that looks at every one of them.

use proptest::{prelude::*, sample::select};
use relais_channels::mail::{Origin, Rerouted};

use super::*;
use crate::timestamp::Timestamp;

fn order(id: u64, kind: StandingKind, criteria: OrderCriteria) -> StandingOrder {
    StandingOrder {
        id,
        kind,
        criteria,
        target: None,
        rate: None,
        release: false,
        since: Timestamp(1),
        until: None,
        removed: false,
        reason: "the test wants it".to_owned(),
        by: "root".to_owned(),
    }
}

fn criteria(words: [&str; 4]) -> OrderCriteria {
    let address = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
    let name = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
    let [from, to, host, channel] = words;
    OrderCriteria { from: address(from), to: address(to), host: name(host), channel: name(channel) }
}

fn entry(channel: &str, host: &str, recipients: &[&str]) -> Entry {
    let recipients = recipients.iter().map(|to| Recipient::new(*to, *to)).collect();
    Entry { channel: channel.into(), host: host.into(), recipients }
}

fn envelope(sender: &str, entries: Vec<Entry>) -> Envelope {
    Envelope {
        sender: sender.to_owned(),
        source_channel: "tcp_local".into(),
        size: 1,
        ..Envelope::plain(MessageId(7), 1, entries)
    }
}

const FROM: [&str; 9] = [
    "",
    "ann@a.test",
    "\"ann\"@A.test",
    "Ann@a.test",
    "@a.test",
    "@b.test.",
    "<>",
    "~ann",
    "@\u{fc}.test",
];
const TO: [&str; 6] = ["", "x@one.test", "\"x\"@one.test", "@one.test", "~two", "list@a.test"];
const HOST: [&str; 8] =
    ["", "one.test", "[192.0.2.1]", "192.0.2.1", ".test", ".one.test", "~one", "x.one.test"];
const CHANNEL: [&str; 4] = ["", "stores", "TCP_local", "~tcp"];
const SENDERS: [&str; 7] =
    ["", "ann@a.test", "ann@A.TEST", "\"ann\"@a.test", "joann@b.test", "q@xn--tda.test", "ann"];
const RECIPIENTS: [&str; 5] = ["x@one.test", "X@one.test", "y@two.test", "list@a.test", "x"];
const HOSTS: [&str; 6] =
    ["one.test", "ONE.test", "x.one.test", "[192.0.2.1]", "tcp_local/one.test", "test"];

proptest! {
    #[test]
    fn the_index_finds_what_a_look_at_every_order_finds(
        words in prop::collection::vec(
            (select(&FROM[..]), select(&TO[..]), select(&HOST[..]), select(&CHANNEL[..]), 0..5usize),
            0..40,
        ),
        sender in select(&SENDERS[..]),
        recipients in prop::collection::vec(select(&RECIPIENTS[..]), 1..4),
        (host, channel) in (select(&HOSTS[..]), select(&["stores", "tcp_local"][..])),
        open in 1..8u64,
    ) {
        let orders: Vec<_> = words
            .iter()
            .zip(1..)
            .map(|((from, to, host, channel, kind), id)| {
                order(id, StandingKind::ALL[*kind], criteria([from, to, host, channel]))
            })
            .filter(|order| !order.criteria.is_empty())
            .collect();
        let mut entry = entry(channel, host, &recipients);
        if let Some(first) = entry.recipients.first_mut() {
            let member = "list@a.test".into();
            first.origin = Some(Box::new(Origin { member, ..Origin::default() }));
        }
        let open = open & ((1 << recipients.len()) - 1);
        let mail = MailSeen { sender, channel, host, recipients: &entry.recipients, open };
        let naive = orders
            .iter()
            .filter(|order| order.criteria.admit(&mail))
            .min_by_key(|order| (order.kind, order.id));
        let standing = StandingOrders::default();
        standing.replace(orders.clone());
        let index = standing.index();
        let found = index.find(&mail, |_| true).map(|its| its.order.id);
        prop_assert_eq!(found, naive.map(|order| order.id));
    }
}

#[test]
fn where_no_order_is_in_force_nothing_is_kept() {
    let standing = StandingOrders::default();
    let mail = envelope("ann@a.test", vec![entry("stores", "one.test", &["x@one.test"])]);
    assert!(standing.is_empty() && standing.receive(&mail).is_none());
    assert!(standing.catch(&mail, (&mail.entries[0], 1, 0)).is_none());
    standing.replace(vec![order(1, StandingKind::Hold, criteria(["@a.test", "", "", ""]))]);
    assert!(!standing.is_empty());
    standing.replace(Vec::new());
    assert!(standing.is_empty());
}

#[test]
fn each_kind_keeps_mail_in_its_way() {
    let mail = envelope("ann@a.test", vec![entry("stores", "one.test", &["x@one.test"])]);
    let catch = |order: StandingOrder| {
        let standing = StandingOrders::default();
        standing.replace(vec![order]);
        let caught = standing.catch(&mail, (&mail.entries[0], 1, 0));
        (caught.map(|its| its.until), standing.caught().messages.len())
    };
    let by_sender = || criteria(["@a.test", "", "", ""]);
    let until = Timestamp(now_ms() + 5_000_000);
    let plain = |kind| StandingOrder { until: Some(until), ..order(3, kind, by_sender()) };
    assert_eq!(catch(plain(StandingKind::Suspend)), (Some(until.0), 0));
    for kind in [StandingKind::Hold, StandingKind::Return] {
        let (put_off, noted) = catch(plain(kind));
        assert!(put_off.is_some_and(|at| at < until.0) && noted == 1, "{kind:?}");
    }
    let over = StandingOrder { until: Some(Timestamp(7)), ..plain(StandingKind::Hold) };
    assert_eq!(catch(over), (None, 0), "it has ended");
    let to = |host: &str| StandingOrder {
        target: Some(RerouteTarget { host: Some(host.to_owned()), ..RerouteTarget::default() }),
        ..plain(StandingKind::Reroute)
    };
    assert_eq!(catch(to("other.test")).1, 1);
    assert_eq!(catch(to("ONE.test")), (None, 0), "it is there");
    let by_way = |channel: &str, host: &str| {
        let standing = StandingOrders::default();
        standing.replace(vec![to("other.test")]);
        let mail = envelope("ann@a.test", vec![entry(channel, host, &["x@one.test"])]);
        standing.catch(&mail, (&mail.entries[0], 1, 0)).is_some()
    };
    assert!(by_way("conversion", "stores/one.test"));
    assert!(!by_way("conversion", "stores/other.test"), "it is on its way there");
    let slow = StandingOrder {
        rate: Some(OrderRate("1/1m".parse().unwrap())),
        ..plain(StandingKind::Slow)
    };
    let standing = StandingOrders::default();
    standing.replace(vec![slow]);
    let ask = |due| standing.catch(&mail, (&mail.entries[0], 1, due)).map(|its| its.until);
    let began = now_ms();
    assert_eq!(ask(0), None, "the first one goes");
    let next = ask(0).expect("it waits");
    assert!((began + 59_000..=now_ms() + 61_000).contains(&next), "{}", next - began);
}

#[test]
fn what_has_another_address_is_sent_there_once_whoever_else_routed_it_again() {
    let standing = StandingOrders::default();
    let target = RerouteTarget { address: Some("Eve@e.test".to_owned()), ..Default::default() };
    let reroute = order(3, StandingKind::Reroute, criteria(["", "", "one.test", ""]));
    standing.replace(vec![StandingOrder { target: Some(target), ..reroute }]);
    let mut mail =
        envelope("ann@a.test", vec![entry("stores", "one.test", &["x@one.test", "y@b"])]);
    // By a channel that puts mail through rewriting again, or by `queue reroute`.
    mail.rerouted = Some(Rerouted { at: now_ms(), entry: 0, recipients: 1, form: 0 });
    let is_caught =
        |mail: &Envelope, open| standing.catch(mail, (&mail.entries[0], open, 0)).is_some();
    assert!(is_caught(&mail, 1));
    let member = "eve@e.test".into();
    mail.entries[0].recipients[0].origin = Some(Box::new(Origin { member, ..Origin::default() }));
    assert!(!is_caught(&mail, 1), "it has been here");
    assert!(is_caught(&mail, 3), "the other one has not");
}

#[test]
fn what_is_returned_is_refused_at_the_door_if_all_of_it_is() {
    let standing = StandingOrders::default();
    standing.replace(vec![
        order(1, StandingKind::Return, criteria(["", "", "one.test", ""])),
        order(2, StandingKind::Hold, criteria(["eve@a.test", "", "", ""])),
    ]);
    let ask = |sender: &str, hosts: &[&'static str]| {
        let to = Recipient::new("", "x@one.test");
        let ways: Vec<_> = hosts.iter().map(|host| ("stores", *host)).collect();
        standing.refusal(sender, &to, ways.into_iter())
    };
    let reply = ask("ann@a.test", &["one.test"]).expect("it is refused");
    assert_eq!(reply.to_string(), "550 5.7.1 refused by order 1: the test wants it");
    assert!(ask("", &["one.test"]).is_some(), "a notice, too: nobody has taken it");
    assert!(ask("ann@a.test", &["one.test", "two.test"]).is_none(), "some of it is taken");
    assert!(ask("ann@a.test", &[]).is_none());
    assert!(ask("eve@a.test", &["one.test"]).is_none(), "it is held");
    let notice = envelope("", vec![entry("stores", "one.test", &["x@one.test"])]);
    assert!(standing.catch(&notice, (&notice.entries[0], 1, 0)).is_none(), "nobody could be told");
}

#[test]
fn what_comes_is_held_as_a_whole_or_noted() {
    let standing = StandingOrders::default();
    standing.replace(vec![order(4, StandingKind::Hold, criteria(["", "@one.test", "", ""]))]);
    let one = || entry("stores", "one.test", &["x@one.test"]);
    let two = || entry("stores", "two.test", &["y@two.test"]);
    let held = standing.receive(&envelope("a@b", vec![one()]));
    assert_eq!(held.as_deref(), Some("held by order 4 of root: the test wants it"));
    assert!(standing.caught().messages.is_empty());
    assert_eq!(standing.receive(&envelope("a@b", vec![one(), two()])), None);
    assert_eq!(standing.caught().messages.len(), 1);
    assert_eq!(standing.receive(&envelope("a@b", vec![two()])), None);
    assert!(standing.caught().messages.is_empty());
    let other = order(5, StandingKind::Hold, criteria(["", "@two.test", "", ""]));
    standing.replace(vec![standing.index().all()[0].order.clone(), other]);
    let both = envelope("a@b", vec![one(), two()]);
    assert_eq!(standing.receive(&both), None, "each is held by its own");
    assert_eq!(standing.caught().messages, [(4, both.id), (5, both.id)].into());
}

#[test]
fn an_order_that_does_not_stand_yet_counts_below_those_that_stand_above_it() {
    let standing = StandingOrders::default();
    standing.replace(vec![order(4, StandingKind::Suspend, criteria(["", "@one.test", "", ""]))]);
    let mail = envelope("a@b", vec![entry("stores", "one.test", &["x@one.test"])]);
    let notice = envelope("", vec![entry("stores", "two.test", &["x@two.test"])]);
    let counts = |kind, words, mail: &Envelope| {
        standing.would_count(&order(0, kind, criteria(words)), mail, (&mail.entries[0], 1))
    };
    let all = ["", "~x@", "", ""];
    assert!(counts(StandingKind::Hold, all, &mail));
    assert!(!counts(StandingKind::Hold, ["c@b", "", "", ""], &mail));
    assert!(!counts(StandingKind::Suspend, all, &mail), "the older one counts");
    assert!(!counts(StandingKind::Return, all, &mail));
    assert!(!counts(StandingKind::Return, all, &notice), "nobody could be told");
    assert!(counts(StandingKind::Slow, all, &notice));
    assert!(standing.is_in_force(4) && !standing.is_in_force(5));
}

#[test]
fn there_is_an_end_of_orders() {
    let standing = StandingOrders::default();
    let hold = |id, words| order(id, StandingKind::Hold, criteria(words));
    let parts = |id: u64| hold(id, ["~x", "", "", ""]);
    standing.replace((0..MAX_PARTS as u64).map(parts).collect());
    assert_eq!(standing.check_room(&criteria(["~y", "", "", ""])), Err(OrdersFull::Parts));
    assert_eq!(standing.check_room(&criteria(["~y", "", "a.test", ""])), Ok(()));
    standing.replace((0..MAX_ORDERS as u64).map(|id| hold(id, ["", "", "a.test", ""])).collect());
    assert_eq!(standing.check_room(&criteria(["", "", "b.test", ""])), Err(OrdersFull::Orders));
}
