//! Addresses of headers: by rules, by reversal, and where the directory does not answer.

use std::sync::Arc;

use relais_channels::mail::{AddressSide, HeaderAddress};
use relais_config::{Config, MappingTable, channel::DirectoryAway};

use super::{Dead, SESTA, address, sample};
use crate::{
    directory::{LdifDirectory, Lookup},
    router::{
        Routes,
        headers::{RewriteHeader, header_forms},
    },
};

/// The relay of the samples, whose headers are reversed by what `change` puts there.
fn relay(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = sample("relay.ron");
    change(&mut config);
    config
}

fn mapping(config: &mut Config, entries: &[(&str, &str)]) {
    let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    let table = MappingTable::parse(entries.iter().map(own).collect()).unwrap();
    config.mappings.insert("reverse".to_owned(), table);
}

/// The text of an address of a header, and of the envelope's sender, in mail from `tcp_submit` to a
/// channel; or the reply.
async fn asked(
    config: &Config,
    lookup: &impl Lookup,
    (text, side): (&str, AddressSide),
    channel: &str,
) -> String {
    let routes = Routes::new(config).unwrap();
    let asked = RewriteHeader {
        addresses: [HeaderAddress { at: 0..1, text: text.into(), side }].into(),
        sender: Some(address(text)),
        source_channel: "tcp_submit".into(),
        default_host: Some("bare.test".into()),
        treatments: Arc::new([routes.header_treatment(channel, true)]),
    };
    match header_forms(&routes, lookup, &asked).await {
        Ok(mut forms) => {
            let form = forms.remove(0);
            let sender = form.sender.map(|sender| sender.to_string());
            let as_it_is = || "-".to_owned();
            let header = form.addresses[0].clone().unwrap_or_else(as_it_is);
            format!("{header} {}", sender.unwrap_or_else(as_it_is))
        }
        Err(reply) => reply.to_string(),
    }
}

#[tokio::test]
async fn the_directory_comes_before_the_database_and_that_before_the_mapping() {
    let config = relay(|config| {
        config.reverse.directory = true;
        let pairs = [
            ("Jane.Doe@sesta.org", "never@asked.test"),
            ("db@x.test", "found@new.test"),
            ("again@x.test", "twice@new.test"),
        ];
        for (from, to) in pairs {
            config.reverse.database.insert(from.to_owned(), to.to_owned());
        }
        mapping(
            config,
            &[
                ("*@mapped.test", "$Y$0@new.test"),
                ("loop@*", "$Y$Dagain@x.test"),
                ("no@*", "$Nbad@new.test"),
                ("silent@*", "bad@new.test"),
                ("odd@*", "$Yno address"),
                ("db@*", "$Ynever@asked.test"),
            ],
        );
    });
    let directory = LdifDirectory::parse("f", SESTA).unwrap();
    let rows = [
        ("jane.doe@sesta.org", "jane.doe@sesta.com jane.doe@sesta.com"),
        ("JANE.DOE@Sesta.ORG", "jane.doe@sesta.com jane.doe@sesta.com"),
        ("jane.doe@sesta.com", "- -"),
        ("nobody@sesta.org", "- -"),
        ("DB@x.test", "found@new.test found@new.test"),
        ("a@mapped.test", "a@new.test a@new.test"),
        ("loop@x.test", "twice@new.test twice@new.test"),
        ("no@x.test", "- -"),
        ("silent@x.test", "- -"),
        ("odd@x.test", "- -"),
        ("bare", "bare@bare.test -"),
        ("twin@siroe.com", "- -"),
    ];
    for (text, want) in rows {
        let got = asked(&config, &directory, (text, AddressSide::Backward), "tcp_local").await;
        assert_eq!(got, want, "{text}");
        let got = asked(&config, &directory, (text, AddressSide::Backward), "tcp_intranet").await;
        let bare = if text == "bare" { "bare@bare.test -" } else { "- -" };
        assert_eq!(got, bare, "{text}: the channel has reverse: false");
    }
}

#[tokio::test]
async fn channels_and_sides_are_heeded_where_the_section_says_so() {
    let config = relay(|config| {
        config.reverse.channels = true;
        config.reverse.all = false;
        config.reverse.envelope = false;
        let key = "tcp_submit|tcp_local|a%7Cb@x.test";
        config.reverse.database.insert(key.to_owned(), "db@new.test".to_owned());
        mapping(config, &[("tcp_submit|tcp_lmtpcs|*@x.test", "$Y$0@store.test")]);
    });
    let directory = LdifDirectory::parse("f", SESTA).unwrap();
    let rows = [
        ("a|b@x.test", AddressSide::Backward, "tcp_local", "db@new.test -"),
        ("a|b@x.test", AddressSide::Forward, "tcp_local", "- -"),
        ("c@x.test", AddressSide::Backward, "tcp_lmtpcs", "c@store.test -"),
        ("c@x.test", AddressSide::Backward, "tcp_local", "- -"),
    ];
    for (text, side, channel, want) in rows {
        assert_eq!(asked(&config, &directory, (text, side), channel).await, want, "{text}");
    }
}

#[tokio::test]
async fn a_directory_that_is_away_defers_unless_its_channel_takes_mail_all_the_same() {
    for (away, want) in [
        (DirectoryAway::default(), "451 4.4.3 temporary lookup failure"),
        (DirectoryAway::Queue, "- -"),
    ] {
        let config = relay(|config| {
            config.reverse.directory = true;
            for channel in &mut config.channels {
                channel.directory_away = away;
            }
        });
        let got = asked(&config, &Dead, ("a@sesta.org", AddressSide::Backward), "tcp_local").await;
        assert_eq!(got, want);
    }
}

#[tokio::test]
async fn rules_rewrite_header_addresses_by_their_side_and_destination() {
    let config = relay(|config| {
        for channel in &mut config.channels {
            channel.header_rules = true;
        }
        let rules = [
            ("old.test", "$B$R$U%new.test"),
            ("old.test", "$B$F$U%to.test"),
            ("new.test", "$E$U%never.test"),
            ("out.test", "$U%seen.test@x$Qtcp_local"),
        ];
        let rule = |(pattern, template)| relais_config::RewriteRule::parse(pattern, template);
        config.rewrite_rules.splice(0..0, rules.map(|one| rule(one).unwrap()));
    });
    let directory = LdifDirectory::parse("f", SESTA).unwrap();
    let rows = [
        ("a@old.test", AddressSide::Backward, "tcp_local", "a@new.test -"),
        ("a@old.test", AddressSide::Forward, "tcp_local", "a@to.test -"),
        ("a@out.test", AddressSide::Forward, "tcp_local", "a@seen.test -"),
        ("a@out.test", AddressSide::Forward, "tcp_lmtpcs", "- -"),
        ("a@siroe.com", AddressSide::Forward, "tcp_local", "- -"),
    ];
    for (text, side, channel, want) in rows {
        assert_eq!(asked(&config, &directory, (text, side), channel).await, want, "{text}");
    }
}
