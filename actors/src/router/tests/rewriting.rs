//! Rewriting: every worked example of the original, and what its language says beside them.

use std::{collections::HashSet, sync::Arc};

use relais_channels::mail::Address;
use relais_config::{Config, MappingTable, facts::Facts};

use super::{Dead, address, config, question, sample, way};
use crate::{
    directory::LdifDirectory,
    router::{
        Question, Resolver, RouteCache, Routes, Submission,
        refusal::Refusal,
        rewrite::{Purpose, Rewriter},
        senders::rewritten_sender,
        steps::Trace,
    },
};

type Rules = &'static [(&'static str, &'static str)];

/// Name, rules, address, its kind, result and tag.
type Row = (&'static str, Rules, &'static str, Purpose<'static>, &'static str);

/// A recipient of the envelope.
const TO: Purpose<'_> = Purpose {
    envelope: true,
    forward: true,
    source: "tcp_local",
    destination: None,
    reprocessed: false,
    facts: Facts { spf: "", spf_helo: "" },
};
/// A sender in a header.
const HEADER_FROM: Purpose<'_> = Purpose { envelope: false, forward: false, ..TO };
/// A recipient in a header.
const HEADER_TO: Purpose<'_> = Purpose { envelope: false, ..TO };
/// The sender of the envelope.
const FROM: Purpose<'_> = Purpose { forward: false, ..TO };

