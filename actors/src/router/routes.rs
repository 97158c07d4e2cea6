//! Routes: the data that routing goes by, and its answers. Plain data: [`Routes`] is taken from the
//! configuration once and never changes; a [`super::Resolver`] walks a recipient through it.
//!
//! What does not depend on who asks ([`Resolution`]) is kept apart from what does ([`Routing`]), so
//! that the former can be remembered.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU64,
    path::PathBuf,
    sync::Arc,
};

use relais_channels::mail::{Address, ErrorsTo, PostCheck, Reply, XQuota};
use relais_config::{
    Channel, Config, ListedProgram, MappingTable, RewriteRule,
    channel::Program,
    facts::Facts,
    grammar::Transport,
    grammar::{table_key, undotted},
    mapping::{self, Tables},
    rewrite::{Location, RuleIndex},
};

use super::{
    list_alias::completion,
    native::NativeWays,
    postmaster::Postmaster,
    refusal::Refusal,
    reversing::Reversing,
    sequences::Sequences,
    spec::HostOrder,
    steps::Step,
    submission::{ACCESS_TABLES, FORWARD, REVERSE, Submission},
    tables::{MailTables, TableError},
    transport::words,
};
use crate::directory::{GivenPassword, ListHeaders, Policy, SieveScripts};

/// Everything that routing goes by.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says what rules ask for")]
pub struct Routes {
    pub(super) rules: Vec<RewriteRule>,
    /// Finds them.
    pub(super) index: RuleIndex,
    /// Finds those that may change senders.
    of_senders: RuleIndex,
    /// Some rule comes out otherwise for another destination channel.
    pub(super) rules_ask_destination: bool,
    /// How addresses that mail is from are reversed.
    pub(super) reversing: Reversing,
    /// How recipients are forwarded by address.
    pub(super) forward_probe: ForwardProbe,
    pub(super) channels: Vec<Channel>,
    /// Name and tag of each of them.
    pub(super) names: Vec<(Arc<str>, Arc<str>)>,
    /// The one that tries again what could not be routed.
    pub(super) reprocess: Option<usize>,
    /// The local one.
    pub(super) local: Option<usize>,
    /// UNIX mailboxes and files, where there are any.
    pub(super) native: Option<NativeWays>,
    by_name: HashMap<Box<str>, usize>,
    by_tag: HashMap<Box<str>, usize>,
    pub(super) policy: Policy,
    mappings: BTreeMap<String, MappingTable>,
    /// Rules or tables ask for facts about the origin of mail.
    asks_facts: bool,
    /// One of these looks something up by URL.
    tables_ask_urls: bool,
    general: BTreeMap<String, String>,
    /// The names that tables which are probed by themselves have in the file.
    access_tables: BTreeMap<&'static str, String>,
    /// The one that throws mail away.
    bitbucket: Option<usize>,
    /// The one that hands mail of aliases to programs.
    pipe: Option<usize>,
    programs: Vec<ListedProgram>,
    sequences: Sequences,
    /// The same, for whoever is to see what would happen.
    sequences_looked_at: Sequences,
    pub(super) tables: MailTables,
    /// Aliases are asked before the directory.
    pub(super) aliases_first: bool,
    /// The domain of bare names, in lower case.
    pub(super) completion: String,
    /// Between user and subaddress.
    pub(super) delimiter: String,
    /// Stands in for a postmaster that nobody knows.
    pub(super) postmaster: Postmaster,
}

/// How recipients are looked for that are forwarded by address.
#[derive(Debug)]
pub(super) struct ForwardProbe {
    /// The name of the table in the file.
    pub(super) mapping: Option<String>,
    /// Senders have a say in that.
    pub(super) by_sender: bool,
}

