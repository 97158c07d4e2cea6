//! How an address found its way, told step by step: `relais route`.
//!
//! Steps are only made when somebody asks for them.

use std::fmt;

use relais_channels::mail::Reply;
use serde::Serialize;

use crate::directory::{Entry, EntryError, ListHeaders, SearchLog, Searched};

/// One step of routing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Rewriting begins, or goes on with what a rule left.
    Rewriting {
        /// The address.
        address: String,
        /// `envelope` or `header`.
        kind: &'static str,
    },
    /// The address had no domain.
    Completed {
        /// The address with its domain.
        address: String,
    },
    /// The next host of the address.
    Host {
        /// The host.
        host: String,
        /// Where it stood.
        found: &'static str,
    },
    /// The patterns that were looked for among the rules.
    Probes {
        /// In the order of the probes, up to that of the rule that applied.
        patterns: Vec<String>,
    },
    /// Values that a rule was tried with: sequences, conditions, look-ups.
    Substituted {
        /// Each of them.
        values: Vec<Substitution>,
    },
    /// A rule's pattern matched, and the rule applied.
    Applied {
        /// Its line in the file.
        line: Option<usize>,
        /// Its pattern.
        pattern: String,
        /// Its template.
        template: String,
        /// The address now.
        address: String,
    },
    /// A rule's pattern matched, but the rule did not apply.
    Failed {
        /// Its line in the file.
        line: Option<usize>,
        /// Its pattern.
        pattern: String,
        /// Its template.
        template: String,
        /// Why not.
        reason: String,
    },
    /// No rule applied: the host is its own tag.
    NoRule {
        /// The host.
        host: String,
    },
    /// The sender was rewritten.
    Sender {
        /// The sender from here on.
        address: String,
    },
    /// Address reversal.
    Reversed {
        /// The source of the address: `REVERSE`, the database, or the directory.
        by: &'static str,
        /// The address that others see.
        address: String,
    },
    /// The treatment of headers of mail for these channels.
    Headers {
        /// The channels.
        channels: Vec<String>,
        /// The rules are applied to addresses.
        rules: bool,
        /// Addresses are reversed.
        reverse: bool,
        /// Headers of messages within are treated, too.
        inner: bool,
        /// Signed mail is no exception.
        signed_too: bool,
    },
    /// The channel that a tag stands for.
    Channel {
        /// The tag.
        tag: String,
        /// The channel's name.
        channel: Option<String>,
    },
    /// A server of the directory was asked.
    Search {
        /// The server, as in the configuration.
        server: String,
        /// Base, scope and filter.
        search: String,
        /// How many entries it found.
        found: Option<usize>,
        /// Why it did not answer.
        failure: Option<String>,
        /// Until its answer was there.
        milliseconds: u64,
    },
    /// The directory could not be asked, or its answer makes no sense.
    NoAnswer {
        /// Why not.
        reason: String,
    },
    /// An automatic reply may be sent.
    Answers {
        /// The way to it.
        address: String,
    },
    /// The mistake of our own behind a reply that does not tell of it.
    Reason {
        /// Which.
        reason: String,
    },
    /// The directory was asked for a domain.
    Domain {
        /// The domain.
        domain: String,
        /// Its canonical name, when it is ours.
        found: Option<String>,
    },
    /// The directory was asked for an address.
    Entries {
        /// The address.
        address: String,
        /// The names of what was found.
        found: Vec<String>,
    },
    /// An alias was replaced.
    Alias {
        /// Where from: `aliases`, `mailDomainCatchallAddress`, ...
        source: &'static str,
        /// The targets of the alias.
        targets: Vec<String>,
    },
    /// A list with parameters was found.
    Parameters {
        /// Its name.
        alias: String,
        /// Each of them, as it was written.
        parameters: Vec<String>,
    },
    /// Copies for the members of a list have this sender.
    ListSender {
        /// The address; `+*` stands for a member's.
        address: String,
    },
    /// A delivery option was applied.
    Option {
        /// The option.
        option: String,
        /// Where it leads.
        targets: Vec<String>,
        /// Why it leads nowhere.
        failure: Option<String>,
    },
    /// An entry that cannot be used.
    Unusable {
        /// Its name.
        dn: String,
        /// Why not.
        reason: String,
    },
    /// A list was asked whether somebody may post.
    Posting {
        /// The name of its entry.
        list: String,
        /// The address that was asked about; empty for the null sender, and for nobody.
        author: String,
        /// Where the post goes, and why.
        verdict: String,
    },
    /// A search of a list.
    Found {
        /// The search.
        search: String,
        /// How many addresses it found.
        addresses: usize,
    },
    /// The address is looked up later, by a channel of its own.
    Later {
        /// The address.
        address: String,
        /// The channel.
        channel: String,
    },
    /// A value in the directory makes no sense, and does not count.
    Ignored {
        /// Its attribute.
        attribute: &'static str,
        /// The beginning of it.
        value: String,
        /// The values that do.
        wanted: &'static str,
    },
    /// The quota of a user, which the store is told.
    Quota {
        /// Octets; -1: unlimited, -2: the store's default.
        size: i64,
        /// Messages; the same.
        messages: i64,
    },
    /// Sieve scripts of a user, which are carried out when the message is there.
    Scripts {
        /// Scripts of the directory.
        count: usize,
        /// The place of one more, whether it is there or not.
        file: Option<String>,
    },
    /// Changes to a list's mail.
    ListHeaders {
        /// Lines that are put in front.
        added: Vec<String>,
        /// Names of fields that are taken away.
        removed: Vec<String>,
        /// Lines in front of the first text.
        prefix: String,
        /// Lines behind it.
        suffix: String,
        /// The field with the password is taken away.
        hides_password: bool,
    },
    /// The octets that a message may have.
    SizeLimit {
        /// Their number.
        octets: u64,
    },
    /// The program that the mail is handed to.
    Program {
        /// Its label.
        program: String,
        /// Itself and its arguments, as listed.
        command: Vec<String>,
    },
    /// The UNIX mailbox or file that the mail is appended to.
    File {
        /// Its path.
        path: String,
        /// The account whose mailbox or file it is; empty where it is the operator's.
        account: String,
    },
    /// The address was seen before and is not looked at again.
    Seen {
        /// The address.
        address: String,
    },
    /// The address to connect to, after the second rewriting.
    Connect {
        /// The address.
        address: String,
        /// The host.
        host: String,
    },
    /// The end of one way.
    Routed {
        /// The channel.
        channel: String,
        /// The destination.
        host: String,
        /// The address as it is presented there.
        address: String,
    },
    /// The recipient is none of ours.
    Relaying {
        /// Why it is not.
        reason: &'static str,
    },
    /// Access was asked for.
    Access {
        /// The table.
        table: &'static str,
        /// The probe of the table.
        probe: String,
        /// The entry that decides, counted from 0.
        entry: Option<usize>,
        /// The table's verdict.
        verdict: String,
        /// It refuses.
        is_refusal: bool,
    },
    /// The end of a way that leads nowhere.
    Refused {
        /// The address.
        address: String,
        /// The reply that the client reads.
        reply: Reply,
    },
}

