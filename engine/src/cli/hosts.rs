//! `relais host ...`.

use std::{fmt::Write as _, io::Write};

use super::{
    arguments::Host,
    exchange::{answer, engine, json, operator, say, wait},
    refusal::Refusal,
    source::Source,
};
use crate::{
    admin::client::Client,
    api::{FixedHost, HostOrdered, HostResume, HostSuspend, HostSuspended},
    show,
};

/// Does one of them.
pub(super) fn host(source: &Source, host: Host, out: &mut dyn Write) -> Result<(), Refusal> {
    match host {
        Host::List { json: as_json } => answer::<Vec<HostSuspended>>(
            source,
            "/api/v1/hosts",
            as_json,
            |all, look| show::hosts(all, look),
            out,
        ),
        Host::Suspend { host, channel, time, reason, json: as_json } => {
            let (seconds, by) = (time.as_secs(), operator());
            let order = HostSuspend { host, channel, seconds, reason, by };
            order.check().map_err(|error| Refusal::WrongUse(error.to_string()))?;
            let done = put(&engine(source, None)?, "suspend", &order)?;
            if as_json {
                return Ok(json(&done, out)?);
            }
            let HostOrdered { host, channel, until, was_suspended, goes_on } = done;
            let of = of_channel(channel.as_deref());
            let until = until.map(|until| until.to_string()).unwrap_or_default();
            let instead = if was_suspended { ", in place of the order before" } else { "" };
            let mut text = format!("mail for {host}{of} waits until {until}{instead}");
            for FixedHost { channel, host } in goes_on {
                let _ = write!(
                    text,
                    "; what leaves by {channel} goes on: whatever its domain, its host is {host}"
                );
            }
            say(&text, out)
        }
        Host::Resume { host, channel, json: as_json, why } => {
            let engine = engine(source, why.reason.as_deref())?;
            let done = put(&engine, "resume", &HostResume { host, channel })?;
            if as_json {
                return Ok(json(&done, out)?);
            }
            let of = of_channel(done.channel.as_deref());
            say(&format!("mail for {}{of} goes again", done.host), out)
        }
    }
}

fn put(engine: &Client, verb: &str, order: &impl serde::Serialize) -> Result<HostOrdered, Refusal> {
    Ok(wait(engine.order(&format!("/api/v1/hosts/{verb}"), order))??)
}

fn of_channel(channel: Option<&str>) -> String {
    channel.map(|name| format!(" (channel {name})")).unwrap_or_default()
}
