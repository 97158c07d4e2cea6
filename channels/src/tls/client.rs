//! TLS towards other mail servers: by which authorities and names they are judged, what they are
//! shown of us, and handshakes with them.
//!
//! The files are looked at when a connection is made, and read again when they have changed. A
//! session is resumed by connections of the same settings alone.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rustls::{
    ClientConfig, Error, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::ServerName,
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{
    authorities::{read_authorities, system_authorities},
    certificate::{Part, load},
    client_stream::ClientStream,
    demand::{Assurance, TlsDemand},
    error::{CertificateError, TlsError},
    judge::Judge,
    refused::{HandshakeRefused, RefusalKind, said},
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
    /// The authorities that demands name.
    pub more: Vec<PathBuf>,
}

struct ClientInForce {
    usual: Prepared,
    /// For connections that ask for something else.
    others: HashMap<TlsDemand, Prepared>,
    /// The files that these were read from.
    stamps: Vec<Option<SystemTime>>,
}

/// Settings for the handshakes of one demand, and the sessions that they left.
#[derive(Clone)]
struct Prepared {
    config: Arc<ClientConfig>,
    judge: Arc<Judge>,
}

impl ClientTls {
    /// Reads the files.
    pub fn load(files: ClientFiles) -> Result<Self, TlsError> {
        let in_force = ClientInForce::read(&files)?;
        Ok(Self { files, in_force: Mutex::new(in_force) })
    }

    /// Whether the names that servers must show are ours to say, and not those of their records.
    pub fn has_names(&self) -> bool {
        !self.files.names.is_empty()
    }

    /// Whether servers can be shown a certificate of ours.
    pub fn has_certificate(&self) -> bool {
        self.files.own.is_some()
    }

    /// The client's side of a handshake with the server of this name, or at this `[address]`.
    pub(crate) async fn connect<S>(
        &self,
        host: &str,
        demand: &TlsDemand,
        stream: S,
    ) -> Result<(ClientStream<S>, Towards), HandshakeRefused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Prepared { config, judge } =
            self.prepared(demand).map_err(|error| HandshakeRefused::because(error.to_string()))?;
        let name = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            HandshakeRefused::because(format!("there is no certificate for {host}"))
        })?;
        let handshake = TlsConnector::from(config).connect(name.clone(), stream).await;
        let stream = handshake.map_err(|error| HandshakeRefused::of(&error))?;
        let connection = stream.get_ref().1;
        let verdict = judge.verdict(connection.peer_certificates().unwrap_or_default(), &name);
        let towards = Towards::of(
            connection,
            verdict.map_err(|error| (said(&error), RefusalKind::of(&error))),
        );
        Ok((ClientStream(stream), towards))
    }

    /// The settings in force for this demand; read anew where a file has changed and can be read.
    fn prepared(&self, demand: &TlsDemand) -> Result<Prepared, TlsError> {
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
        if *demand == TlsDemand::default() {
            return Ok(in_force.usual.clone());
        }
        if let Some(known) = in_force.others.get(demand) {
            return Ok(known.clone());
        }
        let prepared = Prepared::read(&self.files, demand)?;
        if in_force.others.len() >= MOST_DEMANDS {
            in_force.others.clear();
        }
        in_force.others.insert(demand.clone(), prepared.clone());
        Ok(prepared)
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
        self.ca.iter().chain(&self.more).chain(own).map(changed).collect()
    }
}

impl ClientInForce {
    fn read(files: &ClientFiles) -> Result<Self, TlsError> {
        let stamps = files.stamps();
        let usual = Prepared::read(files, &TlsDemand::default())?;
        Ok(Self { usual, others: HashMap::new(), stamps })
    }
}

impl Prepared {
    fn read(files: &ClientFiles, demand: &TlsDemand) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let judge = Arc::new(files.judge(&provider, &demand.assurance)?);
        let versions = if demand.newest_only { &[&TLS13][..] } else { &[&TLS13, &TLS12] };
        let library = |error: Error| CertificateError::Library(error.to_string());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| of("client", &PathBuf::new())(library(error)))?
            .dangerous()
            .with_custom_certificate_verifier(judge.clone());
        let mut config = match &files.own {
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
        if *demand != TlsDemand::default() {
            config.resumption = Resumption::in_memory_sessions(SESSIONS_OF_DEMAND);
        }
        Ok(Self { config: Arc::new(config), judge })
    }
}

impl ClientFiles {
    fn judge(
        &self,
        provider: &Arc<CryptoProvider>,
        assurance: &Assurance,
    ) -> Result<Judge, TlsError> {
        let (insists, names, ca) = match assurance {
            Assurance::Usual => (self.insists, &self.names, None),
            Assurance::Any => (false, &self.names, None),
            Assurance::Names { names, ca } => (true, names, ca.as_ref()),
            Assurance::Records { records, names } => {
                return Judge::by_records(provider, records, names)
                    .map_err(of("client", &PathBuf::new()));
            }
        };
        let ca = ca.or(self.ca.as_ref());
        let roots = roots(ca, insists)?;
        let judge = Judge::new(provider, roots, insists, names);
        judge.map_err(of("ca", &ca.cloned().unwrap_or_default()))
    }
}

/// The authorities of a file, or of the system. Without any, nothing is good; what does not insist goes on
/// all the same.
fn roots(ca: Option<&PathBuf>, insists: bool) -> Result<Option<RootCertStore>, TlsError> {
    if let Some(file) = ca {
        return read_authorities(file).map(Some).map_err(of("ca", file));
    }
    match system_authorities() {
        Ok(roots) => Ok(Some(roots)),
        Err(_) if !insists => Ok(None),
        Err(why) => Err(of("client", &PathBuf::from("the system"))(why)),
    }
}

/// A mistake in a file that a setting names.
fn of(field: &str, file: &Path) -> impl FnOnce(CertificateError) -> TlsError {
    let (field, file) = (format!("tls.{field}"), file.to_owned());
    move |why| TlsError { field, file, why }
}

/// Demands that are kept ready, with their sessions.
const MOST_DEMANDS: usize = 1_000;
/// A demand is of one destination, which has a few hosts.
const SESSIONS_OF_DEMAND: usize = 8;
