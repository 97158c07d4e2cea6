//! Approach to a server: TCP or a UNIX socket, TLS on it, and a [`LinkGuard`] before it.

use std::{os::unix::net::UnixStream as StdUnixStream, sync::Arc, time::Duration};

use relais_channels::tls::secured_towards;
use rustls::ClientConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use super::{
    fault::{Fault, meaning},
    guard::LinkGuard,
    place::ServerPlace,
};

/// A connection to a server behind its guard, and the socket for the library.
pub(super) async fn approach(
    place: &ServerPlace,
    tls: Option<&Arc<ClientConfig>>,
    largest: u64,
) -> Result<(LinkGuard, StdUnixStream), Fault> {
    let guarded = match (place, tls) {
        (ServerPlace::Socket(path), _) => {
            LinkGuard::stand(UnixStream::connect(path).await?, largest)
        }
        (ServerPlace::Tcp { host, port, starttls, secured }, Some(tls))
            if *starttls || *secured =>
        {
            let mut stream = connected(host, *port).await?;
            if *starttls {
                start_tls(&mut stream).await?;
            }
            let host = host.trim_matches(['[', ']']);
            let stream = secured_towards(tls, host, stream).await?;
            LinkGuard::stand(stream, largest)
        }
        (ServerPlace::Tcp { host, port, .. }, _) => {
            LinkGuard::stand(connected(host, *port).await?, largest)
        }
    };
    Ok(guarded?)
}

/// Without a keepalive a firewall that forgets a quiet connection would be found out by a search that
/// nobody answers.
async fn connected(host: &str, port: u16) -> Result<TcpStream, Fault> {
    let stream = TcpStream::connect(format!("{host}:{port}")).await?;
    let keepalive = TcpKeepalive::new().with_time(QUIET).with_interval(QUIET / 4);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks for TLS (RFC 4511 section 4.14). Not an octet more than the answer is read: what a stranger
/// puts behind it in clear is no part of what TLS protects.
async fn start_tls(stream: &mut TcpStream) -> Result<(), Fault> {
    stream.write_all(START_TLS).await?;
    let mut header = [0; 2];
    stream.read_exact(&mut header).await?;
    let no_answer = || Fault::Connection("its answer to StartTLS is none".to_owned());
    let mut length = usize::from(header[1]);
    if length > 0x80 {
        let mut digits = vec![0; length - 0x80];
        stream.read_exact(&mut digits).await?;
        let sum = |sum: usize, digit: &u8| sum.checked_mul(256)?.checked_add(usize::from(*digit));
        length = digits.iter().try_fold(0, sum).ok_or_else(no_answer)?;
    } else if length == 0x80 {
        return Err(no_answer());
    }
    if header[0] != 0x30 || length > LONGEST_ANSWER {
        return Err(no_answer());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    match result_of(&answer).ok_or_else(no_answer)? {
        (0, _) => Ok(()),
        (code, text) => {
            let text = String::from_utf8_lossy(text);
            let code = meaning(u32::from(code));
            Err(Fault::Connection(
                format!("it does not start TLS: {code} {text}").trim().to_owned(),
            ))
        }
    }
}

/// The result code and the text of an answer to the request of number 1.
fn result_of(answer: &[u8]) -> Option<(u8, &[u8])> {
    let (number, rest) = element(0x02, answer)?;
    let (response, _) = element(0x78, rest)?;
    let (code, rest) = element(0x0a, response)?;
    let (_, rest) = element(0x04, rest)?;
    let (text, _) = element(0x04, rest)?;
    (number == [1]).then_some((*code.first()?, text))
}

/// The content of an element, and what stands behind it.
fn element(tag: u8, octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[its, first], rest) = octets.split_first_chunk()?;
    let (length, rest) = match usize::from(first) {
        short @ ..=0x7f => (short, rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (&[high, low], rest) = rest.split_first_chunk()?;
            (usize::from(high) << 8 | usize::from(low), rest)
        }
        0x84 => {
            let (digits, rest) = rest.split_first_chunk()?;
            (usize::try_from(u32::from_be_bytes(*digits)).ok()?, rest)
        }
        _ => return None,
    };
    (its == tag).then_some(())?;
    rest.split_at_checked(length)
}

const QUIET: Duration = Duration::from_secs(60);
/// `ExtendedRequest` of number 1: 1.3.6.1.4.1.1466.20037.
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
/// Octets of the answer to it.
const LONGEST_ANSWER: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_starttls_is_read() {
        let octets = |text: &'static str| text.as_bytes();
        let rows = [
            ("\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00", Some((0, ""))),
            // As slapd without TLS says it.
            ("\x02\x01\x01\x78\x09\x0a\x01\x02\x04\x00\x04\x02no", Some((2, "no"))),
            ("\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00", None),
            ("\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00", None),
            ("\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x01", None),
            ("\x02\x01\x01\x78\x7f", None),
            ("", None),
        ];
        for (answer, want) in rows {
            let want = want.map(|(code, text)| (code, octets(text)));
            assert_eq!(result_of(octets(answer)), want, "{answer:?}");
        }
        let long =
            [&b"\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x35\x04\x00\x04\x00"[..]].concat();
        assert_eq!(result_of(&long), Some((0x35, &b""[..])));
        assert_eq!(START_TLS.len(), 31);
    }
}
