//! `relais mailbox ...`: by the running engine, or on the files of the store.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use rustix::process::getuid;

use super::{
    arguments::{Because, MailboxCommand, MailboxHow, OneMailbox},
    exchange::{engine, json, note, operator, tell_missing, wait},
    mailbox_files::{MailboxFiles, Router},
    refusal::Refusal,
    source::Source,
};
use crate::{
    admin::{
        Ordered,
        client::{Client, ClientError, with_query},
    },
    api::{
        AuditResult, MailboxAnswer, MailboxFilter, MailboxLine, MailboxListed, MailboxOrder,
        MailboxOrderKind, OrderWay, Status, Who,
    },
    show::{self, Look},
    state::audit::{Asked, AuditLog, ended},
};

/// The keeper of the mailboxes.
enum Keeper {
    Engine(Client),
    Files(Box<MailboxFiles>, AuditLog, Because),
}

/// Does what was asked for.
pub(super) fn mailbox(
    source: &Source,
    command: MailboxCommand,
    router: Router,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    use MailboxOrderKind::{Check, Create, Delete, Quota, Rename, Repair};
    let (kind, which, to) = match command {
        MailboxCommand::List { domain, limit, how } => {
            let mut keeper = Keeper::find(source, &how, router)?;
            return list(&mut keeper, &MailboxFilter { domain, limit }, how.json, out);
        }
        MailboxCommand::Check { mailboxes, all, repair, how } => {
            let kind = if repair { Repair } else { Check };
            if all {
                return check_all(source, kind, &how, router, out);
            }
            let mut keeper = Keeper::find(source, &how, router)?;
            return check(&mut keeper, kind, mailboxes, how.json, out);
        }
        MailboxCommand::Create { which } => (Create, which, None),
        MailboxCommand::Quota { which } => (Quota, which, None),
        MailboxCommand::Rename { which, to } => (Rename, which, Some(to)),
        MailboxCommand::Delete { which, yes } => {
            if !yes {
                confirm(&which.mailbox)?;
            }
            (Delete, which, None)
        }
    };
    let OneMailbox { mailbox, how } = which;
    let mut keeper = Keeper::find(source, &how, router)?;
    let answer = keeper.order(&order(kind, mailbox, to))?;
    tell(kind, &answer, how.json, out)
}

fn order(kind: MailboxOrderKind, mailbox: String, to: Option<String>) -> MailboxOrder {
    MailboxOrder { kind, mailbox, to, by: operator() }
}

fn tell(
    kind: MailboxOrderKind,
    answer: &MailboxAnswer,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    if as_json {
        return Ok(json(answer, out)?);
    }
    Ok(out.write_all(Look::of_stdout().fit(&show::mailbox(kind, answer)).as_bytes())?)
}

/// The operator types the name of the mailbox.
fn confirm(mailbox: &str) -> Result<(), Refusal> {
    if !io::stdin().is_terminal() {
        let why = format!("all mail of {mailbox} would be deleted; say --yes");
        return Err(Refusal::WrongUse(why));
    }
    note(Some(&format!("all mail of {mailbox} will be deleted; type its name to go on")));
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == mailbox {
        Ok(())
    } else {
        Err(Refusal::Because("nothing was deleted".to_owned()))
    }
}

fn list(
    keeper: &mut Keeper,
    filter: &MailboxFilter,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    keeper.list(filter, &mut |listed| {
        if as_json {
            json(&listed, out)?;
        } else {
            writeln!(out, "{}", listed.mailbox)?;
        }
        Ok(())
    })
}

fn check(
    keeper: &mut Keeper,
    kind: MailboxOrderKind,
    mailboxes: impl IntoIterator<Item = String>,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let mut all_well = true;
    for mailbox in mailboxes {
        let answer = keeper.order(&order(kind, mailbox, None))?;
        all_well &= answer.faults() == 0 && answer.more == 0;
        tell(kind, &answer, as_json, out)?;
    }
    if all_well { Ok(()) } else { Err(Refusal::No) }
}