/// A recipient to find the way of.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The recipient.
    pub address: &'a Address,
    /// The sender without angle brackets; empty for the null sender.
    pub sender: &'a str,
    /// The channel the mail comes in by.
    pub source_channel: &'a str,
    /// The client may send to domains that are not ours.
    pub may_relay: bool,
    /// Rewrite as an address of a header; aliases are then left alone.
    pub header: bool,
    /// The mail was released from a hold channel: the status `hold` does not count.
    pub released: bool,
    /// How the mail comes in; `None`: no client brings it.
    pub submission: Option<Submission<'a>>,
    /// The one whom lists ask about before they take a post.
    pub poster: Poster,
    /// The channel that the mail came in by before a channel of program `Reprocess` had it: rules see
    /// that one, as if there were no other.
    pub earlier: Option<&'a str>,
    /// The facts about who posts that mail in the queue keeps.
    pub proof: PostProof<'a>,
}

/// Facts about who posts that mail in the queue keeps, beside its sender.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostProof<'a> {
    /// The user who had logged in; empty when nobody had.
    pub login: &'a str,
    /// The password that its header has for a list.
    pub password: HeaderPassword<&'a GivenPassword>,
}

/// The password for a list that a header has.
#[derive(Clone, Copy, Debug, Default)]
pub enum HeaderPassword<T> {
    /// The header has not been looked at.
    #[default]
    Unread,
    /// It has none.
    Absent,
    /// This one.
    Given(T),
}

impl<T> HeaderPassword<T> {
    /// The same, borrowed.
    pub fn as_ref(&self) -> HeaderPassword<&T> {
        match self {
            Self::Unread => HeaderPassword::Unread,
            Self::Absent => HeaderPassword::Absent,
            Self::Given(password) => HeaderPassword::Given(password),
        }
    }
}

impl<'a> Question<'a> {
    /// The user who has logged in; empty when nobody has.
    pub fn login(&self) -> &'a str {
        self.submission.map_or(self.proof.login, |its| its.authenticated)
    }

    /// Facts about the origin of the mail; none of mail that is routed once more.
    pub fn facts(&self) -> Facts {
        self.submission.map_or_else(Facts::default, |its| its.facts)
    }

    /// The engine itself asks, for mail that comes in by this channel.
    pub fn of_nobody(address: &'a Address, source_channel: &'a str) -> Self {
        Self {
            address,
            sender: "",
            source_channel,
            may_relay: true,
            header: false,
            released: false,
            submission: None,
            poster: Poster::Nobody,
            earlier: None,
            // Mail of our own has none.
            proof: PostProof { login: "", password: HeaderPassword::Absent },
        }
    }
}

/// The one whom lists ask about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Poster {
    /// The client of the submission, and the sender that it named.
    Client,
    /// The sender of mail in the queue that nobody was asked about.
    Queued,
    /// The same, where the recipient itself was asked when the mail came in.
    Admitted,
    /// Nobody: the engine itself writes or asks.
    Nobody,
    /// Not said yet: an answer is sought that holds for everybody.
    Unsaid,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Routing {
    /// At least one way, or what the client reads.
    pub outcome: Result<Arc<[Route]>, Reply>,
    /// The ways of one who may write there, where this client or sender is what is refused, and not the
    /// address.
    pub if_permitted: Option<Arc<[Route]>>,
    /// An alias or the directory had a say.
    pub local: bool,
    /// The domain is not ours.
    pub relaying: bool,
    /// Empty unless asked for.
    pub steps: Vec<Step>,
}

/// The ways of a recipient that this client and sender may go.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The ways.
    pub routes: Arc<[Route]>,
    /// An access table has the mail kept for an operator to look at, for this reason.
    pub held: Option<String>,
}

