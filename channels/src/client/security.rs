//! The protection of a channel's connections as a client: TLS, who we are at a server, and what comes
//! first of all.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use relais_config::{Channel, Config, channel::Program, tls::Insist};
use tokio::time::Instant;

use super::{credentials::Credentials, tokens::Tokens};
use crate::{
    tls::{ClientFiles, ClientTls, TlsError},
    tls_policy::{ChannelRules, PolicyKind, TlsFailure, TlsPolicies},
};

/// The protection of one channel's connections. By default there is none.
#[derive(Debug, Default)]
pub struct Security {
    pub(super) tls: Option<TlsPolicy>,
    pub(super) login: Option<LoginPolicy>,
    /// A header of the PROXY protocol comes first.
    pub(super) proxy_header: bool,
    /// Since they were taken last; by [`ClientHandshake`].
    handshakes: [AtomicU64; ClientHandshake::ALL.len()],
    /// Connections since they were taken last, by the policy that they follow: kept to, and broken.
    policies: [[AtomicU64; 2]; PolicyKind::ALL.len()],
}

/// The result of a TLS handshake with a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientHandshake {
    /// A new session.
    Full,
    /// An earlier session goes on.
    Resumed,
    /// Nothing came of it.
    Failed,
    /// It took too long.
    Timeout,
}

impl ClientHandshake {
    /// Every result.
    pub const ALL: [Self; 4] = [Self::Full, Self::Resumed, Self::Failed, Self::Timeout];

    /// In lower case; the label of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
        }
    }
}

/// TLS, where it is spoken.
#[derive(Debug)]
pub(super) struct TlsPolicy {
    channel: Box<str>,
    pub(super) client: ClientTls,
    pub(super) rules: ChannelRules,
    /// The policies that destinations publish.
    pub(super) policies: Arc<TlsPolicies>,
    /// From the first octet on.
    pub(super) implicit: bool,
    failed: Mutex<HashMap<Box<str>, Instant>>,
}

/// AUTH, where it is spoken.
#[derive(Debug)]
pub(super) struct LoginPolicy {
    pub(super) credentials: Credentials,
    /// Access tokens, for servers that take such.
    pub(super) tokens: Option<Tokens>,
    pub(super) must: bool,
    /// Passwords may be sent without TLS.
    pub(super) clear: bool,
}

/// The protection of every channel.
#[derive(Clone, Debug, Default)]
pub struct Securities {
    by_name: Arc<HashMap<Box<str>, Arc<Security>>>,
    none: Arc<Security>,
}

impl Securities {
    /// As configured. Certificates are read; passwords when they are needed.
    pub fn load(config: &Config, policies: &Arc<TlsPolicies>) -> Result<Self, TlsError> {
        let mut by_name = HashMap::new();
        for (place, channel) in config.channels.iter().enumerate() {
            if !matches!(channel.program, Program::Lmtp | Program::Smtp) {
                continue;
            }
            let security = Security::load(channel, policies, |file| config.path(file));
            let security = security.map_err(|error| TlsError {
                field: format!("channels[{place}].{}", error.field),
                ..error
            })?;
            if !security.is_none() {
                by_name.insert(channel.name.as_str().into(), Arc::new(security));
            }
        }
        Ok(Self { by_name: Arc::new(by_name), none: Arc::default() })
    }

    /// The protection of the channel of this name.
    pub fn of(&self, channel: &str) -> Arc<Security> {
        Arc::clone(self.by_name.get(channel).unwrap_or(&self.none))
    }
}

