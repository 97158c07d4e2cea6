//! Lists of the alias table with named parameters: who may post to them, what their copies look like,
//! and what is refused when the table is read.

use std::{fs, path::Path};

use super::*;
use crate::{
    directory::{
        GivenPassword, ListHeaders, ListPassword, PosterList, PostingCondition, PostingConditions,
        PostingRules, PostingTest,
    },
    router::{
        HeaderPassword, Route, Submission,
        posting::{AskedLists, PostGoes, PostingCheck},
        tables::MailTables,
    },
};

/// The embedded default with these aliases in a file below `folder`.
fn config(folder: &Path, aliases: &str) -> Config {
    let mut config = sample("standalone.ron");
    folder.clone_into(&mut config.data);
    fs::write(folder.join("aliases"), aliases).unwrap();
    config.aliases = relais_config::TableOrFile::none();
    config.aliases.file = Some("aliases".into());
    config.channels.push(Channel::new("tcp_submit", "submit-daemon", Program::Smtp));
    let table = "FRIENDS".to_owned();
    let entries = [("*@friend.example", "$Y"), ("foe@*", "$N"), ("silent@*", "x")];
    let entries = entries.map(|(pattern, template)| (pattern.to_owned(), template.to_owned()));
    config.mappings.insert(table, relais_config::MappingTable::parse(entries.to_vec()).unwrap());
    config
}

/// Somebody who posts: sender, login, source channel.
type By<'a> = (&'a str, &'a str, &'a str);

async fn ways(routes: &Routes, to: &str, by: By<'_>, poster: Poster) -> Result<Vec<Route>, String> {
    let (sender, authenticated, source_channel) = by;
    let address = address(to);
    let submission = Some(Submission { authenticated, ..Submission::default() });
    let question =
        Question { sender, source_channel, submission, poster, ..question(&address, true) };
    let directory = LdifDirectory::standalone().unwrap();
    let outcome = Resolver::new(routes, &directory, question).route().await.outcome;
    outcome.map(|ways| ways.to_vec()).map_err(|reply| reply.to_string())
}

/// Where a post goes: the addresses; or the reply.
async fn post(routes: &Routes, to: &str, by: By<'_>, poster: Poster) -> String {
    match ways(routes, to, by, poster).await {
        Err(reply) => reply,
        Ok(ways) => ways.iter().map(|way| &*way.address).collect::<Vec<_>>().join(" "),
    }
}

const REFUSED: &str = "550 5.7.2 you may not post to this list";
const WAITS: &str = "451 4.3.5 the members of this list cannot be read now";

