//! TLS towards other mail servers: by which authorities and names they are judged, what they are
//! shown of us, and handshakes with them.
//!
//! The files are looked at when a connection is made, and read again when they have changed. A
//! session is resumed by connections of the same settings alone.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rustls::{ClientConfig, Error, crypto::ring, pki_types::ServerName, sign::SingleCertAndKey};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{
    authorities::{read_authorities, system_authorities},
    certificate::{Part, load},
    client_stream::ClientStream,
    error::{CertificateError, TlsError},
    judge::Judge,
    towards::Towards,
};

/// TLS as the connections of one channel begin it.
pub struct ClientTls {
    files: ClientFiles,
    in_force: Mutex<ClientInForce>,
}

/// The settings of TLS towards servers, and the files that they name.
#[derive(Clone, Debug, Default)]
pub struct ClientFiles {
    /// A server whose certificate is not good is not talked to.
    pub insists: bool,
    /// Names of which the certificate must have one; empty: the one that is connected to.
    pub names: Vec<String>,
    /// The authorities of servers; those of the system without it.
    pub ca: Option<PathBuf>,
    /// A certificate of our own, and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

struct ClientInForce {
    config: Arc<ClientConfig>,
    judge: Arc<Judge>,
    /// The files that these were read from.
    stamps: Vec<Option<SystemTime>>,
}

/// A handshake with a server that came to nothing, in words.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct HandshakeRefused(String);

impl HandshakeRefused {
    /// There is TLS already.
    pub(crate) fn twice() -> Self {
        Self("TLS is spoken already".to_owned())
    }
}

impl ClientTls {
    /// Reads the files.
    pub fn load(files: ClientFiles) -> Result<Self, TlsError> {
        let in_force = ClientInForce::read(&files)?;
        Ok(Self { files, in_force: Mutex::new(in_force) })
    }

    /// Whether servers can be shown a certificate of ours.
    pub fn has_certificate(&self) -> bool {
        self.files.own.is_some()
    }

    /// The client's side of a handshake with the server of this name, or at this `[address]`.
    pub(crate) async fn connect<S>(
        &self,
        host: &str,
        stream: S,
    ) -> Result<(ClientStream<S>, Towards), HandshakeRefused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (config, judge) = self.in_force();
        let name = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| HandshakeRefused(format!("there is no certificate for {host}")))?;
        let handshake = TlsConnector::from(config).connect(name.clone(), stream).await;
        let stream = handshake.map_err(|error| HandshakeRefused(words(&error)))?;
        let connection = stream.get_ref().1;
        let verdict = judge.verdict(connection.peer_certificates().unwrap_or_default(), &name);
        let towards = Towards::of(connection, verdict.map_err(|error| said(&error)));
        Ok((ClientStream(stream), towards))
    }

    /// The settings in force; read anew where a file has changed and can be read.
    fn in_force(&self) -> (Arc<ClientConfig>, Arc<Judge>) {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = self.files.stamps();
        if in_force.stamps != stamps {
            match ClientInForce::read(&self.files) {
                Ok(read) => *in_force = read,
                Err(error) => {
                    in_force.stamps = stamps;
                    tracing::warn!(
                        field = error.field, %error,
                        "certificates have changed and cannot be used: those before are in force"
                    );
                }
            }
        }
        (Arc::clone(&in_force.config), Arc::clone(&in_force.judge))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ClientFiles {
    fn stamps(&self) -> Vec<Option<SystemTime>> {
        let own = self.own.iter().flat_map(|(certificate, key)| [certificate, key]);
        let changed = |file: &PathBuf| std::fs::metadata(file).and_then(|its| its.modified()).ok();
        self.ca.iter().chain(own).map(changed).collect()
    }
}

impl ClientInForce {
    fn read(files: &ClientFiles) -> Result<Self, TlsError> {
        let stamps = files.stamps();
        let of = |field: &str, file: &PathBuf| {
            let (field, file) = (format!("tls.{field}"), file.clone());
            move |why| TlsError { field, file, why }
        };
        let roots = match &files.ca {
            Some(file) => Some(read_authorities(file).map_err(of("ca", file))?),
            // Without any, nothing is good; what does not insist goes on all the same.
            None => match system_authorities() {
                Ok(roots) => Some(roots),
                Err(_) if !files.insists => None,
                Err(why) => return Err(of("client", &PathBuf::from("the system"))(why)),
            },
        };
        let library = |error: Error| CertificateError::Library(error.to_string());
        let provider = Arc::new(ring::default_provider());
        let judge = Judge::new(&provider, roots, files.insists, &files.names);
        let judge = Arc::new(judge.map_err(of("ca", &files.ca.clone().unwrap_or_default()))?);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| of("client", &PathBuf::new())(library(error)))?
            .dangerous()
            .with_custom_certificate_verifier(judge.clone());
        let config = match &files.own {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let loaded = load(certificate, key, "tls.certificate");
                let (_, own) = loaded.map_err(|(part, why)| match part {
                    Part::Certificate => of("certificate", certificate)(why),
                    Part::Key => of("key", key)(why),
                })?;
                config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
            }
        };
        Ok(Self { config: Arc::new(config), judge, stamps })
    }
}

/// Why the library gave up.
fn words(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    inner.map_or_else(|| error.to_string(), said)
}

fn said(error: &Error) -> String {
    use rustls::CertificateError::{
        BadSignature, NotValidForName, NotValidForNameContext, UnknownIssuer,
    };
    match error {
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            "what came is no TLS".to_owned()
        }
        Error::InvalidCertificate(UnknownIssuer) => {
            "its certificate is signed by no authority that we know".to_owned()
        }
        Error::InvalidCertificate(BadSignature) => {
            "its certificate is not signed by the authority that it names, or that one has been \
             renewed"
                .to_owned()
        }
        Error::InvalidCertificate(NotValidForName) => {
            "its certificate is for other names".to_owned()
        }
        Error::InvalidCertificate(NotValidForNameContext { presented, .. }) => {
            let some: Vec<_> = presented.iter().take(MOST_SHOWN).map(String::as_str).collect();
            let plain = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
            let some: String = some.join(", ").chars().map(plain).take(MOST_CHARACTERS).collect();
            format!("its certificate is for other names: {some}")
        }
        Error::InvalidCertificate(why) if why.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate says CA:TRUE, and is for no host".to_owned()
        }
        Error::InvalidCertificate(why) => format!("its certificate is not good: {why}"),
        Error::AlertReceived(alert) => format!("the server gave up: {alert:?}"),
        error => error.to_string(),
    }
}

/// Names of a certificate that are shown.
const MOST_SHOWN: usize = 5;
const MOST_CHARACTERS: usize = 200;
