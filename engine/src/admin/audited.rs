//! Orders of operators, written down before they are carried out, and what came of each behind it.

use std::{
    future::{Ready, ready},
    mem,
};

use actix_web::{
    Error, FromRequest, HttpRequest,
    dev::Payload,
    error::{ErrorBadRequest, ErrorInternalServerError},
    http::StatusCode,
    rt::task::spawn_blocking,
    web::{Data, Query},
};
use relais_actors::events::Printable;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::info;

use super::{
    guard::{Giver, Owner},
    http_error::HttpError,
};
use crate::{
    api::{
        AuditEnd, AuditResult, HostSuspend, MAX_REASON, MailboxOrder, MailboxOrderKind, NewOrder,
        QueueOrder, is_plain,
    },
    state::audit::{Asked, AuditLog, ended},
};

/// An operator who may give orders, and where these are written down.
pub(super) struct Operator {
    giver: Giver,
    log: Data<AuditLog>,
    words: Words,
}

/// `?reason=TEXT&by=NAME`, of orders that have no place for it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    by: String,
}

/// An order in a few words.
#[derive(Debug)]
pub struct Ordered {
    /// What: `mailbox create`.
    pub command: String,
    /// With what.
    pub what: Value,
    reason: String,
    by: String,
}

/// An order that is written down, until its end is, too.
pub(super) struct Audited {
    log: Data<AuditLog>,
    end: AuditEnd,
    who: String,
    command: String,
    has_ended: bool,
}

impl FromRequest for Operator {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let mut operator = || {
            let owner = Owner::from_request(request, payload).into_inner()?;
            let words = Query::<Words>::from_query(request.query_string());
            let words = words.map_err(ErrorBadRequest)?.into_inner();
            if !(is_plain(&words.reason) && is_plain(&words.by)) {
                let wrong = format!("a reason is one line of at most {MAX_REASON} characters");
                return Err(ErrorBadRequest(wrong));
            }
            let log = request.app_data::<Data<AuditLog>>().cloned();
            let log = log.ok_or_else(|| ErrorInternalServerError("nothing is written down"))?;
            Ok(Self { giver: Giver::Owner(owner), log, words })
        };
        ready(operator())
    }
}

impl Operator {
    /// Somebody who was let in otherwise than by [`Owner`].
    pub(super) fn new(giver: Giver, log: Data<AuditLog>) -> Self {
        Self { giver, log, words: Words::default() }
    }

    /// Writes an order down, carries it out, and writes down what came of it.
    pub(super) async fn carry_out<T>(
        self,
        ordered: Ordered,
        work: impl Future<Output = Result<T, HttpError>>,
    ) -> Result<T, HttpError> {
        let audited = self.begin(ordered).await?;
        let done = work.await;
        match &done {
            Ok(_) => audited.done().await,
            Err(error) => audited.refused(&error.to_string()).await,
        }
        done
    }

    /// The operator in a word or two.
    pub(super) async fn name(&self) -> Result<String, HttpError> {
        let giver = self.giver;
        spawn_blocking(move || giver.who().name()).await.map_err(|error| internal(&error))
    }

    /// Writes an order down; nothing is done that cannot be.
    pub(super) async fn begin(self, ordered: Ordered) -> Result<Audited, HttpError> {
        let Self { giver, log, words } = self;
        let Ordered { command, what, reason, by } = ordered;
        let reason = if reason.is_empty() { words.reason } else { reason };
        let by = if by.is_empty() { words.by } else { by };
        let (file, asked) = (log.clone(), command.clone());
        let begun = spawn_blocking(move || {
            let mut who = giver.who();
            who.says = (!by.is_empty()).then_some(by);
            let name = who.name();
            let order = file.begin(&Asked { who, command: asked, what, reason })?;
            Ok((order, name))
        });
        let begun = begun.await.map_err(|error| internal(&error))?;
        let (order, who) = begun.map_err(|error: crate::state::audit::NotAudited| {
            HttpError::new(StatusCode::INSUFFICIENT_STORAGE, error)
        })?;
        let end = ended(order, AuditResult::BrokenOff);
        Ok(Audited { log, end, who, command, has_ended: false })
    }
}

impl Ordered {
    /// An order and what it is about.
    pub(super) fn new(command: impl Into<String>, what: &impl Serialize) -> Self {
        let what = serde_json::to_value(what).unwrap_or_default();
        Self { command: command.into(), what, reason: String::new(), by: String::new() }
    }

    /// With the operator and the reason that stand in the order itself.
    pub(super) fn with(self, by: &str, reason: &str) -> Self {
        Self { reason: reason.to_owned(), by: by.to_owned(), ..self }
    }

