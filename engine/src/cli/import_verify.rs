//! `relais import --verify`: addresses under the configuration that was read and under the new one.

use std::{
    collections::HashMap,
    io::Write,
    path::{Path, PathBuf},
};

use relais_config::{
    Config, ListedProgram, RewriteRule,
    channel::Program,
    rewrite::{Condition, RewriteTemplate, Rewriting},
};
use relais_import::sun::{SunRules, SunVerdict};

use super::{
    asked::{ExplainedMany, Files, StagesExplained},
    postfix_asked::PostfixAsked,
    postfix_probe::PostfixProbe,
    postfix_words::{Ends, LATER, THROWN_AWAY, UNKNOWN, place, to_command, to_file, to_program},
    refusal::{Refusal, complain},
    route::each_listed,
};
use crate::{
    admin::{RouteQuestion, Stage, StageQuestion},
    api::{RouteExplained, RouteResult, StageExplained},
    show::Look,
};

/// The configuration that was read.
pub(super) enum Before {
    /// Its rules.
    Sun(SunRules),
    /// The folder that Postfix's own programs are asked about.
    Postfix(PathBuf),
}

/// An address under both.
struct Compared {
    before: Vec<String>,
    after: String,
    is_same: bool,
}

/// Prints the addresses that go another way; the answer is "no" when there are any.
pub(super) fn verify(
    before: &Before,
    config: &Config,
    list: &Path,
    files: Files,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let mut addresses = Vec::new();
    each_listed(list, |address| {
        addresses.push(address.to_owned());
        Ok(())
    })?;
    let mut both = match before {
        Before::Sun(rules) => Both::Sun(Rewritten::new(rules, config, files)?),
        Before::Postfix(folder) => {
            Both::Postfix(Box::new(Routed::new(folder, config, &addresses, files)?))
        }
    };
    let look = Look::of_stdout();
    let (mut differ, mut unclear) = (0, 0);
    for address in &addresses {
        let compared = match &mut both {
            Both::Sun(rewritten) => rewritten.compare(address)?,
            Both::Postfix(routed) => Some(routed.compare(address)?),
        };
        let Some(Compared { before, after, is_same }) = compared else {
            unclear += 1;
            writeln!(
                out,
                "{}",
                look.fit(&format!("{address}: cannot be told by the rules alone"))
            )?;
            continue;
        };
        if !is_same {
            differ += 1;
            let told =
                format!("{address}\n  before: {}\n  after:  {after}\n", before.join(", or "));
            out.write_all(look.fit(&told).as_bytes())?;
        }
    }
    let probed = match &both {
        Both::Postfix(routed) if !routed.probed.is_empty() => ", sendmail -bv on a copy of it",
        _ => "",
    };
    let sums = format!(
        "{} addresses, {differ} go another way, {unclear} cannot be told; before: {}{probed}; after: the new file\n",
        addresses.len(),
        before.name(),
    );
    out.write_all(look.fit(&sums).as_bytes())?;
    if differ == 0 { Ok(()) } else { Err(Refusal::No) }
}

impl Before {
    fn name(&self) -> &'static str {
        match self {
            Self::Sun(_) => "the rules as they were read",
            Self::Postfix(_) => "postconf and postmap -q on the folder",
        }
    }
}

/// The ends of recipients as Postfix's own daemons say them; none where they cannot be asked.
fn probed(folder: &Path, addresses: &[String], asked: &PostfixAsked) -> HashMap<String, Ends> {
    let probe = PostfixProbe::start(folder).and_then(|probe| probe.ends(addresses, asked));
    probe.unwrap_or_else(|why| {
        complain(&format!("sendmail -bv is not asked, postmap -q is: {why}"));
        HashMap::new()
    })
}

fn in_words(ends: Ends) -> String {
    ends.into_iter().collect::<Vec<_>>().join(", ")
}

/// Whether both are the same but for the case, which Postfix's daemons keep in places.
fn is_alike(a: &Ends, b: &Ends) -> bool {
    let lower = |ends: &Ends| ends.iter().map(|end| end.to_lowercase()).collect::<Ends>();
    lower(a) == lower(b)
}