impl Security {
    /// As configured; `path` says where a file lies.
    pub fn load(
        channel: &Channel,
        policies: &Arc<TlsPolicies>,
        path: impl Fn(&Path) -> PathBuf,
    ) -> Result<Self, TlsError> {
        let Channel { tls, sasl, proxy_header, .. } = channel;
        let must = tls.client == Insist::Must;
        let own = tls.certificate.as_deref().zip(tls.key.as_deref());
        let rules = ChannelRules::of(channel, &path);
        let policy = rules.speak_tls().then(|| {
            let files = ClientFiles {
                insists: must && tls.verify,
                names: tls.names.clone(),
                ca: tls.ca.as_deref().map(&path),
                own: own.map(|(certificate, key)| (path(certificate), path(key))),
                more: rules.table.authorities().collect(),
            };
            let client = ClientTls::load(files)?;
            let (policies, failed) = (Arc::clone(policies), Mutex::default());
            let (channel, implicit) = (channel.name.as_str().into(), tls.implicit);
            Ok(TlsPolicy { channel, client, rules, policies, implicit, failed })
        });
        let credentials = sasl.credentials.as_deref().filter(|_| sasl.client != Insist::No);
        let login = credentials.map(|file| LoginPolicy {
            credentials: Credentials::of(path(file)),
            tokens: match &sasl.token_file {
                Some(file) => Some(Tokens::in_file(path(file))),
                None if sasl.token_command.is_empty() => None,
                None => Some(Tokens::by(sasl.token_command.clone(), sasl.token_time)),
            },
            must: sasl.client == Insist::Must,
            clear: sasl.clear_passwords,
        });
        let (tls, proxy_header) = (policy.transpose()?, *proxy_header);
        Ok(Self { tls, login, proxy_header, ..Self::default() })
    }

    /// A handshake has ended.
    pub(super) fn count(&self, result: ClientHandshake) {
        self.handshakes[result as usize].fetch_add(1, Relaxed);
    }

    /// The handshakes that have ended since this was last asked, by any connection of the channel.
    pub(super) fn take_handshakes(&self) -> impl Iterator<Item = (ClientHandshake, u64)> {
        let ended = ClientHandshake::ALL.into_iter().zip(&self.handshakes);
        ended.map(|(result, count)| (result, count.swap(0, Relaxed))).filter(|(_, n)| *n > 0)
    }

    /// A server has kept to a policy, or it has not and gets no mail.
    pub(super) fn count_policy(&self, kind: PolicyKind, is_kept: bool) {
        self.policies[kind as usize][usize::from(is_kept)].fetch_add(1, Relaxed);
    }

    /// The connections since this was last asked, of any job of the channel.
    pub(super) fn take_policies(&self) -> impl Iterator<Item = (PolicyKind, bool, u64)> {
        let all = PolicyKind::ALL.into_iter().zip(&self.policies);
        let each = |(kind, counts): (PolicyKind, &'_ [AtomicU64; 2])| {
            [false, true]
                .map(|is_kept| (kind, is_kept, counts[usize::from(is_kept)].swap(0, Relaxed)))
        };
        all.flat_map(each).filter(|(.., count)| *count > 0)
    }

    fn is_none(&self) -> bool {
        self.tls.is_none() && self.login.is_none() && !self.proxy_header
    }
}

impl TlsPolicy {
    /// Tells whoever listens that TLS with a server of a destination came to nothing, or that it gets no mail
    /// for want of it.
    pub(super) fn tell(&self, (host, peer): (&str, &str), cause: &'static str, words: &str) {
        self.policies.tell(&TlsFailure { channel: &self.channel, host, peer, cause, words });
    }

    /// A handshake at this place has failed: for a while none is tried where mail may leave in clear.
    pub(super) fn has_failed(&self, place: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= MOST_FAILED {
            failed.clear();
        }
        failed.insert(place.into(), Instant::now());
    }

    /// Whether one has failed there a short while ago.
    pub(super) fn failed_lately(&self, place: &str) -> bool {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = failed.get(place) else { return false };
        let is_recent = at.elapsed() < FAILED_FOR;
        if !is_recent {
            failed.remove(place);
        }
        is_recent
    }
}

const FAILED_FOR: Duration = Duration::from_secs(10 * 60);
/// Places that are remembered.
const MOST_FAILED: usize = 1_000;
