//! Limits of a channel's destinations, and what replies of theirs lead to.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::{
    file::{
        collections::{Few, List, Maybe, Table},
        document::Document,
        form::{Kind, Nested, Section},
        kinds::{Choice, Count, Parsed, Time},
        notation::Notation,
        reader::{Node, Reader},
        setting::Role::Delivering,
    },
    grammar::{Network, ascii_domain, literal, undotted, untagged},
    language::{rate::Rate, reply_pattern::ReplyPattern},
};

section! {
    /// How much the destinations of a channel get. `scope` says what is counted together.
    pub struct Destinations {
        /// The hosts that are one destination: its limits count them together.
        scope: Scope = Scope::default(), Choice, of(Delivering);
        /// Connections to one destination, of all jobs of the channel. Without it, as many as what
        /// waits for it deserves and as it has shown to bear.
        connections: Option<usize> = None, Maybe(CONNECTIONS), of(Delivering), unit("connections");
        /// Messages to one destination in a time, spread over it: of `"60/1m"` there is one a second,
        /// and none is made up for later. Each transaction counts as one.
        rate: Option<Rate> = None, Maybe(RATE), of(Delivering);
        /// Destinations with limits of their own, by name: `"example.com"`, `".example.com"` for all
        /// below it, `"[192.0.2.1]"`, `"[192.0.2.0/24]"`. The narrowest counts; what it does not say
        /// is as for all others. With the scope `Domain` a name is that of the host in the queue, with
        /// `Host` that of the server, with `Site` that of one of the servers.
        limits: BTreeMap<String, DestinationLimits> = BTreeMap::new(), Limits, of(Delivering);
        /// Rules about replies of servers; of each reply the first rule that means it counts.
        replies: Vec<ReplyRule> = Vec::new(), Few(List(Nested::new()), 200),
            of(Delivering);
    }
}

section! {
    /// The limits of one destination.
    pub struct DestinationLimits {
        /// Connections to it, of all jobs of the channel.
        connections: Option<usize> = None, Maybe(CONNECTIONS), unit("connections");
        /// Messages to it in a time, spread over it.
        rate: Option<Rate> = None, Maybe(RATE);
        /// Messages of one connection to it, in place of `connection_messages`; by the name of the host in
        /// the queue, whatever the scope.
        messages: Option<usize> = None, Maybe(Count(1..=1_000_000)),
            unit("messages");
        /// Recipients of one transaction, in place of `max_rcpt`; by the name of the host in the queue,
        /// whatever the scope.
        recipients: Option<usize> = None, Maybe(Count(1..=1_000_000)),
            unit("recipients");
    }
}

