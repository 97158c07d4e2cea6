//! Place of a server, as its URL says it.

use std::path::PathBuf;

use relais_config::grammar::without_percents;

/// Where a server listens, and what is spoken there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ServerPlace {
    /// A UNIX socket.
    Socket(PathBuf),
    /// Host and port.
    Tcp {
        /// An IPv6 address stands in brackets.
        host: String,
        port: u16,
        /// TLS after a request in clear.
        starttls: bool,
        /// TLS from the first octet.
        secured: bool,
    },
}

impl ServerPlace {
    /// The place that a URL names.
    pub(super) fn of(url: &str, starttls: bool) -> Self {
        if let Some(path) = url.strip_prefix("ldapi://") {
            let path = path.trim_end_matches('/');
            // The configuration has been checked: what cannot be read is no path of ours.
            return Self::Socket(without_percents(path).unwrap_or_else(|_| path.to_owned()).into());
        }
        let secured = url.starts_with("ldaps://");
        let host = url.split_once("://").map_or(url, |(_, host)| host).trim_end_matches('/');
        // An IPv6 address stands in brackets, and has colons of its own.
        let parts = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let port = parts.and_then(|(_, port)| port.parse().ok());
        let host = parts.map_or(host, |(host, _)| host).to_owned();
        let port = port.unwrap_or(if secured { 636 } else { 389 });
        Self::Tcp { host, port, starttls: starttls && !secured, secured }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_server_is_its_host_and_port() {
        let rows = [
            ("ldap://h", "h", 389, true, false),
            ("ldap://h:1389/", "h", 1389, true, false),
            ("ldaps://h", "h", 636, false, true),
            ("ldap://[::1]", "[::1]", 389, true, false),
            ("ldap://[::1]:2389", "[::1]", 2389, true, false),
        ];
        for (url, host, port, starttls, secured) in rows {
            let want = ServerPlace::Tcp { host: host.to_owned(), port, starttls, secured };
            assert_eq!(ServerPlace::of(url, true), want, "{url}");
        }
        assert_eq!(
            ServerPlace::of("ldapi://%2Frun%2Fldapi", true),
            ServerPlace::Socket("/run/ldapi".into())
        );
    }
}