/// One way that a recipient goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// The name of the channel.
    pub channel: Arc<str>,
    /// The destination by which the channel tells hosts apart, in lower case.
    pub host: Arc<str>,
    /// The address as it is presented to the next hop.
    pub address: Arc<str>,
    /// The tag that selected the channel.
    pub tag: Arc<str>,
    /// The address that was looked up last, when it is not the recipient's own.
    pub member: Option<Arc<str>>,
    /// Hears of failures in the sender's place.
    pub errors_to: Option<ErrorsTo>,
    /// It leads nowhere, for good or for now; the channel is the one that sees to that.
    pub refused: Option<Arc<Reply>>,
    /// The octets that a message may have that goes this way; `None`: as many as it likes.
    pub size_limit: Option<NonZeroU64>,
    /// The quota of the mailbox that it leads to, which the store is told.
    pub quota: Option<Arc<XQuota>>,
    /// Changes to mail that goes this way.
    pub headers: Option<Arc<ListHeaders>>,
    /// Whether the list that is looked up to come this way once more has been asked.
    pub post_check: PostCheck,
    /// Scripts of the user whose mailbox it leads to.
    pub scripts: Option<Arc<SieveScripts>>,
    /// The address of the mailbox, where a script has named the folder in the other one.
    pub inbox: Option<Arc<str>>,
}

/// A channel that mail leaves by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Exit {
    /// Its place.
    pub(super) channel: usize,
    /// The place that it connects to, where that is not its own choice.
    pub(super) next_hop: Option<String>,
}

/// The part of an answer that does not depend on the client.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// The ways; or the reply for those who may write there.
    pub routes: Result<Arc<[Route]>, Reply>,
    /// As in [`Routing`].
    pub local: bool,
    /// As in [`Routing`].
    pub relaying: bool,
    /// The address as rewritten, before aliases.
    pub rewritten: Box<str>,
    /// The channel it was rewritten to, before aliases.
    pub channel: Option<Box<str>>,
    /// Another time there would be another answer: this one is not remembered.
    pub comes_once: bool,
    /// Whether lists asked who posts.
    pub posting: Posting,
    /// Why one of these lists has the mail held.
    pub held: Option<Box<str>>,
}

/// How far an answer depends on who posts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Posting {
    /// It does not.
    #[default]
    Open,
    /// It is the answer for one poster.
    Asked,
    /// It is none: it has to be asked for with a poster.
    Unsaid,
    /// It is none: a password that stands in the header has to be known.
    HeaderWanted,
}

/// Why a configuration cannot be routed by.
#[derive(Debug, thiserror::Error)]
pub enum RoutesError {
    /// A file of a table cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Rules could not tell them apart.
    #[error("channels {first:?} and {second:?} have the same tag {tag:?}")]
    SameTag {
        /// The tag.
        tag: String,
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
}

impl Route {
    /// Whether a script changes the header on it.
    pub fn is_edited(&self) -> bool {
        self.headers.as_ref().is_some_and(|headers| !headers.edits.is_empty())
    }