const fn by(source: &'static str) -> Purpose<'static> {
    Purpose { source, ..TO }
}

/// Channels of these names, which are their tags, too.
const TAGS: [&str; 9] = [
    "t",
    "other",
    "percent",
    "bang",
    "tcp-intranet",
    "tcp-daemon",
    "siroenet",
    "tcp_local",
    "tcp_submit",
];

async fn rewritten(config: &Config, from: &str, purpose: Purpose<'_>) -> String {
    let routes = Routes::new(config).unwrap();
    let directory = LdifDirectory::standalone().unwrap();
    let mut trace = Trace::default();
    let rewriter = Rewriter::new(&routes, &directory, purpose, &mut trace);
    let done = rewriter.rewrite(address(from)).await;
    done.map_or_else(
        |refusal| refusal.to_string(),
        |done| {
            let error = done.error.map(|error| format!(" ({})", Refusal::Text(error).reply()));
            format!("{} {}{}", done.address, done.tag, error.unwrap_or_default())
        },
    )
}

/// A configuration with these rules, a general database and a mapping table.
fn with_rules(rules: Rules) -> Config {
    let mut config = config(rules, &TAGS);
    let value = "$u%eng.siroe.com@siroenet".to_owned();
    config.general.insert("siroe".to_owned(), value);
    let own = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
    let entries = [("1.*", "$Yt"), ("(*", "$Ywith"), ("\\28*", "$Yt"), ("*", "t$N")];
    let table = MappingTable::parse(entries.map(own).to_vec()).unwrap();
    config.mappings.insert("MAP".to_owned(), table);
    config
}

async fn holds(rows: &[Row]) {
    for (name, rules, from, purpose, want) in rows {
        let found = rewritten(&with_rules(rules), from, *purpose).await;
        assert_eq!(found, *want, "{name}: {from} {purpose:?} by {rules:?}");
    }
}

const CLOSED: Rules = &[("siroe.com", "$U@mail.siroe.com$E$F")];
const STARRED: Rules = &[("*.SIROE.COM", "$U%$&0.siroe.com@mailhub.siroe.com")];
const GENERAL: Rules = &[(".SIROENET", "$($H)")];
const CUT: Rules = &[("domain.com", "$U%domain.com@tcp-daemon$Mtcp_local$1~-domainrelay")];
const TAGGED: Rules = &[
    ("internet", "$S$U@here.example$Tmtcp-force|"),
    ("mtcp-force|.", "$U%$H@TCP-DAEMON"),
    (".", "$U%$H@other"),
];

/// Sections 1.7 and 1.8, and the example of chapter 8.4 of the administrators' guide.
const WORKED: &[Row] = &[
    ("1.7 row 1", CLOSED, "jdoe@siroe.com", TO, "jdoe@mail.siroe.com mail.siroe.com"),
    ("1.7 row 2", CLOSED, "jdoe@siroe.com", HEADER_FROM, "jdoe@siroe.com siroe.com"),
    ("1.7 row 3", STARRED, "jdoe@eng.siroe.com", TO, "jdoe@eng.siroe.com mailhub.siroe.com"),
    ("1.7 row 4", GENERAL, "jdoe@siroe.siroenet", TO, "jdoe@eng.siroe.com siroenet"),
    (
        "1.7 row 5",
        &[("[1.2.3.]", "$U%[1.2.3.$L]@tcp-intranet")],
        "u@[1.2.3.9]",
        TO,
        "u@[1.2.3.9] tcp-intranet",
    ),
    ("1.7 row 6", CUT, "u@domain.com", TO, "u@domain.com tcp-daemon-domainrelay"),
    ("1.7 row 7", CUT, "u@domain.com", by("tcp_submit"), "u@domain.com tcp-daemon"),
    ("1.8", TAGGED, "@internet:u@x.y", TO, "u@x.y TCP-DAEMON"),
    ("1.8, not in a route", TAGGED, "u@internet", TO, "u@internet other"),
    ("1.8, another address", TAGGED, "u@x.y", TO, "u@x.y other"),
    (
        "8.4",
        &[("siroe.com", "$U%$D@tcp_siroe-daemon")],
        "jdoe@siroe.com",
        TO,
        "jdoe@siroe.com tcp_siroe-daemon",
    ),
];

#[tokio::test]
async fn worked_examples_of_the_original() {
    holds(WORKED).await;
}

const ONE: Rules = &[("a", "$U@b")];
const LAST: Rules = &[(".", "$U%$H$D@t"), ("$%", "$U%$H@percent"), ("$!", "$U%$H@bang")];
const WITHIN: Rules = &[("$%", "$U%$H@percent"), ("$!", "$U%$H@bang")];
const FALLS_THROUGH: Rules = &[
    ("a.b", "$U%$&0.x@t"),
    ("a.b", "$U%${MAP,$D}@t"),
    ("a.b", "$($D)"),
    ("a.b", "$U%$D@t$Mnobody"),
    (".b", "$U%$H$D@other"),
];

/// Section 1.2: patterns, and what comes of the last step.
const STEPS: &[Row] = &[
    ("$* comes first", &[("a", "$U@b"), ("$*", "$U@t")], "u@a", TO, "u@t t"),
    ("one label each", STARRED, "j@a.b.siroe.com", TO, "j@a.b.siroe.com a.b.siroe.com"),
    ("not below", &[(".b.c", "$U%$H$D@t")], "u@b.c", TO, "u@b.c b.c"),
    ("below", &[(".b.c", "$U%$H$D@t")], "u@x.a.b.c", TO, "u@x.a.b.c t"),
    ("case", &[("A.B", "$U%$D@t")], "U@a.B", TO, "U@a.B t"),
    (
        "[1.2.]",
        &[("[1.2.]", "$U%[$L]@t")],
        "u@[1.2.3.4]",
        TO,
        "rewriting left no address: \"u@[3.4]\"",
    ),
    ("[1.]", &[("[1.]", "$U%[9.$L]@t")], "u@[1.2.3.4]", TO, "u@[9.2.3.4] t"),
    ("[]", &[("[]", "$U%[$L]@t")], "u@[1.2.3.4]", TO, "u@[1.2.3.4] t"),
    (". with $D", LAST, "u@a.b", TO, "u@a.b. t"),
    (". before $%", LAST, "u%a.b", TO, "u@a.b. t"),
    (". not for channels", &[(".", "$U%$H@t")], "u@other", TO, "u@other other"),
    ("$% after .", WITHIN, "u%a.b", TO, "u@a.b percent"),
    ("$! after .", WITHIN, "a.b!u", TO, "u@a.b bang"),
    ("not for @", WITHIN, "u@a.b", TO, "u@a.b a.b"),
    ("A%B is a user", ONE, "u%x", TO, "u%x@here.example here.example"),
    ("B!A is a user", ONE, "x!u", TO, "x!u@here.example here.example"),
    ("but for a channel's", ONE, "u%t", TO, "u@t t"),
    ("no rule", ONE, "u@x.y", TO, "u@x.y x.y"),
    ("no such key", GENERAL, "jdoe@x.siroenet", TO, "jdoe@x.siroenet x.siroenet"),
    ("the next rule, the next probe", FALLS_THROUGH, "u@a.b", TO, "u@a.b other"),
    ("superfluous hosts", ONE, "@here.example,@here.example:u@a", TO, "u@b b"),
    ("and within users", ONE, "u%a@here.example", TO, "u@b b"),
    ("local and nothing more", ONE, "u@here.example", TO, "u@here.example here.example"),
    ("a route elsewhere", ONE, "@a:u@x", TO, "@b:u@x b"),
];

#[tokio::test]
async fn an_address_goes_through_the_four_steps() {
    holds(STEPS).await;
}

const META: Rules = &[(".removable", "$U%$H"), ("a.b", "$U%c.d@t")];
const STICKY: Rules = &[("a", "$U%b$?No"), (".", "$U%$H@none")];

/// Sections 1.3 and 1.6.
const TEMPLATES: &[Row] = &[
    ("A%B@C", &[("a", "$U%b@t")], "u@a", TO, "u@b t"),
    ("A@B", ONE, "u@a", TO, "u@b b"),
    ("A%B", META, "u@a.b.removable", TO, "u@c.d t"),
    ("A@B@C", &[("a", "$U@b@t")], "u@a", TO, "@t:u@b t"),
    ("A@B@C@D", &[("a", "$U@b@c@t")], "u@a", TO, "@c:u@b t"),
    ("A%B@C@D", &[("a", "$U%b@c@t")], "u@a", TO, "@c:u@b t"),
    ("A%B@C@D in a route", &[("a", "$U%b@c@t")], "@a:u@x", TO, "@c,@b:u@x t"),
    ("endless", &[(".", "$U%$H")], "u@a.b", TO, "rewriting does not end"),
    ("round", &[("a", "$U%b"), ("b", "$U%a")], "u@a", TO, "rewriting does not end"),
    ("$?", &[(".", "$4001002?Try later")], "u@a", TO, "u@a a (450 4.1.2 Try later)"),
    (
        "$? without a code",
        &[(".", "$?Unrecognized address; contact postmaster@siroe.com")],
        "u@a",
        TO,
        "u@a a (550 5.1.2 Unrecognized address; contact postmaster@siroe.com)",
    ),
    ("$? sticks", STICKY, "u@a", TO, "u@b none (550 5.1.2 No)"),
    ("$? of another rule", STICKY, "u@x", TO, "u@x none"),
];

#[tokio::test]
async fn every_form_of_template_does_what_it_says() {
    holds(TEMPLATES).await;
    for (text, want) in [
        ("u@a", "550 5.1.2 unknown host or domain"),
        ("u@b", "550 5.1.2 No such place"),
        ("u@c", "450 4.1.2 Try later"),
        ("u@d", "t d u@d"),
    ] {
        let rules: Rules = &[
            ("b", "$?No such place"),
            ("c", "$U%$D@nowhere$4001002?Try later"),
            ("d", "$U%$D@t$?not said of what leads somewhere"),
        ];
        let routes = Routes::new(&with_rules(rules)).unwrap();
        let directory = LdifDirectory::standalone().unwrap();
        assert_eq!(way(&routes, text, true, &directory).await, want, "{text}");
    }
}

const MAPPED: Rules = &[("[]", "$U%[$L]@${MAP,$L}"), (".", "$U%$H@other")];
const LABELS: Rules = &[(".c", "$U%$1H.$!0.$&1@t")];

/// Section 1.4.
const SUBSTITUTIONS: &[Row] = &[
    ("$U", &[("a", "$U@t")], "x.\"y z\"@a", TO, "\"x.y z\"@t t"),
    ("$0U $1U", &[("a", "$0U.x$1U@t")], "u+s@a", TO, "u.x+s@t t"),
    ("no subaddress", &[("a", "$0U.x$1U@t")], "u@a", TO, "u.x@t t"),
    ("$H$D", &[(".zw", "$U%$H$D@t")], "u@x.y.zw", TO, "u@x.y.zw t"),
    ("case", &[("A.B", r"$\$U$^x$_Y%$*0$#0@t")], "Uu@A.b", TO, "uuXY@Ab t"),
    ("labels", LABELS, "u@a.b.c", TO, "u@a.b.b t"),
    (
        "$nD",
        &[(".b.c.d", "$U%$2D.x@t")],
        "u@a.b.c.d",
        TO,
        "rewriting left no address: \"u@.b.c.x\"",
    ),
    ("no such label", &[(".c", "$U%$&2.c@t")], "u@a.b.c", TO, "u@a.b.c a.b.c"),
    ("$nA", &[("a", "$0A$2A.$U@t")], "user@a", TO, "ue.user@t t"),
    ("no such character", &[("a", "$9A@t")], "user@a", TO, "user@a a"),
    ("$$ $% $@", &[("a", "$$$%x@t")], "u@a", TO, "$%x@t t"),
    ("$=", &[("a", "$U%$=b@t")], "u@a", TO, "u@b t"),
    ("$= and what is substituted", &[("a", "$=$U@t")], "\"x(y\"@a", TO, "\"x\\28y\"@t t"),
    ("$= within", &[("a", "$0U@${MAP,$=(}")], "u@a", TO, "u@with with"),
    ("${}", MAPPED, "u@[1.2.3.4]", TO, "u@[1.2.3.4] t"),
    ("${} says no", MAPPED, "u@[5.6.7.8]", TO, "u@[5.6.7.8] other"),
    ("$() is read again", GENERAL, "a+b@siroe.siroenet", TO, "a+b@eng.siroe.com siroenet"),
];

#[tokio::test]
async fn every_sequence_puts_in_what_it_says() {
    holds(SUBSTITUTIONS).await;
}

const BACK: Rules = &[("a", "$U@to$F"), ("a", "$U@from$R")];
const KIND: Rules = &[("a", "$U@envelope$E"), ("a", "$U@header$B")];
const WHERE: Rules =
    &[("a", "$U@route$S"), ("a", "$U@at$A"), ("a", "$U@inside$P$X"), ("b", "$U@rest")];
const CHANNELS: Rules = &[
    ("m", "$U@yes$Mtcp_local$MTCP_submit"),
    ("n", "$U@yes$Ntcp_local$Ntcp_submit"),
    ("1m", "$U@yes$1M"),
    ("1n", "$U@yes$1N"),
    ("either", "$U@yes$Mtcp_local$1M"),
    ("neither", "$U@yes$Ntcp_local$1N"),
    ("q", "$U@yes$Qt$Qother"),
    ("c", "$U@yes$Ct$Cother"),
];
const FAILURE: Rules =
    &[("a", "$U%$D@reprocess-daemon$Mtcp_local$1M$1~-error$4000000?Temporary lookup failure")];
const CUTS: Rules = &[("a", "$U%a@x$Mtcp_local$Mt$1~-y$Ntcp_local$1~-z")];
const OURS: Rules = &[("$*", "$U@ours$V$H"), (".", "$U%$H@theirs$Z$H")];

const fn to(destination: &'static str) -> Purpose<'static> {
    Purpose { destination: Some(destination), ..HEADER_TO }
}

/// Section 1.5, and the failures of section 3.1.
const CONTROLS: &[Row] = &[
    ("$F", BACK, "u@a", TO, "u@to to"),
    ("$F in a header", BACK, "u@a", HEADER_TO, "u@to to"),
    ("$R", BACK, "u@a", FROM, "u@from from"),
    ("$R in a header", BACK, "u@a", HEADER_FROM, "u@from from"),
    ("$E", KIND, "u@a", FROM, "u@envelope envelope"),
    ("$B", KIND, "u@a", HEADER_FROM, "u@header header"),
    ("$S", WHERE, "@a:u@b", TO, "@route:u@b route"),
    ("$A", WHERE, "u@a", TO, "u@at at"),
    ("$P", WHERE, "u%a", TO, "u@inside inside"),
    ("$X", WHERE, "a!u", TO, "u@inside inside"),
    ("$M", CHANNELS, "u@m", TO, "u@yes yes"),
    ("$M of another", CHANNELS, "u@m", by("tcp_submit"), "u@yes yes"),
    ("$M of none", CHANNELS, "u@m", by("t"), "u@m m"),
    ("$N", CHANNELS, "u@n", by("t"), "u@yes yes"),
    ("$N of one", CHANNELS, "u@n", by("tcp_submit"), "u@n n"),
    ("$1M", CHANNELS, "u@1m", by("reprocess"), "u@yes yes"),
    ("$1M of mail from outside", CHANNELS, "u@1m", TO, "u@1m 1m"),
    ("$1N", CHANNELS, "u@1n", TO, "u@yes yes"),
    ("$1N of mail from within", CHANNELS, "u@1n", by("process"), "u@1n 1n"),
    ("$M or $1M: the one", CHANNELS, "u@either", TO, "u@yes yes"),
    ("$M or $1M: the other", CHANNELS, "u@either", by("process"), "u@yes yes"),
    ("$M or $1M: neither", CHANNELS, "u@either", by("t"), "u@either either"),
    ("$N and $1N: the one", CHANNELS, "u@neither", TO, "u@neither neither"),
    ("$N and $1N: the other", CHANNELS, "u@neither", by("process"), "u@neither neither"),
    ("$N and $1N: neither", CHANNELS, "u@neither", by("t"), "u@yes yes"),
    ("$Q before there is one", CHANNELS, "u@q", TO, "u@yes yes"),
    ("$Q", CHANNELS, "u@q", to("other"), "u@yes yes"),
    ("$Q of another", CHANNELS, "u@q", to("bang"), "u@q q"),
    ("$C before there is one", CHANNELS, "u@c", TO, "u@yes yes"),
    ("$C", CHANNELS, "u@c", to("bang"), "u@yes yes"),
    ("$C of one", CHANNELS, "u@c", to("t"), "u@c c"),
    ("$V", OURS, "u@relais.example", TO, "u@ours ours"),
    ("$Z", OURS, "u@x.test", TO, "u@x.test theirs"),
    ("$1~ once", CUTS, "u@a", by("other"), "u@a x"),
    ("$1~ twice", CUTS, "u@a", TO, "u@a x-y"),
    ("$1~ not at all", CUTS, "u@a", by("t"), "u@a x-y-z"),
    (
        "a failure outside",
        FAILURE,
        "u@a",
        TO,
        "u@a reprocess-daemon-error (450 4.0.0 Temporary lookup failure)",
    ),
    (
        "a failure again",
        FAILURE,
        "u@a",
        by("reprocess"),
        "u@a reprocess-daemon-error (450 4.0.0 Temporary lookup failure)",
    ),
    ("a failure of one of ours", FAILURE, "u@a", by("tcp_submit"), "u@a reprocess-daemon"),
];

/// The configuration with channels that put mail through rewriting again.
fn with_channels(rules: Rules) -> Config {
    let mut config = with_rules(rules);
    let standalone = sample("standalone.ron");
    let again = |name: &str| ["process", "reprocess"].contains(&name);
    config.channels.extend(standalone.channels.into_iter().filter(|its| again(&its.name)));
    config
}

#[tokio::test]
async fn every_control_has_its_say() {
    for (name, rules, from, purpose, want) in CONTROLS {
        let found = rewritten(&with_channels(rules), from, *purpose).await;
        assert_eq!(found, *want, "{name}: {from} {purpose:?} by {rules:?}");
    }
}

#[tokio::test]
async fn channels_say_how_rules_are_applied_to_their_mail() {
    let mut config = with_rules(CHANNELS);
    let mut channel = |name: &str| config.channels.iter_mut().position(|its| its.name == name);
    let (local, submit, t) = (channel("tcp_local"), channel("tcp_submit"), channel("t"));
    let (local, submit, t) = (local.unwrap(), submit.unwrap(), t.unwrap());
    // norules
    config.channels[t].rules = false;
    for (from, purpose, want) in [
        ("u@m", by("t"), "u@yes yes"),
        ("u@n", by("t"), "u@yes yes"),
        ("u@1m", by("t"), "u@yes yes"),
        ("u@m", by("other"), "u@m m"),
        ("u@c", to("t"), "u@yes yes"),
        ("u@c", to("other"), "u@c c"),
    ] {
        assert_eq!(rewritten(&config, from, purpose).await, want, "{from} {purpose:?}");
    }
    config.channels[submit].bangoverpercent = true;
    config.channels[local].percentonly = true;
    config.channels[t].routelocal = true;
    for (from, purpose, want) in [
        ("other!u%bang", by("other"), "other!u@bang bang"),
        ("other!u%bang", by("tcp_submit"), "u%bang@other other"),
        ("other!u%bang", TO, "other!u@bang bang"),
        ("other!u", TO, "other!u@relais.example relais.example"),
        ("other!u", by("t"), "u@other other"),
        // Routes through the channel are taken off, and through others they are not.
        ("@t:u@bang", TO, "u@bang bang"),
        ("u%bang@t", TO, "u@bang bang"),
        ("bang!u@t", by("other"), "u@bang bang"),
        ("@t,@t:u", TO, "u@relais.example relais.example"),
        ("u@t", TO, "u@t t"),
        ("u%bang@other", TO, "u%bang@other other"),
        ("@other:u@bang", TO, "@other:u@bang other"),
    ] {
        assert_eq!(rewritten(&config, from, purpose).await, want, "{from} {purpose:?}");
    }
}

/// Rules without `$F` are for senders, too.
#[tokio::test]
async fn senders_of_envelopes_become_what_rules_make_of_them() {
    let rules: Rules = &[
        ("eng.siroe.com", "$U@siroe.com"),
        ("sales.siroe.com", "$U@siroe.com$F"),
        ("back.siroe.com", "$U@siroe.com$R$Mtcp_submit"),
        ("header.siroe.com", "$U@siroe.com$B"),
        ("routed.siroe.com", "$U%$D@hub@t"),
        ("both.siroe.com", "$U%siroe.com@hub@t"),
        (".siroe.com", "$U%$H$D@t"),
        ("[]", "$U%[$L]@t"),
        ("round", "$U%$D"),
        ("gone", "$U@gone.example$?Gone"),
        ("bad", "$U%$D..x@t"),
        (".", "$U%$H@other"),
    ];
    let routes = Routes::new(&with_rules(rules)).unwrap();
    let directory = LdifDirectory::standalone().unwrap();
    for (sender, source, want) in [
        ("u@eng.siroe.com", "tcp_local", Some("u@siroe.com")),
        ("u@ENG.siroe.com.", "tcp_local", Some("u@siroe.com")),
        ("@eng.siroe.com:u@x", "tcp_local", Some("@siroe.com:u@x")),
        ("u%eng.siroe.com@here.example", "tcp_local", Some("u@siroe.com")),
        ("u@sales.siroe.com", "tcp_local", None),
        ("u@back.siroe.com", "tcp_local", None),
        ("u@back.siroe.com", "tcp_submit", Some("u@siroe.com")),
        ("u@header.siroe.com", "tcp_local", None),
        ("u@a.siroe.com", "tcp_local", None),
        // The way of mail is not the way of its notices.
        ("u@routed.siroe.com", "tcp_local", None),
        ("u@both.siroe.com", "tcp_local", Some("u@siroe.com")),
        ("u@[192.0.2.1]", "tcp_local", None),
        ("u@gone", "tcp_local", Some("u@gone.example")),
        // Mail from an address that rules do not make sense of is not lost.
        ("u@round", "tcp_local", None),
        ("u@bad", "tcp_local", None),
        ("u@elsewhere.example", "tcp_local", None),
    ] {
        let asked = (&address(sender), source, Facts::default());
        let found = rewritten_sender(&routes, &directory, asked, &mut Trace::default()).await;
        let found = found.map(|address| address.map(|address| address.to_string()));
        assert_eq!(found, Ok(want.map(str::to_owned)), "{sender} {source}");
        let kept = ["a.siroe.com", "sales.siroe.com", "header.siroe.com", "routed.siroe.com"];
        let asks = !kept.contains(&&sender[2..]) && sender != "u@elsewhere.example";
        assert_eq!(routes.may_change_sender(&address(sender)), asks, "{sender}");
    }
    // The shipped rules ask for senders at address literals alone.
    for (file, asks) in [("standalone.ron", false), ("relay.ron", true), ("postfix.ron", false)] {
        let routes = Routes::new(&sample(file)).unwrap();
        let literal = address("u@[192.0.2.1]");
        assert_eq!(routes.may_change_sender(&literal), asks, "{file}");
        assert!(!routes.may_change_sender(&address("u@elsewhere.example")), "{file}");
        assert!(!routes.may_change_sender(&address("u@pc.siroe.com")), "{file}");
    }
    // A directory that does not answer has the sender come again.
    let ours = Routes::new(&with_rules(&[("$*", "$U@ours.example$V$H")])).unwrap();
    let asked = (&address("u@x"), "tcp_local", Facts::default());
    let failed = rewritten_sender(&ours, &Dead, asked, &mut Trace::default()).await;
    assert_eq!(failed.unwrap_err().reply().to_string(), "451 4.4.3 temporary lookup failure");
}

/// Facts about one mail decide about that alone, also where answers are remembered.
#[actix::test]
async fn rules_and_tables_go_by_what_is_known_of_the_mail() {
    let rules: Rules = &[
        ("a.example", "$:(spf=fail,softfail)$;(spf_helo=pass)$U%$D@other"),
        ("a.example", "${ODD,$U}%$D@percent"),
        ("a.example", "$U%$D@t"),
    ];
    let mut config = with_rules(rules);
    let odd = vec![("odd".to_owned(), "$:(spf=none)$Yodd".to_owned())];
    config.mappings.insert("ODD".to_owned(), MappingTable::parse(odd).unwrap());
    let routes = Arc::new(Routes::new(&config).unwrap());
    let published =
        RouteCache::new(Arc::clone(&routes), relais_config::directory::Cache::default());
    let directory = LdifDirectory::standalone().unwrap();
    for (to, spf, spf_helo, want) in [
        ("u@a.example", "", "", "t"),
        ("u@a.example", "pass", "fail", "t"),
        ("u@a.example", "fail", "fail", "other"),
        ("u@a.example", "softfail", "none", "other"),
        ("u@a.example", "softfail", "", "t"),
        ("u@a.example", "fail", "pass", "t"),
        ("odd@a.example", "", "", "t"),
        ("odd@a.example", "none", "", "percent"),
        ("u@a.example", "none", "", "t"),
    ] {
        let to = address(to);
        let facts = Facts::of_words(spf, spf_helo).unwrap();
        let submission = Some(Submission { facts, ..Submission::default() });
        let question = Question { submission, ..question(&to, true) };
        let cache = published.in_force();
        for _ in 0..2 {
            let found = match cache.find(&question) {
                Some(found) => found,
                None => Arc::new(Resolver::new(&routes, &directory, question).resolve().await),
            };
            cache.remember(&question, &found);
            let ways = found.routes.as_ref().unwrap();
            assert_eq!(&*ways[0].channel, want, "{to} {spf} {spf_helo}");
        }
    }
    assert_eq!(published.hits(), 9);
}

/// Section 2.3: mailboxes as the store wants them, and who may write to them by name.
#[tokio::test]
async fn a_mailbox_of_the_store_is_named_as_the_store_wants_it() {
    let routes = Routes::new(&sample("relay.ron")).unwrap();
    let directory = LdifDirectory::standalone().unwrap();
    for (internal, shown) in [
        ("jdoe", "jdoe"),
        ("jdoe+work", "jdoe+work"),
        ("jdoe%sesta.com", "jdoe@sesta.com"),
        ("jdoe%sesta.com+work", "jdoe+work@sesta.com"),
    ] {
        let to = format!("@store1.siroe.com.LMTP:{internal}@lmtpcs-daemon");
        let want = format!("tcp_lmtpcs store1.siroe.com {shown}");
        assert_eq!(way(&routes, &to, true, &directory).await, want, "{internal}");
        let relaying = "550 5.7.1 relaying not permitted";
        assert_eq!(way(&routes, &to, false, &directory).await, relaying, "{internal}");
    }
}

#[tokio::test]
async fn a_text_that_comes_only_once_is_made_for_every_question() {
    let routes = Arc::new(Routes::new(&with_rules(&[("a", "$U+$W@t")])).unwrap());
    let directory = LdifDirectory::standalone().unwrap();
    let limits = relais_config::directory::Cache::default();
    let cache = RouteCache::new(Arc::clone(&routes), limits).in_force();
    let mut users = HashSet::new();
    for _ in 0..100 {
        let to = address("u@a");
        let question = question(&to, true);
        assert!(cache.find(&question).is_none());
        let resolution = Arc::new(Resolver::new(&routes, &directory, question).resolve().await);
        cache.remember(&question, &resolution);
        let user = resolution.routes.as_ref().unwrap()[0].address.to_string();
        let text = user.strip_prefix("u+").and_then(|rest| rest.strip_suffix("@t")).unwrap();
        assert!(text.len() == 32 && text.bytes().all(|c| c.is_ascii_hexdigit()), "{user}");
        assert!(Address::parse(&user).is_ok());
        users.insert(user);
    }
    assert_eq!(users.len(), 100);
    // Others are remembered as before.
    let to = address("u@t");
    let question = question(&to, true);
    let resolution = Arc::new(Resolver::new(&routes, &directory, question).resolve().await);
    cache.remember(&question, &resolution);
    assert!(cache.find(&question).is_some());
}

#[tokio::test]
async fn the_domain_database_is_asked_behind_the_rules_of_each_probe() {
    let rules: Rules = &[
        ("a.test", "$U%rule.test@t$Mtcp_submit"),
        ("*.test", "$U%starred.test@t"),
        (".", "$U%rest.test@other"),
    ];
    let mut config = with_rules(rules);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("domains");
    let entries = "A.test $U%found.test@t\n.test $U%dotted.test@t\n[192.0.2.] $U%net.test@t\n";
    std::fs::write(&file, entries).unwrap();
    config.domain_database.file = Some(file.clone());
    let rows = [
        ("u@a.test", TO, "u@found.test t"),
        ("u@a.test", by("tcp_submit"), "u@rule.test t"),
        ("u@b.test", TO, "u@starred.test t"),
        ("u@b.c.test", TO, "u@dotted.test t"),
        ("u@[192.0.2.9]", TO, "u@net.test t"),
        ("u@else", TO, "u@rest.test other"),
        ("u@a.test", FROM, "u@found.test t"),
    ];
    for (from, purpose, want) in rows {
        assert_eq!(rewritten(&config, from, purpose).await, want, "{from}");
    }
    for (entry, why) in [("*.x $U@t", "asterisks"), ("x $U@$G", "$G")] {
        std::fs::write(&file, entry).unwrap();
        let error = Routes::new(&config).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains(why), "{error}");
    }
}

/// Entries of the built-in directory, looked up by URL.
#[tokio::test]
async fn a_url_stands_for_what_the_directory_has_there() {
    let by = |template: String| -> Config {
        let rules: Rules = vec![("a.example", &*template.leak()), (".", "$U%$H@other")].leak();
        with_rules(rules)
    };
    // The user, what it is rewritten to.
    let found = |from: &'static str, template: String| {
        let config = by(template);
        async move { rewritten(&config, from, TO).await }
    };
    let user =
        "$]ldap:///dc=example?uid?sub?(&(objectClass=inetMailUser)(mail=$U@relais.example))[";
    assert_eq!(
        found("alice.smith@a.example", format!("{user}@t")).await,
        "alice.smith@a.example other"
    );
    assert_eq!(found("alice@a.example", format!("{user}%$D@t")).await, "alice@a.example t");
    let twice = format!("{user}-{user}-$U%$D@t");
    assert_eq!(found("bob@a.example", twice).await, "bob-bob-bob@a.example t");
    let upper = format!("$^{user}%$D@t");
    assert_eq!(found("bob@a.example", upper).await, "BOB@A.EXAMPLE T");
    let wild = "$]ldap:///dc=example?uid?sub?(mail=$U*)[%$D@t";
    assert_eq!(found("*@a.example", wild.to_owned()).await, "*@a.example other");
    let several = "$]ldap:///dc=example?uid?sub?(uid=*)[%$D@t".to_owned();
    let refused = found("x@a.example", several.clone()).await;
    assert!(refused.contains("finds several entries"), "{refused}");
    let instead = format!("$.nobody.{several}");
    assert_eq!(found("x@a.example", instead).await, "nobody@a.example t");
    let many = |count: usize| {
        let one = |n: &str| format!("$]ldap:///dc=example?uid?sub?(&(uid=bob)(!(n={n})))[");
        format!("{}%$D@t", ["0", "1", "2", "3", "4", "5", "6", "7", "8"].map(one)[..count].concat())
    };
    assert_eq!(found("x@a.example", many(8)).await, format!("{}@a.example t", "bob".repeat(8)));
    let refused = found("x@a.example", many(9)).await;
    assert!(refused.contains("more than 8 look-ups"), "{refused}");
    // A directory that is away.
    let config = by(format!("{user}%$D@t"));
    let routes = Routes::new(&config).unwrap();
    let mut trace = Trace::default();
    let refused =
        Rewriter::new(&routes, &Dead, TO, &mut trace).rewrite(address("x@a.example")).await;
    assert_eq!(refused.unwrap_err().reply().code, 451);
}

