//! The certificates in force, and handshakes with them.
//!
//! A [`ServerTls`] is shared by every service and changed as a whole: a handshake takes what is in
//! force when it begins, and an open connection keeps what it began with.

use std::{
    fmt,
    path::Path,
    sync::{Arc, LazyLock, PoisonError, RwLock},
    time::Duration,
};

use relais_config::tls::{KeyPair, Tls, TlsVersion};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    certificate::{Certificate, Part, load},
    choice::ByName,
    clients::KnownClients,
    error::{CertificateError, TlsError},
    failure::HandshakeFailure,
    secured::Secured,
    stream::TlsStream,
};

/// Certificates that can be changed while connections are open. Without any no TLS is spoken.
#[derive(Default)]
pub struct ServerTls {
    in_force: RwLock<Option<Arc<InForce>>>,
}

struct InForce {
    rustls: Arc<ServerConfig>,
    certificates: Vec<Certificate>,
    clients: Option<KnownClients>,
    handshake_time: Duration,
}

impl ServerTls {
    /// The certificates that a configuration names; `data` is where relative paths lie below.
    pub fn load(settings: Option<&Tls>, data: &Path) -> Result<Self, TlsError> {
        let in_force = settings.map(|settings| InForce::read(settings, data)).transpose()?;
        Ok(Self { in_force: RwLock::new(in_force.map(Arc::new)) })
    }

    /// Puts other certificates and settings in force, for handshakes that begin from now on. After
    /// an error those of before are in force. Sessions of before are not resumed: their clients see
    /// the new certificate.
    pub fn adopt(&self, settings: Option<&Tls>, data: &Path) -> Result<(), TlsError> {
        self.follow(&Self::load(settings, data)?);
        Ok(())
    }

    /// The same with what `other` has in force, which cannot fail.
    pub fn follow(&self, other: &Self) {
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = other.in_force();
    }

    /// The certificates that clients are shown.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.in_force().map(|in_force| in_force.certificates.clone()).unwrap_or_default()
    }

    /// Whether there is a certificate to be shown.
    pub fn is_available(&self) -> bool {
        self.in_force().is_some()
    }

    /// TLS of a server of HTTP, with the certificates that `current` has in force when a handshake begins.
    pub fn for_web(
        settings: &Tls,
        current: impl Fn() -> Arc<Self> + Send + Sync + 'static,
    ) -> Result<ServerConfig, rustls::Error> {
        let mut rustls = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_protocol_versions(versions(settings))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Current(current)));
        rustls.session_storage = Arc::new(NoServerSessionStorage {});
        rustls.send_tls13_tickets = 0;
        Ok(rustls)
    }

    /// The server's side of a handshake.
    pub(crate) async fn accept<S>(
        &self,
        socket: S,
    ) -> Result<(TlsStream<S>, Secured), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(in_force) = self.in_force() else { return Err(HandshakeFailure::unavailable()) };
        let handshake = TlsAcceptor::from(Arc::clone(&in_force.rustls)).accept(socket);
        match timeout(in_force.handshake_time, handshake).await {
            Ok(Ok(stream)) => {
                let secured = Secured::of(stream.get_ref().1, in_force.clients.as_ref());
                Ok((TlsStream(stream), secured))
            }
            Ok(Err(error)) => Err(HandshakeFailure::of(&error)),
            Err(_elapsed) => Err(HandshakeFailure::timeout()),
        }
    }

    fn in_force(&self) -> Option<Arc<InForce>> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("certificates", &self.certificates()).finish()
    }
}

impl InForce {
    fn read(settings: &Tls, data: &Path) -> Result<Self, TlsError> {
        let Tls { certificate, key, more_certificates, .. } = settings;
        let first = KeyPair { certificate: certificate.clone(), key: key.clone() };
        let (mut certificates, mut keys) = (Vec::new(), Vec::new());
        for (place, pair) in std::iter::once(&first).chain(more_certificates).enumerate() {
            let section = match place.checked_sub(1) {
                None => "tls".to_owned(),
                Some(more) => format!("tls.more_certificates[{more}]"),
            };
            let (file, key_file) = (data.join(&pair.certificate), data.join(&pair.key));
            let field = format!("{section}.certificate");
            let loaded = load(&file, &key_file, &field).map_err(|(part, why)| match part {
                Part::Certificate => TlsError { field, file, why },
                Part::Key => TlsError { field: format!("{section}.key"), file: key_file, why },
            });
            let (certificate, key) = loaded?;
            certificates.push(certificate);
            keys.push(Arc::new(key));
        }
        let clients = settings.client_ca.as_ref().map(|file| {
            let file = data.join(file);
            KnownClients::read(&file, &PROVIDER).map_err(|why| TlsError {
                field: "tls.client_ca".to_owned(),
                file,
                why,
            })
        });
        let clients = clients.transpose()?;
        let choice = ByName::of(&certificates, keys);
        let rustls =
            server_config(settings, choice, clients.as_ref()).map_err(|error| TlsError {
                field: "tls".to_owned(),
                file: data.join(certificate),
                why: CertificateError::Library(error.to_string()),
            })?;
        Ok(Self {
            rustls: Arc::new(rustls),
            certificates,
            clients,
            handshake_time: settings.handshake_time,
        })
    }
}

fn server_config(
    settings: &Tls,
    choice: ByName,
    clients: Option<&KnownClients>,
) -> Result<ServerConfig, rustls::Error> {
    let rustls = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(versions(settings))?;
    let rustls = match clients {
        Some(clients) => rustls.with_client_cert_verifier(clients.asking()),
        None => rustls.with_no_client_auth(),
    };
    let mut rustls = rustls.with_cert_resolver(Arc::new(choice));
    // Tickets carry the session themselves: whatever the number of clients, nothing is kept here.
    rustls.session_storage = Arc::new(NoServerSessionStorage {});
    rustls.send_tls13_tickets = settings.session_tickets;
    if settings.session_tickets > 0 {
        rustls.ticketer = ring::Ticketer::new()?;
    }
    Ok(rustls)
}

fn versions(settings: &Tls) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match settings.min_version {
        TlsVersion::Tls12 => &FROM_12,
        TlsVersion::Tls13 => &FROM_12[..1],
    }
}

/// Chooses among the certificates that are in force when it is asked.
struct Current<F>(F);

impl<F: Fn() -> Arc<ServerTls> + Send + Sync> ResolvesServerCert for Current<F> {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (self.0)().in_force()?.rustls.cert_resolver.resolve(hello)
    }
}

impl<F> fmt::Debug for Current<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(ring::default_provider()));
