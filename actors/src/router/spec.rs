//! Which host of an address is looked at next, and what is left when it is taken away.

use relais_channels::mail::Address;
use relais_config::rewrite::Location;

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

impl Spec {
    /// Source routes first, then the domain, then the last single `%`, then the first `!`. `None`:
    /// the address has no host.
    pub(super) fn of(address: &Address) -> Option<Self> {
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
        if let Some(percent) = last_single_percent(local) {
            let (user, host) = (&local[..percent], &local[percent + 1..]);
            if !user.is_empty() && !host.is_empty() {
                return spec(host, Location::Percent, user.to_owned());
            }
        }
        match local.split_once('!') {
            Some((host, user)) if !host.is_empty() && !user.is_empty() => {
                spec(host, Location::Bang, user.to_owned())
            }
            _ => None,
        }
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
            let spec = Spec::of(&Address::parse(address).unwrap());
            assert_eq!(spec, Some(Spec { host, location, user }), "{address}");
        }
        for address in ["user", "user%%A", "user%", "!user", "\"user%A\"", "\"A!user\""] {
            assert_eq!(Spec::of(&Address::parse(address).unwrap()), None, "{address}");
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
            let spec = Spec::of(&Address::parse(address).unwrap()).unwrap();
            assert_eq!(spec.replaced(user, host, route), want, "{address}");
        }
    }
}