const STRANGER: By<'_> = ("eve@y.example", "", "tcp_local");
/// Parameters, who posts, and where that goes.
const POSTS: &[(&str, By<'_>, &str)] = &[
    ("[AUTH_LIST] ann@x.example", ("Ann@X.Example", "", "tcp_local"), "alice"),
    ("[AUTH_LIST] ann@x.example", ("\"ann\"@x.example.", "", "tcp_local"), "alice"),
    ("[AUTH_LIST] ann@x.example", STRANGER, REFUSED),
    ("[AUTH_LIST] ann@x.example", ("", "", "tcp_local"), REFUSED),
    ("[AUTH_LIST] ann@x.example", ("@x.example:eve@y.example", "", "tcp_local"), REFUSED),
    ("[AUTH_LIST] ann@x.example", ("*@*", "", "tcp_local"), REFUSED),
    ("[AUTH_LIST] staff", ("bob@staff.example", "", "tcp_local"), "alice"),
    ("[AUTH_LIST] staff", ("bob@a.staff.example", "", "tcp_local"), REFUSED),
    ("[AUTH_LIST] members", ("alice@relais.example", "", "tcp_local"), "alice"),
    ("[AUTH_LIST] members", ("bob@relais.example", "", "tcp_local"), "alice"),
    ("[AUTH_LIST] members", STRANGER, REFUSED),
    ("[AUTH_LIST] lost", STRANGER, WAITS),
    ("[AUTH_LIST] damaged", ("ann@x.example", "", "tcp_local"), WAITS),
    ("[CANT_LIST] damaged", STRANGER, WAITS),
    ("[CANT_LIST] ann@x.example", STRANGER, "alice"),
    ("[CANT_LIST] ann@x.example", ("\"ANN\"@x.example", "", "tcp_local"), REFUSED),
    ("[CANT_LIST] commented", STRANGER, WAITS),
    ("[CANT_LIST] *@X.Example.", ("a@x.example", "", "tcp_local"), REFUSED),
    ("[CANT_LIST] *@x.example", ("a.b@X.example", "", "tcp_local"), REFUSED),
    ("[CANT_LIST] ann@x.example", ("", "", "tcp_local"), "alice"),
    ("[AUTH_CHANNEL] tcp_sub* l", ("", "", "tcp_submit"), "alice"),
    ("[AUTH_CHANNEL] tcp_sub* l", STRANGER, REFUSED),
    ("[CANT_CHANNEL] tcp_local", STRANGER, REFUSED),
    ("[CANT_CHANNEL] TCP_LOCAL", STRANGER, REFUSED),
    ("[CANT_CHANNEL] tcp_local", ("", "", "tcp_submit"), "alice"),
    ("[AUTH_MAPPING] friends", ("a@friend.example", "", "tcp_local"), "alice"),
    ("[AUTH_MAPPING] FRIENDS", STRANGER, REFUSED),
    ("[AUTH_MAPPING] FRIENDS", ("silent@y.example", "", "tcp_local"), REFUSED),
    ("[CANT_MAPPING] FRIENDS", ("a@friend.example", "", "tcp_local"), REFUSED),
    ("[CANT_MAPPING] FRIENDS", ("\"A\"@Friend.example.", "", "tcp_local"), REFUSED),
    ("[CANT_MAPPING] FRIENDS", ("@x.example:a@friend.example", "", "tcp_local"), REFUSED),
    ("[CANT_MAPPING] FRIENDS", STRANGER, "alice"),
    ("[USERNAME_AUTH_LIST] logins", ("", "Ann", "tcp_local"), "alice"),
    ("[USERNAME_AUTH_LIST] logins", ("", "bob@relais.example", "tcp_local"), "alice"),
    ("[USERNAME_AUTH_LIST] logins", ("ann@relais.example", "", "tcp_local"), REFUSED),
    ("[USERNAME_AUTH_LIST] logins", ("", "*", "tcp_local"), REFUSED),
    ("[USERNAME_CANT_LIST] logins", ("", "ann", "tcp_local"), REFUSED),
    ("[USERNAME_CANT_LIST] logins", STRANGER, "alice"),
    (
        "[AUTH_LIST] ann@x.example, [AUTH_CHANNEL] tcp_submit",
        ("ann@x.example", "", "tcp_local"),
        REFUSED,
    ),
    (
        "[OR] NONE, [AUTH_LIST] ann@x.example, [AUTH_CHANNEL] tcp_submit",
        ("ann@x.example", "", "tcp_local"),
        "alice",
    ),
    ("[OR], [AUTH_LIST] ann@x.example, [AUTH_CHANNEL] tcp_submit", ("", "", "tcp_submit"), "alice"),
    ("[OR], [AUTH_LIST] ann@x.example, [AUTH_CHANNEL] tcp_submit", STRANGER, REFUSED),
    ("[OR], [AUTH_CHANNEL] tcp_local, [CANT_LIST] eve@y.example", STRANGER, REFUSED),
    ("[OR], [AUTH_CHANNEL] tcp_local, [AND], [AUTH_LIST] ann@x.example", STRANGER, REFUSED),
    ("[MODERATOR_ADDRESS] bob@relais.example", STRANGER, "bob"),
    ("[MODERATOR_ADDRESS] bob@relais.example", ("Bob@relais.example", "", "tcp_local"), "alice"),
    (
        "[MODERATOR_ADDRESS] bob@relais.example, [MODERATOR_LIST] staff",
        ("ann@x.example", "", "tcp_local"),
        "alice",
    ),
    (
        "[MODERATOR_ADDRESS] bob@relais.example, [AUTH_LIST] ann@x.example",
        ("ann@x.example", "", "tcp_local"),
        "bob",
    ),
    (
        "[ERROR_TEXT] \"Members only, please\", [AUTH_LIST] ann@x.example",
        STRANGER,
        "550 5.7.2 Members only, please",
    ),
];

#[tokio::test]
async fn who_may_post_is_said_by_parameters() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("members", "# us\nalice\n:include:more, :include:members\n"),
        ("more", "Bob <bob@relais.example>\n"),
        ("staff", "ann@x.example, *@staff.example\n"),
        ("logins", "ann\n*@relais.example\n"),
        ("damaged", "ann@x.example\n@@\n"),
        ("commented", "ann@x.example # our boss\n"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    for &(parameters, by, want) in POSTS {
        let aliases = format!("l: {parameters}, alice\nto-list: l\nouter: to-list\n");
        let routes = Routes::new(&config(folder.path(), &aliases)).unwrap();
        let outer = want.replace("550 5.7.2 ", "");
        for to in ["l@relais.example", "L+x@localhost", "\"l\"@relais.example", "outer"] {
            let got = post(&routes, to, by, Poster::Client).await;
            assert!(got.ends_with(&outer), "{parameters} <{}> to {to}: {got}", by.0);
        }
        // Mail that is in the queue was asked about where it came in.
        let got = post(&routes, "l", by, Poster::Admitted).await;
        assert!(got == "alice" || got == WAITS, "{got}");
    }
}

/// Mail in the queue is asked about by the login that it keeps; where nobody knows any more by which
/// channel it came it is not taken for somebody else's.
#[tokio::test]
async fn mail_in_the_queue_is_asked_about_by_what_is_known_of_its_author() {
    let folder = tempfile::tempdir().unwrap();
    let by = ("ann@x.example", "", "process");
    let eve = "eve@x.example";
    // Parameters; the login; the reply to mail that leads to the list only now, and to that by way of
    // reprocess
    let rows = [
        ("[CANT_CHANNEL] tcp_submit", "", REFUSED, "alice"),
        ("[CANT_CHANNEL] tcp_local", "", REFUSED, REFUSED),
        ("[AUTH_CHANNEL] tcp_local", "", REFUSED, "alice"),
        ("[USERNAME_CANT_LIST] eve@x.example", eve, REFUSED, REFUSED),
        ("[USERNAME_CANT_LIST] eve@x.example", "", "alice", "alice"),
        ("[USERNAME_CANT_MAPPING] FRIENDS", "a@friend.example", REFUSED, REFUSED),
        ("[USERNAME_CANT_MAPPING] FRIENDS", eve, "alice", "alice"),
        ("[USERNAME_AUTH_LIST] ann@x.example", "", REFUSED, REFUSED),
        ("[USERNAME_AUTH_LIST] ann@x.example", eve, REFUSED, REFUSED),
        ("[USERNAME_AUTH_LIST] eve@x.example", eve, "alice", "alice"),
        ("[CANT_LIST] eve@x.example", eve, "alice", "alice"),
        ("[AUTH_LIST] ann@x.example", "", "alice", "alice"),
    ];
    for (parameters, login, by_process, by_reprocess) in rows {
        let aliases = format!("l: {parameters}, alice\nouter: l\n");
        let routes = Routes::new(&config(folder.path(), &aliases)).unwrap();
        let directory = LdifDirectory::standalone().unwrap();
        for (to, poster) in [("l", Poster::Queued), ("outer", Poster::Admitted)] {
            for (earlier, want) in [(None, by_process), (Some("tcp_local"), by_reprocess)] {
                let to = address(to);
                let (sender, _, source_channel) = by;
                let proof = PostProof { login, ..PostProof::default() };
                let asked = Question { earlier, proof, ..question(&to, true) };
                let question = Question { sender, source_channel, poster, ..asked };
                let outcome = Resolver::new(&routes, &directory, question).route().await.outcome;
                let is_taken = want == "alice";
                assert_eq!(outcome.is_ok(), is_taken, "{parameters} {to} {earlier:?}: {outcome:?}");
            }
        }
    }
}

/// Where one condition is enough a password is one of them; else it is wanted beside the others.
#[tokio::test]
async fn a_password_is_one_condition_among_others() {
    let routes = Routes::new(&sample("standalone.ron")).unwrap();
    let directory = LdifDirectory::standalone().unwrap();
    let channels = |names: &[&str]| -> Vec<PostingCondition> {
        let condition = |name: &&str| {
            let mut list = PosterList::default();
            list.add_name(name);
            PostingCondition { name: "CHANNEL", test: PostingTest::Channel(list) }
        };
        names.iter().map(condition).collect()
    };
    let (met, not, none) = (&["tcp_local"][..], &["tcp_submit"][..], &[][..]);
    let either = &["tcp_submit", "tcp_local"][..];
    // Channels that all have to be that of the mail, of which one has to, and none may; the words with
    // the header unread, without a password, and with the right one
    let rows = [
        (none, none, none, ["later", "no", "yes"]),
        (met, none, none, ["later", "no", "yes"]),
        (not, none, none, ["no"; 3]),
        (none, met, none, ["yes"; 3]),
        (none, either, none, ["yes"; 3]),
        (none, not, none, ["later", "no", "yes"]),
        (met, not, not, ["later", "no", "yes"]),
        (not, met, none, ["no"; 3]),
        (none, met, met, ["no"; 3]),
        (none, not, met, ["no"; 3]),
    ];
    let (address, right) = (address("l@relais.example"), GivenPassword::new(b"sesame"));
    let given = [HeaderPassword::Unread, HeaderPassword::Absent, HeaderPassword::Given(&right)];
    for (all_of, one_of, none_of, want) in rows {
        let conditions = PostingConditions {
            all_of: channels(all_of),
            one_of: channels(one_of),
            none_of: channels(none_of),
            ..PostingConditions::default()
        };
        let passwords = Some(vec![ListPassword::parse("sesame").unwrap()]);
        let rules = PostingRules { conditions, passwords, ..PostingRules::default() };
        for (password, want) in given.into_iter().zip(want) {
            let proof = PostProof { login: "", password };
            let (poster, earlier) = (Poster::Queued, Some("tcp_local"));
            let question = Question { poster, earlier, proof, ..question(&address, true) };
            let (mut asked, mut trace) = (AskedLists::default(), Trace::default());
            let of = (&routes, &directory);
            let check = PostingCheck::new(of, &question, (1, true), &mut asked, &mut trace);
            let got = match check.ask_by(&rules, "l").await {
                Ok(PostGoes::Passes) => "yes",
                Ok(PostGoes::Later) => "later",
                Ok(PostGoes::ToModerators(_)) => "moderators",
                Err(_) => "no",
            };
            assert_eq!(got, want, "{rules:?} {password:?}");
        }
    }
}

/// Ways to the members of the list `l`, one a line: address, sender or reader of failures, limit, lines
/// of the header.
async fn copies(aliases: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("members", "alice, bob\n\"a b\"@x.example\n"),
        (
            "added",
            "! ours\nList-Id: <l.relais.example>\nList-Post:\n <mailto:l@relais.example>\n\nReceived: x\n",
        ),
        ("trimmed", "X-Spam\nx-virus: MAXIMUM=-1\nX-New: ADD=\"yes\"\nSubject: MAXIMUM=2\n"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let routes = Routes::new(&config(folder.path(), aliases)).unwrap();
    let by = ("ann@x.example", "", "tcp_submit");
    let lines = ways(&routes, "l", by, Poster::Client).await.unwrap().into_iter().map(|way| {
        let mut line = way.address.to_string();
        if let Some(errors_to) = &way.errors_to {
            line += if errors_to.is_sender { " from " } else { " errors to " };
            line += errors_to;
        }
        if let Some(limit) = way.size_limit {
            line += " ";
            line += &limit.to_string();
        }
        if let Some(headers) = &way.headers {
            let ListHeaders { added, removed, replaced, completed, .. } = &**headers;
            for (sign, all) in [("+", added), ("-", removed), ("=", replaced), ("?", completed)] {
                for text in all {
                    line += " ";
                    line += sign;
                    line += text;
                }
            }
        }
        format!("{line} by {}", way.channel)
    });
    lines.collect::<Vec<_>>().join("\n")
}

const BY: &str = "by tcp_lmtpcs";
const EACH: &str = "alice from l+alice@x.example {by}\nbob from l+bob@x.example {by}\n\
    \"a b\"@x.example from \"l+a b=x.example\"@x.example by reprocess";
/// Aliases, and the copies that members of `l` get.
const COPIES: &[(&str, &str)] = &[
    ("l: [ENVELOPE_FROM] own@x.example, alice", "alice from own@x.example {by}"),
    ("l: [ENVELOPE_FROM] own, alice", "alice from own@relais.example {by}"),
    ("l: [ENVELOPE_FROM] /, alice\nowner-l: bob", "alice {by}"),
    ("l: [OR], alice\nowner-l: bob", "alice errors to owner-l {by}"),
    ("l: <members, [ENVELOPE_FROM] l+*@x.example", EACH),
    (
        "l: [ENVELOPE_FROM] l+*@x.example, inner\ninner: alice, bob",
        "alice from l+inner@x.example {by}\nbob from l+inner@x.example {by}",
    ),
    (
        "l: [ENVELOPE_FROM] l+*@x.example, in\nin: [ENVELOPE_FROM] i+*@x.example, alice",
        "alice from i+alice@x.example {by}",
    ),
    ("l: [BLOCKLIMIT] 3, alice", "alice 3072 {by}"),
    ("l: [BLOCKLIMIT] 0, [LINELIMIT] 0, alice", "alice {by}"),
    ("l: [BLOCKLIMIT] 3, in\nin: [BLOCKLIMIT] 2, alice", "alice 2048 {by}"),
    (
        "l: [HEADER_ADDITION] added, [HEADER_TRIM] trimmed, alice",
        "alice +List-Id: <l.relais.example> +List-Post: <mailto:l@relais.example> +X-New: yes \
                 -x-spam -x-virus {by}",
    ),
    (
        "l: [PRECEDENCE] list, [IMPORTANCE] low*, [SENSITIVITY] private^, [PRIORITY] \\, alice",
        "alice -priority =Sensitivity: private ?Precedence: list ?Importance: low {by}",
    ),
    (
        "l: [HEADER_ADDITION] added, in\nin: [PRECEDENCE] bulk^, alice",
        "alice +List-Id: <l.relais.example> +List-Post: <mailto:l@relais.example> \
                 =Precedence: bulk {by}",
    ),
    ("l: [DEFERRED] NONE, alice, bob", "l@relais.example by reprocess"),
    ("l: [DEFERRED], [PRECEDENCE] list, alice", "l@relais.example by reprocess"),
    ("l: [EXPANDABLE], [TAG] \"[l] \", [NODELAY_NOTIFICATIONS], alice", "alice {by}"),
    ("l: [CANT_LIST] eve@y.example, :alice, :bob", "alice {by}\nbob {by}"),
    ("l: [OR], alice+*", "alice {by}"),
];

#[tokio::test]
async fn copies_of_a_list_are_what_its_parameters_say() {
    for &(aliases, want) in COPIES {
        assert_eq!(copies(aliases).await, want.replace("{by}", BY), "{aliases}");
    }
    let all = copies("l: <members, own@x.example, re@x.example*, *, warn, \"a, b\"").await;
    let headers = "+Comments: a, b =Errors-To: own@x.example =Warnings-To: warn@relais.example \
                   ?Reply-To: re@x.example";
    assert_eq!(all.lines().next(), Some(&*format!("alice from own@x.example {headers} {BY}")));
    let all = copies("l: <members, [ENVELOPE_FROM] env@x.example, own@x.example").await;
    let headers = "=Errors-To: own@x.example";
    assert_eq!(all.lines().next(), Some(&*format!("alice from env@x.example {headers} {BY}")));
}

#[tokio::test]
async fn posts_are_held_where_a_list_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // Parameters; whether posts of ann@x.example, and of a@friend.example, are held
    let rows = [
        ("[HOLD_LIST] ann@x.example", true, false),
        ("[NOHOLD_LIST] ann@x.example", false, true),
        ("[HOLD_MAPPING] FRIENDS", false, true),
        ("[NOHOLD_MAPPING] FRIENDS", true, false),
    ];
    for (parameters, ann, friend) in rows {
        let aliases = format!("l: {parameters}, alice\nouter: l\n");
        let routes = Routes::new(&config(folder.path(), &aliases)).unwrap();
        let directory = LdifDirectory::standalone().unwrap();
        for (sender, want) in [("ann@x.example", ann), ("a@friend.example", friend)] {
            for to in ["l", "outer", "l+x@relais.example"] {
                let to = address(to);
                let question = Question { sender, ..question(&to, true) };
                let found = Resolver::new(&routes, &directory, question).resolve().await;
                assert_eq!(found.held.is_some(), want, "{parameters} {sender} {to}");
                assert!(found.routes.is_ok());
                let queued = Question { poster: Poster::Queued, ..question };
                let found = Resolver::new(&routes, &directory, queued).resolve().await;
                assert_eq!(found.routes.is_err(), want, "{parameters} {sender} {to}");
            }
        }
    }
}

/// Aliases, and a part of what is told of them.
const MISTAKES: &[(&str, &str)] = &[
    ("x: y\nl: [AUTH_LIST], alice", "line 2: [AUTH_LIST] \"\": a file, an address or a URL"),
    ("l: [AUTH_LIST] ldap:///o=x,c=y??sub?(a=b), alice", "part of a URL"),
    ("l: [AUTH_LIST] ldap://h/o=x??sub?(a=b), alice", "without a host"),
    ("l: [AUTH_LIST] ann@, alice", "[AUTH_LIST] \"ann@\""),
    ("l: [USERNAME_AUTH_LIST] ldap:///o=x??sub?(a=b), alice", "logins are listed"),
    ("l: [AUTH_CHANNEL] tcp_elsewhere, alice", "names of channels"),
    ("l: [CANT_CHANNEL] , alice", "names of channels"),
    ("l: [AUTH_MAPPING] NONE_SUCH, alice", "no mapping table of this name"),
    ("l: [MODERATOR_LIST] ann@x.example, alice", "[MODERATOR_ADDRESS] has to say"),
    ("l: [MODERATOR_ADDRESS] a b, alice", "[MODERATOR_ADDRESS] \"a b\""),
    ("l: [ENVELOPE_FROM] , alice", "[ENVELOPE_FROM]"),
    ("l: [ENVELOPE_FROM] l*@x.example, alice", "an asterisk"),
    ("l: [ENVELOPE_FROM] <>, alice", "[ENVELOPE_FROM] \"<>\""),
    ("l: [ERROR_TEXT] caf\u{e9}, alice", "ASCII"),
    ("l: [BLOCKLIMIT] 10K, alice", "a number of blocks"),
    ("l: [BLOCKLIMIT] 18446744073709551615, alice", "a number of blocks"),
    ("l: [LINELIMIT] 10, alice", "lines are not counted"),
    ("l: [FILTER] /x.sieve, alice", "scripts of lists are not there yet"),
    ("l: [OR] [AUTH_LIST] a@x.example, alice", "[OR] \"[AUTH_LIST] a@x.example\": it has no value"),
    ("l: [DEFERRED] tomorrow, alice", "it has no value"),
    ("l: [PRIORITY] urgent&, alice", "nothing is added"),
    ("l: [OR]", "members: there are none"),
    ("l: <ldap:///o=x??tree?(a=b)>", "members: "),
    ("l: <members, a@", "error-return: \"a@\""),
    ("l: <members, a@x.example, a b", "reply-to: \"a b\""),
    ("l: <members, *, *, *, *, caf\u{e9}", "comments: "),
    ("l: <members, <a", "error-return: \"<a\""),
];

#[test]
fn mistakes_are_told_when_the_table_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let open = |aliases: &str| MailTables::open(&config(folder.path(), aliases));
    for &(aliases, want) in MISTAKES {
        let error = open(aliases).unwrap_err();
        assert!(error.to_string().contains(want), "{aliases}: {error}");
    }
    fs::write(folder.path().join("lines"), "X-A: b\nReceived: c\n").unwrap();
    fs::write(folder.path().join("damaged"), "a@x.example\n\na@@b\n").unwrap();
    fs::write(folder.path().join("members"), "alice\n").unwrap();
    let rows = [
        ("l: [TAG] x, alice", "the alias l: [TAG] is not there yet, and does nothing"),
        ("l: [HEADER_ADDITION] lines, alice", "lines: line 2 does nothing"),
        ("l: [HEADER_ADDITION] lost, alice", "(451): [HEADER_ADDITION] lost: No such file"),
        ("l: [CANT_LIST] damaged, alice", "(451): [CANT_LIST] damaged: line 3: "),
        ("l: alice\nl: [AUTH_LIST] lost, alice", "\"l\" is there twice"),
        ("l: [ENVELOPE_FROM] L+*@relais.example, alice", "failures are told to the list itself"),
        ("l@x.example: <members, l@x.example", "failures are told to the list itself"),
    ];
    for (aliases, want) in rows {
        let tables = open(aliases).unwrap();
        let told = |remark: &crate::router::TableRemark| remark.message.contains(want);
        assert!(tables.remarks.iter().any(told), "{aliases}: {:?}", tables.remarks);
        let names = |name: &str| tables.files.iter().any(|file| file.ends_with(name));
        for name in ["lines", "lost", "damaged"] {
            assert_eq!(names(name), aliases.contains(name), "{aliases}");
        }
    }
    // Of two of one name the first counts, whatever the other one says.
    let tables = open("l: alice\nl: [CANT_LIST] a@x.example, bob").unwrap();
    assert!(tables.aliases.list("l").is_none());
    let tables = open("l: [CANT_LIST] a@x.example, bob\nl: alice").unwrap();
    assert!(tables.aliases.list("l").is_some_and(|list| list.rules.is_some()));
}

