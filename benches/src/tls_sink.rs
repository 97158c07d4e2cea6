//! A sink that offers STARTTLS, which `smtp-sink` does not: it takes mail by SMTP, counts messages, and
//! throws them away. Its CPU is nobody's: only the server's is counted.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::AcqRel},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// Serves for ever, on this listener.
pub(crate) fn serve(
    listener: std::net::TcpListener,
    (certificate, key): (&Path, &Path),
    arrived: Arc<AtomicUsize>,
) {
    let acceptor = acceptor(certificate, key);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async move {
        listener.set_nonblocking(true).expect("a socket of ours");
        let listener = TcpListener::from_std(listener).expect("a socket of ours");
        while let Ok((stream, _)) = listener.accept().await {
            // An error is a client that went away.
            tokio::spawn(take(stream, acceptor.clone(), Arc::clone(&arrived)));
        }
    });
}

async fn take(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    arrived: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut clear = BufReader::new(stream);
    clear.write_all(b"220 sink ESMTP\r\n").await?;
    let hello = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n";
    if !session(&mut clear, hello, &arrived).await? {
        return Ok(());
    }
    let secured = acceptor.accept(clear.into_inner()).await?;
    let hello = b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n";
    session(&mut BufReader::new(secured), hello, &arrived).await?;
    Ok(())
}

/// Answers commands until QUIT, or STARTTLS, which is the answer.
async fn session<S: AsyncRead + AsyncWrite + Unpin>(
    peer: &mut BufReader<S>,
    hello: &[u8],
    arrived: &AtomicUsize,
) -> std::io::Result<bool> {
    let (mut line, mut due, mut is_content) = (Vec::new(), Vec::new(), false);
    loop {
        // Commands that were pipelined are answered in one piece.
        if peer.buffer().is_empty() && !due.is_empty() {
            peer.write_all(&due).await?;
            peer.flush().await?;
            due.clear();
        }
        line.clear();
        if peer.read_until(b'\n', &mut line).await? == 0 {
            return Ok(false);
        }
        if is_content {
            if line == b".\r\n" {
                is_content = false;
                arrived.fetch_add(1, AcqRel);
                due.extend_from_slice(b"250 2.0.0 Ok\r\n");
            }
            continue;
        }
        match line.get(..4).unwrap_or(&line).to_ascii_uppercase().as_slice() {
            b"EHLO" | b"HELO" => due.extend_from_slice(hello),
            b"STAR" => {
                peer.write_all(b"220 2.0.0 go on\r\n").await?;
                return Ok(true);
            }
            b"DATA" => {
                is_content = true;
                due.extend_from_slice(b"354 go on\r\n");
            }
            b"QUIT" => {
                due.extend_from_slice(b"221 2.0.0 bye\r\n");
                peer.write_all(&due).await?;
                peer.flush().await?;
                return Ok(false);
            }
            _ => due.extend_from_slice(b"250 2.0.0 Ok\r\n"),
        }
    }
}

fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate).expect("a certificate");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the versions of the provider")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    TlsAcceptor::from(Arc::new(config))
}
