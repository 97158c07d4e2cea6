//! Programs of this machine: the accounts that they run as, looked up before any mail is for them.

use std::{
    collections::HashMap,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::unistd::{Gid, Uid, User};
use relais_channels::{
    mail::{Address, Attempt, Content, Enhanced, Envelope, Outcome, Recipient, Reply},
    program::{Piped, RunAs, Runner},
};
use relais_config::{Config, ListedProgram, channel::Program};
use relais_storage::open_recipients;

use super::conversion::LateRuns;
use crate::accounts;

/// Programs by label, in lower case.
#[derive(Debug, Default)]
pub struct Programs {
    runners: HashMap<String, Runner>,
    /// Between user and subaddress.
    delimiter: String,
    work: PathBuf,
    late_runs: LateRuns,
}

/// Why a program cannot be run as it is listed.
#[derive(Debug, thiserror::Error)]
#[error("programs[{program:?}].{field}: {why}")]
pub struct ProgramError {
    /// Its label.
    pub program: String,
    /// The setting.
    pub field: &'static str,
    /// The mistake.
    pub why: AccountProblem,
}

/// Why an account is not one to run a program as.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AccountProblem {
    /// There is none of this name.
    #[error("this machine has no {0}")]
    Unknown(String),
    /// The system does not say.
    #[error("the accounts of this machine cannot be asked: {0}")]
    Unanswered(nix::Error),
    /// The engine is root.
    #[error("the engine runs as root, and no program does: an account must be named")]
    Missing,
    /// It is root's.
    #[error("no program runs as root")]
    Root,
    /// The engine is not root.
    #[error("the engine runs as {0}, and cannot run a program as anybody else")]
    NotRoot(String),
}

impl Programs {
    /// Looks up the accounts of all that are listed.
    pub fn open(config: &Config) -> Result<Self, ProgramError> {
        let own = (Uid::effective(), Gid::effective());
        let runner = |program: &ListedProgram| {
            let run_as = account_of(program, own).map_err(|(field, why)| ProgramError {
                program: program.name.clone(),
                field,
                why,
            })?;
            let directory = config.path(&program.directory);
            let program = ListedProgram { directory, ..program.clone() };
            Ok((program.name.to_ascii_lowercase(), Runner { program, run_as }))
        };
        let local = config.channels.iter().find(|channel| channel.program == Program::Local);
        let delimiter = local.map_or("+", |channel| &channel.recipient_delimiter).to_owned();
        Ok(Self {
            runners: config.programs.iter().map(runner).collect::<Result<_, _>>()?,
            delimiter,
            work: config.data.join(WORK),
            late_runs: LateRuns::default(),
        })
    }