#[tokio::test]
async fn the_configuration_itself_may_hold_lists() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("members"), "alice\n").unwrap();
    let mut config = config(folder.path(), "");
    config.aliases.file = None;
    let mut alias = |name: &str, parts: &[&str]| {
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        config.aliases.insert(name.to_owned(), parts);
    };
    alias(
        "L",
        &["<members", "[AUTH_LIST] ann@x.example", "[ERROR_TEXT] No, not you", "own@x.example"],
    );
    alias("plain", &["<members"]);
    let routes = Routes::new(&config).unwrap();
    let by = ("ann@x.example", "", "tcp_local");
    assert_eq!(post(&routes, "l", by, Poster::Client).await, "alice");
    let stranger = ("eve@y.example", "", "tcp_local");
    assert_eq!(post(&routes, "l", stranger, Poster::Client).await, "550 5.7.2 No, not you");
    assert_eq!(post(&routes, "plain", stranger, Poster::Client).await, "alice");
    config.aliases.insert("plain".to_owned(), vec![":bob".to_owned(), "<members".to_owned()]);
    let routes = Routes::new(&config).unwrap();
    assert_eq!(post(&routes, "plain", stranger, Poster::Client).await, "bob alice");
    config.aliases.insert("m".to_owned(), vec!["bob".to_owned(), "[AUTH_LIST] a@x".to_owned()]);
    let error = Routes::new(&config).unwrap_err().to_string();
    assert!(error.contains("m: named parameters stand"), "{error}");
}

