//! Forms of names in the file: domains, channels, places to connect to.

use crate::{
    file::{
        document::Document,
        form::Kind,
        kinds::Formed,
        notation::Notation,
        reader::{Node, Reader},
    },
    grammar::{
        NextHop, NextHops, Transport, ascii_domain, is_channel, is_nameable, undotted,
        without_percents,
    },
};

/// A domain name; the final dot that it may be written with is no part of the value, and labels beyond
/// ASCII are read as those that stand for them.
pub(crate) struct DomainName {
    /// `a domain name is expected, such as ...`.
    expected: &'static str,
}

impl Kind<String> for DomainName {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<String> {
        let form = Formed { is: is_host, expected: self.expected };
        let name = form.read(node, reader)?;
        let ascii = ascii_domain(&name)?;
        Some(undotted(&ascii).to_owned())
    }

    fn print(&self, value: &String) -> Document {
        Document::text(value)
    }

    fn notation(&self) -> Notation {
        Formed { is: is_host, expected: self.expected }.notation()
    }
}

/// A host or mail domain.
pub(crate) const DOMAIN: DomainName = DomainName {
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
pub(crate) const TAG: DomainName =
    DomainName { expected: "a host name is expected, such as \"tcp_local-daemon\"" };

/// Places to connect to, whatever the address says.
pub(crate) const NEXT_HOPS: Formed = Formed {
    is: |text| text.parse::<NextHops>().is_ok(),
    expected: "a host name, \"[address]\", \"inet:host:port\" or \"unix:/path\" is expected, or several \
               with commas between them, 16 at most",
};

/// A user or a group of this machine.
pub(crate) const ACCOUNT: Formed = Formed {
    is: is_account,
    expected: "the name or number of an account of this machine is expected, such as \"mail\"",
};

/// `channel:next hop`.
pub(crate) const TRANSPORT: Formed = Formed {
    is: is_transport,
    expected: "\"channel:\" and a next hop, or several, are expected, such as \"lmtp:unix:/path\" or \"lmtp:inet:host:24\"; \
               or \"error:text\" (refused with 550), \"retry:text\" (with 450) or \"discard:\"",
};

/// `ldap://host:389`.
pub(crate) const LDAP_SERVER: Formed = Formed {
    is: is_ldap_server,
    expected: "a URL is expected: \"ldap://host:389\", \"ldaps://host:636\" or \"ldapi://path\"",
};

/// The name of an attribute.
pub(crate) const ATTRIBUTE: Formed = Formed {
    is: is_attribute,
    expected: "the name of an attribute is expected: letters, digits, '-' and ';', such as \"mail\"",
};

/// Object classes, joined by `+`.
pub(crate) const CLASSES: Formed = Formed {
    is: |text| text.split('+').all(is_attribute),
    expected: "an object class is expected, or several that an entry has all of: \"person\", \"a+b\"",
};

/// An address of plain characters: `postmaster@example.org`.
pub(crate) fn is_mailbox(text: &str) -> bool {
    let plain = |c: char| {
        let is_atom = c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        is_atom || !c.is_ascii()
    };
    text.rsplit_once('@').is_some_and(|(user, domain)| {
        let is_domain = is_host(domain) && !domain.ends_with('.');
        (1..=64).contains(&user.len()) && user.chars().all(plain) && is_nameable(user) && is_domain
    })
}

fn is_host(text: &str) -> bool {
    ascii_domain(text).is_some()
}

/// Whether useradd takes the name, or it is a number.
fn is_account(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"._-$@".contains(&c);
    (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-')
}

fn is_label(text: &str) -> bool {
    is_channel(&text.to_ascii_lowercase())
}

fn is_next_hop(text: &str) -> bool {
    text.parse::<NextHop>().is_ok()
}

fn is_transport(text: &str) -> bool {
    text.parse::<Transport>().is_ok()
}

/// A descriptor of RFC 4512 section 1.4, with options.
fn is_attribute(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-;.".contains(c);
    (1..=128).contains(&text.len())
        && text.chars().all(plain)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_ldap_server(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("ldapi://") {
        return !path.is_empty() && without_percents(path).is_ok();
    }
    let host = text.strip_prefix("ldap://").or_else(|| text.strip_prefix("ldaps://"));
    host.map(|host| host.strip_suffix('/').unwrap_or(host)).is_some_and(|host| {
        let names_service = host.rsplit_once(':').is_some_and(|(_, port)| {
            !port.ends_with(']') && !port.bytes().all(|c| c.is_ascii_digit())
        });
        let is_tagged = host.starts_with("inet:") || host.starts_with("unix:");
        !is_tagged && !names_service && is_next_hop(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, form, texts that have it, texts that do not.
    type Row = (&'static str, fn(&str) -> bool, &'static [&'static str], &'static [&'static str]);

    #[test]
    fn forms_of_names() {
        let rows: [Row; 4] = [
            ("channels", is_channel, &["l", "tcp_local"], &["", "Tcp", "a b", "a.b"]),
            ("services", is_label, &["SMTP", "tcp_Local"], &["", "A B", "a.b", "a\"b", "é"]),
            (
                "transports",
                is_transport,
                &[
                    "lmtp:unix:/path",
                    "lmtp1:inet:h:24",
                    "lmtp:inet:a, b:2424, [::1]",
                    "lmtp:localhost:lmtp",
                    "lmtp",
                    ":host",
                    "lmtp:",
                    ":",
                    "error:no one",
                ],
                &["", "lmtp:unix:", "LMTP:host", "lmtp:a b", "error"],
            ),
            (
                "LDAP servers",
                is_ldap_server,
                &["ldap://h", "ldap://h:389", "ldaps://h/", "ldapi://%2Frun%2Fldapi"],
                &["h:389", "http://h", "ldap://", "ldap://a b", "ldap://unix:/x", "ldap://h:ldap"],
            ),
        ];
        for (name, is, good, bad) in rows {
            assert_eq!(good.iter().find(|text| !is(text)), None, "{name}");
            assert_eq!(bad.iter().find(|text| is(text)), None, "{name}");
        }
        assert!(is_channel(&"a".repeat(32)) && !is_channel(&"a".repeat(33)));
    }
}