    /// The same without what scripts change in the header.
    #[must_use]
    pub fn unedited(mut self) -> Self {
        if let Some(headers) = self.headers.take_if(|headers| !headers.edits.is_empty()) {
            let headers = ListHeaders { edits: Vec::new(), ..(*headers).clone() };
            self.headers = (!headers.is_empty()).then(|| Arc::new(headers));
        }
        self
    }
}

impl Routes {
    /// Takes what routing needs from the configuration.
    pub fn new(config: &Config) -> Result<Self, RoutesError> {
        let mut by_tag: HashMap<Box<str>, usize> = HashMap::new();
        for (n, channel) in config.channels.iter().enumerate() {
            let tag = channel.tag.to_ascii_lowercase();
            if let Some(first) = by_tag.insert(tag.into(), n) {
                return Err(RoutesError::SameTag {
                    tag: channel.tag.clone(),
                    first: config.channels[first].name.clone(),
                    second: channel.name.clone(),
                });
            }
        }
        let both = |channel: &Channel| (channel.name.as_str().into(), channel.tag.as_str().into());
        let of = |program| config.channels.iter().position(|its| its.program == program);
        // Of several of one name the first counts.
        let places = config.channels.iter().enumerate().rev();
        let sequences = Sequences::new(&config.data);
        let mut policy = Policy::new(config);
        let mail_tables = MailTables::open(config)?;
        policy.lmtp_stores = mail_tables.lmtp_stores().or(policy.lmtp_stores);
        let tables = Tables::new(&config.mappings, &config.general);
        let named = |table: &&'static str| Some((*table, tables.named(table)?.0.to_owned()));
        let access_tables = ACCESS_TABLES.iter().filter_map(named).collect();
        let own_name = |table| tables.named(table).map(|(name, _)| name.to_owned());
        let reversing = Reversing::of(&config.reverse, own_name(REVERSE));
        let forward_mapping = own_name(FORWARD);
        Ok(Self {
            access_tables,
            bitbucket: of(Program::Bitbucket),
            rules_ask_destination: !mail_tables.domains.is_empty()
                || config.rewrite_rules.iter().any(RewriteRule::asks_destination),
            reversing,
            forward_probe: ForwardProbe {
                by_sender: config.forward.senders
                    && (forward_mapping.is_some() || !mail_tables.forward.is_empty()),
                mapping: forward_mapping,
            },
            pipe: of(Program::Pipe),
            programs: config.programs.clone(),
            index: RuleIndex::of(&config.rewrite_rules),
            of_senders: RuleIndex::of_those(&config.rewrite_rules, RewriteRule::may_change_sender),
            rules: config.rewrite_rules.clone(),
            names: config.channels.iter().map(both).collect(),
            reprocess: of(Program::Reprocess).or_else(|| of(Program::Process)),
            channels: config.channels.clone(),
            local: of(Program::Local),
            native: NativeWays::of(config),
            by_name: places.map(|(n, channel)| (channel.name.as_str().into(), n)).collect(),
            by_tag,
            policy,
            mappings: config.mappings.clone(),
            asks_facts: config.asks_facts(),
            tables_ask_urls: config.mappings.values().any(MappingTable::asks_urls),
            general: config.general.own.clone(),
            sequences_looked_at: sequences.looked_at(),
            sequences,
            tables: mail_tables,
            aliases_first: config.aliases_first,
            completion: completion(config).to_ascii_lowercase(),
            delimiter: config.recipient_delimiter().to_owned(),
            postmaster: Postmaster::of(config),
        })
    }

    /// The mapping tables and what they look into.
    pub fn tables(&self) -> Tables<'_> {
        self.tables_with(&self.sequences)
    }

