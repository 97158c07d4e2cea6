//! A tunnel: takes connections in clear and carries each over TLS to a server, so that a source that
//! speaks no TLS can load one that does. Its CPU is nobody's: only the server's is counted.

use std::{io, net::SocketAddr, path::Path, sync::Arc, thread};

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// Starts one to this port of 127.0.0.1, whose certificate this authority has signed; where it takes
/// connections. It ends with the process.
pub fn tunnel(server: u16, authority: &Path) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    listener.set_nonblocking(true).expect("a socket of ours");
    let connector = connector(authority);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    thread::spawn(move || {
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let server = SocketAddr::from(([127, 0, 0, 1], server));
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, connector.clone()));
            }
        });
    });
    port
}

async fn carry(mut client: TcpStream, to: SocketAddr, connector: TlsConnector) -> io::Result<()> {
    let socket = TcpStream::connect(to).await?;
    for end in [&client, &socket] {
        end.set_nodelay(true)?;
    }
    let name = ServerName::try_from("localhost").expect("a name");
    let mut server = connector.connect(name, socket).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

fn connector(authority: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(authority).expect("a certificate");
    roots.add(certificate).expect("of an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the versions of the provider")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