/// A sequence of a template, and what stands in its place.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Substitution {
    /// As in the template.
    pub sequence: String,
    /// The text; of a condition what was found.
    pub value: String,
}

/// Where steps go, if anywhere.
#[derive(Debug, Default)]
pub(super) struct Trace {
    steps: Option<Vec<Step>>,
    /// Searches of look-ups come before the step that goes by them.
    searches: Option<SearchLog>,
}

impl Trace {
    pub(super) fn new(on: bool, searches: Option<SearchLog>) -> Self {
        Self { steps: on.then(Vec::new), searches: searches.filter(|_| on) }
    }

    pub(super) fn is_on(&self) -> bool {
        self.steps.is_some()
    }

    pub(super) fn note(&mut self, step: impl FnOnce() -> Step) {
        self.note_searches();
        if let Some(steps) = &mut self.steps {
            steps.push(step());
        }
    }

    /// How many steps were noted.
    pub(super) fn len(&self) -> usize {
        self.steps.as_ref().map_or(0, Vec::len)
    }

    /// Notes a step in front of those that were noted since there were so many.
    pub(super) fn note_before(&mut self, len: usize, step: impl FnOnce() -> Step) {
        if let Some(steps) = &mut self.steps {
            steps.insert(len.min(steps.len()), step());
        }
    }

    /// Adds the steps of another.
    pub(super) fn take_over(&mut self, other: Self) {
        self.note_searches();
        if let (Some(steps), Some(others)) = (&mut self.steps, other.steps) {
            steps.extend(others);
        }
    }

    pub(super) fn into_steps(mut self) -> Vec<Step> {
        self.note_searches();
        self.steps.unwrap_or_default()
    }

    fn note_searches(&mut self) {
        if let (Some(steps), Some(searches)) = (&mut self.steps, &self.searches) {
            steps.extend(searches.take().into_iter().map(Step::from));
        }
    }
}

