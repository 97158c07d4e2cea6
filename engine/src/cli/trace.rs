//! `relais trace`.

use std::io::Write;

use super::{
    arguments::Trace,
    asked::Whom,
    exchange::{json, operator, say, wait},
    refusal::Refusal,
    source::Source,
};
use crate::{
    admin::{client::with_query, socket},
    api::{ForgetOrder, TraceAnswer, TraceForgotten, TraceQuestion},
    show::{self, Look},
    state::history::{self, TraceMistake, check_name},
};

pub(super) fn trace(source: &Source, asked: &Trace, out: &mut dyn Write) -> Result<(), Refusal> {
    let (whom, name) = Whom::find(source, false)?;
    if let Some(address) = &asked.forget {
        return forget((&whom, &name), address, asked.json, out);
    }
    let mistake = |mistake: TraceMistake| Refusal::WrongUse(mistake.to_string());
    check_name(asked.name.as_deref().unwrap_or_default()).map_err(mistake)?;
    let question = TraceQuestion {
        name: asked.name.clone().unwrap_or_default(),
        since: asked.since,
        until: asked.until,
        limit: Some(asked.limit),
        alone: asked.alone,
    };
    let answer: TraceAnswer = match &whom {
        Whom::Engine(client) => wait(client.get(&with_query("/api/v1/trace", &question)))??,
        Whom::Files(config) => {
            let (its, own) = (history::of_files(config), socket::path(&config.data));
            let answer = history::trace((&its, &own), &question);
            answer.map_err(mistake)?.map_err(|error| Refusal::Because(error.to_string()))?
        }
    };
    if asked.json {
        json(&answer, out)?;
    } else {
        let look = Look::of_stdout();
        out.write_all(look.fit(&show::trace(&answer)).as_bytes())?;
    }
    if !answer.messages.is_empty() {
        return Ok(());
    }
    out.flush()?;
    Err(if asked.json {
        Refusal::No
    } else {
        Refusal::NotFound(format!("{name} knows nothing of {}", question.name))
    })
}

fn forget(
    (whom, name): (&Whom, &str),
    address: &str,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let address = history::whole_address(address);
    let address = address.map_err(|mistake| Refusal::WrongUse(mistake.to_string()))?;
    let order = ForgetOrder { address: address.to_owned(), by: operator() };
    let forgotten: TraceForgotten = match whom {
        Whom::Engine(client) => wait(client.order("/api/v1/trace/forget", &order))??,
        // The engine alone knows what it writes at the moment.
        Whom::Files(_) => {
            return Err(Refusal::Because(format!(
                "an address is forgotten by the running engine, which holds the history's files: {name} are \
                 left as they are"
            )));
        }
    };
    if as_json {
        return Ok(json(&forgotten, out)?);
    }
    let TraceForgotten { records, shortened } = forgotten;
    say(
        &format!(
            "{records} records are gone, {shortened} have one recipient less; what happens from now \
             on is written down again"
        ),
        out,
    )
}
