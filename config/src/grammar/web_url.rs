//! URLs of web servers: `https://hooks.example.org:8443/mail?x=1`.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use super::{ascii_domain, domain::undotted, is_domain_name};

/// A place on the web.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WebUrl {
    /// Whether TLS is spoken: `https`.
    pub is_secure: bool,
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// By default 443 with TLS, and 80 without.
    pub port: u16,
    /// Path and query, from the slash on.
    pub target: String,
}

/// Why a text is no URL that something can be sent to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WebUrlError {
    /// Another scheme, or none.
    #[error("\"https://host/path\" or \"http://host/path\" is expected")]
    Scheme,
    /// A user, with or without a password.
    #[error(
        "a user and a password in a URL are shown wherever it is: token_file names a file with a secret"
    )]
    Credentials,
    /// No name, and no address.
    #[error("a host name or an address is expected behind \"//\", IPv6 in brackets")]
    Host,
    /// Not 1 to 65535.
    #[error("a port of 1 to 65535 is expected behind the host")]
    Port,
    /// Blanks, control characters, letters beyond ASCII, a fragment, or too long.
    #[error("a path of at most 2000 ASCII characters is expected, without blanks and \"#\"")]
    Target,
}

impl WebUrl {
    /// Whether it is on this machine, so that nobody on the way can read what is sent.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        address.map_or(self.host == "localhost", |its| its.is_loopback())
    }

    /// As requests name it: a port that is the usual one is left out.
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.is_secure { HTTPS } else { HTTP };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

impl FromStr for WebUrl {
    type Err = WebUrlError;

    fn from_str(text: &str) -> Result<Self, WebUrlError> {
        let after = |scheme: &str| {
            let begin = text.get(..scheme.len())?;
            begin.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
        };
        let (is_secure, rest) = match (after("https://"), after("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(WebUrlError::Scheme),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(WebUrlError::Credentials);
        }
        let (host, port) = place(authority)?;
        let is_visible = target.bytes().all(|c| c.is_ascii_graphic() && c != b'#');
        if !is_visible || target.len() > LONGEST {
            return Err(WebUrlError::Target);
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        let port = port.unwrap_or(if is_secure { HTTPS } else { HTTP });
        Ok(Self { is_secure, host, port, target: format!("{slash}{target}") })
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

/// Host and port of `host`, `host:port` or `[address]:port`.
fn place(authority: &str) -> Result<(String, Option<u16>), WebUrlError> {
    let (host, port) = if let Some(inner) = authority.strip_prefix('[') {
        let (address, behind) = inner.split_once(']').ok_or(WebUrlError::Host)?;
        let address: Ipv6Addr = address.parse().map_err(|_| WebUrlError::Host)?;
        let port = if behind.is_empty() {
            None
        } else {
            Some(behind.strip_prefix(':').ok_or(WebUrlError::Port)?)
        };
        (address.to_string(), port)
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let ascii = ascii_domain(host).ok_or(WebUrlError::Host)?;
        let name = undotted(&ascii).to_ascii_lowercase();
        let is_host = name.parse::<IpAddr>().is_ok() || is_domain_name(&name);
        if !is_host {
            return Err(WebUrlError::Host);
        }
        (name, port)
    };
    let number = |port: &str| {
        let is_number = port.bytes().all(|c| c.is_ascii_digit());
        port.parse().ok().filter(|port| is_number && *port != 0).ok_or(WebUrlError::Port)
    };
    Ok((host, port.map(number).transpose()?))
}

const HTTP: u16 = 80;
const HTTPS: u16 = 443;
/// Octets of path and query.
const LONGEST: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_scheme_a_host_and_a_path() {
        let rows = [
            ("https://a.test/v1?x=1", Ok("https://a.test/v1?x=1")),
            ("HTTPS://A.test:8443", Ok("https://a.test:8443/")),
            ("http://localhost:9000?x", Ok("http://localhost:9000/?x")),
            ("https://[2001:DB8::1]:443/", Ok("https://[2001:db8::1]/")),
            ("http://127.0.0.1/", Ok("http://127.0.0.1/")),
            ("https://hôte.test/", Ok("https://xn--hte-kna.test/")),
            ("ftp://a.test/", Err(WebUrlError::Scheme)),
            ("a.test", Err(WebUrlError::Scheme)),
            ("https://u:p@a.test/", Err(WebUrlError::Credentials)),
            ("https:///v1", Err(WebUrlError::Host)),
            ("https://a b/", Err(WebUrlError::Host)),
            ("https://[a]/", Err(WebUrlError::Host)),
            ("https://a.test:0/", Err(WebUrlError::Port)),
            ("https://a.test:+1/", Err(WebUrlError::Port)),
            ("https://a.test:99999/", Err(WebUrlError::Port)),
            ("https://[::1]x/", Err(WebUrlError::Port)),
            ("https://a.test/\r\nX: y", Err(WebUrlError::Target)),
            ("https://a.test/#x", Err(WebUrlError::Target)),
        ];
        for (text, want) in rows {
            let got = text.parse::<WebUrl>().map(|url| url.to_string());
            assert_eq!(got, want.map(str::to_owned), "{text}");
        }
        let long = format!("https://a.test/{}", "a".repeat(LONGEST));
        assert_eq!(long.parse::<WebUrl>(), Err(WebUrlError::Target));
    }

    #[test]
    fn what_stays_on_this_machine_is_known() {
        for (text, want) in [
            ("http://localhost/", true),
            ("http://127.8.9.1/", true),
            ("http://[::1]:1/", true),
            ("http://localhost.test/", false),
            ("http://192.0.2.1/", false),
        ] {
            assert_eq!(text.parse::<WebUrl>().map(|url| url.is_loopback()), Ok(want), "{text}");
        }
    }
}