#[tokio::test]
async fn a_channel_that_puts_mail_through_again_is_not_seen_by_rules() {
    let rules: Rules = &[
        ("a.test", "$U%first.test@t$Mtcp_local$1M"),
        ("a.test", "$U%second.test@t$Mtcp_local"),
        ("a.test", "$U%third.test@t$1M"),
        ("b.test", "$U%again.test@t$1M"),
        ("b.test", "$U%new.test@t"),
    ];
    let routes = Routes::new(&with_rules(rules)).unwrap();
    let directory = LdifDirectory::standalone().unwrap();
    let rows = [
        ("u@a.test", "reprocess", Some("tcp_local"), "u@first.test"),
        ("u@a.test", "reprocess", Some("tcp_submit"), "u@first.test"),
        ("u@a.test", "tcp_local", None, "u@first.test"),
        ("u@a.test", "tcp_submit", None, "550 5.7.1 relaying not permitted"),
        ("u@b.test", "reprocess", Some("tcp_local"), "u@again.test"),
        ("u@b.test", "tcp_local", None, "u@new.test"),
    ];
    for (text, source_channel, earlier, want) in rows {
        let to = address(text);
        let question = Question { source_channel, earlier, ..question(&to, false) };
        let routing = Resolver::new(&routes, &directory, question).route().await;
        let got = match routing.outcome {
            Ok(ways) => ways[0].address.to_string(),
            Err(reply) => reply.to_string(),
        };
        assert_eq!(got, want, "{text} from {source_channel}");
    }
}
