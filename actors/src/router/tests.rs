//! Whole ways, through the shipped configurations and through small ones.

mod alias_lists;
mod allowances;
mod groups;
mod headers;
mod rewriting;
mod worked;

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use proptest::prelude::*;
use relais_channels::mail::Address;
use relais_config::{
    Config, DeliveryOption, RewriteRule,
    channel::{Channel, Program},
    facts::Facts,
    lookup_url::UrlQuery,
};

use super::{
    PostProof, Poster, Question, Resolver, RouteCache, Routes, Routing, Step, access::admit, lists,
    steps::Trace,
};
use crate::{
    directory::{Domain, Entry, LdifDirectory, Lookup, LookupError, MemberSearch},
    metrics::ServerMeters,
};

/// Entries of siroe.com (the default domain) and of a hosted domain.
const SESTA: &str = "\
dn: o=siroe.com,dc=siroe,dc=com
objectClass: sunManagedOrganization
sunPreferredDomain: siroe.com

dn: uid=jdoe,o=siroe.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailUser
uid: jdoe
mail: jdoe@siroe.com
mailHost: store1.siroe.com

dn: uid=old,o=siroe.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailUser
uid: old
mail: old@siroe.com
mailHost: store9.siroe.com

dn: uid=away,o=siroe.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailUser
uid: away
mail: away@siroe.com
mailHost: store1.siroe.com
mailDeliveryOption: forward
mailForwardingAddress: away@elsewhere.example

dn: uid=self,o=siroe.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailUser
uid: self
mail: self@siroe.com
mailDeliveryOption: forward
mailForwardingAddress: Self@siroe.com

dn: uid=gone,o=siroe.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailUser
uid: gone
mail: gone@siroe.com
mailUserStatus: disabled

dn: uid=nouid,o=siroe.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailUser
mail: nouid@siroe.com

dn: uid=twin1,o=siroe.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailUser
uid: twin1
mail: twin@siroe.com

dn: uid=twin2,o=siroe.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailUser
uid: twin2
mailAlternateAddress: twin@siroe.com

dn: cn=all,o=siroe.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailGroup
mail: all@siroe.com
mgrpRFC822MailMember: jdoe@siroe.com
mgrpRFC822MailMember: all@siroe.com
mgrpRFC822MailMember: nobody@siroe.com
uniqueMember: uid=jdoe, o=siroe.com, dc=siroe, dc=com
uniqueMember: uid=jdoe2,o=sesta.com,dc=siroe,dc=com
mgrpRFC822MailMember: guest@elsewhere.example

dn: o=sesta.com,dc=siroe,dc=com
objectClass: sunManagedOrganization
sunPreferredDomain: Sesta.com
associatedDomain: sesta.org

dn: uid=jdoe2,o=sesta.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailUser
uid: jdoe
mail: jane.doe@sesta.com
mailAlternateAddress: jane.doe@sesta.org
mailHost: store1.siroe.com
mailDeliveryOption: mailbox
mailDeliveryOption: autoreply

dn: uid=held,o=sesta.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailUser
uid: held
mail: held@sesta.com
mailHost: store1.siroe.com
mailUserStatus: hold

dn: o=smart.com,dc=siroe,dc=com
objectClass: sunManagedOrganization
sunPreferredDomain: smart.com
mailRoutingSmartHost: hub.siroe.com

dn: o=catch.com,dc=siroe,dc=com
objectClass: sunManagedOrganization
sunPreferredDomain: catch.com
mailDomainCatchallAddress: jdoe@siroe.com

dn: o=foreign.com,dc=siroe,dc=com
objectClass: sunManagedOrganization
sunPreferredDomain: foreign.com
mailRoutingHosts: other.siroe.com
";

/// A directory that does not answer.
struct Dead;

impl Lookup for Dead {
    async fn domain(&self, _: &str) -> Result<Option<Arc<Domain>>, LookupError> {
        Err(LookupError("down".to_owned()))
    }

    async fn entries(&self, _: &Arc<Domain>, _: &str) -> Result<Vec<Arc<Entry>>, LookupError> {
        Err(LookupError("down".to_owned()))
    }

    async fn entry(&self, _: &str) -> Result<Option<Arc<Entry>>, LookupError> {
        Err(LookupError("down".to_owned()))
    }

    async fn found_by(
        &self,
        _: &MemberSearch,
        _: &[String],
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        Err(LookupError("down".to_owned()))
    }