impl Step {
    /// Writes a step that is about an entry of the directory.
    fn write_of_entry(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain { domain, found: Some(name) } => {
                write!(f, "  directory: domain {domain}: ours, {name}")
            }
            Self::Domain { domain, found: None } => {
                write!(f, "  directory: domain {domain}: not ours")
            }
            Self::Entries { address, found } if found.is_empty() => {
                write!(f, "  directory: {address}: nothing")
            }
            Self::Entries { address, found } => {
                write!(f, "  directory: {address}: {}", found.join("; "))
            }
            Self::Option { option, failure: Some(failure), .. } => {
                write!(f, "  option {option}: nothing: {failure}")
            }
            Self::Option { option, targets, failure: None } => {
                write!(f, "  option {option}: {}", targets.join(", "))
            }
            Self::Ignored { attribute, value, wanted } => {
                write!(f, "  {attribute} {value:?} is ignored: {wanted} is expected")
            }
            Self::Quota { size, messages } => {
                write!(f, "  quota {size},{messages} (octets, messages) goes to the store")
            }
            Self::Scripts { count, file } => {
                let own = if *count == 1 { "Sieve script" } else { "Sieve scripts" };
                let own = format!("{count} {own} (mailSieveRuleSource)");
                let file =
                    file.as_ref().map(|file| format!("the Sieve script {file} if it is there"));
                let all: Vec<_> = (*count > 0).then_some(own).into_iter().chain(file).collect();
                let all = all.join(", then ");
                write!(f, "  where each message goes is for {all} to say (--message FILE shows it)")
            }
            Self::ListHeaders { added, removed, prefix, suffix, hides_password } => {
                let password = hides_password.then(|| "- Approved".to_owned());
                let added = added.iter().map(|line| format!("+ {line}"));
                let removed = removed.iter().map(|name| format!("- {name}"));
                let text = [("before", prefix), ("behind", suffix)].into_iter();
                let text = text.filter(|(_, text)| !text.is_empty());
                let text =
                    text.map(|(place, text)| format!("{place} the text {:?}", text.trim_end()));
                let all: Vec<_> = added.chain(removed).chain(password).chain(text).collect();
                write!(f, "  the list's mail: {}", all.join(", "))
            }
            Self::Parameters { alias, parameters } => {
                write!(f, "  aliases: {alias} is a list with {}", parameters.join(", "))
            }
            Self::ListSender { address } => {
                write!(f, "  the sender of copies is {address}, who hears of failures")
            }
            Self::SizeLimit { octets } => write!(f, "  a message may have {octets} octets"),
            Self::Unusable { dn, reason } => write!(f, "  {dn}: takes no mail: {reason}"),
            Self::Posting { list, author, verdict } => write!(f, "  {list}: <{author}> {verdict}"),
            Self::Found { search, addresses } => {
                write!(f, "  members by {search}: {addresses} addresses")
            }
            Self::Later { address, channel } => {
                write!(f, "  {address} is looked up later, by channel {channel}")
            }
            _ => Ok(()),
        }
    }

    /// Of the changes to a list's mail.
    pub(super) fn of_headers(headers: &ListHeaders) -> Self {
        let ListHeaders {
            added, removed, replaced, completed, prefix, suffix, hides_password, ..
        } = headers;
        let plain = added.iter().map(ToString::to_string);
        let replaced = replaced.iter().map(|line| format!("{line} (in place of its own)"));
        let completed = completed.iter().map(|line| format!("{line} (unless it has one)"));
        Self::ListHeaders {
            added: plain.chain(replaced).chain(completed).collect(),
            removed: removed.iter().map(ToString::to_string).collect(),
            prefix: prefix.to_string(),
            suffix: suffix.to_string(),
            hides_password: *hides_password,
        }
    }

    /// Of an entry that an error is about.
    pub(super) fn unusable(entry: &Entry, error: &EntryError) -> Self {
        Self::Unusable { dn: entry.dn.clone(), reason: error.to_string() }
    }
}

impl From<Searched> for Step {
    fn from(Searched { server, search, outcome, took }: Searched) -> Self {
        let (found, failure) = match outcome {
            Ok(found) => (Some(found), None),
            Err(failure) => (None, Some(failure)),
        };
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self::Search { server, search, found, failure, milliseconds }
    }
}

/// The outcome of a search in words.
fn outcome(found: Option<usize>, failure: Option<&str>) -> String {
    match (found, failure) {
        (_, Some(failure)) => failure.to_owned(),
        (Some(1), None) => "1 entry".to_owned(),
        (found, None) => format!("{} entries", found.unwrap_or_default()),
    }
}

