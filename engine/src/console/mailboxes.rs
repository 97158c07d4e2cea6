//! The store's mailboxes, for operators.

use std::io;

use relais_actors::store::{
    ChangeMailbox, CreateMailbox, ListMailboxes, LookIntoMailbox, MissingPartition, PlacedMailbox,
};
use relais_channels::mailbox::{ChangeError, MailboxName};
use relais_config::Config;
use tokio::sync::mpsc;
use tracing::info;

use super::{
    explain,
    parts::{Parts, gone},
};
use crate::{
    admin::{Answer, JsonLines, MailboxDenied, RouteQuestion, Unavailable},
    api::{
        MailboxAnswer, MailboxFilter, MailboxLimit, MailboxListed, MailboxOrder, MailboxOrderKind,
        MailboxesMissing,
    },
};

/// Lines for mailboxes, as far as somebody takes them.
pub(super) async fn list(
    parts: &Parts,
    filter: MailboxFilter,
) -> Answer<mpsc::Receiver<Answer<JsonLines>>> {
    let store = parts.store.as_ref().ok_or_else(no_store)?;
    let (to, mut pieces) = mpsc::channel(AHEAD);
    store.ask(ListMailboxes { domain: filter.domain, to }).await.map_err(gone)?;
    let (lines, taken) = mpsc::channel(AHEAD);
    let mut left = filter.limit.unwrap_or(u64::MAX);
    tokio::spawn(async move {
        while let Some(piece) = pieces.recv().await {
            let piece = match piece {
                Ok(piece) => lines_of(&piece, &mut left),
                Err(missing) => line_of(&missing),
            };
            let is_end = lines.send(piece).await;
            if is_end.is_err() || left == 0 {
                return;
            }
        }
    });
    Ok(taken)
}

fn lines_of(piece: &[PlacedMailbox], left: &mut u64) -> Answer<JsonLines> {
    let mut lines = JsonLines::with_capacity(piece.len());
    for PlacedMailbox { mailbox, path } in
        piece.iter().take(usize::try_from(*left).unwrap_or(usize::MAX))
    {
        let line = MailboxListed { mailbox: mailbox.address(), path: path.display().to_string() };
        lines.add(&line).map_err(|error| Unavailable(error.to_string()))?;
        *left -= 1;
    }
    Ok(lines)
}

fn line_of(MissingPartition { path, error }: &MissingPartition) -> Answer<JsonLines> {
    let missing =
        MailboxesMissing { missing: path.display().to_string(), error: error.to_string() };
    let mut lines = JsonLines::with_capacity(1);
    lines.add(&missing).map_err(|error| Unavailable(error.to_string()))?;
    Ok(lines)
}

/// Does what an operator wants done with a mailbox.
pub(super) async fn order(
    parts: &Parts,
    config: &Config,
    order: &MailboxOrder,
) -> Answer<Result<MailboxAnswer, MailboxDenied>> {
    let store = parts.store.as_ref().ok_or_else(no_store)?;
    let (name, to) = match order.names(&config.default_domain) {
        Ok(names) => names,
        Err(wrong) => return Ok(Err(MailboxDenied::Nonsense(wrong))),
    };
    let by = if order.by.is_empty() { "an operator" } else { &order.by };
    if !matches!(order.kind, MailboxOrderKind::Quota | MailboxOrderKind::Check) {
        let to = to.as_ref().map(MailboxName::address);
        info!(order = ?order.kind, mailbox = name.address(), to, by, "an order about a mailbox");
    }
    let failed = |error: io::Error| Unavailable(error.to_string());
    let mailbox = name.address();
    let mut answer = MailboxAnswer { mailbox: mailbox.clone(), ..MailboxAnswer::default() };
    let Some(depth) = order.kind.depth() else {
        if order.kind == MailboxOrderKind::Create {
            answer.changed = store.ask(CreateMailbox(name)).await.map_err(gone)?.map_err(failed)?;
            return Ok(Ok(answer));
        }
        answer.to = to.as_ref().map(MailboxName::address);
        let change = match order.kind.change(name, to) {
            Ok(change) => change,
            Err(wrong) => return Ok(Err(MailboxDenied::Nonsense(wrong))),
        };
        return match store.ask(ChangeMailbox(change)).await.map_err(gone)? {
            Ok(()) => Ok(Ok(MailboxAnswer { changed: true, ..answer })),
            Err(error) => refused(&error),
        };
    };
    let looked = LookIntoMailbox { mailbox: name.clone(), depth };
    let Some(census) = store.ask(looked).await.map_err(gone)?.map_err(failed)? else {
        return Ok(Err(MailboxDenied::Missing(format!("there is no mailbox {mailbox}"))));
    };
    let directory = match order.kind {
        MailboxOrderKind::Quota => directory_says(parts, config, &name).await?,
        _ => None,
    };
    let default = config.store.as_ref().map(|store| store.default_quota).unwrap_or_default();
    Ok(Ok(MailboxAnswer::looked(mailbox, order.kind, census, directory, default)))
}

fn refused(error: &ChangeError) -> Answer<Result<MailboxAnswer, MailboxDenied>> {
    match error {
        ChangeError::Missing(_) => Ok(Err(MailboxDenied::Missing(error.to_string()))),
        ChangeError::Taken(_) => Ok(Err(MailboxDenied::Taken(error.to_string()))),
        error => Err(Unavailable(error.to_string())),
    }
}

/// The limits of the mailbox's entry; `None`: nothing here knows any.
async fn directory_says(
    parts: &Parts,
    config: &Config,
    mailbox: &MailboxName,
) -> Answer<Option<MailboxLimit>> {
    let address = mailbox.address();
    let question = RouteQuestion { address, vouched: true, ..RouteQuestion::default() };
    let asked = explain::explain(config, &parts.channels, &parts.router, &question, true).await;
    let explained = asked.map_err(gone)?;
    Ok(explained.ok().and_then(|explained| {
        MailboxLimit::of_ways(&explained.results, mailbox, &config.default_domain)
    }))
}

fn no_store() -> Unavailable {
    Unavailable("this engine keeps no mailboxes: its configuration has no store".to_owned())
}

/// Pieces of a list that wait for who takes them.
const AHEAD: usize = 2;
