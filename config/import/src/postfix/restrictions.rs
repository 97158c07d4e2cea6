//! Lists of restrictions of a service: whom they let relay, the tables that they ask, and the rest, of which
//! is told.

use super::{
    access::{AccessCheck, AccessSubject, Spared},
    main_cf::{MainCf, words},
    master_cf::MasterService,
    ways::of_service,
};
use crate::report::{Fate, Findings, Place};

/// The lists of one service, read.
#[derive(Debug, Default)]
pub(super) struct Restrictions {
    /// Restrictions that ask tables.
    pub(super) checks: Vec<AccessCheck>,
    /// DNS block lists of clients.
    pub(super) block_lists: Vec<String>,
    /// Clients of `mynetworks` may send to all the world.
    pub(super) networks_relay: bool,
}

/// The service whose lists are read.
struct Asked<'a> {
    main: &'a MainCf,
    rules: &'a MasterService,
    channel: &'a str,
    port: u16,
    /// The list that decides who may relay.
    relay_list: &'static str,
}

/// Reads the lists of a service. Each that cannot be said is told of.
pub(super) fn read(
    main: &MainCf,
    rules: &MasterService,
    (channel, port): (&str, u16),
    findings: &mut Findings,
) -> Restrictions {
    let relay = of_service(main, rules, RELAY).unwrap_or_else(|| RELAY_DEFAULT.to_owned());
    let recipient = of_service(main, rules, RECIPIENT).unwrap_or_default();
    let relay_list = if relay.trim().is_empty() { RECIPIENT } else { RELAY };
    let networks_relay = match (networks_may(&relay), networks_may(&recipient)) {
        (None, its) if relay_list == RECIPIENT => its == Some(true),
        (relay, recipient) => relay == Some(true) && recipient != Some(false),
    };
    let asked = Asked { main, rules, channel, port, relay_list };
    let mut new = Restrictions { networks_relay, ..Restrictions::default() };
    for name in RESTRICTIONS {
        asked.list(name, &mut new, findings);
    }
    new
}

/// Whether a list lets clients of `mynetworks` send to domains that are not ours; `None`: it says nothing.
fn networks_may(list: &str) -> Option<bool> {
    words(list).iter().find_map(|word| match word.as_str() {
        "permit_mynetworks" | "permit" => Some(true),
        "reject_unauth_destination" | "defer_unauth_destination" | "reject" | "defer" => {
            Some(false)
        }
        _ => None,
    })
}

impl Asked<'_> {
    fn list(&self, name: &'static str, new: &mut Restrictions, findings: &mut Findings) {
        let value = of_service(self.main, self.rules, name).unwrap_or_default();
        let place = self.main.line(name).map_or(&self.rules.line.place, |line| &line.place);
        let all = words(&value);
        let mut rest = all.iter();
        let mut spares = Spared::default();
        // Others than `mynetworks` and users may have been let pass.
        let mut lets_others_pass = false;
        let mut is_before_destinations = name == self.relay_list;
        while let Some(word) = rest.next() {
            let word = word.as_str();
            let argument = takes_argument(word).then(|| rest.next()).flatten();
            spares.networks |= word == "permit_mynetworks";
            spares.users |= word == "permit_sasl_authenticated";
            is_before_destinations &= !word.ends_with("_unauth_destination");
            let check = |subject, table: &str| AccessCheck {
                subject,
                table: table.to_owned(),
                list: name,
                place: place.clone(),
                channel: self.channel.to_owned(),
                port: self.port,
                spares,
                grants_relay: is_before_destinations,
            };
            match (word, argument) {
                (_, Some(table)) if AccessSubject::of(word).is_some() && table.contains(':') => {
                    lets_others_pass = true;
                    let subject = AccessSubject::of(word).unwrap_or(AccessSubject::Client);
                    new.checks.push(check(subject, table));
                }
                ("reject" | "defer", _) if lets_others_pass || LATE.contains(&name) => {
                    findings.missing(place, &format!("{name}: {word}"), BY_OTHERS);
                }
                ("reject" | "defer", _) => {
                    let answer = format!("static:{word}");
                    let all = check(AccessSubject::Sender, &answer);
                    let is_known = |its: &AccessCheck| its.table == answer && its.spares == spares;
                    if !new.checks.iter().any(is_known) {
                        new.checks.push(all);
                    }
                }
                ("reject_rbl_client", list) => {
                    let list = list.map_or("", String::as_str);
                    if list.contains('=') {
                        let why = "any answer of the list counts";
                        findings.missing(place, &format!("{name}: {word} {list}"), why);
                    }
                    let domain = list.split('=').next().unwrap_or_default().to_owned();
                    if new.block_lists.len() < 5 && !new.block_lists.contains(&domain) {
                        new.block_lists.push(domain);
                    }
                }
                (word, argument) => {
                    let is_known = ["permit_mynetworks", "permit_sasl_authenticated"];
                    lets_others_pass |= word.starts_with("permit") && !is_known.contains(&word);
                    tell(word, argument, (name, place), findings);
                }
            }
        }
    }
}

