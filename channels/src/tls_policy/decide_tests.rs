//! Requirements for TLS, by everything that has a say in them.

use relais_config::tls::Insist;

use super::*;

const HOST: &str = "mx.a.test";

fn entry(level: Option<TlsLevel>) -> TableEntry {
    TableEntry { pattern: "a.test".to_owned(), level, ..TableEntry::default() }
}

fn record(usage: u8) -> Tlsa {
    Tlsa { usage, selector: 1, matching: 1, data: vec![1; 32].into() }
}

fn dane(usages: &[u8]) -> DaneFound {
    let records = usages.iter().map(|usage| record(*usage)).collect();
    DaneFound::Records { records, names: vec![HOST.to_owned(), "a.test".to_owned()] }
}

fn sts(mode: &str, mx: &str) -> Option<Arc<StsPolicy>> {
    let text = format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 9\n");
    StsPolicy::parse(text.as_bytes()).ok().map(Arc::new)
}

/// The requirement in words, or why there is none.
fn decide(
    channel: Insist,
    entry: Option<&TableEntry>,
    dane: &DaneFound,
    sts: Option<&Arc<StsPolicy>>,
    wish: TlsWish,
) -> String {
    let rules = ChannelRules { client: channel, ..ChannelRules::default() };
    let facts = Facts { rules: &rules, entry, dane, sts, host: HOST, wish };
    facts.decide().map_or_else(|barred| barred.to_string(), |its| its.to_string())
}

#[test]
fn the_operator_stands_before_dane_and_dane_before_mta_sts() {
    use TlsLevel::{Dane, Encrypt, May, No, Verify};
    let (none, failed) = (DaneFound::None("it has none"), DaneFound::Failed("bogus".to_owned()));
    let (enforce, other, testing) =
        (sts("enforce", HOST), sts("enforce", "mx.b.test"), sts("testing", "mx.b.test"));
    let good = dane(&[3]);
    let rows = [
        // operator, DANE, MTA-STS; what is asked
        (None, &none, &None, "TLS if offered (channel)"),
        (None, &none, &enforce, "TLS or no mail, certificate by name (MTA-STS enforce)"),
        (None, &none, &other, "the destination's MTA-STS policy does not allow this host"),
        (None, &none, &testing, "TLS if offered (MTA-STS testing)"),
        (None, &good, &None, "TLS or no mail, certificate by TLSA records (DANE)"),
        (None, &good, &other, "TLS or no mail, certificate by TLSA records (DANE)"),
        // RFC 7672 section 2.2: unusable records still say that there is TLS.
        (None, &dane(&[0, 1]), &other, "TLS or no mail, any certificate (DANE)"),
        (None, &failed, &enforce, "DANE: bogus"),
        (Some(None), &good, &None, "TLS or no mail, certificate by TLSA records (DANE)"),
        (Some(Some(No)), &good, &enforce, "no TLS (policy for a.test)"),
        (Some(Some(May)), &failed, &other, "TLS if offered, any certificate (policy for a.test)"),
        (Some(Some(Encrypt)), &good, &other, "TLS or no mail, any certificate (policy for a.test)"),
        (
            Some(Some(Verify)),
            &good,
            &other,
            "TLS or no mail, certificate by name (policy for a.test)",
        ),
        (
            Some(Some(Dane)),
            &good,
            &other,
            "TLS or no mail, certificate by TLSA records (policy for a.test)",
        ),
        (Some(Some(Dane)), &none, &enforce, "the policy for a.test asks for DANE, and it has none"),
        (
            Some(Some(Dane)),
            &dane(&[1]),
            &enforce,
            "the policy for a.test asks for DANE, and none of its TLSA records is usable",
        ),
        (Some(Some(Dane)), &failed, &None, "DANE: bogus"),
    ];
    for (level, dane, sts, want) in rows {
        let entry = level.map(entry);
        let seen = decide(Insist::May, entry.as_ref(), dane, sts.as_ref(), TlsWish::Usual);
        assert_eq!(seen, want, "{level:?} {dane:?} {sts:?}");
    }
}