section! {
    /// A rule about replies. It is asked about those that refuse, in the server's own words.
    pub struct ReplyRule {
        /// The replies: a code (`421`, `4yz`, `5yz`), an enhanced code (`4.7.28`, `4.7.*`), a text with
        /// `*` for any characters, or several of these in this order: `"421 *rate limited*"`.
        pattern: ReplyPattern = ReplyPattern::any(), PATTERN,
            example(r#""4.7.28""#);
        /// The destination gets no more messages than this for a while.
        slow_down: Option<Rate> = None, Maybe(RATE);
        /// For how long it is slowed down after the last such reply.
        lasts: Duration = Duration::from_secs(3_600), RULE_TIME;
        /// The destination gets nothing for so long. Mail for it waits.
        suspend: Option<Duration> = None, Maybe(RULE_TIME);
        /// How the reply is taken, in place of what its code says.
        becomes: Becomes = Becomes::default(), Choice;
    }
}

choice! {
    /// The hosts that limits of destinations count together.
    pub enum Scope = Domain {
        /// Mail for one host, as the queue has it.
        Domain,
        /// Connections to one server, whichever hosts they are for.
        Host,
        /// Hosts that the same servers take mail for.
        Site,
    }
}

choice! {
    /// How a reply is taken.
    pub enum Becomes = Itself {
        /// As its code says.
        Itself,
        /// The mail waits, though the code says that it is refused for good.
        Temporary,
        /// The mail is returned, though the code says that it may be tried again. It holds for replies
        /// about a recipient or a message, not for those that refuse whatever comes.
        Permanent,
    }
}

impl Destinations {
    /// The limits of the destination of one of these names: those of the narrowest entry for the first
    /// name that has any, and for what it does not say, those of all.
    pub fn limits_of<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> DestinationLimits {
        let own = names.into_iter().find_map(|name| self.entry(name)).map(|(_, limits)| limits);
        let own = own.cloned().unwrap_or_else(DestinationLimits::blank);
        DestinationLimits {
            connections: own.connections.or(self.connections),
            rate: own.rate.or(self.rate),
            ..own
        }
    }

    /// Connections to the destination of this name.
    pub fn connections_to(&self, name: &str) -> Option<usize> {
        let own = self.entry(name).and_then(|(_, limits)| limits.connections);
        own.or(self.connections)
    }

    /// The narrowest entry for a name, and its key.
    pub fn entry(&self, name: &str) -> Option<(&str, &DestinationLimits)> {
        if self.limits.is_empty() {
            return None;
        }
        let of = |key: &str| self.limits.get_key_value(key);
        let (key, limits) = if let Some(address) = address(name) {
            of(&bracketed(address)).or_else(|| self.network_around(address))
        } else {
            of(name).or_else(|| parents(name).find_map(of))
        }?;
        Some((key, limits))
    }

    /// The entry of the smallest network that an address is in.
    fn network_around(&self, address: IpAddr) -> Option<(&String, &DestinationLimits)> {
        let networks = self.limits.iter().filter_map(|entry| Some((network(entry.0)?, entry)));
        let around = networks.filter(|(network, _)| network.contains(address));
        around.max_by_key(|(network, _)| network.bits()).map(|(_, entry)| entry)
    }

    /// Whether anything is limited, or asked about replies.
    pub fn says_nothing(&self) -> bool {
        let Self { scope: _, connections, rate, limits, replies } = self;
        connections.is_none() && rate.is_none() && limits.is_empty() && replies.is_empty()
    }
}

impl DestinationLimits {
    /// None at all.
    pub fn none() -> Self {
        Self::blank()
    }
}

impl ReplyRule {
    /// Whether nothing comes of it.
    pub fn says_nothing(&self) -> bool {
        self.slow_down.is_none() && self.suspend.is_none() && self.becomes == Becomes::Itself
    }
}

/// The names of all that lie above `name`: `.b.c` and `.c` of `a.b.c`.
pub fn parents(name: &str) -> impl Iterator<Item = &str> {
    let dots = name.char_indices().filter(|(at, c)| *c == '.' && *at > 0);
    dots.map(|(at, _)| &name[at..])
}

/// The name by which a destination is known, in its one spelling: `"example.com"`, `".example.com"`,
/// `"[192.0.2.1]"`. `None`: it is none.
pub fn destination_name(text: &str) -> Option<String> {
    if let Some(address) = address(text) {
        return Some(bracketed(address));
    }
    let (dot, name) = match text.strip_prefix('.') {
        Some(name) => (".", name),
        None => ("", text),
    };
    let name = ascii_domain(name).filter(|_| !name.starts_with('['))?;
    Some(format!("{dot}{}", undotted(&name).to_ascii_lowercase()))
}

/// The address that a name is, with brackets or without.
fn address(name: &str) -> Option<IpAddr> {
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let bare = || inner.unwrap_or(name).parse().ok();
    literal(name).or_else(bare).map(|address| address.to_canonical())
}

fn bracketed(address: IpAddr) -> String {
    format!("[{address}]")
}

/// The network of a key `[192.0.2.0/24]`.
fn network(key: &str) -> Option<Network> {
    let inner = key.strip_prefix('[')?.strip_suffix(']')?;
    inner.contains('/').then(|| untagged(inner).unwrap_or(inner).parse().ok())?
}

/// `{"example.com": (...)}`, with names in their one spelling.
struct Limits;

impl Kind<BTreeMap<String, DestinationLimits>> for Limits {
    fn read<'a>(
        &self,
        node: &Node<'a>,
        reader: &mut Reader<'a>,
    ) -> Option<BTreeMap<String, DestinationLimits>> {
        let given: BTreeMap<String, DestinationLimits> = table().read(node, reader)?;
        if given.len() > MOST_LIMITS {
            let accepted = format!("a map of {MOST_LIMITS} at most is expected");
            reader.unfit(node, &accepted);
            return None;
        }
        let mut limits = BTreeMap::new();
        for (name, its) in given {
            let path = node.entry(&name, node.text).path;
            let one =
                destination_name(&name).or_else(|| network(&name).map(|it| format!("[{it}]")));
            match one {
                Some(one) if !limits.contains_key(&one) => {
                    limits.insert(one, its);
                }
                Some(one) => {
                    let message = format!("{one} has limits already, by another spelling");
                    reader.mistake_at(&path, &message, "once is enough");
                }
                None => {
                    let message = format!("{name:?} names no destination");
                    reader.mistake_at(&path, &message, NAMES);
                }
            }
        }
        Some(limits)
    }

    fn print(&self, value: &BTreeMap<String, DestinationLimits>) -> Document {
        table().print(value)
    }

    fn notation(&self) -> Notation {
        let one = format!("map of sections, each by a name, {MOST_LIMITS} at most");
        Notation { one, ..Notation::section::<DestinationLimits>() }
    }
}

