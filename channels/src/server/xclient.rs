//! XCLIENT, by which a proxy that speaks SMTP itself says whose words it hands on; as Postfix takes it
//! (its `XCLIENT_README`), but for NAME, which nothing here asks for, and LOGIN, which is not offered.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use crate::mail::xtext;

/// `XCLIENT name=value ...`. What is not said stays as it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct XClient {
    /// ADDR.
    pub client: Option<IpAddr>,
    /// PORT.
    pub client_port: Option<u16>,
    /// DESTADDR.
    pub server: Option<IpAddr>,
    /// DESTPORT.
    pub server_port: Option<u16>,
    /// HELO; fit for headers and logs.
    pub hello: Option<String>,
    /// PROTO is ESMTP.
    pub extended: Option<bool>,
}

/// The attribute that is not known, or has a value that is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("bad value of attribute {0}")]
pub(super) struct XClientError(pub(super) &'static str);

impl XClient {
    /// Parses what follows the verb. A value that the proxy does not know leaves things as they are,
    /// but for ADDR: a client that nobody knows is not taken for the proxy.
    pub(super) fn parse(rest: &[u8]) -> Result<Self, XClientError> {
        let mut said = Self::default();
        let mut words = rest.split(|c| *c == b' ').filter(|word| !word.is_empty()).peekable();
        words.peek().ok_or(XClientError("XCLIENT"))?;
        for word in words {
            let equals = word.iter().position(|c| *c == b'=');
            let (name, value) = word.split_at(equals.ok_or(XClientError("XCLIENT"))?);
            let value = xtext::decode(&value[1..]).ok_or(XClientError("XCLIENT"))?;
            let is_unknown = ["[UNAVAILABLE]", "[TEMPUNAVAIL]"]
                .iter()
                .any(|unknown| value.eq_ignore_ascii_case(unknown));
            said.note(&name.to_ascii_uppercase(), (!is_unknown).then_some(&value))?;
        }
        Ok(said)
    }

    /// The client and our address, of a connection that had these before.
    pub fn ends(
        &self,
        client: Option<SocketAddr>,
        server: Option<SocketAddr>,
    ) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (moved(client, self.client, self.client_port), moved(server, self.server, self.server_port))
    }

    fn note(&mut self, name: &[u8], value: Option<&String>) -> Result<(), XClientError> {
        match name {
            b"NAME" => {}
            b"ADDR" => {
                let known = value.ok_or(XClientError("ADDR"))?;
                self.client = Some(address(known).ok_or(XClientError("ADDR"))?);
            }
            b"DESTADDR" => {
                self.server = parsed(value, "DESTADDR", address)?;
            }
            b"PORT" => self.client_port = parsed(value, "PORT", number)?,
            b"DESTPORT" => self.server_port = parsed(value, "DESTPORT", number)?,
            b"PROTO" => {
                let is_esmtp = |value: &str| match &*value.to_ascii_uppercase() {
                    "ESMTP" => Some(true),
                    "SMTP" => Some(false),
                    _ => None,
                };
                self.extended = parsed(value, "PROTO", is_esmtp)?;
            }
            b"HELO" => self.hello = parsed(value, "HELO", name_of_client)?,
            _ => return Err(XClientError("XCLIENT")),
        }
        Ok(())
    }
}

fn moved(
    end: Option<SocketAddr>,
    address: Option<IpAddr>,
    port: Option<u16>,
) -> Option<SocketAddr> {
    let address = address.or(end.map(|end| end.ip()))?;
    Some(SocketAddr::new(address, port.or(end.map(|end| end.port())).unwrap_or(0)))
}

fn parsed<T>(
    value: Option<&String>,
    name: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, XClientError> {
    value.map(|value| parse(value).ok_or(XClientError(name))).transpose()
}

fn address(value: &str) -> Option<IpAddr> {
    let is_six = value.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("IPV6:"));
    let address: IpAddr = value[if is_six { 5 } else { 0 }..].parse().ok()?;
    Some(address.to_canonical())
}

/// A name that is fit for headers and logs.
fn name_of_client(value: &str) -> Option<String> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b".-_:[]".contains(&c);
    (value.len() <= 255 && value.bytes().all(plain)).then(|| value.to_owned())
}

fn number(value: &str) -> Option<u16> {
    value.bytes().all(|c| c.is_ascii_digit()).then(|| u16::from_str(value).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_a_client() {
        let said = XClient::parse(b"ADDR=192.0.2.9 port=1234 HELO=a+2Eb PROTO=ESMTP name=x.test");
        let want = XClient {
            client: Some([192, 0, 2, 9].into()),
            client_port: Some(1234),
            hello: Some("a.b".to_owned()),
            extended: Some(true),
            ..XClient::default()
        };
        assert_eq!(said, Ok(want));
        let six =
            XClient::parse(b"ADDR=IPV6:2001:db8::1 DESTADDR=::1 DESTPORT=25 PORT=[UNAVAILABLE]");
        let six = six.expect("attributes");
        assert_eq!((six.client, six.client_port), (Some("2001:db8::1".parse().unwrap()), None));
        let before =
            (Some("127.0.0.1:9".parse().unwrap()), Some("127.0.0.1:2525".parse().unwrap()));
        let after = ("[2001:db8::1]:9".parse().unwrap(), "[::1]:25".parse().unwrap());
        assert_eq!(six.ends(before.0, before.1), (Some(after.0), Some(after.1)));
        let wrong: [&[u8]; 10] = [
            b"HELO=a+0D+0AX:b",
            b"",
            b"ADDR",
            b"ADDR=",
            b"ADDR=mx.example",
            b"ADDR=[UNAVAILABLE]",
            b"PORT=65536",
            b"PROTO=LMTP",
            b"LOGIN=alice",
            b"HELO=+zz",
        ];
        for said in wrong {
            assert!(XClient::parse(said).is_err(), "{}", String::from_utf8_lossy(said));
        }
    }
}
