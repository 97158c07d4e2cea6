//! Forms of names: domains, channels, places to connect to.

use std::net::{IpAddr, SocketAddr};

use crate::kinds::Formed;

/// A host or mail domain.
pub(crate) const DOMAIN: Formed = Formed {
    is: is_domain,
    expected: "a domain name is expected: letters, digits, '-' and dots, such as \"mail.example.org\"",
};

/// The name of a channel.
pub(crate) const CHANNEL: Formed = Formed {
    is: is_channel,
    expected: "1 to 32 of lower-case letters, digits, '_', '-' and '$' are expected, such as \"tcp_local\"",
};

/// The name of a service or a pool: that of a channel, in any case.
pub(crate) const LABEL: Formed = Formed {
    is: is_label,
    expected: "1 to 32 of letters, digits, '_', '-' and '$' are expected, such as \"SMTP_POOL\"",
};

/// The name that rewrite rules route to.
pub(crate) const TAG: Formed =
    Formed { is: is_domain, expected: "a host name is expected, such as \"tcp_local-daemon\"" };

/// A place to connect to, whatever the address says.
pub(crate) const NEXT_HOP: Formed = Formed {
    is: is_next_hop,
    expected: "a host name, \"[address]\", \"inet:host:port\" or \"unix:/path\" is expected",
};

/// A user or a group of this machine.
pub(crate) const ACCOUNT: Formed = Formed {
    is: is_account,
    expected: "the name or number of an account of this machine is expected, such as \"mail\"",
};

/// `channel:next hop`.
pub(crate) const TRANSPORT: Formed = Formed {
    is: is_transport,
    expected: "\"channel:\" and a next hop are expected, such as \"lmtp:unix:/path\" or \"lmtp:inet:host:24\"",
};

/// `ldap://host:389`.
pub(crate) const LDAP_SERVER: Formed = Formed {
    is: is_ldap_server,
    expected: "a URL is expected: \"ldap://host:389\", \"ldaps://host:636\" or \"ldapi://path\"",
};

/// An address of plain characters: `postmaster@example.org`.
pub(crate) fn is_mailbox(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&c);
    text.rsplit_once('@').is_some_and(|(user, domain)| {
        (1..=64).contains(&user.len()) && user.bytes().all(plain) && is_domain(domain)
    })
}

/// What useradd takes, and numbers.
fn is_account(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"._-$@".contains(&c);
    (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-')
}

/// Labels of letters, digits, `-` and `_`, joined by dots.
pub(crate) fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=63).contains(&label.len())
            && label.chars().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_channel(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-$".contains(c);
    (1..=32).contains(&text.len()) && text.chars().all(plain)
}

fn is_label(text: &str) -> bool {
    is_channel(&text.to_ascii_lowercase())
}

/// What a channel can connect to.
fn is_next_hop(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("unix:") {
        return path.starts_with('/') && path.len() <= LONGEST_SOCKET;
    }
    let text = text.strip_prefix("inet:").unwrap_or(text);
    if let Some((address, after)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let address = address.strip_prefix("ipv6:").unwrap_or(address);
        let port = after.strip_prefix(':').map(is_port);
        return address.parse::<IpAddr>().is_ok() && (after.is_empty() || port == Some(true));
    }
    if text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok_and(|a| a.port() > 0) {
        return true;
    }
    match text.split_once(':') {
        Some((name, port)) => is_domain(name) && is_port(port),
        None => is_domain(text.strip_suffix('.').unwrap_or(text)),
    }
}

fn is_transport(text: &str) -> bool {
    text.split_once(':').map_or_else(
        || is_channel(text),
        |(channel, hop)| {
            (channel.is_empty() || is_channel(channel)) && (hop.is_empty() || is_next_hop(hop))
        },
    )
}

fn is_ldap_server(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("ldapi://") {
        return !path.is_empty();
    }
    let host = text.strip_prefix("ldap://").or_else(|| text.strip_prefix("ldaps://"));
    host.map(|host| host.strip_suffix('/').unwrap_or(host)).is_some_and(|host| {
        !host.starts_with("inet:") && !host.starts_with("unix:") && is_next_hop(host)
    })
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// `sun_path` of `sockaddr_un` on Linux, without its end mark.
pub(crate) const LONGEST_SOCKET: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, form, texts that have it, texts that do not.
    type Row = (&'static str, fn(&str) -> bool, &'static [&'static str], &'static [&'static str]);

    #[test]
    fn forms_of_names() {
        let rows: [Row; 6] = [
            (
                "domains",
                is_domain,
                &["localhost", "relais.example", "a-b.c_d.1"],
                &["", ".", "a..b", "a.", "-a.b", "a b", "ü.de", "[1.2.3.4]", "a/b"],
            ),
            ("channels", is_channel, &["l", "tcp_local"], &["", "Tcp", "a b", "a.b"]),
            ("services", is_label, &["SMTP", "tcp_Local"], &["", "A B", "a.b", "a\"b", "é"]),
            (
                "next hops",
                is_next_hop,
                &[
                    "host",
                    "host:24",
                    "inet:host:24",
                    "[127.0.0.1]",
                    "[::1]:24",
                    "[ipv6:::1]",
                    "127.0.0.1",
                    "127.0.0.1:25",
                    "unix:/run/x",
                    "inet:[::1]:24",
                ],
                &["", "unix:", "unix:x", "host:", "host:0", "[1.2.3]", "[::1]x", "a b", "h:65536"],
            ),
            (
                "transports",
                is_transport,
                &["lmtp:unix:/path", "lmtp1:inet:h:24", "lmtp", ":host", "lmtp:"],
                &["", "lmtp:unix:", "LMTP:host", "lmtp:a b"],
            ),
            (
                "LDAP servers",
                is_ldap_server,
                &["ldap://h", "ldap://h:389", "ldaps://h/", "ldapi://%2Frun%2Fldapi"],
                &["h:389", "http://h", "ldap://", "ldap://a b", "ldap://unix:/x"],
            ),
        ];
        for (name, is, good, bad) in rows {
            assert_eq!(good.iter().find(|text| !is(text)), None, "{name}");
            assert_eq!(bad.iter().find(|text| is(text)), None, "{name}");
        }
        assert!(is_channel(&"a".repeat(32)) && !is_channel(&"a".repeat(33)));
    }
}