fn table() -> Table<Nested<DestinationLimits>> {
    Table(Nested::new())
}

const NAMES: &str =
    "\"example.com\", \".example.com\", \"[192.0.2.1]\" or \"[192.0.2.0/24]\" is expected";
/// Destinations with limits of their own.
const MOST_LIMITS: usize = 10_000;
/// Connections to one destination.
const CONNECTIONS: Count = Count(1..=10_000);
const RATE: Parsed = Parsed {
    expected: "a number of messages and a time is expected, such as \"100/1m\": 1 to 1,000,000 in 1s to 1d",
};
const PATTERN: Parsed = Parsed {
    expected: "a code of 4yz or 5yz, an enhanced code or a text with asterisks is expected, such as \"421\", \
               \"4.7.28\" or \"421 *rate limited*\"",
};
const RULE_TIME: Time = Time(Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3_600));

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(names: &[&str]) -> Destinations {
        let its = |(n, name): (usize, &&str)| {
            let limits =
                DestinationLimits { connections: Some(n + 1), ..DestinationLimits::none() };
            (destination_name(name).unwrap_or_else(|| (*name).to_owned()), limits)
        };
        let limits = names.iter().enumerate().map(its).collect();
        Destinations { limits, connections: Some(99), ..Destinations::blank() }
    }

    #[test]
    fn the_narrowest_entry_counts() {
        let all = limits(&[
            "example.com",
            ".example.com",
            ".eu.example.com",
            "[192.0.2.0/24]",
            "[192.0.2.128/25]",
            "192.0.2.7",
            "[IPv6:2001:db8::1]",
            "Grüße.example",
        ]);
        for (name, want) in [
            ("example.com", 1),
            ("mx.example.com", 2),
            ("mx.us.example.com", 2),
            ("mx.eu.example.com", 3),
            ("eu.example.com", 2),
            ("notexample.com", 99),
            ("com", 99),
            ("[192.0.2.1]", 4),
            ("192.0.2.200", 5),
            ("[192.0.2.7]", 6),
            ("[::ffff:192.0.2.7]", 6),
            ("[198.51.100.1]", 99),
            ("[2001:db8::1]", 7),
            ("2001:db8::1", 7),
            ("xn--gre-6ka8l.example", 8),
        ] {
            assert_eq!(all.limits_of([name]).connections, Some(want), "{name}");
        }
        assert_eq!(all.limits_of(["a.test", "example.com"]).connections, Some(1), "of several");
        assert_eq!(all.limits_of([]).connections, Some(99));
    }

    #[test]
    fn what_an_entry_does_not_say_is_as_for_all() {
        let rate = "10/1m".parse().ok();
        let mut all = limits(&["a.test"]);
        all.rate = rate;
        assert_eq!(all.limits_of(["a.test"]).rate, rate);
        assert!(!all.says_nothing() && Destinations::blank().says_nothing());
    }

    #[test]
    fn names_of_destinations() {
        for (text, want) in [
            ("Example.COM.", Some("example.com")),
            (".Example.com", Some(".example.com")),
            ("192.0.2.1", Some("[192.0.2.1]")),
            ("[192.0.2.1]", Some("[192.0.2.1]")),
            ("[IPv6:2001:DB8::1]", Some("[2001:db8::1]")),
            ("", None),
            (".", None),
            ("..a", None),
            ("a b", None),
            ("a\nb", None),
            ("*.a", None),
            ("[a]", None),
        ] {
            assert_eq!(destination_name(text).as_deref(), want, "{text}");
        }
        let names: Vec<_> = parents("a.b.c").collect();
        assert_eq!(names, [".b.c", ".c"]);
    }
}
