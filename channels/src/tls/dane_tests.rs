//! TLSA records against chains that rcgen makes.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring::default_provider;

use super::*;

/// A certificate of an authority, and one that it signed.
struct Chain {
    own: CertificateDer<'static>,
    authority: CertificateDer<'static>,
}

fn chain(host: &str, until: i32) -> Chain {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 12, 31);
    let own = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    Chain { own: own.der().clone(), authority: issuer.der().clone() }
}

fn record(usage: u8, selector: u8, matching: u8, certificate: &CertificateDer<'_>) -> Tlsa {
    let (_, parsed) = parse_x509_certificate(certificate).unwrap();
    let selected = if selector == 0 { certificate.as_ref() } else { parsed.public_key().raw };
    let data = match matching {
        0 => selected.into(),
        1 => digest(&SHA256, selected).as_ref().into(),
        _ => digest(&SHA512, selected).as_ref().into(),
    };
    Tlsa { usage, selector, matching, data }
}

fn judge(record: Tlsa, chain: &Chain, names: &[&str], sends_authority: bool) -> bool {
    let names: Vec<_> = names.iter().map(|name| ServerName::try_from(*name).unwrap()).collect();
    let others = [chain.authority.clone()];
    let others = if sends_authority { &others[..] } else { &[] };
    let provider = default_provider();
    verify(&[record], (&chain.own, others), &names, (&provider, UnixTime::now())).is_ok()
}

#[test]
fn a_certificate_of_its_own_is_known_by_every_selector_and_matching_type() {
    // Neither its name nor its dates matter (RFC 7672 section 3.1.1).
    let expired = chain("elsewhere.test", 2021);
    let other = chain("mx.test", 2090);
    for selector in 0..=1 {
        for matching in 0..=2 {
            let good = record(3, selector, matching, &expired.own);
            assert!(judge(good.clone(), &expired, &["mx.test"], false), "{good}");
            assert!(!judge(good.clone(), &other, &["mx.test"], true), "{good}");
        }
    }
}

#[test]
fn an_authority_must_be_in_the_chain_and_the_name_and_dates_be_right() {
    let good = chain("mx.test", 2090);
    let expired = chain("mx.test", 2021);
    let other = chain("mx.test", 2090);
    let rows = [
        // chain, record, names, the chain has the authority, good
        (&good, record(2, 0, 1, &good.authority), &["mx.test"][..], true, true),
        (&good, record(2, 1, 2, &good.authority), &["mx.test"], true, true),
        (&good, record(2, 1, 0, &good.authority), &["mx.test"], true, true),
        (&good, record(2, 0, 1, &good.authority), &["example.test", "mx.test"], true, true),
        (&good, record(2, 0, 1, &good.authority), &["example.test"], true, false),
        (&good, record(2, 0, 1, &good.authority), &[], true, false),
        (&good, record(2, 0, 1, &good.authority), &["mx.test"], false, false),
        (&good, record(2, 0, 1, &other.authority), &["mx.test"], true, false),
        (&expired, record(2, 0, 1, &expired.authority), &["mx.test"], true, false),
        // The certificate itself is no authority, nor an authority the server's certificate.
        (&good, record(2, 0, 1, &good.own), &["mx.test"], true, false),
        (&good, record(3, 0, 1, &good.authority), &["mx.test"], true, false),
        // Usages of the web's authorities say nothing here.
        (&good, record(1, 0, 1, &good.own), &["mx.test"], true, false),
        (&good, record(0, 0, 1, &good.authority), &["mx.test"], true, false),
    ];
    for (n, (chain, record, names, sends, want)) in rows.into_iter().enumerate() {
        assert_eq!(judge(record, chain, names, sends), want, "row {n}");
    }
}

#[test]
fn an_authority_that_another_chain_names_does_not_vouch_for_this_one() {
    let good = chain("mx.test", 2090);
    let other = chain("mx.test", 2090);
    let record = record(2, 0, 1, &other.authority);
    let provider = default_provider();
    let others = [good.authority.clone(), other.authority.clone()];
    let names = [ServerName::try_from("mx.test").unwrap()];
    let judged = verify(&[record], (&good.own, &others), &names, (&provider, UnixTime::now()));
    assert!(judged.is_err());
}

#[test]
fn what_is_no_certificate_matches_nothing() {
    let garbage = CertificateDer::from(vec![0x30, 0x82, 1, 2, 3]);
    let record = Tlsa { usage: 3, selector: 1, matching: 0, data: vec![1].into() };
    let provider = default_provider();
    assert!(verify(&[record], (&garbage, &[]), &[], (&provider, UnixTime::now())).is_err());
}
