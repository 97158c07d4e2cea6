//! AUTH of one connection: the exchange with its client, and what is told of how it ended.

use std::{net::IpAddr, sync::Arc, time::Instant};

use relais_channels::{
    sasl::{Mechanism, SaslExchange, SaslFault, Step},
    server::{AuthAnswer, AuthSaid},
    tls::ClientCertificate,
};

use super::{Attempt, Authenticator, Denied, Identity};
use crate::{
    events::AuthEnded,
    metrics::{AuthResult, Metrics},
};

/// The exchange of a connection, if one has begun.
#[derive(Default)]
pub struct AuthExchange(Option<Box<Claiming>>);

struct Claiming {
    mechanism: Mechanism,
    exchange: SaslExchange,
    /// The user that it is about, as soon as that is known.
    user: String,
}

/// A client that claims to be somebody, and its judge.
pub struct Claimant<'a> {
    /// The judge.
    pub authenticator: &'a Authenticator,
    /// The service that the client has come to.
    pub service: &'a Arc<str>,
    /// Where it is; nothing on a UNIX socket.
    pub client: Option<IpAddr>,
    /// The client as logs have it.
    pub client_text: &'a Arc<str>,
    /// The certificate that it has shown.
    pub certificate: Option<&'a ClientCertificate>,
    /// Octets that only this TLS session has.
    pub binding: Option<[u8; 32]>,
    /// Counters.
    pub metrics: &'a Metrics,
}

impl AuthExchange {
    /// Takes the client's next words. The identity comes with [`AuthAnswer::Granted`].
    pub async fn go_on(
        &mut self,
        said: AuthSaid,
        claimant: &Claimant<'_>,
    ) -> (AuthAnswer, Option<Identity>) {
        let begun = Instant::now();
        let step = match self.step(said, claimant.binding) {
            Step::Keys(user) => match self.give_keys(&user, claimant, begun).await {
                Ok(step) => step,
                Err(denied) => {
                    self.end(&user, Some(&denied), claimant);
                    return (AuthAnswer::Refused(denied.reply()), None);
                }
            },
            step => step,
        };
        if let Step::Challenge(octets) = step {
            return (AuthAnswer::Challenge(octets), None);
        }
        let user = match step.user() {
            "" => self.0.as_ref().map(|claiming| claiming.user.clone()).unwrap_or_default(),
            user => user.to_owned(),
        };
        let attempt = Attempt { user: &user, client: claimant.client, begun };
        let checked = check(step, &attempt, claimant).await;
        self.end(&user, checked.as_ref().err(), claimant);
        match checked {
            Ok(identity) => (AuthAnswer::Granted, Some(identity)),
            Err(denied) => (AuthAnswer::Refused(denied.reply()), None),
        }
    }

    /// Forgets an exchange that has begun: it was another client's.
    pub fn forget(&mut self) {
        self.0 = None;
    }

    fn step(&mut self, said: AuthSaid, binding: Option<[u8; 32]>) -> Step {
        match said {
            AuthSaid::Begin(mechanism, initial) => {
                let (exchange, step) = SaslExchange::begin(mechanism, initial, binding);
                self.0 = Some(Box::new(Claiming { mechanism, exchange, user: String::new() }));
                step
            }
            AuthSaid::Response(octets) => match &mut self.0 {
                Some(claiming) => claiming.exchange.step(octets),
                None => Step::Failed(SaslFault::Malformed),
            },
        }
    }

    /// Goes on with an exchange that asks for the keys of a user.
    async fn give_keys(
        &mut self,
        user: &str,
        claimant: &Claimant<'_>,
        begun: Instant,
    ) -> Result<Step, Denied> {
        let attempt = Attempt { user, client: claimant.client, begun };
        let keys = claimant.authenticator.keys(&attempt).await?;
        let Some(claiming) = &mut self.0 else { return Ok(Step::Failed(SaslFault::Malformed)) };
        user.clone_into(&mut claiming.user);
        Ok(claiming.exchange.keys(keys))
    }

    /// Tells how an exchange came out.
    fn end(&mut self, user: &str, denied: Option<&Denied>, claimant: &Claimant<'_>) {
        let mechanism = self.0.take().map_or("", |claiming| claiming.mechanism.name());
        let result = match denied {
            None => AuthResult::Granted,
            Some(Denied::Failed(_)) => AuthResult::Failed,
            Some(Denied::Limited) => AuthResult::Limited,
            Some(Denied::Unavailable(_)) => AuthResult::Unavailable,
        };
        let why = denied.map(ToString::to_string);
        let Claimant { service, client_text: client, metrics, .. } = claimant;
        AuthEnded { service, client, user, mechanism, result, why: why.as_deref() }.emit(metrics);
    }
}

/// Checks what the client claims to be.
async fn check(
    claim: Step,
    attempt: &Attempt<'_>,
    claimant: &Claimant<'_>,
) -> Result<Identity, Denied> {
    let authenticator = claimant.authenticator;
    match claim {
        Step::Password { password, .. } => authenticator.password(attempt, password).await,
        Step::Certificate(_) => authenticator.certificate(attempt, claimant.certificate).await,
        Step::Failed(fault) => Err(authenticator.fail(attempt, fault.to_string()).await),
        Step::Proven(_) => authenticator.proven(attempt).await,
        Step::Challenge(_) | Step::Keys(_) => Err(authenticator.fail(attempt, String::new()).await),
    }
}