/// The configuration that was read, and the new one.
enum Both<'a> {
    Sun(Rewritten<'a>),
    Postfix(Box<Routed<'a>>),
}

/// Recipients as the rules of a Sun and the new file rewrite them.
struct Rewritten<'a> {
    rules: &'a SunRules,
    /// The new rules where the directory has every domain that they ask for, and where it has none.
    stages: [(bool, StagesExplained); 2],
    /// Source of the mail of strangers.
    channel: Option<String>,
}

/// Recipients as Postfix and the new file route them.
struct Routed<'a> {
    asked: PostfixAsked,
    /// Ends by `sendmail -bv`.
    probed: HashMap<String, Ends>,
    explained: ExplainedMany,
    config: &'a Config,
}

impl<'a> Routed<'a> {
    fn new(
        folder: &Path,
        config: &'a Config,
        addresses: &[String],
        files: Files,
    ) -> Result<Self, Refusal> {
        let mut asked = PostfixAsked::new(folder, &config.accounts).map_err(Refusal::Because)?;
        asked.prepare(addresses).map_err(Refusal::Because)?;
        let probed = probed(folder, addresses, &asked);
        let explained = (files.routes)(config).map_err(Refusal::Because)?;
        Ok(Self { asked, probed, explained, config })
    }

    fn compare(&mut self, address: &str) -> Result<Compared, Refusal> {
        let before = self.asked.ends(address).map_err(Refusal::Because)?;
        let question = RouteQuestion {
            address: address.to_owned(),
            vouched: true,
            ..RouteQuestion::default()
        };
        let answers = (self.explained)(&[question]).map_err(Refusal::Because)?;
        let after = answers.first().map(|answer| self.ends(answer)).unwrap_or_default();
        // Tables of recipients are asked at RCPT, where no mail of sendmail's comes by.
        let is_refused = before.contains(UNKNOWN);
        let probed = self.probed.get(address).filter(|its| !is_refused && !is_alike(its, &before));
        let is_same = before == after && probed.is_none();
        let mut before = vec![in_words(before)];
        before.extend(probed.map(|its| format!("by sendmail -bv {}", in_words(its.clone()))));
        Ok(Compared { before, after: in_words(after), is_same })
    }

    /// In the words that are used of Postfix.
    fn ends(&self, told: &RouteExplained) -> Ends {
        if !told.accepted {
            let is_final = told.reply.starts_with('5');
            return [if is_final { UNKNOWN } else { LATER }.to_owned()].into();
        }
        let channel_of =
            |way: &RouteResult| self.config.channels.iter().find(|its| its.name == way.channel);
        let program = |way: &RouteResult| channel_of(way).map(|its| its.program);
        let end = |way: &RouteResult| match program(way) {
            Some(Program::Local) => match way.address.strip_prefix("+/") {
                // A file of an alias: the tag of the channel stands behind it.
                Some(file) => {
                    to_file(&format!("/{}", file.rsplit_once('@').map_or(file, |its| its.0)))
                }
                None => format!("{} to its account", way.address.to_ascii_lowercase()),
            },
            Some(Program::Pipe) => match way.address.split_once('%') {
                // A command of an alias: the file that its label stands for.
                Some((alias, _)) => {
                    let listed = self.config.programs.iter().find(|its| its.name == way.next_hop);
                    to_command(alias, listed.map_or("", ListedProgram::file))
                }
                None => to_program(&way.address, &way.next_hop),
            },
            Some(Program::Bitbucket) => THROWN_AWAY.to_owned(),
            _ => {
                // Channels of one transport differ in their ends.
                let name = way.channel.trim_end_matches(|c: char| c.is_ascii_digit());
                let channel = ["_out", "_host"].iter().find_map(|end| name.strip_suffix(end));
                // Postfix names the hosts of mail, and not who is asked when they are away.
                let last = channel_of(way).and_then(|its| its.lastresort.as_deref());
                let last = last.map_or(0, |its| its.split(',').count());
                let hops: Vec<_> = way.next_hop.split(',').collect();
                let hops = hops[..hops.len().saturating_sub(last).max(1)].join(",");
                place(&way.address, channel.unwrap_or(&way.channel), &hops, "")
            }
        };
        told.results.iter().map(end).collect()
    }
}