/// A line of the file, where it is known.
struct In(Option<usize>);

impl fmt::Display for In {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, " (line {line})"))
    }
}

/// The treatment of headers in words: rules, reversal, messages within, signed mail.
fn treatment([rules, reverse, inner, signed_too]: [bool; 4]) -> String {
    let done = match (rules, reverse) {
        (true, true) => "rewritten by the rules and reversed",
        (true, false) => "rewritten by the rules",
        (false, true) => "reversed",
        (false, false) => "left as they are",
    };
    let inner = if inner { ", in messages within, too" } else { "" };
    let is_left = (rules || reverse) && !signed_too;
    let signed = if is_left { "; those of signed mail are left alone" } else { "" };
    format!("{done}{inner}{signed}")
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rewriting { address, kind } => write!(f, "rewrite {address} ({kind})"),
            Self::Completed { address } => write!(f, "complete it to {address}"),
            Self::Host { host, found } => write!(f, "  host {host} ({found})"),
            Self::Probes { patterns } => write!(f, "  probes {}", patterns.join(", ")),
            Self::Substituted { values } => {
                let one = |Substitution { sequence, value }: &Substitution| match value.as_str() {
                    "" => format!("{sequence} = \"\""),
                    value => format!("{sequence} = {value}"),
                };
                write!(f, "    {}", values.iter().map(one).collect::<Vec<_>>().join(", "))
            }
            Self::Applied { line, pattern, template, address } => {
                write!(f, "  rule {pattern} {template}{}: {address}", In(*line))
            }
            Self::Failed { line, pattern, template, reason } => {
                write!(f, "  rule {pattern} {template}{}: does not apply: {reason}", In(*line))
            }
            Self::NoRule { host } => write!(f, "  no rule: {host} stands for itself"),
            Self::Sender { address } => write!(f, "  the sender is {address}"),
            Self::Reversed { by, address } => write!(f, "  reversed by {by}: {address}"),
            Self::Headers { channels, rules, reverse, inner, signed_too } => {
                let treated = treatment([*rules, *reverse, *inner, *signed_too]);
                write!(f, "  headers of mail for {}: addresses are {treated}", channels.join(", "))
            }
            Self::Channel { tag, channel: Some(name) } => write!(f, "  tag {tag}: channel {name}"),
            Self::Channel { tag, channel: None } => write!(f, "  tag {tag}: no channel"),
            Self::Search { server, search, found, failure, milliseconds } => {
                let outcome = outcome(*found, failure.as_deref());
                write!(f, "  {server} {search}: {outcome}, {milliseconds} ms")
            }
            Self::Answers { address } => write!(
                f,
                "  {address}: an automatic reply, once to a sender for a while, to mail whose To or Cc \
                 names the user, and not to mail of lists, aliases and programs (the log says why not)"
            ),
            Self::Reason { reason } => write!(f, "  {reason}"),
            Self::NoAnswer { reason } => write!(f, "  directory: no answer: {reason}"),
            Self::Alias { source, targets } => write!(f, "  {source}: {}", targets.join(", ")),
            Self::Program { program, command } => {
                write!(f, "  program {program}: {}", command.join(" "))
            }
            Self::File { path, account } if account.is_empty() => write!(f, "  file {path}"),
            Self::File { path, account } => write!(f, "  file {path} of {account}"),
            Self::Seen { address } => write!(f, "{address} was looked at before"),
            Self::Connect { address, host } => write!(f, "  connect by {address}: {host}"),
            Self::Routed { channel, host, address } => {
                write!(f, "=> {address} by {channel} to {host}")
            }
            Self::Relaying { reason } => write!(
                f,
                "  relaying: {reason}; who logs in or is known to INTERNAL_IP may send there"
            ),
            Self::Access { table, probe, verdict, .. } => write!(f, "  {table} {probe}: {verdict}"),
            Self::Refused { address, reply } => write!(f, "=> {address} refused: {reply}"),
            Self::Domain { .. }
            | Self::Entries { .. }
            | Self::Option { .. }
            | Self::Parameters { .. }
            | Self::ListSender { .. }
            | Self::Ignored { .. }
            | Self::Quota { .. }
            | Self::Scripts { .. }
            | Self::SizeLimit { .. }
            | Self::ListHeaders { .. }
            | Self::Unusable { .. }
            | Self::Posting { .. }
            | Self::Found { .. }
            | Self::Later { .. } => self.write_of_entry(f),
        }
    }
}