    /// An order about entries of the queue; the first ids stand for all.
    pub(super) fn of_queue(order: &QueueOrder) -> Self {
        let ids = order.ids.len();
        let mut shown = order.clone();
        shown.ids.truncate(IDS_SHOWN);
        let (by, reason) = (mem::take(&mut shown.by), mem::take(&mut shown.reason));
        let mut ordered = Self::new(format!("queue {}", order.kind.name()), &shown);
        if let Value::Object(what) = &mut ordered.what {
            for said_already in ["action", "by", "dry_run"] {
                what.remove(said_already);
            }
            if ids == 0 {
                what.remove("ids");
            } else {
                what.insert("named".to_owned(), ids.into());
                what.remove("filter");
            }
        }
        Self { reason, by, ..ordered }
    }

    /// A host that is suspended.
    pub(super) fn of_suspension(order: &HostSuspend) -> Self {
        let HostSuspend { host, channel, seconds, reason, by } = order;
        let what = json!({ "host": host, "channel": channel, "seconds": seconds });
        Self::new("host suspend", &what).with(by, reason)
    }

    /// A channel that is stopped, or started.
    pub(super) fn of_channel(name: &str, stop: bool) -> Self {
        let command = if stop { "channel stop" } else { "channel start" };
        Self::new(command, &json!({ "channel": name }))
    }

    /// The end of a standing order.
    pub(super) fn of_removal(id: u64, release: bool) -> Self {
        Self::new("order remove", &json!({ "id": id, "release": release }))
    }

    /// A new standing order.
    pub(super) fn of_new(new: &NewOrder) -> Self {
        let mut ordered = Self::new(format!("order add {}", new.kind.name()), new);
        if let Value::Object(what) = &mut ordered.what {
            for said_already in ["kind", "by", "reason", "dry_run"] {
                what.remove(said_already);
            }
        }
        ordered.with(&new.by, &new.reason)
    }

    /// An order that changes a mailbox; nothing of questions.
    pub fn of_mailbox(order: &MailboxOrder) -> Option<Self> {
        let name = match order.kind {
            // To mend is no decision of an operator's, and may be said of all mailboxes one by one.
            MailboxOrderKind::Quota | MailboxOrderKind::Check | MailboxOrderKind::Repair => {
                return None;
            }
            MailboxOrderKind::Create => "create",
            MailboxOrderKind::Rename => "rename",
            MailboxOrderKind::Delete => "delete",
        };
        let mut what = json!({ "mailbox": order.mailbox });
        if let Some(to) = &order.to {
            what["to"] = to.as_str().into();
        }
        Some(Self::new(format!("mailbox {name}"), &what).with(&order.by, ""))
    }
}

impl Audited {
    /// So much has come of it.
    pub(super) fn so_far(&mut self, touched: u64, recipients: u64) {
        (self.end.touched, self.end.recipients) = (Some(touched), Some(recipients));
    }

    /// It has been carried out.
    pub(super) async fn done(self) {
        self.ended(AuditResult::Done, "").await;
    }

    /// It has not, or not to its end.
    pub(super) async fn refused(self, why: &str) {
        self.ended(AuditResult::Refused, why).await;
    }

    async fn ended(mut self, result: AuditResult, text: &str) {
        self.end.result = result;
        self.end.text = text.chars().take(LONGEST_TEXT).collect();
        self.has_ended = true;
        self.tell();
        let (log, end) = (self.log.clone(), at_now(&self.end));
        // A disk that fails is told of in the log.
        let _ = spawn_blocking(move || log.end(&end)).await;
    }

    fn tell(&self) {
        let Self { who, command, end, .. } = self;
        let AuditEnd { order, result, touched, .. } = end;
        let (result, why) = (result.name(), Printable(&end.text));
        info!(order, who = %Printable(who), command, result, touched, %why, "an order of an operator");
    }
}

impl Drop for Audited {
    fn drop(&mut self) {
        if !self.has_ended {
            self.tell();
            // Rare, and on the thread of the endpoint, where no mail waits.
            self.log.end(&at_now(&self.end));
        }
    }
}

fn at_now(end: &AuditEnd) -> AuditEnd {
    AuditEnd { at: relais_actors::timestamp::Timestamp::now(), ..end.clone() }
}

fn internal(error: &dyn std::fmt::Display) -> HttpError {
    HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, error)
}

/// Ids of an order that are written down.
const IDS_SHOWN: usize = 20;
/// Characters of a refusal.
const LONGEST_TEXT: usize = 1_000;
