//! Evaluation of a user's or group's entry for mail: addresses to go on with, or a refusal.
//!
//! Follows the original's order: object classes, status, uid, routing address, mail host, delivery
//! options, deferral. An entry that makes no sense is refused with a reason and never guessed at.

use relais_config::grammar::{is_any_domain, is_nameable};

use super::{
    entry::{Entry, Kind},
    member_url::MemberUrl,
    options::{self, Applied, Request},
    policy::Policy,
    refusal::EntryError,
    status::{EntryStatus, status},
};

/// Evaluates an entry.
pub fn evaluate<'a>(
    policy: &'a Policy,
    entry: &Entry,
    request: &Request<'_>,
) -> Result<Vec<Applied<'a>>, EntryError> {
    let kind = Kind::of(entry).ok_or(EntryError::NotMail)?;
    let status = status(kind, entry, request.domain, request.released)?;
    if kind == Kind::User {
        check_uid(entry)?;
    } else {
        check_list(entry)?;
    }
    if let Some(host) = entry.first("mailhost").filter(|host| !is_any_domain(host)) {
        return Err(EntryError::BadMailHost(host.to_owned()));
    }
    if status == EntryStatus::Active
        && let Some(instead) = options::routing_address(policy, entry)
    {
        return Ok(vec![instead]);
    }
    let active = options::active(policy, kind, entry, status);
    if let Some(elsewhere) = options::elsewhere(policy, kind, entry, request, &active)? {
        return Ok(vec![elsewhere]);
    }
    if status == EntryStatus::Active
        && request.may_defer
        && let Some(deferral) = options::deferral(entry, &active)?
    {
        return Ok(vec![deferral]);
    }
    let applied = active.into_iter().map(|option| options::apply(policy, option, entry, request));
    options::settled(applied.collect(), entry, request)
}

/// A uid becomes the name of a folder and a part of addresses: no character that means anything
/// in either, as in the original's `LDAP_UID_INVALID_CHARS`.
fn check_uid(entry: &Entry) -> Result<(), EntryError> {
    let uid = entry.first("uid").ok_or(EntryError::NoUid)?;
    let is_beyond_ascii = |c: char| !c.is_ascii() && !c.is_whitespace();
    let sound = |c: char| c.is_ascii_graphic() && !UID_INVALID.contains(c) || is_beyond_ascii(c);
    let reserved = ["anonymous", "anybody", "anyone"];
    if uid.is_empty()
        || uid.len() > 127
        || uid.starts_with(['-', '.'])
        || !uid.chars().all(sound)
        || !is_nameable(uid)
        || uid.contains("..")
        || uid.ends_with('.')
        || reserved.iter().any(|name| uid.eq_ignore_ascii_case(name))
    {
        return Err(EntryError::BadUid(uid.chars().take(200).collect()));
    }
    Ok(())
}

fn check_list(entry: &Entry) -> Result<(), EntryError> {
    for attribute in options::MEMBER_URLS {
        MemberUrl::all(entry, attribute)?;
    }
    Ok(())
}