/// A list of any length is read on a thread of its own, as fast as mailboxes are checked; an engine
/// checks several at once.
fn check_all(
    source: &Source,
    kind: MailboxOrderKind,
    how: &MailboxHow,
    router: Router,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let find = move || Keeper::find(source, how, router);
    let workers = match find()? {
        Keeper::Engine(_) => WORKERS,
        Keeper::Files(..) => 1,
    };
    thread::scope(|threads| {
        let (sender, list) = sync_channel(AHEAD);
        let listing = threads.spawn(move || {
            find()?.list(&MailboxFilter::default(), &mut |listed| {
                // An error ended the other side, and is told there.
                let gone = |_| Refusal::Because("the check has ended".to_owned());
                sender.send(listed.mailbox).map_err(gone)
            })
        });
        let list = Arc::new(Mutex::new(list));
        let (answers, answered) = sync_channel(AHEAD);
        for _ in 0..workers {
            let (list, answers) = (list.clone(), answers.clone());
            threads.spawn(move || check_listed(find(), kind, &list, &answers));
        }
        // With the last worker the list ends, too.
        drop((list, answers));
        let (mut all_well, mut checked) = (true, 0u64);
        for answer in answered {
            let answer = match answer {
                // It went since it was listed.
                Err(Refusal::NotFound(_)) => continue,
                answer => answer?,
            };
            checked += 1;
            let is_well = answer.findings.is_empty() && answer.more == 0;
            all_well &= answer.faults() == 0 && answer.more == 0;
            if how.json || !is_well {
                tell(kind, &answer, how.json, out)?;
            }
        }
        let broken = || Err(Refusal::Because("the list broke off".to_owned()));
        listing.join().unwrap_or_else(|_| broken())?;
        note(Some(&format!("{checked} mailboxes were looked at")));
        if all_well { Ok(()) } else { Err(Refusal::No) }
    })
}

/// Checks one mailbox after the other until there are no more.
fn check_listed(
    keeper: Result<Keeper, Refusal>,
    kind: MailboxOrderKind,
    list: &Mutex<Receiver<String>>,
    answers: &SyncSender<Result<MailboxAnswer, Refusal>>,
) {
    let mut keeper = match keeper {
        Ok(keeper) => keeper,
        // Nobody may be listening any more; here and below.
        Err(refusal) => return drop(answers.send(Err(refusal))),
    };
    loop {
        let name = list.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(name) = name else { return };
        if answers.send(keeper.order(&order(kind, name, None))).is_err() {
            return;
        }
    }
}

impl Keeper {
    /// The engine if one runs, unless the files are meant.
    fn find(source: &Source, how: &MailboxHow, router: Router) -> Result<Self, Refusal> {
        if !how.offline {
            let client = engine(source, how.why.reason.as_deref())?;
            match wait(client.get::<Status>("/api/v1/status"))? {
                Ok(_) => return Ok(Self::Engine(client)),
                Err(ClientError::NotRunning { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (config, _) = source.load()?;
        let audit = AuditLog::new(&config.data, &config.admin);
        let files = Box::new(MailboxFiles::new(config, router)?);
        Ok(Self::Files(files, audit, how.why.clone()))
    }

    fn list(
        &mut self,
        filter: &MailboxFilter,
        each: &mut dyn FnMut(MailboxListed) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let client = match self {
            Self::Engine(client) => client,
            Self::Files(files, ..) => return files.list(filter, each),
        };
        let mut missing = None;
        let each = |line: &[u8]| {
            let unusable = |error: serde_json::Error| ClientError::Unusable(error.to_string());
            match serde_json::from_slice(line).map_err(unusable)? {
                MailboxLine::Listed(listed) => each(listed),
                MailboxLine::Missing(its) => {
                    tell_missing(&mut missing, &its);
                    Ok(())
                }
            }
        };
        wait(client.lines(&with_query("/api/v1/mailboxes", filter), each))??;
        missing.map_or(Ok(()), |missing| Err(Refusal::Because(missing)))
    }

    fn order(&mut self, order: &MailboxOrder) -> Result<MailboxAnswer, Refusal> {
        match self {
            Self::Engine(client) => Ok(wait(client.order("/api/v1/mailboxes", order))??),
            Self::Files(files, audit, why) => order_written_down(files, audit, why, order),
        }
    }
}

/// The same on the files: an order that changes something is written down first.
fn order_written_down(
    files: &mut MailboxFiles,
    audit: &AuditLog,
    why: &Because,
    order: &MailboxOrder,
) -> Result<MailboxAnswer, Refusal> {
    let Some(Ordered { command, what, .. }) = Ordered::of_mailbox(order) else {
        return files.order(order);
    };
    let who = Who {
        way: OrderWay::Files,
        uid: Some(getuid().as_raw()),
        pid: i32::try_from(process::id()).ok(),
        says: Some(order.by.clone()).filter(|by| !by.is_empty()),
        ..Who::default()
    };
    let reason = why.reason.clone().unwrap_or_default();
    let begun = audit.begin(&Asked { who, command, what, reason });
    let number = begun.map_err(|error| Refusal::Because(error.to_string()))?;
    let done = files.order(order);
    let result = if done.is_ok() { AuditResult::Done } else { AuditResult::Refused };
    audit.end(&ended(number, result));
    done
}

/// Mailboxes that an engine checks at once.
const WORKERS: usize = 8;
/// Names that wait to be checked.
const AHEAD: usize = 1_000;
