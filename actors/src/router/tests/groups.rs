//! Lists of the directory: who may post to them, who is a member, and when they are looked up.

use super::*;
use relais_channels::mail::PostCheck::{NotAsked, Passed, Unsaid};

use crate::{
    actor::{Ground, Meters},
    directory::{GivenPassword, Source, start as directory_actor},
    router::{HeaderPassword, Posting, Route, Submission},
};

/// A list at siroe.com with these attributes.
fn list(name: &str, attributes: &str) -> String {
    format!(
        "dn: cn={name},o=siroe.com,dc=siroe,dc=com\nobjectClass: inetMailGroup\nmail: \
         {name}@siroe.com\n{attributes}\n\n"
    )
}

/// A user at siroe.com.
fn user(uid: &str, more: &str) -> String {
    format!(
        "dn: uid={uid},o=siroe.com,dc=siroe,dc=com\nobjectClass: inetMailUser\nuid: {uid}\nmail: \
         {uid}@siroe.com\nmailHost: store1.siroe.com\n{more}\n\n"
    )
}

fn directory(lists: &[String]) -> LdifDirectory {
    let people = [
        "dn: o=siroe.com,dc=siroe,dc=com\nobjectClass: sunManagedOrganization\nsunPreferredDomain: \
         siroe.com\n\n"
            .to_owned(),
        user("ann", "l: Paris\nmailAlternateAddress: ann.lee@siroe.com"),
        user("bob", "l: Paris\nmailEquivalentAddress: robert@siroe.com"),
        user("cat", "l: Rome"),
    ];
    let text = people.concat() + &lists.concat();
    LdifDirectory::parse("groups.ldif", &text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Where a post goes: the local parts of the addresses; or the reply.
async fn post(directory: &LdifDirectory, to: &str, by: (&str, &str, Poster)) -> String {
    let routes = Routes::new(&sample("relay.ron")).unwrap();
    let (sender, authenticated, poster) = by;
    let address = address(to);
    let submission = Some(Submission { authenticated, ..Submission::default() });
    let question = Question { sender, submission, poster, ..question(&address, true) };
    match Resolver::new(&routes, directory, question).route().await.outcome {
        Err(reply) => reply.to_string(),
        Ok(ways) => {
            let name = |way: &super::super::Route| {
                let refused = way.refused.as_ref().map(|reply| format!("!{reply}"));
                format!("{}{}", way.address, refused.unwrap_or_default())
            };
            let mut names: Vec<_> = ways.iter().map(name).collect();
            names.sort_unstable();
            names.join(" ")
        }
    }
}

const MEMBERS: &str = "mgrpRFC822MailMember: cat@siroe.com";
const REFUSED: &str = "550 5.7.2 you may not post to this list";

/// Attributes, sender, user who has logged in, where a post to the list goes.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

async fn posts(rows: &[Row<'_>]) {
    let staff = "uniqueMember: uid=bob,o=siroe.com,dc=siroe,dc=com";
    let guest = "mgrpRFC822MailMember: guest@elsewhere.example";
    let lists = [
        list("staff", &format!("{staff}\nmgrpRFC822MailMember: inner@siroe.com")),
        list("inner", &format!("{guest}\nmgrpRFC822MailMember: staff@siroe.com")),
        list("romans", "memberURL: ldap:///o=siroe.com,dc=siroe,dc=com??sub?(l=rome)"),
    ];
    for (attributes, sender, user, want) in rows {
        let attributes = format!("{MEMBERS}\n{}", attributes.replace("; ", "\n"));
        let mut all = lists.to_vec();
        all.push(list("l", attributes.trim_end()));
        let got = post(&directory(&all), "l@siroe.com", (sender, user, Poster::Client)).await;
        let is_same = if want.starts_with('4') { got.starts_with(want) } else { got == *want };
        assert!(is_same, "{attributes}\n<{sender}> {user}: {got}, wanted {want}");
    }
}

#[tokio::test]
async fn a_list_says_who_may_post() {
    let staff = "mgrpAllowedBroadcaster: mailto:staff@siroe.com";
    let romans = "mgrpAllowedBroadcaster: mailto:romans@siroe.com";
    let ann = "mgrpAllowedBroadcaster: ann@siroe.com";
    let parisians = "mgrpAllowedBroadcaster: ldap:///o=siroe.com,dc=siroe,dc=com??sub?(l=paris)";
    let words = "mgrpDisallowedDomain: *; mgrpMsgRejectText: Members only";
    posts(&[
        ("", "x@y.example", "", "cat"),
        ("mgrpBroadcasterPolicy: NO_REQUIREMENTS", "x@y.example", "", "cat"),
        ("mgrpAllowedDomain: *.example", "x@y.example", "", "cat"),
        ("mgrpAllowedDomain: *.example", "x@y.test", "", REFUSED),
        ("mgrpAllowedDomain: *.example", "", "", REFUSED),
        ("mgrpAllowedDomain: *", "", "", "cat"),
        ("mgrpDisallowedDomain: *.example", "x@y.example", "", REFUSED),
        ("mgrpDisallowedDomain: *.example", "x@y.test", "", "cat"),
        (ann, "Ann@Siroe.com", "", "cat"),
        (ann, "ann.lee@siroe.com", "", "cat"),
        ("mgrpAllowedBroadcaster: mailto:ann.lee@siroe.com", "ann@siroe.com", "", "cat"),
        (ann, "bob@siroe.com", "", REFUSED),
        (ann, "", "", REFUSED),
        (ann, "x@y.example", "ann@siroe.com", REFUSED),
        ("mgrpAllowedBroadcaster: mailto:x@y.example", "x@y.example", "", "cat"),
        (staff, "robert@siroe.com", "", "cat"),
        (staff, "guest@elsewhere.example", "", "cat"),
        (staff, "ann@siroe.com", "", REFUSED),
        (romans, "cat@siroe.com", "", "cat"),
        (romans, "ann@siroe.com", "", REFUSED),
        (parisians, "robert@siroe.com", "", "cat"),
        (parisians, "cat@siroe.com", "", REFUSED),
        ("mgrpDisallowedBroadcaster: x@y.example", "x@y.example", "", REFUSED),
        ("mgrpDisallowedBroadcaster: x@y.example", "X@Y.Example.", "", REFUSED),
        ("mgrpDisallowedBroadcaster: x@y.example", "\"x\"@y.example", "", REFUSED),
        ("mgrpDisallowedBroadcaster: x@y.example", "@a.example:\"\\x\"@y.example", "", REFUSED),
        ("mgrpDisallowedBroadcaster: \"x\"@y.example.", "x@y.example", "", REFUSED),
        ("mgrpDisallowedBroadcaster: staff@siroe.com", "\"bob\"@siroe.com.", "", REFUSED),
        ("mgrpDisallowedBroadcaster: staff@siroe.com", "bob@siroe.com", "", REFUSED),
        ("mgrpDisallowedBroadcaster: staff@siroe.com", "ann@siroe.com", "", "cat"),
        (words, "x@y.example", "", "550 5.7.2 Members only"),
    ])
    .await;
}

/// Every list has its limit, and so have all together that one recipient leads to.
#[tokio::test]
async fn lists_with_rules_in_a_list_cost_no_more_than_a_bounded_number_of_look_ups() {
    let users = (0..900).map(|n| user(&format!("n{n}"), ""));
    let names = (0..900).map(|n| format!("mgrpAllowedBroadcaster: n{n}@siroe.com\n"));
    let names = names.collect::<String>();
    let mut all: Vec<_> = users.collect();
    all.extend(
        (0..30).map(|n| list(&format!("r{n}"), &format!("{MEMBERS}\n{}", names.trim_end()))),
    );
    let members = (0..30).map(|n| format!("mgrpRFC822MailMember: r{n}@siroe.com\n"));
    all.push(list(
        "outer",
        &format!("{}mgrpRFC822MailMember: bob@siroe.com", members.collect::<String>()),
    ));
    let by = ("ann@siroe.com", "", Poster::Client);
    let got = post(&directory(&all), "outer@siroe.com", by).await;
    let (refused, late) = (got.matches("550 5.7.2").count(), got.matches("451 4.3.5").count());
    // Each list costs its 900 look-ups and two more.
    assert_eq!((refused, late), (22, 8), "{got}");
}

/// Users who may write their own entries name others' addresses there.
#[tokio::test]
async fn nobody_posts_by_the_address_of_somebody_else() {
    let rule = format!("{MEMBERS}\nmgrpBroadcasterPolicy: AUTH_REQ\nmgrpAllowedBroadcaster: ");
    let by_search = "ldap:///o=siroe.com,dc=siroe,dc=com??sub?(l=paris)";
    let claims = "mailAlternateAddress: ann.lee@siroe.com\nmailAlternateAddress: \
                  guest@elsewhere.example\nmailAlternateAddress: own@siroe.com";
    for (allowed, login, want) in [
        ("ann@siroe.com", "ann@siroe.com", "cat"),
        ("ann@siroe.com", "eve@siroe.com", REFUSED),
        ("ann.lee@siroe.com", "eve@siroe.com", REFUSED),
        ("guest@elsewhere.example", "eve@siroe.com", REFUSED),
        (by_search, "eve@siroe.com", REFUSED),
        ("own@siroe.com", "eve@siroe.com", "cat"),
    ] {
        let lists = [list("l", &format!("{rule}{allowed}")), user("eve", claims)];
        let by = ("x@y.example", login, Poster::Client);
        let got = post(&directory(&lists), "l@siroe.com", by).await;
        assert_eq!(got, want, "{login} {allowed}");
    }
    // The login itself is known by an address that the user may have written.
    let twin = user("eve", "").replace("mail: eve@", "mail: ann@");
    let ann = "mgrpBroadcasterPolicy: AUTH_REQ\nmgrpAllowedBroadcaster: ann@siroe.com";
    let barred = "mgrpBroadcasterPolicy: AUTH_REQ\nmgrpDisallowedBroadcaster: eve@siroe.com";
    let domain = "mgrpBroadcasterPolicy: AUTH_REQ\nmgrpAllowedDomain: z.example";
    let guest = "mgrpBroadcasterPolicy: AUTH_REQ\nmgrpAllowedBroadcaster: guest@z.example";
    for (rules, login, want) in [
        (ann, "ann@siroe.com", REFUSED),
        (barred, "ann@siroe.com", REFUSED),
        (barred, "bob@siroe.com", "cat"),
        (domain, "guest@z.example", REFUSED),
        (guest, "guest@z.example", REFUSED),
        ("mgrpBroadcasterPolicy: AUTH_REQ", "guest@z.example", "cat"),
        ("mgrpBroadcasterPolicy: AUTH_REQ", "ann@siroe.com", "cat"),
    ] {
        let lists = [list("l", &format!("{MEMBERS}\n{rules}")), twin.clone()];
        let by = ("x@y.example", login, Poster::Client);
        let got = post(&directory(&lists), "l@siroe.com", by).await;
        assert_eq!(got, want, "{login} {rules}");
    }
}

#[tokio::test]
async fn rules_of_a_list_add_up() {
    let both = "mgrpAllowedDomain: y.example; mgrpAllowedBroadcaster: ann@siroe.com";
    let either = format!("mgrpBroadcasterPolicy: OR; {both}");
    let not_ann = "mgrpAllowedBroadcaster: ann@siroe.com; mgrpDisallowedBroadcaster: ann@siroe.com";
    let login = "mgrpBroadcasterPolicy: AUTH_REQ";
    let ann = &format!("{login}; mgrpAllowedBroadcaster: ann@siroe.com");
    let siroe = &format!("{login}; mgrpAllowedDomain: siroe.com");
    posts(&[
        // A name that is allowed is asked for no domain; of two rules both have to hold, unless one
        // is enough.
        (both, "ann@siroe.com", "", "cat"),
        (both, "x@y.example", "", REFUSED),
        (&either, "x@y.example", "", "cat"),
        (&either, "ann@siroe.com", "", "cat"),
        (&either, "x@z.example", "", REFUSED),
        (not_ann, "ann@siroe.com", "", REFUSED),
        // The user who has logged in counts, and not the sender that was named.
        (login, "ann@siroe.com", "", REFUSED),
        (login, "x@y.example", "bob@siroe.com", "cat"),
        (ann, "ann@siroe.com", "bob@siroe.com", REFUSED),
        (ann, "x@y.example", "ann@siroe.com", "cat"),
        (siroe, "x@y.example", "ann@siroe.com", "cat"),
        (siroe, "ann@siroe.com", "", REFUSED),
    ])
    .await;
}

#[tokio::test]
async fn moderators_get_what_others_post() {
    let ann = "mgrpModerator: ann@siroe.com";
    let rule = &format!("{ann}; mgrpAllowedDomain: y.test");
    let to_ann = &format!("{rule}; mgrpMsgRejectAction: TOMODERATOR");
    let login =
        &format!("{ann}; mgrpMsgRejectAction: ToModerator; mgrpBroadcasterPolicy: AUTH_REQ");
    let nobody = "mgrpAllowedDomain: y.test; mgrpMsgRejectAction: TOMODERATOR";
    let parisians = "mgrpModerator: ldap:///o=siroe.com,dc=siroe,dc=com??sub?(l=paris)";
    posts(&[
        (ann, "x@y.example", "", "ann"),
        (ann, "ann.lee@siroe.com", "", "cat"),
        ("mgrpModerator: mailto:staff@siroe.com", "bob@siroe.com", "", "cat"),
        (parisians, "cat@siroe.com", "", "ann bob"),
        (rule, "x@y.example", "", REFUSED),
        (rule, "x@y.test", "", "ann"),
        (to_ann, "x@y.example", "", "ann"),
        (to_ann, "ann@siroe.com", "", "cat"),
        (&format!("{rule}; mgrpMsgRejectAction: reply"), "ann@siroe.com", "", REFUSED),
        (nobody, "x@y.example", "", REFUSED),
        (login, "ann@siroe.com", "", "ann"),
        (login, "x@y.example", "ann@siroe.com", "cat"),
    ])
    .await;
}

/// The administrator of the list mends them: mail waits meanwhile.
#[tokio::test]
async fn no_rule_is_guessed_at() {
    let oslo = "mgrpModerator: ldap:///o=siroe.com,dc=siroe,dc=com??sub?(l=oslo)";
    posts(&[
        (oslo, "x@y.example", "", "451 4.3.5"),
        ("mgrpModerator: nobody", "x@y.example", "", "451 4.3.5"),
        ("mgrpBroadcasterPolicy: MAYBE", "x@y.example", "", "451 4.3.5"),
        ("mgrpAuthPassword: {MD5}x", "x@y.example", "", "451 4.3.5"),
        ("mgrpAllowedBroadcaster: ldap:///o=gone??sub?(a=b)", "x@y.example", "", "451 4.4.3"),
    ])
    .await;
}

#[tokio::test]
async fn what_was_asked_once_is_not_asked_again() {
    let lists = [
        list("l", &format!("{MEMBERS}\nmgrpAllowedDomain: y.example")),
        list("outer", "mgrpRFC822MailMember: bob@siroe.com\nmgrpRFC822MailMember: l@siroe.com"),
        list("m", &format!("{MEMBERS}\nmgrpBroadcasterPolicy: AUTH_REQ")),
        list("n", "mgrpRFC822MailMember: m@siroe.com\nmgrpRFC822MailMember: bob@siroe.com"),
    ];
    let directory = directory(&lists);
    let (may, may_not) = ("x@y.example", "x@z.example");
    let nested = format!("bob l@siroe.com!{REFUSED}");
    let without_login = format!("bob m@siroe.com!{REFUSED}");
    let rows = [
        ("l", may, Poster::Client, "cat"),
        ("l", may_not, Poster::Client, REFUSED),
        ("l", may_not, Poster::Queued, REFUSED),
        ("l", may_not, Poster::Admitted, "cat"),
        ("l", may_not, Poster::Nobody, "cat"),
        // A list in it refuses its own members alone.
        ("outer", may, Poster::Client, "bob cat"),
        ("outer", may_not, Poster::Client, &nested),
        ("outer", may, Poster::Admitted, "bob cat"),
        ("outer", may_not, Poster::Admitted, &nested),
        ("outer", may_not, Poster::Nobody, "bob cat"),
        // Nobody knows who had logged in.
        ("m", may, Poster::Admitted, "cat"),
        ("n", may, Poster::Admitted, &without_login),
    ];
    for (name, sender, poster, want) in rows {
        let got = post(&directory, &format!("{name}@siroe.com"), (sender, "", poster)).await;
        assert_eq!(got, want, "{name} {sender} {poster:?}");
    }
}

/// Answers of lists with a password: to a client, and to the queue with the header unread, without a
/// password, with a wrong one, and with the right one.
type PasswordRow<'a> = (&'a str, &'a str, [&'a str; 5]);

async fn passwords(rows: &[PasswordRow<'_>]) {
    let routes = Routes::new(&sample("relay.ron")).unwrap();
    let (wrong, right) = (GivenPassword::new(b"Sesame"), GivenPassword::new(b"sesame"));
    let (client, queue) = (("tcp_local", Poster::Client), ("reprocess", Poster::Queued));
    let asked = [
        (client, HeaderPassword::Unread),
        (queue, HeaderPassword::Unread),
        (queue, HeaderPassword::Absent),
        (queue, HeaderPassword::Given(&wrong)),
        (queue, HeaderPassword::Given(&right)),
    ];
    for (attributes, sender, want) in rows {
        let attributes = attributes.replace("; ", "\n");
        let directory = directory(&[
            list("l", &format!("{MEMBERS}\n{attributes}")),
            list("outer", "mgrpRFC822MailMember: bob@siroe.com\nmgrpRFC822MailMember: l@siroe.com"),
        ]);
        let ask = async |name: &str, (source_channel, poster), password| {
            let address = address(&format!("{name}@siroe.com"));
            let proof = PostProof { login: "", password };
            let asked = question(&address, true);
            let question = Question { sender, source_channel, poster, proof, ..asked };
            Resolver::new(&routes, &directory, question).resolve().await
        };
        for ((by, password), want) in asked.into_iter().zip(want) {
            let found = ask("l", by, password).await;
            let is_wanted = found.posting == Posting::HeaderWanted;
            let way = |way: &Route| match &*way.channel {
                "reprocess" => format!("reprocess {}", way.address),
                _ => way.address.to_string(),
            };
            let got = match &found.routes {
                _ if is_wanted => WANTED.to_owned(),
                Ok(ways) => ways.iter().map(way).collect::<Vec<_>>().join(" "),
                Err(reply) => reply.to_string(),
            };
            assert_eq!(got, *want, "{attributes} {sender} {password:?}");
            // A list in another one has its own answer, and nobody but the channel reads the password.
            let outer = ask("outer", by, password).await;
            assert_eq!(outer.posting == Posting::HeaderWanted, is_wanted, "{attributes}");
            let taken = outer.routes.iter().filter(|_| !is_wanted && !want.starts_with('5'));
            for way in taken.flat_map(|ways| ways.iter()) {
                let hides = way.headers.as_ref().is_some_and(|its| its.hides_password);
                let is_later = *want == LATER && &*way.address == "l@siroe.com";
                let check = if is_later { NotAsked } else { Unsaid };
                assert_eq!((way.post_check, hides), (check, !is_later), "{attributes} {way:?}");
            }
        }
    }
}

const LATER: &str = "reprocess l@siroe.com";
const WANTED: &str = "header wanted";

/// The header of mail that is in the queue has the password.
#[tokio::test]
async fn a_list_may_want_a_password() {
    let password = "mgrpAuthPassword: other; mgrpAuthPassword: sesame";
    let hashed = "mgrpAuthPassword: {SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0";
    let required = "mgrpBroadcasterPolicy: PASSWORD_REQUIRED";
    let domain = "mgrpAllowedDomain: y.example";
    let ann = "mgrpAllowedBroadcaster: ann@siroe.com";
    let moderated = "mgrpModerator: bob@siroe.com; mgrpMsgRejectAction: TOMODERATOR";
    let told = &format!("{password}; mgrpMsgRejectText: Say the word");
    let both = &format!("{password}; {domain}");
    let either = &format!("{password}; mgrpBroadcasterPolicy: OR; {domain}; {ann}");
    let login = &format!("{password}; mgrpBroadcasterPolicy: AUTH_REQ");
    let to_bob = &format!("{password}; {moderated}");
    let barred = "mgrpDisallowedBroadcaster: x@y.example";
    let barred = &format!("{password}; mgrpBroadcasterPolicy: OR; {barred}");
    let (may, may_not) = ("x@y.example", "x@z.example");
    let said = "550 5.7.2 Say the word";
    passwords(&[
        (password, may, [LATER, WANTED, REFUSED, REFUSED, "cat"]),
        (&format!("{password}; {required}"), may, [LATER, WANTED, REFUSED, REFUSED, "cat"]),
        (told, "", [LATER, WANTED, said, said, "cat"]),
        (hashed, may, [LATER, WANTED, REFUSED, REFUSED, REFUSED]),
        (required, may, [REFUSED; 5]),
        (both, may, [LATER, WANTED, REFUSED, REFUSED, "cat"]),
        (both, may_not, [REFUSED; 5]),
        (either, may, ["cat"; 5]),
        (either, "ann@siroe.com", ["cat"; 5]),
        (either, may_not, [LATER, WANTED, REFUSED, REFUSED, "cat"]),
        (login, may, [REFUSED; 5]),
        // The password is one rule among others: who does not moderate has the mail moderated.
        (to_bob, may, [LATER, WANTED, "bob", "bob", "bob"]),
        (to_bob, "bob@siroe.com", [LATER, WANTED, "cat", "cat", "cat"]),
        (&format!("{required}; {moderated}"), may, ["bob"; 5]),
        (barred, may, [REFUSED; 5]),
        (barred, may_not, [LATER, WANTED, REFUSED, REFUSED, "cat"]),
    ])
    .await;
}

/// A mark says whether a list was asked, where mail waits for another look at it.
#[tokio::test]
async fn mail_that_comes_back_says_whether_its_list_was_asked() {
    let relay = sample("relay.ron");
    let routes = Routes::new(&relay).unwrap();
    let held = "mailDeliveryOption: hold";
    let directory = directory(&[
        list("later", &format!("{MEMBERS}\nmailDeferProcessing: yes")),
        list("l", MEMBERS),
        list("away", &format!("{MEMBERS}\nmailRoutingAddress: away@hub.siroe.com")),
        list("outer", "mgrpRFC822MailMember: later@siroe.com\nmgrpRFC822MailMember: bob@siroe.com"),
        user("slow", "mailDeferProcessing: yes"),
        user("held", "mailUserStatus: hold"),
        list("hold", &format!("{MEMBERS}\n{held}")),
    ]);
    let rows = [
        ("later@siroe.com", vec![("reprocess", Passed)]),
        ("outer@siroe.com", vec![("reprocess", Passed), ("tcp_lmtpcs", Unsaid)]),
        ("l@siroe.com", vec![("tcp_lmtpcs", Unsaid)]),
        ("slow@siroe.com", vec![("reprocess", Unsaid)]),
        ("l%siroe.com@reprocess-daemon", vec![("reprocess", NotAsked)]),
        ("l%siroe.com@hold-daemon", vec![("hold", NotAsked)]),
        // Released, it may be a list by then.
        ("held@siroe.com", vec![("hold", NotAsked)]),
        ("hold@siroe.com", vec![("hold", Passed)]),
        ("away@siroe.com", vec![("tcp_intranet", Unsaid)]),
    ];
    for (to, want) in rows {
        let to = address(to);
        let question = question(&to, true);
        let found = Resolver::new(&routes, &directory, question).resolve().await;
        let ways = found.routes.unwrap_or_else(|reply| panic!("{to}: {reply}"));
        let got: Vec<_> = ways.iter().map(|way| (&*way.channel, way.post_check)).collect();
        assert_eq!(got, want, "{to}");
    }
}

#[tokio::test]
async fn members_are_found_by_search() {
    let url = |rest: &str| format!("memberURL: ldap:///{rest}");
    let base = "o=siroe.com,dc=siroe,dc=com";
    let rows = [
        (url(&format!("{base}??sub?(l=paris)")), "ann bob"),
        (url(&format!("{base}??one?(l=*)")), "ann bob cat"),
        (url(&format!("uid=ann,{base}")), "ann"),
        (url(&format!("uid=ann,{base}?mailAlternateAddress?base?")), "ann"),
        (url(&format!("{base}?*?sub?(&(objectClass=inetMailUser)(!(l=paris)))")), "cat"),
        (url(&format!("{base}??sub?(l=oslo)")), "550 5.1.1 the alias stands for nobody"),
        (
            format!(
                "{}\nmgrpDeliverTo: mailto:cat@siroe.com",
                url(&format!("{base}??sub?(l=paris)"))
            ),
            "ann bob cat",
        ),
        // Everybody, the list itself too: a circle beside members.
        (url(&format!("{base}??sub?(mail=*)")), "ann bob cat"),
        (url(&format!("{base}??sub?(cn=*)\nmgrpRFC822MailMember: ann@siroe.com")), "ann"),
        // No part is delivered when a part is not found.
        (
            format!("{}\nmgrpRFC822MailMember: ann@siroe.com", url("o=gone??sub?(l=paris)")),
            "451 4.4.3 temporary lookup failure",
        ),
        (
            url(&format!("{base}??sub?(l:caseExactMatch:=Paris)")),
            "451 4.4.3 temporary lookup failure",
        ),
        (url(&format!("{base}??sub?l=paris")), "451 4.3.5 this list cannot be served yet"),
    ];
    for (attributes, want) in rows {
        let directory = directory(&[list("l", &attributes)]);
        let got = post(&directory, "l@siroe.com", ("x@y.example", "", Poster::Client)).await;
        assert_eq!(got, want, "{attributes}");
    }
}

#[tokio::test]
async fn circles_of_lists_end_however_they_are_made() {
    let base = "o=siroe.com,dc=siroe,dc=com";
    let circle = "554 5.4.6 the address leads back to itself";
    let three = |last: &str| {
        [
            list("a", &format!("uniqueMember: cn=b,{base}\nmgrpRFC822MailMember: {last}")),
            list("b", "mgrpRFC822MailMember: c@siroe.com"),
            list(
                "c",
                &format!(
                    "memberURL: ldap:///{base}??sub?(cn=a)\nmgrpDeliverTo: mailto:a@siroe.com"
                ),
            ),
        ]
    };
    for (last, want) in [("ann@siroe.com", "ann"), ("a@siroe.com", circle)] {
        let lists = directory(&three(last));
        let got = post(&lists, "a@siroe.com", ("x@y.example", "", Poster::Client)).await;
        assert_eq!(got, want, "{last}");
    }
    // The check of who may post goes round in no circle, either.
    let lists = [
        list("l", &format!("{MEMBERS}\nmgrpAllowedBroadcaster: a@siroe.com")),
        list("a", "mgrpRFC822MailMember: b@siroe.com"),
        list("b", &format!("uniqueMember: cn=a,{base}\nuniqueMember: cn=b,{base}")),
    ];
    let got = post(&directory(&lists), "l@siroe.com", ("x@y.example", "", Poster::Client)).await;
    assert_eq!(got, REFUSED);
}

#[tokio::test]
async fn a_stale_name_is_the_owners_to_mend() {
    let stale = "uniqueMember: uid=gone,o=siroe.com,dc=siroe,dc=com";
    let owner = "mgrpErrorsTo: mailto:ann@siroe.com";
    let failing = "cat uid=gone,o=siroe.com,dc=siroe,dc=com!550 5.1.1 a member of the list has no \
                   mail address";
    let rows = [
        (format!("{MEMBERS}\n{stale}"), "cat"),
        (format!("{MEMBERS}\n{stale}\n{owner}"), failing),
        (stale.to_owned(), "451 4.3.5 no member of the list has a mail address yet"),
    ];
    for (attributes, want) in rows {
        let directory = directory(&[list("l", &attributes)]);
        let got = post(&directory, "l@siroe.com", ("x@y.example", "", Poster::Client)).await;
        assert_eq!(got, want, "{attributes}");
    }
}

#[tokio::test]
async fn a_list_may_wait_for_the_reprocess_channel() {
    let routes = Routes::new(&sample("relay.ron")).unwrap();
    let directory = directory(&[
        list("l", &format!("{MEMBERS}\nmailDeferProcessing: yes\nmgrpAllowedDomain: y.example")),
        list("outer", "mgrpRFC822MailMember: bob@siroe.com\nmgrpRFC822MailMember: l@siroe.com"),
    ]);
    let (list, outer) = (address("l@siroe.com"), address("outer@siroe.com"));
    let ask = async |address, sender, source_channel, poster| {
        let question = Question { sender, source_channel, poster, ..question(address, true) };
        let ways = Resolver::new(&routes, &directory, question).route().await.outcome;
        let way = |way: &super::super::Route| format!("{} {}", way.channel, way.address);
        match ways {
            Ok(ways) => ways.iter().map(way).collect::<Vec<_>>().join(", "),
            Err(reply) => reply.to_string(),
        }
    };
    let (may, may_not) = ("x@y.example", "x@z.example");
    let rows = [
        (&list, may, "tcp_local", Poster::Client, "reprocess l@siroe.com"),
        // A stranger is turned away while still there.
        (&list, may_not, "tcp_local", Poster::Client, REFUSED),
        (&list, may_not, "reprocess", Poster::Admitted, "tcp_lmtpcs cat"),
        (&outer, may, "tcp_local", Poster::Client, "tcp_lmtpcs bob, reprocess l@siroe.com"),
    ];
    for (address, sender, source, poster, want) in rows {
        assert_eq!(ask(address, sender, source, poster).await, want, "{address} {sender} {source}");
    }
}

/// Answers for one poster are not those for another; lists without rules are for everybody.
#[actix::test]
async fn who_posts_is_asked_where_a_list_asks_for_it() {
    let lists = [
        list("open", MEMBERS),
        list("closed", &format!("{MEMBERS}\nmgrpAllowedDomain: y.example")),
        list("outer", "mgrpRFC822MailMember: closed@siroe.com"),
    ];
    let source = Source::Ldif(Arc::new(directory(&lists)));
    let ground = Ground::new(Meters::default(), Box::new(|_| ()));
    let handle = directory_actor(source, &ground);
    let routes = Routes::new(&sample("relay.ron")).unwrap();
    let limits = relais_config::directory::Cache {
        entries: 64,
        ttl: Duration::from_secs(600),
        negative_ttl: Duration::from_secs(60),
    };
    let router = super::super::start(routes, limits, handle, &ground);
    let ask = async |to: &str, sender: &str| {
        let to = address(to);
        let question = Question { sender, ..question(&to, false) };
        router.admit(&question).await.map(|its| its.routes.len()).map_err(|reply| reply.code)
    };
    for round in 0..2 {
        for (to, sender, want) in [
            ("open@siroe.com", "x@z.example", Ok(1)),
            ("closed@siroe.com", "x@y.example", Ok(1)),
            ("closed@siroe.com", "x@z.example", Err(550)),
            ("closed@siroe.com", "w@y.example", Ok(1)),
            ("outer@siroe.com", "x@y.example", Ok(1)),
            ("outer@siroe.com", "x@z.example", Err(550)),
        ] {
            assert_eq!(ask(to, sender).await, want, "{to} {sender} {round}");
        }
    }
    // Of the open list one, of the others one each that says nothing, and of those who may.
    assert_eq!(router.cache.in_force().len(), 6);
}