impl<'a> Rewritten<'a> {
    fn new(rules: &'a SunRules, config: &Config, files: Files) -> Result<Self, Refusal> {
        let stages = |ours| (files.stages)(&answered(config, ours)).map_err(Refusal::Because);
        let stages = [(true, stages(true)?), (false, stages(false)?)];
        let channel = config.front_service().map(|service| service.channel.clone());
        Ok(Self { rules, stages, channel })
    }

    /// A recipient behind the rules of either side: channel and address, for each answer of the
    /// directory.
    fn compare(&mut self, address: &str) -> Result<Option<Compared>, Refusal> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (ours, stages) in &mut self.stages {
            let channel = self.channel.clone();
            let source = channel.as_deref().unwrap_or("tcp_local");
            let verdict = self.rules.verdict(address, source, *ours);
            if matches!(verdict, SunVerdict::Unclear(_)) {
                return Ok(None);
            }
            let (input, stage) = (address.to_owned(), Stage::Rewrite);
            let question = StageQuestion { stage, input, channel, header: false, sender: false };
            before.push(said(&verdict));
            after.push(outcome(&stages(&question).map_err(Refusal::WrongUse)?));
        }
        let is_same = before == after;
        before.dedup();
        after.dedup();
        Ok(Some(Compared { before, after: after.join(", or "), is_same }))
    }
}

/// The configuration without a directory, its rules as if the directory had given this answer to each of
/// their questions.
fn answered(config: &Config, ours: bool) -> Config {
    let mut config = config.clone();
    config.directory = None;
    config.delivery_options.clear();
    config.rewrite_rules.retain_mut(|rule| answer(rule, ours));
    config
}

/// Takes its questions out of a rule; `false`: it does not apply.
fn answer(rule: &mut RewriteRule, ours: bool) -> bool {
    let RewriteTemplate::Plain(rewriting) = &mut rule.parsed else { return true };
    let fails = |condition: &Condition| match condition {
        Condition::Local(_) => !ours,
        Condition::NotLocal(_) => ours,
        _ => false,
    };
    // Questions of the whole are those of what is left of it, too.
    let applies = !rewriting.ends().any(|end| end.conditions.iter().any(fails));
    let forget = |its: &mut Rewriting| its.conditions.retain(|its| !its.asks_directory());
    rewriting.cuts.iter_mut().for_each(|cut| forget(&mut cut.before));
    forget(rewriting);
    applies
}

fn said(verdict: &SunVerdict) -> String {
    match verdict {
        SunVerdict::Channel { channel, address } => way(channel, address),
        SunVerdict::Unknown => REFUSED.to_owned(),
        SunVerdict::Later => REFUSED_FOR_NOW.to_owned(),
        SunVerdict::Unclear(why) => why.clone(),
    }
}

fn outcome(told: &StageExplained) -> String {
    let fact = |name: &str| told.facts.iter().find(|fact| fact.name == name).map(|its| &*its.value);
    match (fact("reply"), fact("channel"), fact("address")) {
        (Some(reply), ..) if reply.starts_with('5') => REFUSED.to_owned(),
        // Of mail that a rule puts off; one that only we can mend has another code.
        (Some(reply), ..) if reply.starts_with("450 ") => REFUSED_FOR_NOW.to_owned(),
        (Some(reply), ..) => reply.to_owned(),
        (None, Some(channel), Some(address)) => way(channel, address),
        _ => String::new(),
    }
}

/// A channel and an address, whose domain has no case.
fn way(channel: &str, address: &str) -> String {
    match address.rsplit_once('@') {
        Some((start, domain)) => format!("{channel} as {start}@{}", domain.to_ascii_lowercase()),
        None => format!("{channel} as {address}"),
    }
}

const REFUSED: &str = "refused";
const REFUSED_FOR_NOW: &str = "refused for now";
