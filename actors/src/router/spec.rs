//! Which host of an address is looked at next, and what is left when it is taken away.

use relais_channels::mail::Address;
use relais_config::{Channel, rewrite::Location};

/// The next host of an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Spec {
    /// As it was written, without a dot at its end.
    pub(super) host: String,
    /// Where it stood.
    pub(super) location: Location,
    /// The address without it: a local part, or for a source route the rest of the path.
    pub(super) user: String,
}

/// The order of hosts within a local part, by the channel that the mail comes in by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum HostOrder {
    /// `nobangoverpercent`: the last single `%`, then the first `!`.
    #[default]
    PercentFirst,
    /// `bangoverpercent`: the other way round.
    BangFirst,
    /// `percentonly`: a `!` is a character like others.
    PercentOnly,
}

impl HostOrder {
    /// As the channel says.
    pub(super) fn of(channel: &Channel) -> Self {
        match (channel.percentonly, channel.bangoverpercent) {
            (true, _) => Self::PercentOnly,
            (false, true) => Self::BangFirst,
            (false, false) => Self::PercentFirst,
        }
    }
}

impl Spec {
    /// Source routes first, then the domain, then hosts within the local part. `None`: the address
    /// has no host.
    pub(super) fn of(address: &Address, order: HostOrder) -> Option<Self> {
        let spec = |host: &str, location, user: String| {
            let host = host.strip_suffix('.').unwrap_or(host).to_owned();
            Some(Self { host, location, user })
        };
        let mut route = address.route();
        if let Some(host) = route.next() {
            let rest: Vec<_> = route.map(|hop| format!("@{hop}")).collect();
            let colon = if rest.is_empty() { "" } else { ":" };
            let user = format!("{}{colon}{}", rest.join(","), address.mailbox());
            return spec(host, Location::Route, user);
        }
        let local = address.local();
        if let Some(host) = address.domain() {
            return spec(host, Location::At, local.to_owned());
        }
        // A quoted part belongs to the user's name.
        if local.contains('"') {
            return None;
        }
        let percent = || {
            let (user, host) = local.split_at(last_single_percent(local)?);
            Some((host.strip_prefix('%')?, Location::Percent, user))
        };
        let bang = || {
            let (host, user) = local.split_once('!')?;
            Some((host, Location::Bang, user))
        };
        let is_whole =
            |(host, _, user): &(&str, Location, &str)| !host.is_empty() && !user.is_empty();
        let (percent, bang) = (|| percent().filter(is_whole), || bang().filter(is_whole));
        let (host, location, user) = match order {
            HostOrder::PercentFirst => percent().or_else(bang),
            HostOrder::BangFirst => bang().or_else(percent),
            HostOrder::PercentOnly => percent(),
        }?;
        spec(host, location, user.to_owned())
    }

    /// Puts another host, and perhaps another user, in the place of this one.
    pub(super) fn replaced(&self, user: &str, host: &str, route: Option<&str>) -> String {
        let join = |hop: &str, rest: &str| {
            let separator = if rest.starts_with('@') { ',' } else { ':' };
            format!("@{hop}{separator}{rest}")
        };
        let address = match self.location {
            Location::Route => join(host, user),
            Location::At | Location::Percent | Location::Bang => format!("{user}@{host}"),
        };
        route.map_or(address.clone(), |hop| join(hop, &address))
    }
}

/// `%%` is an escaped percent sign and belongs to the user's name.
fn last_single_percent(local: &str) -> Option<usize> {
    let octets = local.as_bytes();
    let single = |at: &usize| {
        octets[*at] == b'%'
            && octets.get(at + 1) != Some(&b'%')
            && at.checked_sub(1).is_none_or(|before| octets[before] != b'%')
    };
    (0..octets.len()).rev().find(single)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_come_in_the_order_of_the_original() {
        use Location::{At, Bang, Percent, Route};
        // address, host, where, rest
        let rows = [
            ("user@a.b.c", "a.b.c", At, "user"),
            ("user@[0.1.2.3]", "[0.1.2.3]", At, "user"),
            ("user@a.b.c.", "a.b.c", At, "user"),
            ("@a:user@b.c.d", "a", Route, "user@b.c.d"),
            ("@a,@b,@c:user@d", "a", Route, "@b,@c:user@d"),
            ("@[0.1.2.3]:user@d", "[0.1.2.3]", Route, "user@d"),
            ("@a,@[0.1.2.3]:user@b", "a", Route, "@[0.1.2.3]:user@b"),
            ("@a:user", "a", Route, "user"),
            ("user%A@B", "B", At, "user%A"),
            ("user%A", "A", Percent, "user"),
            ("user%A%B", "B", Percent, "user%A"),
            ("user%%A%B", "B", Percent, "user%%A"),
            ("A!user", "A", Bang, "user"),
            ("A!B!user", "A", Bang, "B!user"),
            ("A!user@B", "B", At, "A!user"),
            ("A!user%B", "B", Percent, "A!user"),
        ];
        for (address, host, location, user) in rows {
            let (host, user) = (host.to_owned(), user.to_owned());
            let spec = Spec::of(&Address::parse(address).unwrap(), HostOrder::default());
            assert_eq!(spec, Some(Spec { host, location, user }), "{address}");
        }
        for address in ["user", "user%%A", "user%", "!user", "\"user%A\"", "\"A!user\""] {
            let address = Address::parse(address).unwrap();
            for order in [HostOrder::PercentFirst, HostOrder::BangFirst] {
                assert_eq!(Spec::of(&address, order), None, "{address}");
            }
        }
    }

    #[test]
    fn the_channel_says_which_host_of_a_local_part_comes_first() {
        use HostOrder::{BangFirst, PercentFirst, PercentOnly};
        // address, how the channel reads it, host and rest
        let rows = [
            ("A!user%B", PercentFirst, Some(("B", "A!user"))),
            ("A!user%B", BangFirst, Some(("A", "user%B"))),
            ("A!user%B", PercentOnly, Some(("B", "A!user"))),
            ("A!user", PercentOnly, None),
            ("A!user", BangFirst, Some(("A", "user"))),
            ("user%A", BangFirst, Some(("A", "user"))),
            ("!user%A", BangFirst, Some(("A", "!user"))),
            ("A!B!user%%C", BangFirst, Some(("A", "B!user%%C"))),
            ("A!user%C@B", BangFirst, Some(("B", "A!user%C"))),
            ("A!user@B", PercentOnly, Some(("B", "A!user"))),
        ];
        for (address, order, want) in rows {
            let spec = Spec::of(&Address::parse(address).unwrap(), order);
            let found = spec.as_ref().map(|spec| (spec.host.as_str(), spec.user.as_str()));
            assert_eq!(found, want, "{address} {order:?}");
        }
    }

    #[test]
    fn another_host_takes_the_place() {
        let rows = [
            ("u@a", "v", "b", None, "v@b"),
            ("u@a", "v", "b", Some("c"), "@c:v@b"),
            ("@a:u@d", "u@d", "b", None, "@b:u@d"),
            ("@a,@x:u@d", "@x:u@d", "b", None, "@b,@x:u@d"),
            ("@a:u@d", "u@d", "b", Some("c"), "@c,@b:u@d"),
            ("u%a", "u", "b", None, "u@b"),
            ("a!u", "u", "b", None, "u@b"),
        ];
        for (address, user, host, route, want) in rows {
            let spec = Spec::of(&Address::parse(address).unwrap(), HostOrder::default()).unwrap();
            assert_eq!(spec.replaced(user, host, route), want, "{address}");
        }
    }
}
