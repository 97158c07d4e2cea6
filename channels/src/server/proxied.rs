//! Reads the header that a proxy puts in front of a connection, and not an octet more.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use crate::wire::proxy::{Forwarded, HeaderProgress, NoHeader, header};

/// Reads the header in front of what the client of a proxy says. A proxy that says nothing, or
/// something else, has none.
pub async fn forwarded<S: AsyncRead + Unpin>(socket: &mut S) -> Result<Forwarded, NoHeader> {
    timeout(PATIENCE, read(socket)).await.unwrap_or(Err(NoHeader))
}

async fn read<S: AsyncRead + Unpin>(socket: &mut S) -> Result<Forwarded, NoHeader> {
    let mut octets = Vec::with_capacity(USUAL);
    loop {
        match header(&octets)? {
            HeaderProgress::Complete(forwarded) => return Ok(forwarded),
            HeaderProgress::Missing(count) => {
                let done = octets.len();
                octets.resize(done + count, 0);
                socket.read_exact(&mut octets[done..]).await.map_err(|_| NoHeader)?;
            }
        }
    }
}

/// A proxy sends the header as soon as it has connected; Postfix's `smtpd_upstream_proxy_timeout`.
const PATIENCE: Duration = Duration::from_secs(5);
/// Octets of most headers.
const USUAL: usize = 128;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_client_is_read_and_nothing_behind() {
        let (mut proxy, mut ours) = duplex(1 << 10);
        proxy.write_all(b"PROXY TCP4 192.0.2.1 198.51.100.2 5 25\r\nEHLO x\r\n").await.unwrap();
        let client = "192.0.2.1:5".parse().unwrap();
        let server = "198.51.100.2:25".parse().unwrap();
        assert_eq!(forwarded(&mut ours).await, Ok(Forwarded::From { client, server }));
        let mut rest = [0; 8];
        ours.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"EHLO x\r\n");
        // A proxy that says nothing, or stops in the middle, is not waited for.
        proxy.write_all(b"PROXY TCP4 192.").await.unwrap();
        assert_eq!(forwarded(&mut ours).await, Err(NoHeader));
    }
}
