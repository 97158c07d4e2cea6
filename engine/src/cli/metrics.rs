//! `relais metrics`: the metrics of the engine, and what is made of their families.

use std::{io::Write, ops::ControlFlow};

use relais_actors::metrics::Metrics;

use super::{
    exchange::{json, wait},
    refusal::Refusal,
    source::Source,
};
use crate::{admin::client::Client, prometheus};

/// The page that a scrape reads.
pub(super) fn metrics(source: &Source, out: &mut dyn Write) -> Result<(), Refusal> {
    let client = Client::new(&source.data()?);
    let each = |octets: &[u8]| {
        out.write_all(octets)?;
        Ok::<_, Refusal>(ControlFlow::Continue(()))
    };
    wait(client.octets("/metrics", each))?
}

/// A dashboard for Grafana.
pub(super) fn dashboard(out: &mut dyn Write) -> Result<(), Refusal> {
    Ok(json(&prometheus::dashboard(&Metrics::families()), out)?)
}

/// Alert rules for Prometheus.
pub(super) fn alerts(out: &mut dyn Write) -> Result<(), Refusal> {
    Ok(out.write_all(prometheus::alert_rules().as_bytes())?)
}
