//! Lists of the alias table: aliases with named parameters and positional addresses.
//!
//! They are made when the table is read, of the same types that lists of the directory use: who may
//! post ([`PostingRules`]), lines of the header ([`ListHeaders`]), a limit for the size of messages,
//! and whom failures are told to. A parameter that is not understood has the table refused: without
//! it the list would be open. A file of a parameter that cannot be read closes its list, whose mail
//! waits.

use std::{
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::Arc,
};

use relais_channels::mail::{Address, ErrorsTo};
use relais_config::{
    Channel, Config,
    alias_list::{AliasList, AliasListError, AliasMembers, ListParameter, PositionalValue},
    channel::Program,
    mapping::Tables,
};

use super::{
    list_files::{INCLUDE, read_list},
    poster_files::{PosterFiles, PosterKind},
};
use crate::directory::{
    ListHeaders, MemberSearch, MemberUrl, PosterList, PostingCondition, PostingRules, PostingTest,
    is_lists_own, list_line, posting_words,
};

/// One of them.
#[derive(Debug, Default)]
pub(super) struct ListAlias {
    /// Addresses, and lists in files.
    pub(super) members: Vec<String>,
    /// Searches that find members.
    pub(super) searches: Vec<MemberSearch>,
    /// The authors who may post; `None`: everybody.
    pub(super) rules: Option<PostingRules>,
    /// Changes to the header.
    pub(super) headers: Option<Arc<ListHeaders>>,
    /// Octets of one message.
    pub(super) size_limit: Option<NonZeroU64>,
    /// The reader of failures.
    pub(super) owner: ListOwner,
    /// Members are looked up by the reprocess channel.
    pub(super) is_deferred: bool,
    /// Its parameters as they were written.
    pub(super) shown: Vec<String>,
    /// Why its mail waits: a file of a parameter cannot be read.
    pub(super) closed: Option<String>,
}

/// The reader of failures of a list.
#[derive(Debug, Default)]
pub(super) enum ListOwner {
    /// Nothing was said: `owner-NAME`, if there is one.
    #[default]
    Unsaid,
    /// The one who posts, whatever `owner-NAME` is.
    Poster,
    /// Somebody else.
    Other(ErrorsTo),
}