    /// The same for somebody who wants to see what would happen: no number of a sequence is drawn.
    pub fn tables_looked_at(&self) -> Tables<'_> {
        self.tables_with(&self.sequences_looked_at)
    }

    fn tables_with<'a>(&'a self, sequences: &'a dyn mapping::Sequences) -> Tables<'a> {
        let general_file = self.tables.general.as_ref();
        let plain = Tables::new(&self.mappings, &self.general);
        Tables { sequences: Some(sequences), general_file, ..plain }
    }

    /// Delivery options, and which hosts are which.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Files that these were made of: they are other ones when one of these has changed.
    pub fn files(&self) -> &[PathBuf] {
        &self.tables.files
    }

    /// Names of aliases in a file, in order.
    pub fn alias_names_in_file(&self) -> impl Iterator<Item = &str> {
        self.tables.aliases.names_in_file()
    }

    /// A table by the name that it has in the file.
    pub(super) fn mapping(&self, name: Option<&String>) -> Option<&MappingTable> {
        self.mappings.get(name?)
    }

    /// Whether facts about the origin of mail have a say.
    pub(super) fn asks_facts(&self) -> bool {
        self.asks_facts
    }

    /// Whether a table looks anything up by URL.
    pub(super) fn tables_ask_urls(&self) -> bool {
        self.tables_ask_urls
    }

    /// A table that is probed by itself.
    pub(super) fn access_table(&self, name: &str) -> Option<&MappingTable> {
        self.mappings.get(self.access_tables.get(name)?)
    }

    /// The way to the channel that throws mail away.
    pub fn discarding(&self, address: &Address) -> Option<Arc<[Route]>> {
        let place = self.bitbucket?;
        Some(Arc::new([self.straight(place, self.names[place].1.to_ascii_lowercase(), address)]))
    }

    /// The way of a recipient to the channel of this name, whatever rules say. `None`: there is no
    /// such channel, or none that mail can be put in.
    pub fn diverting(&self, channel: &str, address: &Address) -> Option<Arc<[Route]>> {
        let place = *self.by_name.get(channel)?;
        let channel = &self.channels[place];
        if !channel.program.takes_diverted() {
            return None;
        }
        let domain = || address.domain().map(table_key);
        let host = match channel.program {
            Program::Smtp | Program::Lmtp => {
                channel.fixed_hosts().map_or_else(domain, |hosts| Some(hosts.to_ascii_lowercase()))
            }
            _ => None,
        };
        let host = host.unwrap_or_else(|| self.names[place].1.to_ascii_lowercase());
        Some(Arc::new([self.straight(place, host, address)]))
    }

    fn straight(&self, place: usize, host: String, address: &Address) -> Route {
        let (channel, tag) = &self.names[place];
        Route {
            channel: Arc::clone(channel),
            host: host.into(),
            address: address.as_str().into(),
            tag: Arc::clone(tag),
            member: None,
            errors_to: None,
            refused: None,
            size_limit: None,
            quota: None,
            headers: None,
            post_check: PostCheck::default(),
            scripts: None,
            inbox: None,
        }
    }

    /// The program of this label, in any case.
    pub(super) fn program(&self, label: &str) -> Option<&ListedProgram> {
        self.programs.iter().find(|program| program.name.eq_ignore_ascii_case(label))
    }

    /// The program that a command of an alias means, and the channel that runs it.
    pub(super) fn program_of(&self, command: &str) -> Option<(&ListedProgram, usize)> {
        let program = self.programs.iter().find(|program| program.is_meant_by(command))?;
        Some((program, self.pipe?))
    }

    /// Makes of a way one that fails: it leads to whoever tells the sender.
    pub(super) fn failing(&self) -> Option<impl Fn(&Route, Reply) -> Route> {
        let (channel, tag) = &self.names[self.reprocess?];
        let host: Arc<str> = tag.to_ascii_lowercase().into();
        Some(move |way: &Route, reply| Route {
            channel: Arc::clone(channel),
            host: Arc::clone(&host),
            address: Arc::clone(&way.address),
            tag: Arc::clone(tag),
            member: Some(way.member.clone().unwrap_or_else(|| Arc::clone(&way.address))),
            errors_to: way.errors_to.clone(),
            refused: Some(Arc::new(reply)),
            size_limit: None,
            quota: None,
            headers: None,
            post_check: PostCheck::default(),
            scripts: None,
            inbox: None,
        })
    }

    /// A way of its own to whoever tells the sender that mail for `way` is refused.
    pub fn refusing(&self, way: &Route, reply: Reply) -> Option<Route> {
        self.failing().map(|failing| failing(way, reply))
    }

    /// Whether mail that goes by this channel is thrown away, automatic replies to it sent or not.
    pub fn throws_away(&self, channel: &str) -> bool {
        self.bitbucket.is_some_and(|place| *self.names[place].0 == *channel)
    }

    /// The way to the automatic reply that the scripts of the user behind `way` want, whose address is `to`.
    pub fn answering(&self, way: &Route, to: &str) -> Option<Route> {
        let (channel, tag) = &self.names[self.bitbucket?];
        Some(Route {
            channel: Arc::clone(channel),
            host: VACATION.into(),
            address: Arc::clone(&way.address),
            tag: Arc::clone(tag),
            member: Some(to.into()),
            errors_to: None,
            refused: None,
            size_limit: None,
            quota: None,
            headers: None,
            post_check: way.post_check,
            scripts: None,
            inbox: None,
        })
    }

    /// Whether a domain is a channel's tag, or the form in which mail hosts stand on their way to LMTP
    /// (`store1.example.LMTP`): nobody's domain.
    pub fn is_name_of_channel(&self, domain: &str) -> bool {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        domain.rsplit('.').next() == Some("lmtp")
            || self.channel_by_tag(&domain).is_some_and(|place| !self.is_local(place))
    }

    /// Between a user and a subaddress.
    pub fn delimiter(&self) -> &str {
        &self.delimiter
    }

    /// The way that a transport names, for an address that would go by the channel `own` otherwise;
    /// `None`: by no other.
    pub(super) fn exit(
        &self,
        transport: &Transport,
        own: Option<usize>,
    ) -> Result<Option<Exit>, Refusal> {
        let (channel, next_hop) = match transport {
            Transport::To { channel: None, next_hop: None } => return Ok(None),
            Transport::To { channel: Some(name), next_hop } => {
                (self.number_of(name), next_hop.clone())
            }
            Transport::To { channel: None, next_hop } => (own, next_hop.clone()),
            Transport::Error(text) => return Err(Refusal::Text(words(text, 5))),
            Transport::Retry(text) => return Err(Refusal::Text(words(text, 4))),
            Transport::Discard => {
                let channel = self.bitbucket.ok_or(Refusal::Discard)?;
                (Some(channel), Some(self.channels[channel].tag.clone()))
            }
        };
        let channel = channel.ok_or(Refusal::NoExit)?;
        Ok(Some(Exit { channel, next_hop }))
    }

    /// Whether the channel at this place is a local one.
    pub(super) fn is_local(&self, channel: usize) -> bool {
        self.channels[channel].program == Program::Local
    }

    /// The channel of this name.
    pub(super) fn number_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The channel that a tag stands for.
    pub(super) fn channel_by_tag(&self, tag: &str) -> Option<usize> {
        if let Some(n) = self.by_tag.get(tag) {
            return Some(*n);
        }
        self.by_tag.get(tag.to_ascii_lowercase().as_str()).copied()
    }

    /// Whether a host is this machine, by the local channel's name.
    pub(super) fn is_here(&self, host: &str) -> bool {
        let channel = self.channel_by_tag(host).map(|n| &self.channels[n]);
        channel.is_some_and(|channel| channel.program == Program::Local)
    }

    /// The channel of this name.
    pub fn channel_by_name(&self, name: &str) -> Option<&Channel> {
        self.by_name.get(name).map(|n| &self.channels[*n])
    }

    /// How local parts are read of mail that comes in by this channel.
    pub(super) fn host_order(&self, source: &str) -> HostOrder {
        self.channel_by_name(source).map_or_else(HostOrder::default, HostOrder::of)
    }

    /// Whether a rule may make another address of this sender.
    pub(super) fn may_change_sender(&self, sender: &Address) -> bool {
        let database = &self.tables.domains;
        if self.of_senders.is_empty() && database.is_empty() {
            return false;
        }
        let is_plain = sender.route().next().is_none() && !sender.local().contains(['%', '!']);
        match sender.domain().filter(|_| is_plain) {
            Some(domain) => {
                let host = undotted(domain);
                let mut rules = self.of_senders.candidates("", host, Location::At, false);
                rules.next_candidate(|key| database.get(key)).is_some()
            }
            // Several hosts are looked at, one after the other.
            None => true,
        }
    }

    /// `$1M`: mail from within.
    pub(super) fn is_internal(&self, channel: &str) -> bool {
        let named = self.channel_by_name(channel);
        named.is_some_and(|known| matches!(known.program, Program::Reprocess | Program::Process))
    }

    /// Whether a way leaves by another channel than the local one.
    pub(super) fn leads_out(&self, route: &Route) -> bool {
        let channel = self.channel_by_name(&route.channel);
        channel.is_some_and(|channel| channel.program != Program::Local || self.native.is_some())
    }
}

/// The same for replies that Sieve scripts want.
pub const VACATION: &str = "vacation";
/// The host by which automatic replies are told apart from what is thrown away.
pub const AUTOREPLY: &str = "autoreply";
