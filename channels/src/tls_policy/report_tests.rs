//! Results of a day, counted, kept and reported.

use super::*;

const NOON: u64 = 20_000 * DAY + DAY / 2;
const US: Reporter<'_> =
    Reporter { organization: "Example", contact: "tls@example.org", host: "mail.example.org" };

fn policy(kind: &str) -> PublishedPolicy {
    PublishedPolicy {
        kind: kind.to_owned(),
        lines: vec!["version: STSv1".to_owned()],
        mx: vec!["*.a.test".to_owned()],
    }
}

fn session(domain: &str, failure: Option<TlsResult>) -> TlsSession<'_> {
    TlsSession {
        domain,
        policy: policy("sts"),
        mx: ("mx.a.test", Some([192, 0, 2, 1].into())),
        from: None,
        failure: failure.map(|result| (result, "the certificate is for other names".to_owned())),
        nameservers: &[],
    }
}

#[test]
fn a_day_is_reported_as_rfc_8460_has_it_once_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let open = || TlsReports::open(Some(folder.path().join("tlsrpt")));
    let reports = open();
    let mismatch = Some(TlsResult::CertificateHostMismatch);
    for failure in [None, mismatch, mismatch, Some(TlsResult::StartTlsNotSupported)] {
        reports.note(session("a.test", failure), NOON);
    }
    reports.note(TlsSession { policy: policy("tlsa"), ..session("a.test", None) }, NOON);
    let nameservers = [SocketAddr::from(([127, 0, 0, 1], 53))];
    reports.note(TlsSession { nameservers: &nameservers, ..session("a.test", None) }, NOON);
    reports.note(session("b.test", None), NOON);
    assert_eq!(reports.settle(US, NOON).unwrap(), []);
    // A restart.
    let reports = open();
    reports.note(session("b.test", None), NOON + 1);
    let told = reports.settle(US, NOON + DAY).unwrap();
    assert_eq!(
        told.iter().map(|its| its.domain.as_str()).collect::<Vec<_>>(),
        ["a.test", "b.test"]
    );
    let want = report_of_a();
    assert_eq!(told[0].body, want);
    assert_eq!((&*told[0].nameservers, &*told[1].nameservers), (&nameservers[..], &[][..]));
    assert_eq!(told[1].body["policies"][0]["summary"]["total-successful-session-count"], 2);
    let file = folder.path().join("tlsrpt/2024-10-04.json");
    let written: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(written[0], want);
    assert!(!folder.path().join("tlsrpt/current.json").exists());
    assert_eq!(reports.settle(US, NOON + DAY).unwrap(), []);
}

/// Two sessions that went well and three that did not, and one by another policy.
fn report_of_a() -> Value {
    json!({
        "organization-name": "Example",
        "date-range": {
            "start-datetime": "2024-10-04T00:00:00Z",
            "end-datetime": "2024-10-04T23:59:59Z",
        },
        "contact-info": "tls@example.org",
        "report-id": "2024-10-04!a.test@mail.example.org",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": ["version: STSv1"],
                    "policy-domain": "a.test",
                    "mx-host": ["*.a.test"],
                },
                "summary": {
                    "total-successful-session-count": 2,
                    "total-failure-session-count": 3,
                },
                "failure-details": [
                    {
                        "result-type": "certificate-host-mismatch",
                        "receiving-mx-hostname": "mx.a.test",
                        "receiving-ip": "192.0.2.1",
                        "failed-session-count": 2,
                        "failure-reason-code": "the certificate is for other names",
                    },
                    {
                        "result-type": "starttls-not-supported",
                        "receiving-mx-hostname": "mx.a.test",
                        "receiving-ip": "192.0.2.1",
                        "failed-session-count": 1,
                        "failure-reason-code": "the certificate is for other names",
                    },
                ],
            },
            {
                "policy": {
                    "policy-type": "tlsa",
                    "policy-string": ["version: STSv1"],
                    "policy-domain": "a.test",
                    "mx-host": ["*.a.test"],
                },
                "summary": {
                    "total-successful-session-count": 1,
                    "total-failure-session-count": 0,
                },
            },
        ],
    })
}

#[test]
fn a_day_is_bounded_and_so_are_the_days() {
    let folder = tempfile::tempdir().unwrap();
    let reports = TlsReports::open(Some(folder.path().to_owned()));
    for n in 0..MOST_DOMAINS + 5 {
        reports.note(session(&format!("{n}.test"), None), NOON);
    }
    for n in 0..100 {
        let name = format!("mx{n}.a.test");
        let one = session("1.test", Some(TlsResult::ValidationFailure));
        reports.note(TlsSession { mx: (&name, None), ..one.clone() }, NOON);
        reports.note(TlsSession { policy: policy(&n.to_string()), ..one }, NOON);
    }
    {
        let day = reports.day.lock().unwrap();
        let tallies = &day.domains["1.test"];
        assert_eq!((day.domains.len(), tallies.len()), (MOST_DOMAINS, MOST_POLICIES));
        assert!(tallies.iter().all(|tally| tally.details.len() <= MOST_DETAILS));
        assert_eq!(tallies.iter().map(|tally| tally.failures).sum::<u64>(), 200);
    }
    for day in 1..30 {
        reports.settle(US, NOON + day * DAY).unwrap();
        reports.note(session("a.test", None), NOON + day * DAY);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), DAYS_KEPT);
}

#[test]
fn what_cannot_be_read_is_as_if_nothing_had_been_counted() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(CURRENT), "{\"number\": 3, ").unwrap();
    let reports = TlsReports::open(Some(folder.path().to_owned()));
    assert_eq!(*reports.day.lock().unwrap(), Day::default());
}