const UID_INVALID: &str = "`$~=#*+%!@,{}()/\\<>;:\"[]&?|";

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use relais_channels::mail::Address;
    use relais_config::DeliveryOption;

    use super::*;
    use crate::directory::{entry::Domain, options::Target, policy::lmtp_stores};

    fn policy(options: &[&str], general: &[(&str, &str)]) -> Policy {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        Policy {
            options: options.iter().map(|text| DeliveryOption::parse(text).unwrap()).collect(),
            spare_attributes: vec!["l".to_owned(), "roomnumber".to_owned()],
            default_domain: "siroe.com".to_owned(),
            hosts: vec!["relay1.siroe.com".to_owned()],
            lmtp_stores: lmtp_stores(&general.iter().map(own).collect()),
            script_files: None,
        }
    }

    fn entry(classes: &[&str], attributes: &[(&str, &str)]) -> Entry {
        let mut entry = Entry::new("uid=x,o=siroe.com");
        for class in classes.iter().chain(&["inetLocalMailRecipient"]) {
            entry.add("objectClass", *class);
        }
        for (name, value) in attributes {
            entry.add(name, *value);
        }
        entry
    }

    fn user(attributes: &[(&str, &str)]) -> Entry {
        entry(&["inetMailUser"], attributes)
    }

    /// The targets, joined by blanks; or the error.
    fn outcome(policy: &Policy, entry: &Entry, domain: &Entry) -> Result<String, EntryError> {
        outcome_where(policy, entry, domain, false)
    }

    fn outcome_where(
        policy: &Policy,
        entry: &Entry,
        domain: &Entry,
        may_defer: bool,
    ) -> Result<String, EntryError> {
        let domain = Domain {
            name: "siroe.com".to_owned(),
            base: "o=siroe.com".to_owned(),
            entry: Arc::new(domain.clone()),
        };
        let address = Address::parse("J.Doe+Work@Siroe.com").unwrap();
        let now = SystemTime::UNIX_EPOCH;
        let subaddress = Some("Work");
        let request = Request {
            address: &address,
            subaddress,
            domain: &domain,
            now,
            released: false,
            may_defer,
        };
        let applied = evaluate(policy, entry, &request)?;
        let targets = applied.into_iter().filter_map(|applied| applied.targets.ok()).flatten();
        let text = |target| match target {
            Target::Address(address) => address,
            Target::Member(dn) => format!("<{dn}>"),
            Target::Search(search) => format!("{{{}}}", search.filter),
            Target::Later => "later".to_owned(),
        };
        Ok(targets.map(text).collect::<Vec<_>>().join(" "))
    }

    const RELAY: [&str; 7] = [
        r"#*mailbox=@$X.LMTP:$M%$\$2I$_+$2S@lmtpcs-daemon",
        "#&members=*",
        "#&@members_offline=*",
        "#/hold=@hold-daemon:$A",
        "#program=$M%$P@pipe-daemon",
        "#forward=**",
        "#*^!autoreply=$M+$D@bitbucket",
    ];

    #[test]
    fn options_lead_where_the_entry_says() {
        type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
        let (uid, host) = (("uid", "jdoe"), ("mailHost", "store1.siroe.com"));
        let option = |name| ("mailDeliveryOption", name);
        let forward = ("mailForwardingAddress", "jane@home.example");
        let mailbox = "@store1.siroe.com.LMTP:jdoe+Work@lmtpcs-daemon";
        let rows: [Row<'_>; 11] = [
            ("default", &[uid, host], mailbox),
            ("unknown values are ignored", &[uid, host, option("pigeon")], mailbox),
            ("any case", &[uid, host, option("MailBox")], mailbox),
            ("forward", &[uid, option("forward"), forward], "jane@home.example"),
            (
                "both, in the order of the configuration",
                &[uid, host, option("forward"), option("mailbox"), forward],
                "@store1.siroe.com.LMTP:jdoe+Work@lmtpcs-daemon jane@home.example",
            ),
            (
                "program",
                &[uid, option("program"), ("mailProgramDeliveryInfo", "procmail")],
                "jdoe%procmail@pipe-daemon",
            ),
            (
                "no reply without a text",
                &[uid, host, option("autoreply"), option("mailbox")],
                mailbox,
            ),
            (
                "a reply beside a mailbox",
                &[uid, host, option("autoreply"), option("mailbox"), ("mailAutoReplyText", "x")],
                "@store1.siroe.com.LMTP:jdoe+Work@lmtpcs-daemon jdoe+Siroe.com@bitbucket",
            ),
            (
                "not before it begins",
                &[
                    uid,
                    host,
                    option("autoreply"),
                    option("mailbox"),
                    ("mailAutoReplyText", "x"),
                    ("vacationStartDate", "20260101000000Z"),
                ],
                mailbox,
            ),
            ("a reply alone", &[uid, option("autoreply")], "jdoe+Siroe.com@bitbucket"),
            (
                "held",
                &[uid, host, ("mailUserStatus", "hold"), option("mailbox")],
                "@hold-daemon:J.Doe+Work@Siroe.com",
            ),
        ];
        for (name, attributes, want) in rows {
            let got = outcome(&policy(&RELAY, &[]), &user(attributes), &Entry::default());
            assert_eq!(got.as_deref(), Ok(want), "{name}");
        }
    }

    #[test]
    fn spare_attributes_are_inserted_by_their_places() {
        let policy = policy(&["*mailbox=$M%$E@$G.example"], &[]);
        let uid = ("uid", "jdoe");
        let rows: [(&[(&str, &str)], _); 2] = [
            (&[uid, ("l", "paris"), ("roomNumber", "b12")], Ok("jdoe%paris@b12.example")),
            (&[uid, ("l", "paris")], Err(EntryError::NoDelivery)),
        ];
        for (attributes, want) in rows {
            let mut attributes = attributes.to_vec();
            attributes.push(("mailHost", "relay1.siroe.com"));
            let user = entry(&["inetMailUser"], &attributes);
            let got = outcome(&policy, &user, &Entry::default());
            assert_eq!(got.as_deref().map_err(Clone::clone), want, "{attributes:?}");
        }
    }

    #[test]
    fn groups_have_members() {
        let members = [
            ("mgrpRFC822MailMember", "a@x"),
            ("mgrpRFC822MailMember", "b@x"),
            ("uniqueMember", "uid=c,o=x"),
        ];
        let group = entry(&["inetMailGroup"], &members);
        let got = outcome(&policy(&RELAY, &[]), &group, &Entry::default());
        assert_eq!(got.as_deref(), Ok("a@x b@x <uid=c,o=x>"));
    }

    #[test]
    fn members_come_by_url_by_name_and_by_address() {
        let bad =
            |why: &str| Err(EntryError::BadValue { attribute: "memberURL", why: why.to_owned() });
        // memberURL, mgrpDeliverTo, where it leads
        let rows = [
            (
                "ldap:///o=x??sub?(l=a)",
                "mailto:b@x.example",
                Ok("b@x.example {(l=a)} a@x <uid=c,o=x>"),
            ),
            ("mailto:b@x.example", "", Ok("b@x.example a@x <uid=c,o=x>")),
            (
                "ldap://h/o=x",
                "",
                bad(
                    "a search begins with ldap:///, without a host: the directory that the list stands \
                 in is asked",
                ),
            ),
            ("nobody", "", bad("\"nobody\" is neither an address nor a URL ldap: or mailto:")),
        ];
        for (url, deliver_to, want) in rows {
            let mut group = entry(&["inetMailGroup"], &[("memberURL", url)]);
            if !deliver_to.is_empty() {
                group.add("mgrpDeliverTo", deliver_to);
            }
            group.add("mgrpRFC822MailMember", "a@x");
            group.add("uniqueMember", "uid=c,o=x");
            let got = outcome(&policy(&RELAY, &[]), &group, &Entry::default());
            assert_eq!(got, want.map(str::to_owned), "{url}");
        }
    }

    #[test]
    fn an_entry_may_be_looked_up_later_or_elsewhere() {
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
        let relay = policy(&RELAY, &[]);
        let (uid, host) = (("uid", "jdoe"), ("mailHost", "store1.siroe.com"));
        let mailbox = "@store1.siroe.com.LMTP:jdoe+Work@lmtpcs-daemon";
        let rows: [Row<'_>; 5] = [
            (&[uid, host], mailbox, mailbox),
            (&[uid, host, ("mailDeferProcessing", "Yes")], "later", mailbox),
            (&[uid, host, ("mailDeferProcessing", "no")], mailbox, mailbox),
            (
                &[
                    uid,
                    host,
                    ("mailRoutingAddress", "j@hub.example"),
                    ("mailDeferProcessing", "yes"),
                ],
                "@store1.siroe.com:j@hub.example",
                "@store1.siroe.com:j@hub.example",
            ),
            (&[uid, ("mailRoutingAddress", "j@hub.example")], "j@hub.example", "j@hub.example"),
        ];
        for (attributes, may, may_not) in rows {
            let user = user(attributes);
            for (may_defer, want) in [(true, may), (false, may_not)] {
                let got = outcome_where(&relay, &user, &Entry::default(), may_defer);
                assert_eq!(got.as_deref(), Ok(want), "{attributes:?} {may_defer}");
            }
        }
        let offline = [("mailDeliveryOption", "members_offline"), ("mgrpRFC822MailMember", "a@x")];
        let group = entry(&["inetMailGroup"], &offline);
        let got = outcome_where(&relay, &group, &Entry::default(), true);
        assert_eq!(got.as_deref(), Ok("later"));
        let mut at_once = group.clone();
        at_once.add("mailDeferProcessing", "no");
        for (group, may_defer) in [(group, false), (at_once, true)] {
            let got = outcome_where(&relay, &group, &Entry::default(), may_defer);
            assert_eq!(got.as_deref(), Ok("a@x"));
        }
        let odd = user(&[uid, host, ("mailDeferProcessing", "maybe")]);
        assert!(outcome_where(&relay, &odd, &Entry::default(), true).is_err());
        // A user on hold is held all the same.
        let held = [uid, ("mailUserStatus", "hold"), ("mailRoutingAddress", "j@hub.example")];
        let got = outcome(&relay, &user(&held), &Entry::default());
        assert_eq!(got.as_deref(), Ok("@hold-daemon:J.Doe+Work@Siroe.com"));
    }

    #[test]
    fn the_mail_host_decides_where_it_matters() {
        type Row<'a> = (&'a str, &'a Policy, &'a str, &'a Entry, Result<&'a str, EntryError>);
        let old = policy(&["*mailbox=$M@ims-ms-daemon", "&members=*", "#forward=**"], &[]);
        let listed = policy(&RELAY, &[("Store1.siroe.com", "LMTP"), ("x", "y")]);
        let unlisted = policy(&RELAY, &[("store2.siroe.com", "lmtp")]);
        let mut smart = Entry::default();
        smart.add("mailRoutingSmartHost", "smart.siroe.com");
        let none = Entry::default();
        let rows: [Row<'_>; 8] = [
            ("here", &old, "Relay1.siroe.com", &none, Ok("jdoe@ims-ms-daemon")),
            (
                "there",
                &old,
                "store1.siroe.com",
                &none,
                Ok("@store1.siroe.com:J.Doe+Work@Siroe.com"),
            ),
            ("nowhere", &old, "", &none, Err(EntryError::NoMailHost)),
            ("smart host", &old, "", &smart, Ok("@smart.siroe.com:J.Doe+Work@Siroe.com")),
            ("LMTP, nowhere", &listed, "", &none, Err(EntryError::NoMailHost)),
            ("LMTP, smart host", &listed, "", &smart, Ok("@smart.siroe.com:J.Doe+Work@Siroe.com")),
            (
                "listed",
                &listed,
                "store1.siroe.com",
                &none,
                Ok("@store1.siroe.com.LMTP:jdoe+Work@lmtpcs-daemon"),
            ),
            (
                "not listed",
                &unlisted,
                "store1.siroe.com",
                &none,
                Ok("@store1.siroe.com:J.Doe+Work@Siroe.com"),
            ),
        ];
        for (name, policy, host, domain, want) in rows {
            let mut entry = user(&[("uid", "jdoe")]);
            if !host.is_empty() {
                entry.add("mailHost", host);
            }
            assert_eq!(outcome(policy, &entry, domain), want.map(str::to_owned), "{name}");
        }
    }

    #[test]
    fn entries_that_make_no_sense_are_refused() {
        let relay = policy(&RELAY, &[]);
        let none = Entry::default();
        assert_eq!(outcome(&relay, &user(&[]), &none), Err(EntryError::NoUid));
        for uid in
            ["", "a b", "a@b", "../etc", "a..b", ".", "-x", "a%b", "a+b", "j\u{202e}rg", "Anyone"]
        {
            let got = outcome(&relay, &user(&[("uid", uid)]), &none);
            assert_eq!(got, Err(EntryError::BadUid(uid.to_owned())));
        }
        // Section 2.3: what the store does not take, and what the original does not by default.
        for c in "?*&/:\\ `$~=#+%!@,{}()<>;\"[]\t\u{7f}\u{85}\u{a0}\u{2028}\u{2066}".chars() {
            for uid in [format!("j{c}doe"), format!("{c}jdoe"), format!("jdoe{c}")] {
                assert!(outcome(&relay, &user(&[("uid", &uid)]), &none).is_err(), "{uid:?}");
            }
        }
        for uid in ["-jdoe", "group=jdoe", "anonymous", "anybody", "ANYONE"] {
            assert!(outcome(&relay, &user(&[("uid", uid)]), &none).is_err(), "{uid:?}");
        }
        let longest = "x".repeat(127);
        let kept = user(&[("uid", &longest), ("mailHost", "store1.siroe.com")]);
        assert!(outcome(&relay, &kept, &none).is_ok());
        let beyond = user(&[("uid", "j\u{f6}rg"), ("mailHost", "st\u{f6}re.example")]);
        assert!(outcome(&relay, &beyond, &none).is_ok());
        let long = "x".repeat(128);
        assert!(outcome(&relay, &user(&[("uid", &long)]), &none).is_err());
        let bad = user(&[("uid", "x"), ("mailHost", "a b")]);
        assert_eq!(outcome(&relay, &bad, &none), Err(EntryError::BadMailHost("a b".to_owned())));
        assert_eq!(outcome(&relay, &entry(&[], &[]), &none), Err(EntryError::NotMail));
        let nothing = user(&[("uid", "x"), ("mailDeliveryOption", "forward")]);
        assert_eq!(outcome(&relay, &nothing, &none), Err(EntryError::NoDelivery));
        let empty = policy(&[], &[]);
        assert_eq!(outcome(&empty, &user(&[("uid", "x")]), &none), Err(EntryError::NoDelivery));
    }
}
