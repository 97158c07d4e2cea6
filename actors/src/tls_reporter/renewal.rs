//! Renews the policies of MTA-STS that mail asks for (RFC 8461 section 3.3).

use std::{sync::Arc, time::Duration};

use relais_channels::tls_policy::{RenewalEnd, TlsPolicies};
use tracing::warn;

use crate::metrics::{Metrics, RenewalResult};

/// Goes on until it is dropped.
pub async fn renew_policies(policies: Arc<TlsPolicies>, metrics: Arc<Metrics>) {
    let its = Arc::clone(&policies);
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || its.read_kept()).await {
        warn!(%error, "policies of MTA-STS on disk are renewed only once mail asks for them");
    }
    loop {
        for renewed in policies.renew().await {
            let domain = &*renewed.domain;
            metrics.tls.renewed(match renewed.end {
                RenewalEnd::Fetched => RenewalResult::Fetched,
                RenewalEnd::Failed(..) => RenewalResult::Failed,
                RenewalEnd::Lapsed => {
                    let mode = renewed.policy.mode.name();
                    warn!(domain, mode, "the MTA-STS policy has ended, and none could be fetched");
                    RenewalResult::Lapsed
                }
            });
        }
        tokio::time::sleep(EACH).await;
    }
}

const EACH: Duration = Duration::from_secs(30);