fn takes_argument(word: &str) -> bool {
    ["check_", "reject_rhsbl_"].iter().any(|start| word.starts_with(start))
        || ["reject_rbl_client", "permit_dnswl_client", "permit_rhswl_client", "sleep"]
            .contains(&word)
}

/// Tells of a restriction.
fn tell(
    word: &str,
    argument: Option<&String>,
    (name, place): (&str, &Place),
    findings: &mut Findings,
) {
    let of = match argument {
        Some(argument) => format!("{name}: {word} {argument}"),
        None => format!("{name}: {word}"),
    };
    let why = match word {
        "permit_mynetworks"
        | "permit_sasl_authenticated"
        | "reject_unauth_destination"
        | "defer_unauth_destination"
        | "permit_auth_destination"
        | "permit"
        | "reject_unlisted_recipient"
        | "reject_unauth_pipelining" => {
            return findings.tell(place, &of, Fate::SameByDefault, "");
        }
        "check_client_access" => {
            "the mapping PORT_ACCESS: (\"TCP|*|25|192.0.2.7|*\", \"$N550$ no\")"
        }
        "check_sender_access" => {
            "the mapping FROM_ACCESS: (\"*|SMTP/*|MAIL|*|*@example.org|*\", \"$N no\")"
        }
        "check_recipient_access" => {
            "the mapping ORIG_SEND_ACCESS: (\"*|*|*|user@example.org\", \"$N no\")"
        }
        "check_helo_access" => "the mapping FROM_ACCESS sees the name behind SMTP/",
        "check_policy_service" => "no policy service is asked; a milter sees as much",
        "permit_dnswl_client" | "permit_rhswl_client" => "no list of those to be let pass is asked",
        "permit_mx_backup" => "name the domains in relay_domains: no MX record makes one ours",
        "warn_if_reject" => "what stands behind it holds: relais test access tries it before",
        "sleep" => "no answer is delayed",
        word if word.starts_with("reject_rhsbl") => "no name is looked for in a block list",
        word if word.starts_with("reject_unknown") || word.starts_with("reject_unverified") => {
            "nothing is looked up about clients and senders; verify (spf, dkim, dmarc) judges them"
        }
        word if word.starts_with("reject_non_fqdn") || word.starts_with("reject_invalid") => {
            "names are taken as they are, but for what no envelope may have"
        }
        _ => "no restriction that is known here",
    };
    findings.missing(place, &of, why);
}

const RELAY: &str = "smtpd_relay_restrictions";
const RECIPIENT: &str = "smtpd_recipient_restrictions";
const RELAY_DEFAULT: &str =
    "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination";
const RESTRICTIONS: [&str; 8] = [
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    RELAY,
    RECIPIENT,
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
    "smtpd_etrn_restrictions",
];
/// Lists about steps at which no mapping is asked.
const LATE: [&str; 3] =
    ["smtpd_data_restrictions", "smtpd_end_of_data_restrictions", "smtpd_etrn_restrictions"];
const BY_OTHERS: &str = "others are let pass before it, or it is asked late: refuse the rest by hand, as the last \
                         row of the mapping FROM_ACCESS: (\"*|MAIL|CHANNEL|*\", \"$NAccess$ denied\")";
