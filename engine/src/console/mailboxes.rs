//! The store's mailboxes, for operators.

use std::io;

use relais_actors::store::{
    ChangeMailbox, CreateMailbox, ListMailboxes, LookIntoMailbox, PlacedMailbox,
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
    admin::{Answer, JsonLines, Nonsense, RouteQuestion, Unavailable},
    api::{
        MailboxAnswer, MailboxFilter, MailboxLimit, MailboxListed, MailboxOrder, MailboxOrderKind,
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
            let piece = piece.map_err(|error| Unavailable(error.to_string()));
            let is_end = lines.send(piece.and_then(|piece| lines_of(&piece, &mut left))).await;
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

/// Does what an operator wants done with a mailbox.
pub(super) async fn order(
    parts: &Parts,
    config: &Config,
    order: &MailboxOrder,
) -> Answer<Result<MailboxAnswer, Nonsense>> {
    let store = parts.store.as_ref().ok_or_else(no_store)?;
    let (name, to) = match order.names(&config.default_domain) {
        Ok(names) => names,
        Err(wrong) => return Ok(Err(Nonsense(wrong))),
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
            Err(wrong) => return Ok(Err(Nonsense(wrong))),
        };
        return match store.ask(ChangeMailbox(change)).await.map_err(gone)? {
            Ok(()) => Ok(Ok(MailboxAnswer { changed: true, ..answer })),
            Err(error) => refused(&error),
        };
    };
    let looked = LookIntoMailbox { mailbox: name, depth };
    let Some(census) = store.ask(looked).await.map_err(gone)?.map_err(failed)? else {
        return Ok(Err(Nonsense(format!("there is no mailbox {mailbox}"))));
    };
    let directory = match order.kind {
        MailboxOrderKind::Quota => directory_says(parts, config, &mailbox).await?,
        _ => None,
    };
    let default = config.store.as_ref().map(|store| store.default_quota).unwrap_or_default();
    Ok(Ok(MailboxAnswer::looked(mailbox, order.kind, census, directory, default)))
}

fn refused(error: &ChangeError) -> Answer<Result<MailboxAnswer, Nonsense>> {
    match error {
        ChangeError::Missing(_) | ChangeError::Taken(_) => Ok(Err(Nonsense(error.to_string()))),
        error => Err(Unavailable(error.to_string())),
    }
}

/// The limits of the mailbox's entry; `None`: nothing here knows any.
async fn directory_says(
    parts: &Parts,
    config: &Config,
    mailbox: &str,
) -> Answer<Option<MailboxLimit>> {
    let address = mailbox.to_owned();
    let question = RouteQuestion { address, vouched: true, ..RouteQuestion::default() };
    let asked = explain::explain(config, &parts.channels, &parts.router, &question, true).await;
    let explained = asked.map_err(gone)?;
    Ok(explained.ok().and_then(|explained| match &*explained.results {
        [only] => MailboxLimit::of_directory(only.quota),
        // It stands for others.
        _ => None,
    }))
}

fn no_store() -> Unavailable {
    Unavailable("this engine keeps no mailboxes: its configuration has no store".to_owned())
}

/// Pieces of a list that wait for who takes them.
const AHEAD: usize = 2;
