//! `relais top` and `relais why`: the engine at a glance.

use std::io::{self, IsTerminal, Write};

use relais_actors::timestamp::Timestamp;
use serde::Serialize;

use super::{
    ask::message_path,
    exchange::{answer, json, wait},
    refusal::Refusal,
    source::Source,
};
use crate::{
    admin::client::Client,
    api::{Limiting, Overview, Why},
    show, top,
};

/// `relais why --json`.
#[derive(Serialize)]
struct LimitsTold<'a> {
    at: Timestamp,
    waits: &'a str,
    limiting: &'a [Limiting],
}

/// `relais top`.
pub(super) fn top(
    source: &Source,
    once: bool,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let is_seen = io::stdout().is_terminal() && io::stdin().is_terminal();
    if once || json || !is_seen {
        return answer::<Overview>(source, OVERVIEW, json, show::glance, out);
    }
    let client = Client::new(&source.data()?);
    // One that does not run is told of as by every other command.
    wait(client.get::<Overview>(OVERVIEW))??;
    let shown = wait(top::show(&client))?;
    shown.map_err(|error| Refusal::Because(format!("the terminal: {error}")))
}

/// `relais why`.
pub(super) fn why(
    source: &Source,
    id: Option<&str>,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    if let Some(id) = id {
        return answer::<Vec<Why>>(
            source,
            &message_path(id, "/why")?,
            as_json,
            |why, _| show::why(why),
            out,
        );
    }
    if !as_json {
        return answer::<Overview>(source, OVERVIEW, false, show::limits_now, out);
    }
    let overview: Overview = wait(Client::new(&source.data()?).get(OVERVIEW))??;
    let Overview { at, waits, limiting, .. } = &overview;
    Ok(json(&LimitsTold { at: *at, waits, limiting }, out)?)
}

const OVERVIEW: &str = "/api/v1/overview";