/// Why an alias is no list.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListAliasError {
    /// Its form.
    #[error(transparent)]
    Form(#[from] AliasListError),
    /// A parameter.
    #[error("[{name}] {value:?}: {why}")]
    Parameter { name: &'static str, value: String, why: String },
    /// An address behind the parameters.
    #[error("{place}: {value:?}: {why}")]
    Positional { place: &'static str, value: String, why: String },
    /// The members.
    #[error("members: {0}")]
    Members(String),
}

/// Makes one list.
pub(super) struct ListMaker<'a> {
    config: &'a Config,
    list: ListAlias,
    rules: PostingRules,
    headers: ListHeaders,
    /// `[OR]` is in force.
    is_or: bool,
    /// The parameter in hand.
    name: &'static str,
    value: &'a str,
    /// Files that were read, or should have been.
    pub(super) files: Vec<PathBuf>,
    /// Something that its writer may not mean.
    pub(super) remarks: Vec<String>,
}

impl<'a> ListMaker<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Self {
            config,
            list: ListAlias::default(),
            rules: PostingRules::default(),
            headers: ListHeaders::default(),
            is_or: false,
            name: "",
            value: "",
            files: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// The list that was read so.
    pub(super) fn make(&mut self, read: &'a AliasList) -> Result<ListAlias, ListAliasError> {
        self.members(&read.members)?;
        self.positional(read)?;
        for (parameter, value) in &read.parameters {
            (self.name, self.value) = (parameter.name(), value);
            self.take(*parameter)?;
            self.list.shown.push(format!("[{}] {value}", self.name).trim_end().to_owned());
        }
        let has_moderators = !self.rules.conditions.moderators.is_empty();
        if has_moderators && self.rules.moderators.is_empty() {
            (self.name, self.value) = ("MODERATOR_LIST", "");
            return Err(self.wrong("[MODERATOR_ADDRESS] has to say where posts of others go"));
        }
        let own = PostingRules { words: self.rules.words.clone(), ..PostingRules::default() };
        let mut list = std::mem::take(&mut self.list);
        list.rules = (self.rules != own).then(|| std::mem::take(&mut self.rules));
        if !self.headers.is_empty() {
            list.headers = Some(Arc::new(std::mem::take(&mut self.headers)));
        }
        if let Some(why) = &list.closed {
            self.remarks.push(format!("the list takes no mail, which waits (451): {why}"));
        }
        Ok(list)
    }

    fn members(&mut self, members: &AliasMembers) -> Result<(), ListAliasError> {
        match members {
            AliasMembers::File(file) => self.list.members.push(format!("{INCLUDE}{file}")),
            AliasMembers::Addresses(all) => {
                let own = |address: &String| match address.strip_prefix('<') {
                    Some(file) => format!("{INCLUDE}{file}"),
                    None => address.clone(),
                };
                self.list.members.extend(all.iter().map(own));
            }
            AliasMembers::Search(url) => {
                let search = self.search(url).map_err(ListAliasError::Members)?;
                self.list.searches.push(search);
            }
        }
        if self.list.members.is_empty() && self.list.searches.is_empty() {
            return Err(ListAliasError::Members("there are none".to_owned()));
        }
        Ok(())
    }

    fn search(&self, url: &str) -> Result<MemberSearch, String> {
        if self.config.directory.is_none() {
            return Err("there is no directory to search in".to_owned());
        }
        match MemberUrl::parse(url)? {
            MemberUrl::Search(search) => Ok(search),
            MemberUrl::Address(_) => Err("a URL ldap:///... is expected".to_owned()),
        }
    }

    /// Takes the parameter in hand.
    fn take(&mut self, parameter: ListParameter) -> Result<(), ListAliasError> {
        use ListParameter as P;
        match parameter {
            P::And | P::Or => {
                self.check_flag()?;
                self.is_or = parameter == P::Or;
            }
            P::AuthList | P::CantList | P::ModeratorList | P::HoldList | P::NoholdList => {
                let test = PostingTest::Author(self.posters(false)?);
                self.condition(parameter, test);
            }
            P::UsernameAuthList | P::UsernameCantList | P::UsernameModeratorList => {
                let test = PostingTest::Login(self.posters(true)?);
                self.condition(parameter, test);
            }
            P::AuthMapping
            | P::CantMapping
            | P::ModeratorMapping
            | P::HoldMapping
            | P::NoholdMapping => {
                let test = PostingTest::Mapping(self.mapping()?);
                self.condition(parameter, test);
            }
            P::UsernameAuthMapping | P::UsernameCantMapping => {
                let test = PostingTest::LoginMapping(self.mapping()?);
                self.condition(parameter, test);
            }
            P::AuthChannel | P::CantChannel => {
                let test = PostingTest::Channel(self.channels()?);
                self.condition(parameter, test);
            }
            P::ModeratorAddress => self.moderator()?,
            P::ErrorText => self.words()?,
            P::EnvelopeFrom => {
                self.list.owner = self.owner(self.value).map_err(|why| self.wrong(&why))?;
            }
            P::HeaderAddition => self.header_addition(),
            P::HeaderTrim => self.header_trim(),
            P::Importance => self.field("Importance")?,
            P::Precedence => self.field("Precedence")?,
            P::Priority => self.field("Priority")?,
            P::Sensitivity => self.field("Sensitivity")?,
            P::Blocklimit => self.block_limit()?,
            P::Linelimit if self.value != "0" => {
                return Err(self.wrong("lines are not counted: [BLOCKLIMIT] limits octets"));
            }
            P::Deferred => {
                self.check_flag()?;
                self.list.is_deferred = true;
            }
            P::Filter => {
                return Err(
                    self.wrong("scripts of lists are not there yet, and one may refuse mail")
                );
            }
            P::Expandable | P::Nonexpandable | P::Linelimit => {}
            P::DelayNotifications
            | P::NodelayNotifications
            | P::ConversionTag
            | P::Tag
            | P::PrefixText
            | P::SuffixText
            | P::SequencePrefix
            | P::SequenceSuffix
            | P::SequenceStrip => {
                self.remarks.push(format!("[{}] is not there yet, and does nothing", self.name));
            }
        }
        Ok(())
    }

    fn condition(&mut self, parameter: ListParameter, test: PostingTest) {
        use ListParameter as P;
        let conditions = &mut self.rules.conditions;
        let place = match parameter {
            P::CantList
            | P::CantMapping
            | P::CantChannel
            | P::UsernameCantList
            | P::UsernameCantMapping => &mut conditions.none_of,
            P::ModeratorList | P::ModeratorMapping | P::UsernameModeratorList => {
                &mut conditions.moderators
            }
            P::HoldList | P::HoldMapping => &mut conditions.held,
            P::NoholdList | P::NoholdMapping => &mut conditions.not_held,
            _ if self.is_or => &mut conditions.one_of,
            _ => &mut conditions.all_of,
        };
        place.push(PostingCondition { name: self.name, test });
    }

    /// The mistake of the parameter in hand.
    fn wrong(&self, why: &str) -> ListAliasError {
        let value = self.value.chars().take(MAX_SHOWN).collect();
        ListAliasError::Parameter { name: self.name, value, why: why.to_owned() }
    }

    /// A parameter without a value; the original wants NONE there.
    fn check_flag(&self) -> Result<(), ListAliasError> {
        let known = ["", "none", "yes"];
        let is_flag = known.iter().any(|word| self.value.eq_ignore_ascii_case(word));
        let why = "it has no value, and a comma behind it";
        if is_flag { Ok(()) } else { Err(self.wrong(why)) }
    }

    /// Addresses or logins: in a file, by a search, or a single one.
    fn posters(&mut self, are_logins: bool) -> Result<PosterList, ListAliasError> {
        let mut list = PosterList::default();
        let value = self.value.strip_prefix("mailto:").unwrap_or(self.value);
        let value = value.strip_prefix('<').map_or(value, |rest| rest.trim_end_matches('>'));
        if value.is_empty() {
            return Err(self.wrong("a file, an address or a URL ldap:///... is expected"));
        }
        if value.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("ldap:")) {
            if are_logins {
                return Err(self.wrong("logins are listed in a file"));
            }
            list.searches.push(self.search(value).map_err(|why| self.wrong(&why))?);
            return Ok(list);
        }
        let domains = self.domains();
        let kind = if are_logins { PosterKind::Logins } else { PosterKind::Addresses(&domains) };
        if value.contains('@') && !value.starts_with('/') {
            kind.add(&mut list, value).map_err(|why| self.wrong(&why))?;
            return Ok(list);
        }
        let (config, files) = (self.config, &mut self.files);
        if let Err(why) = (PosterFiles { config, kind, files }).read(value, &mut list) {
            self.close(&why);
        }
        Ok(list)
    }

    /// Has the mail of the list wait.
    fn close(&mut self, why: &str) {
        let name = self.name;
        self.list.closed.get_or_insert_with(|| format!("[{name}] {why}"));
    }

    /// Domains of bare names, ours.
    fn domains(&self) -> Vec<String> {
        let mut domains = vec![completion(self.config).to_owned()];
        if self.config.default_domain != domains[0] {
            domains.push(self.config.default_domain.clone());
        }
        domains
    }

    /// The name that a mapping table has in the file.
    fn mapping(&self) -> Result<String, ListAliasError> {
        let tables = Tables::new(&self.config.mappings, &self.config.general);
        let found = tables.named(self.value).map(|(name, _)| name.to_owned());
        found.ok_or_else(|| self.wrong("there is no mapping table of this name"))
    }

    /// Channels by their names, or by patterns.
    fn channels(&self) -> Result<PosterList, ListAliasError> {
        let mut list = PosterList::default();
        let names: Vec<&str> = self.value.split_whitespace().collect();
        let is_there = |name: &&str| {
            let same = |channel: &Channel| channel.name.eq_ignore_ascii_case(name);
            name.contains('*') || self.config.channels.iter().any(same)
        };
        if names.is_empty() || names.len() > MOST_CHANNELS || !names.iter().all(is_there) {
            return Err(self.wrong("names of channels, or patterns such as tcp_*, are expected"));
        }
        for name in names {
            list.add_name(name);
        }
        Ok(list)
    }

    fn moderator(&mut self) -> Result<(), ListAliasError> {
        let value = self.value.strip_prefix('<').map_or(self.value, |it| it.trim_end_matches('>'));
        let is_url = value.contains("://") || value.get(..7).is_some_and(|s| s == "mailto:");
        let moderator = if is_url {
            let url = MemberUrl::parse(value).map_err(|why| self.wrong(&why))?;
            if matches!(url, MemberUrl::Search(_)) && self.config.directory.is_none() {
                return Err(self.wrong("there is no directory to search in"));
            }
            url
        } else {
            MemberUrl::Address(self.address(value).map_err(|why| self.wrong(&why))?)
        };
        self.rules.moderators.push(moderator);
        Ok(())
    }

    fn words(&mut self) -> Result<(), ListAliasError> {
        let words = posting_words(self.value).filter(|words| *words == self.value.trim());
        let why = "a line of at most 300 printable ASCII characters is expected";
        self.rules.words = Some(words.ok_or_else(|| self.wrong(why))?);
        Ok(())
    }

    /// An address with its domain.
    fn address(&self, text: &str) -> Result<String, String> {
        let address = Address::parse(text).map_err(|error| error.to_string())?;
        let completed = address.completed(completion(self.config));
        completed.map(|address| address.to_string()).ok_or_else(|| "it is no address".to_owned())
    }

    /// The sender of copies: an address, one for each member by `+*@`, or the message's own.
    fn owner(&self, text: &str) -> Result<ListOwner, String> {
        if text == "/" {
            return Ok(ListOwner::Poster);
        }
        let address = self.address(text)?;
        if address.replacen(EACH, "@", 1).contains('*') {
            return Err("an asterisk stands between a plus sign and the @ alone".to_owned());
        }
        Ok(ListOwner::Other(ErrorsTo { address: address.into(), is_sender: true }))
    }

    /// A field that a value behind which `^` stands replaces, `\` takes away, and nothing or `*` sets
    /// where there is none.
    fn field(&mut self, field: &str) -> Result<(), ListAliasError> {
        let value = self.value.trim_end();
        let last = value.chars().next_back().filter(|last| "*^&\\".contains(*last));
        let text = last.map_or(value, |last| &value[..value.len() - last.len_utf8()]).trim_end();
        if last == Some('\\') {
            self.headers.removed.push(field.to_ascii_lowercase().into());
            return Ok(());
        }
        if last == Some('&') {
            return Err(
                self.wrong("nothing is added to a field that is there: * or ^ may stand there")
            );
        }
        let line = list_line(&format!("{field}: {text}"));
        let line = line.ok_or_else(|| self.wrong("printable ASCII is expected"))?;
        let place = match last {
            Some('^') => &mut self.headers.replaced,
            _ => &mut self.headers.completed,
        };
        place.push(line);
        Ok(())
    }

    fn block_limit(&mut self) -> Result<(), ListAliasError> {
        let digits = self.value.bytes().all(|c| c.is_ascii_digit());
        let blocks = self.value.parse::<u64>().ok().filter(|_| digits);
        let octets = blocks.and_then(|blocks| blocks.checked_mul(BLOCK));
        let why = "a number of blocks of 1024 octets is expected; 0: no limit";
        self.list.size_limit = NonZeroU64::new(octets.ok_or_else(|| self.wrong(why))?);
        Ok(())
    }

    /// The lines of a file of header lines, folded ones as one; with the numbers of the first of each.
    fn lines(&mut self) -> Vec<(usize, String)> {
        let file = self.config.path(Path::new(self.value.strip_prefix('<').unwrap_or(self.value)));
        let text = read_list(&file);
        self.files.push(file);
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                self.close(&format!("{}: {error}", self.value));
                return Vec::new();
            }
        };
        let mut lines: Vec<(usize, String)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            match lines.last_mut() {
                Some((_, last)) if line.starts_with([' ', '\t']) && !last.is_empty() => {
                    last.push(' ');
                    last.push_str(line.trim());
                }
                _ => lines.push((number, line.trim_end().to_owned())),
            }
        }
        lines.retain(|(_, line)| !line.is_empty() && !line.starts_with(['!', '#']));
        lines
    }

    fn header_addition(&mut self) {
        for (number, text) in self.lines() {
            self.added(number, &text);
        }
    }

    fn added(&mut self, number: usize, text: &str) {
        match list_line(text).filter(|_| self.headers.added.len() < MOST_LINES) {
            Some(line) => self.headers.added.push(line),
            None => self.left_out(number),
        }
    }

    /// A line is `Field`, `Field: MAXIMUM=-1` (taken away) or `Field: ADD=\"text\"`.
    fn header_trim(&mut self) {
        for (number, text) in self.lines() {
            let (name, option) = text.split_once(':').unwrap_or((&text, ""));
            let name = name.trim().to_ascii_lowercase();
            let option = option.trim();
            let is_removal = option.is_empty() || option.eq_ignore_ascii_case("MAXIMUM=-1");
            if is_removal && is_lists_own(&name) && self.headers.removed.len() < MOST_LINES {
                self.headers.removed.push(name.into());
                continue;
            }
            let key = option.get(..4).filter(|key| key.eq_ignore_ascii_case("ADD="));
            match key {
                Some(_) => {
                    let added = option[4..].trim_matches('"');
                    let name = text.split(':').next().unwrap_or_default().trim();
                    self.added(number, &format!("{name}: {added}"));
                }
                None => self.left_out(number),
            }
        }
    }

    fn left_out(&mut self, number: usize) {
        let (name, file) = (self.name, self.value);
        let why = "a field that a list may change is expected, of printable ASCII";
        self.remarks.push(format!("[{name}] {file}: line {number} does nothing: {why}"));
    }

    /// Takes the addresses behind the parameters.
    fn positional(&mut self, read: &'a AliasList) -> Result<(), ListAliasError> {
        let its = &read.positional;
        if let Some(value) = &its.error_return {
            let owner = self.owner(&value.text);
            self.list.owner = owner.map_err(|why| misplaced("error-return", value, why))?;
        }
        let errors_to = match (&its.errors_to, &self.list.owner) {
            (Some(value), _) => {
                Some((self.positional_address("errors-to", value)?, value.if_absent))
            }
            (None, ListOwner::Other(owner)) => {
                let if_absent = its.error_return.as_ref().is_some_and(|value| value.if_absent);
                Some((owner.address.replacen(EACH, "@", 1), if_absent))
            }
            (None, _) => None,
        };
        let mut fields = vec![("Errors-To", errors_to)];
        for (place, field, value) in [
            ("reply-to", "Reply-To", &its.reply_to),
            ("warnings-to", "Warnings-To", &its.warnings_to),
        ] {
            let Some(value) = value else { continue };
            fields.push((field, Some((self.positional_address(place, value)?, value.if_absent))));
        }
        for (field, value) in fields {
            let Some((address, if_absent)) = value else { continue };
            self.list.shown.push(format!("{field}: {address}"));
            let line = format!("{field}: {address}").into();
            let headers = &mut self.headers;
            if if_absent { &mut headers.completed } else { &mut headers.replaced }.push(line);
        }
        if let Some(value) = &its.comments {
            let line = list_line(&format!("Comments: {}", value.text));
            let why = || "printable ASCII is expected".to_owned();
            let line = line.ok_or_else(|| misplaced("comments", value, why()))?;
            let headers = &mut self.headers;
            if value.if_absent { &mut headers.completed } else { &mut headers.added }.push(line);
        }
        Ok(())
    }

    fn positional_address(
        &self,
        place: &'static str,
        value: &PositionalValue,
    ) -> Result<String, ListAliasError> {
        let address = self.address(&value.text).map_err(|why| misplaced(place, value, why))?;
        // It stands in a line of the header.
        let is_ascii = address.bytes().all(|c| (b'!'..=b'~').contains(&c) || c == b' ');
        let why = || "printable ASCII is expected".to_owned();
        if is_ascii { Ok(address) } else { Err(misplaced(place, value, why())) }
    }
}

fn misplaced(place: &'static str, value: &PositionalValue, why: String) -> ListAliasError {
    let value = value.text.chars().take(MAX_SHOWN).collect();
    ListAliasError::Positional { place, value, why }
}

/// The domain of bare names.
pub(super) fn completion(config: &Config) -> &str {
    let local = config.channels.iter().find(|channel| channel.program == Program::Local);
    // Without a directory users are users of this host.
    match (&config.directory, local) {
        (None, Some(local)) => &local.tag,
        _ => &config.default_domain,
    }
}

/// The place of a member's address in a sender that is another one for each member.
pub(super) const EACH: &str = "+*@";
/// Octets of a block, as the original counts.
const BLOCK: u64 = 1_024;
/// Characters of a value that is told.
const MAX_SHOWN: usize = 80;
/// Lines that one list adds or takes away.
const MOST_LINES: usize = 20;
/// Channels of one parameter.
const MOST_CHANNELS: usize = 100;