#[tokio::test]
async fn everybody_of_a_domain_may_have_one_alias() {
    let folder = tempfile::tempdir().unwrap();
    let aliases = "carl@relais.example: bob\n*+*@relais.example: bob+*\n*@relais.example: alice\n\
                   dave: bob\n*@localhost: bob\n";
    let mut config = config(folder.path(), aliases);
    let none = LdifDirectory::standalone().unwrap();
    let unknown = "550 5.1.1 unknown or illegal alias";
    // Address; the alias with `aliaswild`, and without
    let rows = [
        ("carl@relais.example", "bob", "bob"),
        ("dave@relais.example", "alice", "bob"),
        ("erin@relais.example", "alice", unknown),
        ("erin+x@relais.example", "bob+x", unknown),
    ];
    for is_wild in [true, false] {
        config.channels[0].aliaswild = is_wild;
        let routes = Routes::new(&config).unwrap();
        for (to, wild, plain) in rows {
            let to = address(to);
            let question = Question::of_nobody(&to, "tcp_local");
            let routing = Resolver::new(&routes, &none, question).traced().route().await;
            let steps: Vec<_> = routing.steps.iter().map(ToString::to_string).collect();
            let first = steps.iter().find(|step| step.starts_with("  aliases: "));
            let want = Some(if is_wild { wild } else { plain }).filter(|want| *want != unknown);
            let want = want.map(|target| format!("  aliases: {target}"));
            assert_eq!(first, want.as_ref(), "{to} {is_wild}: {steps:#?}");
        }
    }
}