    async fn url(&self, _: &UrlQuery) -> Result<Option<String>, LookupError> {
        Err(LookupError("down".to_owned()))
    }
}

pub(super) fn sample(name: &str) -> Config {
    let file = format!("{}/../config/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&file).unwrap();
    Config::parse(&file, &text).unwrap().0
}

pub(super) fn address(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

pub(super) fn question(address: &Address, may_relay: bool) -> Question<'_> {
    Question {
        address,
        sender: "sender@outside.example",
        source_channel: "tcp_local",
        may_relay,
        header: false,
        released: false,
        submission: None,
        poster: Poster::Client,
        earlier: None,
        proof: PostProof::default(),
    }
}

async fn route(routes: &Routes, question: Question<'_>, lookup: &impl Lookup) -> Routing {
    Resolver::new(routes, lookup, question).route().await
}

/// `channel host address`, one way a line; or the reply.
pub(super) async fn way(
    routes: &Routes,
    text: &str,
    may_relay: bool,
    lookup: &impl Lookup,
) -> String {
    let address = address(text);
    match route(routes, question(&address, may_relay), lookup).await.outcome {
        Err(reply) => reply.to_string(),
        Ok(ways) => {
            let line = |way: &super::Route| format!("{} {} {}", way.channel, way.host, way.address);
            ways.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    }
}

#[tokio::test]
async fn the_embedded_default_delivers_to_its_users_and_nobody_else() {
    let routes = Routes::new(&sample("standalone.ron")).unwrap();
    let directory = LdifDirectory::standalone().unwrap();
    let unknown = "550 5.1.1 unknown or illegal alias";
    let relaying = "550 5.7.1 relaying not permitted";
    let rows = [
        ("alice@relais.example", "tcp_lmtpcs localhost alice"),
        ("ALICE@Relais.EXAMPLE.", "tcp_lmtpcs localhost alice"),
        ("alice", "tcp_lmtpcs localhost alice"),
        ("alice+Work@relais.example", "tcp_lmtpcs localhost alice+Work"),
        ("\"alice+My box\"@relais.example", "tcp_lmtpcs localhost \"alice+My box\""),
        ("alice+@relais.example", "tcp_lmtpcs localhost alice"),
        ("alice+a%b.c@relais.example", unknown),
        ("alice.smith@relais.example", "tcp_lmtpcs localhost alice"),
        ("bob@relais.example", "tcp_lmtpcs localhost bob"),
        ("team@relais.example", "tcp_lmtpcs localhost alice\ntcp_lmtpcs localhost bob"),
        ("postmaster", "tcp_lmtpcs localhost alice"),
        ("Postmaster@localhost", "tcp_lmtpcs localhost alice"),
        ("postmaster@relais.example", "tcp_lmtpcs localhost alice"),
        ("alice%relais.example@localhost", unknown),
        ("relais.example!alice@localhost", unknown),
        ("@localhost:alice@relais.example", "tcp_lmtpcs localhost alice"),
        ("@localhost,@localhost:alice", "tcp_lmtpcs localhost alice"),
        ("eve@relais.example", unknown),
        ("alice@localhost", unknown),
        ("user@elsewhere.example", relaying),
        ("user@sub.relais.example", relaying),
        ("user@[192.0.2.1]", relaying),
        ("user%elsewhere.example@relais.example", unknown),
        ("elsewhere.example!user@relais.example", unknown),
        ("@relais.example:user@elsewhere.example", relaying),
        ("@relais.example:alice@relais.example", "tcp_lmtpcs localhost alice"),
        ("@relais.example,@localhost:alice+x@relais.example", "tcp_lmtpcs localhost alice+x"),
        ("@relais.example:team", "tcp_lmtpcs localhost alice\ntcp_lmtpcs localhost bob"),
        ("@relais.example:eve@relais.example", unknown),
        ("@elsewhere.example:alice@relais.example", relaying),
        ("@relais.example,@elsewhere.example:alice@relais.example", relaying),
        ("@relais.example:user%elsewhere.example@relais.example", unknown),
        ("@relais.example:alice@lmtpcs-daemon", relaying),
        ("user@evil.example.lmtp", relaying),
        ("@evil.example.lmtp:alice@lmtpcs-daemon", relaying),
        ("alice@lmtpcs-daemon", relaying),
        ("alice@hold-daemon", relaying),
        ("alice@bitbucket", relaying),
    ];
    for (text, want) in rows {
        assert_eq!(way(&routes, text, false, &directory).await, want, "{text}");
    }
    let unknown_host = "550 5.1.2 unknown host or domain";
    assert_eq!(way(&routes, "user@elsewhere.example", true, &directory).await, unknown_host);
}

#[tokio::test]
async fn the_relay_asks_the_directory_where_each_recipient_lives() {
    const HELD: &str = "hold hold-daemon postmaster@relay1.siroe.com";
    let routes = Routes::new(&sample("relay.ron")).unwrap();
    let directory = LdifDirectory::parse("sesta", SESTA).unwrap();
    let lmtp = "tcp_lmtpcs store1.siroe.com";
    let relaying = "550 5.7.1 Relaying not permitted";
    let rows = [
        ("jdoe@siroe.com", format!("{lmtp} jdoe")),
        ("jdoe+Work@siroe.com", format!("{lmtp} jdoe+Work")),
        ("jane.doe@SESTA.com", format!("{lmtp} jdoe@sesta.com")),
        ("jane.doe+inv@sesta.com", format!("{lmtp} jdoe+inv@sesta.com")),
        ("jane.doe@sesta.org", format!("{lmtp} jdoe@sesta.com")),
        ("\"jane.doe+a b\"@sesta.com", format!("{lmtp} \"jdoe+a b\"@sesta.com")),
        ("held@sesta.com", "hold hold-daemon @hold-daemon:held@sesta.com".to_owned()),
        (
            "old@siroe.com",
            "tcp_intranet store9.siroe.com @store9.siroe.com:old@siroe.com".to_owned(),
        ),
        (
            "all@siroe.com",
            format!(
                "{lmtp} jdoe\ntcp_local elsewhere.example guest@elsewhere.example\n\
                 {lmtp} jdoe@sesta.com\nreprocess reprocess-daemon nobody@siroe.com"
            ),
        ),
        ("away@siroe.com", "tcp_local elsewhere.example away@elsewhere.example".to_owned()),
        ("user@pc.siroe.com", "tcp_intranet pc.siroe.com user@pc.siroe.com".to_owned()),
        ("x@smart.com", "tcp_intranet hub.siroe.com @hub.siroe.com:x@smart.com".to_owned()),
        ("anyone@catch.com", format!("{lmtp} jdoe")),
        ("self@siroe.com", "554 5.4.6 the address leads back to itself".to_owned()),
        ("gone@siroe.com", "550 5.2.1 user disabled; cannot receive new mail".to_owned()),
        (
            "nouid@siroe.com",
            "451 4.3.0 the directory entry of this mailbox cannot be used".to_owned(),
        ),
        ("twin@siroe.com", "451 4.3.5 ambiguous address".to_owned()),
        ("nobody@siroe.com", "550 5.1.1 unknown or illegal alias".to_owned()),
        ("nobody@sesta.com", "550 5.1.1 unknown or illegal alias".to_owned()),
        ("postmaster@relay1.siroe.com", HELD.to_owned()),
        ("jdoe@relay1.siroe.com", "550 5.1.1 unknown or illegal alias".to_owned()),
        ("x@foreign.com", relaying.to_owned()),
        ("user@elsewhere.example", relaying.to_owned()),
        ("user%elsewhere.example@siroe.com", relaying.to_owned()),
        ("user%elsewhere@pc.siroe.com", "550 5.7.1 relaying not permitted".to_owned()),
        ("@pc.siroe.com:user@elsewhere.example", "550 5.7.1 relaying not permitted".to_owned()),
        ("x@pipe-daemon", "550 5.7.1 relaying not permitted".to_owned()),
    ];
    for (text, want) in rows {
        assert_eq!(way(&routes, text, false, &directory).await, want, "{text}");
    }

    // The submission service's users may write everywhere.
    let to = address("user@Elsewhere.example");
    let question = Question { source_channel: "tcp_submit", ..question(&to, true) };
    let ways = route(&routes, question, &directory).await.outcome.unwrap();
    assert_eq!((&*ways[0].channel, &*ways[0].host), ("tcp_local", "elsewhere.example"));
    let stranger = Question { may_relay: false, ..question };
    let refused = route(&routes, stranger, &directory).await.outcome.unwrap_err();
    assert_eq!(refused.to_string(), "550 5.7.1 relaying not permitted");
}

#[tokio::test]
async fn the_two_phases_of_the_original_step_by_step() {
    let routes = Routes::new(&sample("relay.ron")).unwrap();
    let directory = LdifDirectory::parse("sesta", SESTA).unwrap();
    let to = address("jdoe@siroe.com");
    let resolver = Resolver::new(&routes, &directory, question(&to, false)).traced();
    let steps = resolver.route().await.steps;
    // Lines of the file, (line 41), are those of a sample that may grow.
    let without_line = |step: &Step| {
        let text = step.to_string();
        match text.split_once(" (line ") {
            None => text,
            Some((before, after)) => format!("{before}{}", after.split_once(')').unwrap().1),
        }
    };
    let lines: Vec<_> = steps.iter().map(without_line).collect();
    let want = [
        "rewrite jdoe@siroe.com (envelope)",
        "  host siroe.com (right of @)",
        "  probes $*",
        "  rule $* $A$E$F$U%$H$V$H@relay1.siroe.com: jdoe@siroe.com",
        "    $H = siroe.com, $Vsiroe.com = ours, $U = jdoe",
        "  tag relay1.siroe.com: channel l",
        "  directory: domain siroe.com: ours, siroe.com",
        "  directory: jdoe@siroe.com: uid=jdoe,o=siroe.com,dc=siroe,dc=com",
        "  option #*mailbox=@$X.LMTP:$M%$\\$2I$_+$2S@lmtpcs-daemon: \
         @store1.siroe.com.LMTP:jdoe@lmtpcs-daemon",
        "rewrite @store1.siroe.com.LMTP:jdoe@lmtpcs-daemon (envelope)",
        "  host store1.siroe.com.LMTP (in the source route)",
        "  probes $*, store1.siroe.com.lmtp, *.siroe.com.lmtp, .siroe.com.lmtp, .com.lmtp, .lmtp",
        "  rule $* $A$E$F$U%$H$V$H@relay1.siroe.com: does not apply: where the host stands",
        "  rule .lmtp $E$F$U%$H.lmtp@lmtpcs-daemon: @store1.siroe.com.lmtp:jdoe@lmtpcs-daemon",
        "    $U = jdoe@lmtpcs-daemon, $H = store1.siroe.com",
        "  tag lmtpcs-daemon: channel tcp_lmtpcs",
        "rewrite @store1.siroe.com.lmtp:jdoe@lmtpcs-daemon (header)",
        "  host store1.siroe.com.lmtp (in the source route)",
        "  probes $*, store1.siroe.com.lmtp, *.siroe.com.lmtp, .siroe.com.lmtp, .com.lmtp, .lmtp",
        "  rule $* $A$E$F$U%$H$V$H@relay1.siroe.com: does not apply: where the host stands",
        "  rule .lmtp $E$F$U%$H.lmtp@lmtpcs-daemon: does not apply: $E or $B",
        "  rule .lmtp $B$F$U%$H@$H@lmtpcs-daemon: \
         @store1.siroe.com,@store1.siroe.com:jdoe@lmtpcs-daemon",
        "    $U = jdoe@lmtpcs-daemon, $H = store1.siroe.com",
        "  tag lmtpcs-daemon: channel tcp_lmtpcs",
        "  connect by @store1.siroe.com,@store1.siroe.com:jdoe@lmtpcs-daemon: store1.siroe.com",
        "=> jdoe by tcp_lmtpcs to store1.siroe.com",
    ];
    let access =
        "  ORIG_SEND_ACCESS tcp_local|sender@outside.example|l|jdoe@siroe.com: no entry applies";
    let want: Vec<_> = want.into_iter().chain([access]).collect();
    assert_eq!(lines, want);
}

/// `relais route` says where mail goes: telling each step changes nothing.
#[tokio::test]
async fn a_recipient_goes_the_same_way_whether_it_is_told_or_not() {
    let mut crowded = sample("relay.ron");
    let member = |n| format!("guest{n}@elsewhere.example");
    crowded.aliases.insert("crowd".to_owned(), (0..lists::LONG).map(member).collect());
    crowded.aliases.insert("nested".to_owned(), vec!["crowd".to_owned(), "nested".to_owned()]);
    let sesta = LdifDirectory::parse("sesta", SESTA).unwrap();
    let standalone = LdifDirectory::standalone().unwrap();
    let houses = [(crowded, sesta), (sample("standalone.ron"), standalone)];
    let names = [
        "jdoe",
        "all",
        "held",
        "self",
        "twin",
        "gone",
        "nouid",
        "away",
        "nobody",
        "postmaster",
        "crowd",
        "nested",
        "alice",
        "team",
        "alice+Work",
        "a%b",
        "\"x y\"",
    ];
    let domains =
        ["", "@siroe.com", "@sesta.com", "@catch.com", "@relais.example", "@relay1.siroe.com"];
    let ways = ["@elsewhere.example", "@[192.0.2.1]", "@pc.siroe.com"];
    for (config, directory) in &houses {
        let (routes, lists) = (Routes::new(config).unwrap(), lists::Lists::default());
        let texts = names.iter().flat_map(|name| {
            domains.iter().chain(&ways).map(move |domain| format!("{name}{domain}"))
        });
        for (text, may_relay) in texts.flat_map(|text| [(text.clone(), false), (text, true)]) {
            let to = address(&text);
            let asked = question(&to, may_relay);
            let told = Resolver::new(&routes, directory, asked).traced().route().await;
            let quiet = route(&routes, asked, directory).await;
            // As sessions have it: found once, by whatever was found before, and then admitted.
            let found = Resolver::new(&routes, directory, asked).sharing(&lists).resolve().await;
            let admitted = admit((&routes, directory), &found, &asked, &mut Trace::default()).await;
            assert_eq!(told.outcome, quiet.outcome, "{text} {may_relay}");
            assert_eq!(told.outcome, admitted.and(found.routes), "{text} {may_relay}");
            assert_eq!((told.local, told.relaying), (quiet.local, quiet.relaying), "{text}");
            assert_eq!((told.local, told.relaying), (found.local, found.relaying), "{text}");
            assert!(!told.steps.is_empty() && quiet.steps.is_empty(), "{text}");
        }
    }
}

#[tokio::test]
async fn a_directory_that_does_not_answer_defers() {
    let routes = Routes::new(&sample("relay.ron")).unwrap();
    let want = "451 4.4.3 temporary lookup failure";
    assert_eq!(way(&routes, "jdoe@siroe.com", false, &Dead).await, want);
    assert_eq!(way(&routes, "user@elsewhere.example", false, &Dead).await, want);
}

/// A configuration with these rules; every tag in them has a channel of its own name.
fn config(rules: &[(&str, &str)], tags: &[&str]) -> Config {
    static STANDALONE: LazyLock<Config> = LazyLock::new(|| sample("standalone.ron"));
    let mut config = STANDALONE.clone();
    config.rewrite_rules = rules.iter().map(|(a, b)| RewriteRule::parse(a, b).unwrap()).collect();
    let channel = |tag: &&str| Channel::new(tag, tag, Program::Smtp);
    config.channels = tags.iter().map(channel).collect();
    config.channels.push(Channel::new("l", "here.example", Program::Local));
    config
}

#[tokio::test]
async fn only_what_a_rule_names_is_ours() {
    let rules = [
        ("ours.example", "$U%$D@t"),
        (".ours.example", "$U%$H$D@t"),
        (".meta", "$U%ours.example"),
        ("*", "$U%ours.example"),
        ("*.*.*.*", "$U%$H@t"),
        (".", "$U%$H@t"),
    ];
    let routes = Routes::new(&config(&rules, &["t"])).unwrap();
    let directory = LdifDirectory::standalone().unwrap();
    let rows = [
        ("u@ours.example", true),
        ("u@a.ours.example", true),
        ("u@x.meta", true),
        ("u@elsewhere.example", false),
        ("u@short", false),
        ("u@a.b.c.d", false),
        ("u@t", false),
        ("u%x@ours.example", false),
        ("x!u@ours.example", false),
        ("\"u@x\"@ours.example", false),
        ("\"u x\"@ours.example", true),
        ("@ours.example:u@x", false),
    ];
    for (text, ours) in rows {
        let relaying = "550 5.7.1 relaying not permitted";
        assert_eq!(way(&routes, text, false, &directory).await != relaying, ours, "{text}");
        assert!(!way(&routes, text, true, &directory).await.starts_with('5'), "{text}");
    }
}

#[tokio::test]
async fn aliases_come_after_the_directory_and_end() {
    const INFO: &str = "tcp_lmtpcs localhost bob\ntcp_lmtpcs localhost alice\n\
                        reprocess reprocess-daemon nobody";
    let mut config = sample("standalone.ron");
    let mut alias = |name: &str, targets: &[&str]| {
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        config.aliases.insert(name.to_owned(), targets);
    };
    alias("alice", &["bob"]);
    alias("Info", &["sales@relais.example", "alice", "nobody", "alice"]);
    alias("sales@relais.example", &["bob@relais.example"]);
    alias("loop", &["pool"]);
    alias("pool", &["loop"]);
    alias("empty", &[]);
    alias("run", &["|/bin/sh"]);
    for n in 0..12 {
        alias(&format!("deep{n}"), &[&format!("deep{}", n + 1)]);
    }
    alias("deep12", &["alice"]);
    let routes = Routes::new(&config).unwrap();
    let directory = LdifDirectory::standalone().unwrap();
    let rows = [
        ("alice@relais.example", "tcp_lmtpcs localhost alice"),
        ("alice@localhost", "tcp_lmtpcs localhost bob"),
        ("info@relais.example", INFO),
        ("INFO+x@localhost", INFO),
        ("loop", "554 5.4.6 the address leads back to itself"),
        ("empty", "550 5.1.1 the alias stands for nobody"),
        ("run", "451 4.3.5 this address cannot be served yet"),
        ("deep3", "554 5.4.6 aliases are nested more than 10 deep"),
        ("deep4", "tcp_lmtpcs localhost alice"),
    ];
    for (text, want) in rows {
        assert_eq!(way(&routes, text, false, &directory).await, want, "{text}");
    }
}

/// The rule: all fail for good, all fail and one for now, some fail.
#[tokio::test]
async fn a_member_that_leads_nowhere_is_neither_lost_nor_in_the_way_of_the_others() {
    let mut config = sample("standalone.ron");
    let mut alias = |name: &str, targets: &[&str]| {
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        config.aliases.insert(name.to_owned(), targets);
    };
    alias("gone", &["nobody", "no-one"]);
    alias("mistyped", &["no-one@else.where@x", "a b"]);
    alias("both", &["nobody", "no-one@else.where@x"]);
    alias("later", &["nobody", "|/bin/sh", "no-one"]);
    alias("some", &["nobody", "alice", "|/bin/sh"]);
    alias("owner-some", &["bob"]);
    alias("nested", &["bob", "some"]);
    alias("narcissus", &["narcissus@localhost"]);
    alias("keeps", &["keeps", "bob"]);
    alias("mirrors", &["alice", "narcissus", "keeps", "empty"]);
    alias("empty", &[]);
    let mut routes = Routes::new(&config).unwrap();
    let directory = LdifDirectory::standalone().unwrap();
    let unknown = "550 5.1.1 unknown or illegal alias";
    let not_yet = "451 4.3.5 this address cannot be served yet";
    let mistyped = "451 4.3.5 this address leads to no address yet";
    let rows = [("gone", unknown), ("later", not_yet), ("both", unknown), ("mistyped", mistyped)];
    for (text, want) in rows {
        assert_eq!(way(&routes, text, false, &directory).await, want, "{text}");
    }
    for (text, members) in [("some", 3), ("nested", 4)] {
        let to = address(text);
        let ways = route(&routes, question(&to, false), &directory).await.outcome.unwrap();
        assert_eq!(ways.len(), members, "{text}: {ways:?}");
        let refused: Vec<_> = ways
            .iter()
            .filter_map(|way| {
                let reply = way.refused.as_ref()?.to_string();
                Some((&*way.channel, way.member.as_deref()?, reply, way.errors_to.as_deref()))
            })
            .collect();
        let owner = Some("owner-some");
        let want = [
            ("reprocess", "nobody", unknown.to_owned(), owner),
            ("reprocess", "some@relais.example", not_yet.to_owned(), owner),
        ];
        assert_eq!(refused, want, "{text}");
    }
    // An address that leads only back to itself is one of the refused; one with another way is not.
    let to = address("mirrors@localhost");
    let ways = route(&routes, question(&to, false), &directory).await.outcome.unwrap();
    let refused =
        ways.iter().filter_map(|way| Some((way.member.as_deref()?, way.refused.clone()?)));
    let refused: Vec<_> = refused.map(|(member, reply)| format!("{member}: {reply}")).collect();
    let circle = "554 5.4.6 the address leads back to itself";
    let want = [
        "empty: 550 5.1.1 the alias stands for nobody".to_owned(),
        format!("narcissus@relais.example: {circle}"),
    ];
    assert_eq!(refused, want, "{ways:?}");
    // Where nobody would see to them, none is taken.
    routes.reprocess = None;
    assert_eq!(way(&routes, "some", false, &directory).await, not_yet);
}

#[tokio::test]
async fn channels_choose_their_destination() {
    let mut config = config(&[("d", "$U%D.Example@t"), ("u", "$U%$D@u")], &["t", "u"]);
    let directory = LdifDirectory::standalone().unwrap();
    config.channels[0].daemon = Some("Inet:Host:24".to_owned());
    config.channels[1].daemon = Some("unix:/Run/lmtp".to_owned());
    let routes = Routes::new(&config).unwrap();
    assert_eq!(way(&routes, "x@d", false, &directory).await, "t host:24 x@D.Example");
    assert_eq!(way(&routes, "x@u", false, &directory).await, "u unix:/Run/lmtp x@u");
    config.channels[0].daemon = Some("A, inet:B:2424 , unix:/Run/lmtp".to_owned());
    let routes = Routes::new(&config).unwrap();
    let several = "t a,b:2424,unix:/Run/lmtp x@D.Example";
    assert_eq!(way(&routes, "x@d", false, &directory).await, several);
    config.channels[0].daemon = None;
    config.channels[0].viaaliasrequired = true;
    config.aliases.insert("a".to_owned(), vec!["x@d".to_owned()]);
    let routes = Routes::new(&config).unwrap();
    let unknown = "550 5.1.1 unknown or illegal alias";
    assert_eq!(way(&routes, "x@d", false, &directory).await, unknown);
    assert_eq!(way(&routes, "a@here.example", false, &directory).await, "t d.example x@D.Example");
    let other = Channel::new("twin", "T", Program::Smtp);
    config.channels.push(other);
    assert!(Routes::new(&config).is_err());
}

#[tokio::test]
async fn postfix_style_bare_names_belong_to_this_host() {
    let routes = Routes::new(&sample("postfix.ron")).unwrap();
    let none = crate::directory::Source::None;
    let hands_on = "lmtp unix:/var/imap/socket/lmtp alice@mail.example.org";
    for name in ["alice", "alice@mail.example.org", "postmaster"] {
        assert_eq!(way(&routes, name, false, &none).await, hands_on, "{name}");
    }
    let relaying = "550 5.7.1 relaying not permitted";
    assert_eq!(way(&routes, "x@elsewhere.example", false, &none).await, relaying);
}

#[tokio::test]
async fn the_cache_keeps_what_does_not_depend_on_who_asks() {
    let routes = Arc::new(Routes::new(&sample("relay.ron")).unwrap());
    let directory = LdifDirectory::parse("sesta", SESTA).unwrap();
    let limits = relais_config::directory::Cache { entries: 64, ..Default::default() };
    let published = RouteCache::new(Arc::clone(&routes), limits);
    let cache = published.in_force();
    let (to, same) = (address("user@Outside.example"), address("user@outside.EXAMPLE"));
    let stranger = question(&to, false);
    assert!(cache.find(&stranger).is_none());
    let resolution = Arc::new(Resolver::new(&routes, &directory, stranger).resolve().await);
    cache.remember(&stranger, &resolution);
    let friend = Question { source_channel: "tcp_local", ..question(&same, true) };
    let found = cache.find(&friend).expect("the case of a domain does not matter");
    let admitted = async |question| {
        admit((&*routes, &directory), &found, question, &mut Trace::default()).await
    };
    assert!(admitted(&stranger).await.is_err());
    let submitter = Question { source_channel: "tcp_submit", ..friend };
    assert!(cache.find(&submitter).is_none(), "another source channel is another question");
    assert!(admitted(&submitter).await.is_ok());
    assert_eq!((published.hits(), published.misses()), (1, 2));

    for n in 0..1_000 {
        let to = address(&format!("user{n}@outside.example"));
        cache.remember(&question(&to, false), &resolution);
        assert!(cache.len() <= 64, "{}", cache.len());
    }
    published.publish(routes);
    cache.remember(&stranger, &resolution);
    let now = published.in_force();
    assert!(now.is_empty(), "an answer from before a reload is not kept");
}

#[actix::test]
async fn a_session_asks_the_actor_once() {
    use crate::{
        actor::{Ground, Meters},
        directory::{self, Source},
    };

    let ground = Ground::new(Meters::default(), Box::new(|_| ()));

    let config = sample("standalone.ron");
    let directory =
        directory::start(Source::open(&config, &ServerMeters::unregistered()).unwrap(), &ground);
    let counts = Arc::clone(&directory.counts);
    let limits = relais_config::directory::Cache::default();
    let router = super::start(Routes::new(&config).unwrap(), limits, directory, &ground);
    let to = address("alice@relais.example");
    for _ in 0..3 {
        let ways = router.resolve(&question(&to, false)).await.unwrap();
        assert_eq!(&*ways[0].address, "alice");
    }
    assert_eq!((router.cache.hits(), router.cache.misses()), (2, 1));
    assert_eq!(counts.found.load(std::sync::atomic::Ordering::Relaxed), 3);
    let explain = super::Explain {
        address: to,
        sender: String::new(),
        source_channel: "tcp_local".to_owned(),
        may_relay: false,
        poster: super::Poster::Client,
        header: true,
        ends: None,
        hello: String::new(),
        authenticated: String::new(),
        facts: Facts::default(),
        is_brief: false,
    };
    let routing = router.explain(explain).await.unwrap();
    assert!(!routing.steps.is_empty());

    // Other routes know of no answer that was made before them.
    let mut closed = config;
    closed.rewrite_rules.clear();
    closed.directory = None;
    router.adopt(Arc::new(Routes::new(&closed).unwrap())).await.unwrap();
    let to = address("alice@relais.example");
    assert!(router.resolve(&question(&to, false)).await.is_err());
    assert_eq!((router.cache.hits(), router.cache.misses()), (2, 2));
}

/// Rough, for a debug build on a busy machine: a scan of all rules would be slower by orders of
/// magnitude.
#[tokio::test]
async fn thousands_of_rules_cost_the_same() {
    let directory = LdifDirectory::standalone().unwrap();
    let mut config = sample("standalone.ron");
    let to = address("alice@relais.example");
    let mut fastest = Vec::new();
    for count in [0, 20_000] {
        let rule = |n| RewriteRule::parse(&format!(".d{n}.example"), "$U%$H$D@tcp-daemon").unwrap();
        config.rewrite_rules.extend((0..count).map(rule));
        let routes = Routes::new(&config).unwrap();
        let mut best = Duration::MAX;
        for _ in 0..50 {
            let started = std::time::Instant::now();
            route(&routes, question(&to, false), &directory).await.outcome.unwrap();
            best = best.min(started.elapsed());
        }
        fastest.push(best);
    }
    assert!(fastest[1] < fastest[0] * 5, "{fastest:?}");
}

/// Rules and options as a confused operator may write them.
fn confused() -> impl Strategy<Value = Config> {
    let template = "[$%@UDHLVTF?&0-9ab.|\\\\]{1,14}";
    let pattern = "(\\$[*%!]|[ab*.]{1,5}|\\[([0-9]\\.){0,3}\\])";
    let rule = (pattern, template).prop_filter_map("not a rule", |(pattern, template)| {
        RewriteRule::parse(&pattern, &template).ok()
    });
    let option = "[*&#]{0,2}mailbox=[$0-4MISOXA@:%+ab.]{1,16}";
    let option = option.prop_filter_map("no option", |text| DeliveryOption::parse(&text).ok());
    (prop::collection::vec(rule, 0..6), prop::collection::vec(option, 1..3)).prop_map(
        |(rules, options)| {
            let mut config = config(&[], &["a", "b"]);
            config.rewrite_rules = rules;
            config.delivery_options = options;
            config
        },
    )
}

proptest! {
    #[test]
    fn every_address_comes_to_an_end(
        config in confused(),
        text in "(@[ab.]{1,3}:)?[ab%!+\"]{1,6}(@([ab.]{1,6}|\\[1\\.2\\.3\\.4\\]|relais\\.example))?",
        header in any::<bool>(),
    ) {
        let Ok(to) = Address::parse(&text) else { return Ok(()) };
        let routes = Routes::new(&config).unwrap();
        let directory = LdifDirectory::standalone().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let started = std::time::Instant::now();
        let question = Question { header, ..question(&to, false) };
        let resolver = Resolver::new(&routes, &directory, question).traced();
        let routing = runtime.block_on(resolver.route());
        prop_assert!(!routing.steps.is_empty());
        prop_assert!(routing.steps.iter().all(|step| !step.to_string().contains('\n')));
        prop_assert!(started.elapsed() < Duration::from_secs(1));
    }
}

#[actix::test]
async fn the_engine_ends_with_its_router_or_its_directory() {
    use std::sync::Mutex;

    use crate::{
        actor::{Ground, Meters},
        directory::{self, Source},
    };

    let dead = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&dead);
    let end = move |name: &str| told.lock().unwrap().push(name.to_owned());
    let ground = Ground::new(Meters::default(), Box::new(end));
    let directory = directory::start(Source::None, &ground);
    let limits = relais_config::directory::Cache::default();
    let routes = Routes::new(&sample("standalone.ron")).unwrap();
    // An actor that nobody can reach any more ends.
    drop(super::start(routes, limits, directory, &ground));
    let both = async {
        while dead.lock().unwrap().len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), both).await.expect("both are missed");
    assert_eq!(*dead.lock().unwrap(), ["router", "directory"]);
}
