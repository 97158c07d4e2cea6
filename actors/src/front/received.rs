//! The trace line that we put in front of every message (RFC 5321 section 4.4).

use std::{io::Write, net::IpAddr, time::SystemTime};

use relais_channels::mail::MessageId;

/// The parts of the line.
pub(crate) struct Received<'a> {
    /// The name that the client called itself.
    pub(crate) hello: &'a str,
    /// Where it came from; `None` on a UNIX socket.
    pub(crate) client: Option<IpAddr>,
    /// Our official name.
    pub(crate) host: &'a str,
    /// `SMTP`, `ESMTPS`, `LMTP` (RFC 3848).
    pub(crate) protocol: &'a str,
    /// The cipher suite's name at IANA, where TLS protects the connection (RFC 8314 section 4.3).
    pub(crate) cipher: Option<&'a str>,
    /// The queue id.
    pub(crate) id: MessageId,
    /// The recipient when there is only one: of several, none may learn of the others.
    pub(crate) only_recipient: Option<&'a str>,
}

impl Received<'_> {
    /// The folded line, CRLF included.
    pub(crate) fn write(&self, at: SystemTime, header: &mut Vec<u8>) {
        let Self { hello, host, protocol, id, .. } = self;
        // Writing to a vector cannot fail.
        let _ = write!(header, "Received: from {hello}");
        let _ = match self.client {
            Some(IpAddr::V4(ip)) => write!(header, " ([{ip}])"),
            Some(IpAddr::V6(ip)) => write!(header, " ([IPv6:{ip}])"),
            None => Ok(()),
        };
        let _ = write!(header, "\r\n\tby {host} (relais) with {protocol} id {id}");
        if let Some(recipient) = self.only_recipient {
            let _ = write!(header, "\r\n\tfor <{recipient}>");
        }
        if let Some(cipher) = self.cipher {
            let _ = write!(header, "\r\n\ttls {cipher}");
        }
        header.extend_from_slice(b";\r\n\t");
        put_date(header, at);
        header.extend_from_slice(b"\r\n");
    }
}

/// A date as header lines have it (RFC 5322 section 3.3), in UTC.
pub(super) fn put_date(header: &mut Vec<u8>, at: SystemTime) {
    // Writing to a vector cannot fail.
    let _ = write!(header, "{}", httpdate::HttpDate::from(at));
    if header.ends_with(b"GMT") {
        header.truncate(header.len() - b"GMT".len());
    }
    header.extend_from_slice(b"+0000");
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_trace_line_for_one_recipient() {
        let mut header = Vec::new();
        let received = Received {
            hello: "client.example",
            client: Some([192, 0, 2, 1].into()),
            host: "relay1.siroe.com",
            protocol: "ESMTP",
            cipher: None,
            id: MessageId(0),
            only_recipient: Some("alice@relais.example"),
        };
        received.write(UNIX_EPOCH + Duration::from_secs(1_000_000_000), &mut header);
        assert_eq!(
            String::from_utf8(header).unwrap(),
            "Received: from client.example ([192.0.2.1])\r\n\
             \tby relay1.siroe.com (relais) with ESMTP id 0000000000000\r\n\
             \tfor <alice@relais.example>;\r\n\
             \tSun, 09 Sep 2001 01:46:40 +0000\r\n"
        );
        let (mut header, protocol) = (Vec::new(), "ESMTPS");
        let cipher = Some("TLS_AES_256_GCM_SHA384");
        Received { protocol, cipher, ..received }.write(UNIX_EPOCH, &mut header);
        let text = String::from_utf8(header).unwrap();
        assert!(text.contains("with ESMTPS id "), "{text}");
        assert!(text.contains("example>\r\n\ttls TLS_AES_256_GCM_SHA384;\r\n"), "{text}");
    }
}