    /// Removes what conversions of the engine before this one have left behind.
    pub fn tidy(&self) -> std::io::Result<()> {
        match std::fs::remove_dir_all(&self.work) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The folder in which parts of mail lie while they are converted.
    pub(super) fn work_folder(&self) -> &std::path::Path {
        &self.work
    }

    /// Runs of those that convert parts, as far as they took too long.
    pub(super) fn late_runs(&self) -> &LateRuns {
        &self.late_runs
    }

    /// The program of this label, in any case.
    pub(super) fn runner(&self, label: &str) -> Option<&Runner> {
        self.runners.get(&label.to_ascii_lowercase())
    }

    /// The account of the engine itself, if that is whom programs run as.
    pub fn own_account(&self) -> Option<&str> {
        let mut all = self.runners.values();
        all.find(|runner| runner.run_as.ids.is_none()).map(|runner| &*runner.run_as.name)
    }

    /// Runs the program of this label for the recipients `open`, a bit each, of an entry.
    pub(super) async fn run(
        &self,
        label: &str,
        (envelope, entry, open): (&Envelope, u16, u64),
        content: &Content,
    ) -> Attempt {
        let entry = envelope.entries.get(usize::from(entry));
        let Some((runner, entry)) = self.runners.get(label).zip(entry) else {
            let outcomes = open_recipients(open).map(|_| Outcome::Deferred(NOT_LISTED)).collect();
            return Attempt { outcomes, trouble: None, peer: None };
        };
        let mut whole = Attempt { outcomes: [].into_iter().collect(), trouble: None, peer: None };
        for index in open_recipients(open) {
            let Some(recipient) = entry.recipients.get(usize::from(index)) else { continue };
            if let Some(trouble) = &whole.trouble {
                whole.outcomes.push(trouble.outcome.clone());
                continue;
            }
            let told = Addressee::of(recipient, label, &self.delimiter);
            let date =
                if runner.program.from_line { asctime(envelope.received) } else { String::new() };
            let piped = Piped {
                user: &told.user,
                subaddress: &told.subaddress,
                address: recipient.member(),
                original: &recipient.original,
                sender: envelope.sender_of(recipient),
                id: envelope.id,
                date: &date,
            };
            let attempt = runner.deliver(&piped, content).await;
            whole.outcomes.extend(attempt.outcomes);
            whole.trouble = attempt.trouble;
        }
        whole
    }
}

/// The user that a program is told of.
#[derive(Debug, Eq, PartialEq)]
struct Addressee {
    user: String,
    subaddress: String,
}

impl Addressee {
    /// `user+detail%label@tag`; a transport leads to a program under the recipient's own address.
    fn of(recipient: &Recipient, label: &str, delimiter: &str) -> Self {
        let local = |address: &str| {
            Address::parse(address).map_or_else(|_| address.to_owned(), |its| its.unquoted_local())
        };
        let presented = local(&recipient.address);
        let user = match presented.rsplit_once('%') {
            Some((user, its)) if its.eq_ignore_ascii_case(label) => user,
            _ => &presented,
        };
        let split = |local: &str| -> Option<(String, String)> {
            let at = local.find(delimiter).filter(|at| *at > 0 && !delimiter.is_empty())?;
            Some((local[..at].to_owned(), local[at + delimiter.len()..].to_owned()))
        };
        let (user, subaddress) = split(user).unwrap_or_else(|| {
            let written = split(&local(recipient.member()));
            (user.to_owned(), written.map_or_else(String::new, |(_, subaddress)| subaddress))
        });
        Self { user, subaddress }
    }
}

/// The account that a program runs as; the error comes with the setting that is wrong.
fn account_of(
    program: &ListedProgram,
    (own, own_group): (Uid, Gid),
) -> Result<RunAs, (&'static str, AccountProblem)> {
    let user = match &program.user {
        Some(name) => Some(user(name).map_err(|why| ("user", why))?),
        None if own.is_root() => return Err(("user", AccountProblem::Missing)),
        None => User::from_uid(own).ok().flatten(),
    };
    let group = program.group.as_deref().map(group).transpose().map_err(|why| ("group", why))?;
    let (name, home, id, its_group) = match user {
        Some(user) => (user.name, user.dir, user.uid, user.gid),
        None => (own.to_string(), PathBuf::from("/"), own, own_group),
    };
    let wanted = group.unwrap_or(its_group);
    if id.is_root() {
        return Err(("user", AccountProblem::Root));
    }
    if own.is_root() && wanted.as_raw() == 0 {
        return Err(("group", AccountProblem::Root));
    }
    if !own.is_root() && id != own {
        return Err(("user", AccountProblem::NotRoot(own_name(own))));
    }
    if !own.is_root() && group.is_some_and(|group| group != own_group) {
        return Err(("group", AccountProblem::NotRoot(own_name(own))));
    }
    let ids = own.is_root().then(|| (id.as_raw(), wanted.as_raw()));
    Ok(RunAs { ids, name, home })
}

fn user(name: &str) -> Result<User, AccountProblem> {
    let unknown = || AccountProblem::Unknown(format!("user {name}"));
    accounts::user(name).map_err(AccountProblem::Unanswered)?.ok_or_else(unknown)
}

fn group(name: &str) -> Result<Gid, AccountProblem> {
    let found = accounts::group_id(name).map_err(AccountProblem::Unanswered)?.map(Gid::from_raw);
    found.ok_or_else(|| AccountProblem::Unknown(format!("group {name}")))
}

fn own_name(own: Uid) -> String {
    User::from_uid(own).ok().flatten().map_or_else(|| own.to_string(), |user| user.name)
}

/// `Sun Nov 29 20:54:45 2026`, UTC.
fn asctime(received: u64) -> String {
    let time: SystemTime = UNIX_EPOCH + Duration::from_millis(received);
    let date = httpdate::fmt_http_date(time);
    let words: Vec<&str> = date.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    match words[..] {
        [day, date, month, year, time, _] => {
            format!("{day} {month} {:>2} {time} {year}", date.trim_start_matches('0'))
        }
        _ => date,
    }
}

/// Below the data directory.
const WORK: &str = "conversion";
const NOT_LISTED: Reply =
    Reply::new(451, Enhanced(4, 3, 5), "the configuration lists no such program any more");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_runs_as_root_or_as_somebody_else() {
        let listed = |user: Option<&str>, group: Option<&str>| {
            let text = "(host: \"a.example\", data: \"/d\", default_domain: \"a.example\", \
                        dispatcher: (services: {}), \
                        channels: [(name: \"l\", tag: \"l\", program: Local)], \
                        programs: {\"x\": (command: [\"/x\"])})";
            let mut program = Config::parse("f", text).unwrap().0.programs.remove(0);
            (program.user, program.group) = (user.map(str::to_owned), group.map(str::to_owned));
            program
        };
        let (root, none) = ((Uid::from_raw(0), Gid::from_raw(0)), None);
        let daemon = user("daemon").unwrap();
        let (id, its) = (daemon.uid.as_raw(), daemon.gid.as_raw());
        let plain = (daemon.uid, daemon.gid);
        let number = id.to_string();
        let (missing, is_root) = (AccountProblem::Missing, AccountProblem::Root);
        let other = || AccountProblem::NotRoot("daemon".to_owned());
        let unknown = |what: &str| AccountProblem::Unknown(what.to_owned());
        let rows = [
            ("root names nobody", none, none, root, Err(("user", missing))),
            ("root names root", Some("root"), none, root, Err(("user", is_root.clone()))),
            ("by number", Some("0"), none, root, Err(("user", is_root.clone()))),
            ("root's group", Some("daemon"), Some("root"), root, Err(("group", is_root))),
            ("an account", Some("daemon"), none, root, Ok(Some((id, its)))),
            ("its number", Some(&*number), none, root, Ok(Some((id, its)))),
            ("a group by number", Some("daemon"), Some("12345"), root, Ok(Some((id, 12_345)))),
            (
                "no account",
                Some("nobody-here"),
                none,
                root,
                Err(("user", unknown("user nobody-here"))),
            ),
            (
                "no group",
                Some("daemon"),
                Some("nix-da"),
                root,
                Err(("group", unknown("group nix-da"))),
            ),
            ("one's own", none, none, plain, Ok(None)),
            ("one's own, named", Some("daemon"), none, plain, Ok(None)),
            ("another", Some("bin"), none, plain, Err(("user", other()))),
            ("another group", none, Some("12345"), plain, Err(("group", other()))),
        ];
        for (name, user, group, own, want) in rows {
            let got = account_of(&listed(user, group), own).map(|run_as| run_as.ids);
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn a_program_is_told_of_the_user() {
        let rows = [
            ("jdoe%procmail@pipe-daemon", "j.doe@x", "jdoe", ""),
            ("jdoe%procmail@pipe-daemon", "j.doe+work@x", "jdoe", "work"),
            ("jdoe+work%Procmail@pipe-daemon", "j.doe@x", "jdoe", "work"),
            ("\"a b%procmail\"@pipe-daemon", "\"a b\"@x", "a b", ""),
            ("a%b%procmail@pipe-daemon", "a%b@x", "a%b", ""),
            ("list+sub@lists.example", "list+sub@lists.example", "list", "sub"),
            ("+x%procmail@p", "+x@x", "+x", ""),
        ];
        for (address, original, user, subaddress) in rows {
            let told = Addressee::of(&Recipient::new(address, original), "procmail", "+");
            assert_eq!((&*told.user, &*told.subaddress), (user, subaddress), "{address}");
        }
    }

    #[test]
    fn dates_are_those_of_mail_folders() {
        assert_eq!(asctime(1_795_305_600_000), "Sun Nov 22 00:00:00 2026");
        assert_eq!(asctime(951_782_400_999), "Tue Feb 29 00:00:00 2000");
        assert_eq!(asctime(0), "Thu Jan  1 00:00:00 1970");
    }
}