#[test]
fn a_message_may_ask_for_less_but_not_against_the_operator() {
    use TlsLevel::{Encrypt, No};
    let (none, failed) = (DaneFound::None("it has none"), DaneFound::Failed("bogus".to_owned()));
    let (good, enforce) = (dane(&[3, 1]), sts("enforce", "mx.b.test"));
    let (required, not) = (TlsWish::Required, TlsWish::NotRequired);
    let rows = [
        (not, None, &good, &None, "TLS if offered (TLS-Required: No)"),
        (not, None, &failed, &enforce, "TLS if offered (TLS-Required: No)"),
        (not, Some(Encrypt), &none, &None, "TLS or no mail, any certificate (policy for a.test)"),
        (required, None, &none, &None, "TLS if offered (channel)"),
        (required, None, &good, &None, "TLS or no mail, certificate by TLSA records (DANE)"),
        (required, Some(No), &good, &None, "no TLS (policy for a.test)"),
    ];
    for (wish, level, dane, sts, want) in rows {
        let entry = level.map(|level| entry(Some(level)));
        let seen = decide(Insist::May, entry.as_ref(), dane, sts.as_ref(), wish);
        assert_eq!(seen, want, "{wish:?} {level:?} {dane:?} {sts:?}");
    }
}

#[test]
fn a_destination_that_publishes_a_policy_gets_tls_from_a_channel_without() {
    let none = DaneFound::None("it has none");
    let rows = [
        (Insist::No, &none, None, "no TLS (channel)"),
        (Insist::Must, &none, None, "TLS or no mail (channel)"),
        (Insist::No, &dane(&[3]), None, "TLS or no mail, certificate by TLSA records (DANE)"),
        (Insist::Must, &none, sts("testing", HOST), "TLS or no mail (MTA-STS testing)"),
    ];
    for (channel, dane, sts, want) in rows {
        assert_eq!(decide(channel, None, dane, sts.as_ref(), TlsWish::Usual), want);
    }
}

#[test]
fn unusable_records_are_left_out_and_names_of_the_table_stand_for_the_hosts() {
    let rules = ChannelRules::default();
    let facts = |entry, dane| Facts {
        rules: &rules,
        entry,
        dane,
        sts: None,
        host: HOST,
        wish: TlsWish::Usual,
    };
    let mixed = dane(&[1, 3, 2]);
    let decided = facts(None, &mixed).decide().unwrap();
    let Assurance::Records { records, names } = &decided.demand.assurance else {
        panic!("{decided}")
    };
    assert_eq!((&**records, names.len()), (&[record(3), record(2)][..], 2));
    let ca: std::path::PathBuf = "/ca".into();
    let own = TableEntry {
        names: vec!["other.test".to_owned()],
        ca: Some(ca.clone()),
        newest_only: true,
        ..entry(Some(TlsLevel::Verify))
    };
    let decided = facts(Some(&own), &mixed).decide().unwrap();
    let names = Assurance::Names { names: vec!["other.test".to_owned()], ca: Some(ca) };
    assert_eq!(decided.demand, TlsDemand { assurance: names, newest_only: true });
}

#[test]
fn what_a_destination_is_owed_is_told_from_what_every_host_is() {
    let none = DaneFound::None("it has none");
    let verify = entry(Some(TlsLevel::Verify));
    let may = entry(Some(TlsLevel::May));
    let (enforce, testing) = (sts("enforce", HOST), sts("testing", HOST));
    let rows = [
        // channel, operator, DANE, MTA-STS, message; whether its own hosts alone may have its mail
        (Insist::May, None, &none, &None, TlsWish::Usual, false),
        (Insist::Must, None, &none, &None, TlsWish::Usual, false),
        (Insist::May, None, &none, &testing, TlsWish::Usual, false),
        (Insist::May, None, &none, &enforce, TlsWish::Usual, true),
        (Insist::May, None, &dane(&[3]), &None, TlsWish::Usual, true),
        (Insist::May, None, &dane(&[0]), &None, TlsWish::Required, true),
        (Insist::Must, None, &dane(&[3]), &enforce, TlsWish::NotRequired, false),
        (Insist::May, Some(&verify), &none, &None, TlsWish::NotRequired, true),
        (Insist::Must, Some(&may), &dane(&[3]), &enforce, TlsWish::Usual, false),
    ];
    for (client, entry, dane, sts, wish, want) in rows {
        let rules = ChannelRules { client, ..ChannelRules::default() };
        let facts = Facts { rules: &rules, entry, dane, sts: sts.as_ref(), host: HOST, wish };
        let owed = facts.decide().expect("a requirement");
        assert_eq!(owed.is_of_destination(), want, "{owed}");
    }
}
