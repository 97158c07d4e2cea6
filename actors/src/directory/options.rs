//! Delivery options: which of them an entry has, and where each of these leads.

use std::{borrow::Cow, time::SystemTime};

use relais_channels::mail::Address;
use relais_config::{
    DeliveryOption,
    delivery_option::{OptionPiece, OptionTemplate, Value},
    template::Case,
};

use super::{
    autoreply::AutoreplyTexts,
    entry::{Domain, Entry, Kind},
    member_url::{MemberSearch, MemberUrl},
    policy::Policy,
    refusal::EntryError,
    status::EntryStatus,
    vacation::on_vacation,
};

/// The address that led to an entry.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `local@domain`.
    pub address: &'a Address,
    /// The text behind the delimiter, when the entry was found without it.
    pub subaddress: Option<&'a str>,
    /// The domain it was found in.
    pub domain: &'a Domain,
    /// For vacation dates.
    pub now: SystemTime,
    /// The mail was released from a hold channel: the status `hold` does not count.
    pub released: bool,
    /// There is a reprocess channel, and the mail does not come from it.
    pub may_defer: bool,
}

/// Where mail for an entry goes on to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// This address, which is rewritten.
    Address(String),
    /// The entry of this name, a member of a group.
    Member(String),
    /// The entries that this finds, members of a group.
    Search(MemberSearch),
    /// The address itself, once more, by the reprocess channel.
    Later,
}

/// The result of one delivery option.
#[derive(Clone, Debug)]
pub struct Applied<'a> {
    /// The option as in the file; or what took its place.
    pub option: &'a str,
    /// It only answers; nothing is delivered by it.
    pub autoreply: bool,
    /// It leads to a place of the entry's own, by an address that stands for nobody else.
    pub is_way: bool,
    /// Another host than the relay's stores sees to the user's mail, scripts included.
    pub is_elsewhere: bool,
    /// Where it leads.
    pub targets: Result<Vec<Target>, OptionFailure>,
}

/// Why an option yields nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OptionFailure {
    /// A value is missing.
    #[error("{0:?} is absent")]
    Absent(Value),
    /// A value has no such piece.
    #[error("{0:?} has no such character or label")]
    TooShort(Value),
    /// `^`: outside of the vacation.
    #[error("not between vacationStartDate and vacationEndDate")]
    NotNow,
    /// `!`: there is nothing to answer with.
    #[error("no automatic reply is sent: the entry has no mailAutoReplyText")]
    NoText,
}

/// Options named by the entry, in the order of the configuration; the default when there is none.
pub(super) fn active<'a>(
    policy: &'a Policy,
    kind: Kind,
    entry: &Entry,
    status: EntryStatus,
) -> Vec<&'a DeliveryOption> {
    let suits = |option: &&DeliveryOption| match kind {
        Kind::User => option.flags.users(),
        Kind::Group => option.flags.groups(),
    };
    let named = |option: &&DeliveryOption| match status {
        EntryStatus::Held => option.name == "hold",
        EntryStatus::Active => {
            let values = entry.all("maildeliveryoption");
            values.iter().any(|value| value.eq_ignore_ascii_case(&option.name))
        }
    };
    let active: Vec<_> = policy.options.iter().filter(suits).filter(named).collect();
    if !active.is_empty() || status == EntryStatus::Held {
        return active;
    }
    policy.options.get(usize::from(kind == Kind::Group)).into_iter().collect()
}

/// `mailRoutingAddress`: all mail goes there, by way of the entry's own host if it has another one.
pub(super) fn routing_address(policy: &Policy, entry: &Entry) -> Option<Applied<'static>> {
    let address = entry.first("mailroutingaddress")?.trim();
    let host = entry.first("mailhost").filter(|host| !policy.is_here(host));
    let target = match host {
        Some(host) => format!("@{host}:{address}"),
        None => address.to_owned(),
    };
    let (option, targets) = ("mailRoutingAddress", Ok(vec![Target::Address(target)]));
    Some(Applied { option, autoreply: false, is_way: host.is_some(), is_elsewhere: false, targets })
}

/// The deferral that an entry asks for: by `mailDeferProcessing`, or else by a flag of its options.
pub(super) fn deferral(
    entry: &Entry,
    options: &[&DeliveryOption],
) -> Result<Option<Applied<'static>>, EntryError> {
    let flagged = || options.iter().find(|option| option.flags.deferred());
    let option = match entry.first("maildeferprocessing").map(str::trim) {
        Some(yes) if yes.eq_ignore_ascii_case("yes") => "mailDeferProcessing",
        Some(no) if no.eq_ignore_ascii_case("no") => return Ok(None),
        Some(other) => {
            let shown: String = other.chars().take(80).collect();
            let why = format!("{shown:?} is neither yes nor no");
            return Err(EntryError::BadValue { attribute: "mailDeferProcessing", why });
        }
        None if flagged().is_some() => "the flag @ or $ of an option",
        None => return Ok(None),
    };
    let targets = Ok(vec![Target::Later]);
    Ok(Some(Applied { option, autoreply: false, is_way: false, is_elsewhere: false, targets }))
}

/// When the entry's own host has to do the work: the address with that host as its route.
pub(super) fn elsewhere(
    policy: &Policy,
    kind: Kind,
    entry: &Entry,
    request: &Request<'_>,
    options: &[&DeliveryOption],
) -> Result<Option<Applied<'static>>, EntryError> {
    if options.iter().all(|option| option.flags.host_independent()) {
        return Ok(None);
    }
    match (kind, entry.first("mailhost")) {
        (_, Some(host)) if policy.is_here(host) => Ok(None),
        (_, Some(host)) => Ok(Some(routed("mailHost", host, request))),
        (Kind::Group, None) => Ok(None),
        (Kind::User, None) => smart_host(request).map(Some),
    }
}

fn smart_host(request: &Request<'_>) -> Result<Applied<'static>, EntryError> {
    let host = request.domain.entry.first("mailroutingsmarthost");
    let host = host.ok_or(EntryError::NoMailHost)?;
    Ok(routed("mailRoutingSmartHost", host, request))
}

fn routed<'a>(option: &'a str, host: &str, request: &Request<'_>) -> Applied<'a> {
    let address = format!("@{host}:{}", request.address.mailbox());
    let targets = Ok(vec![Target::Address(address)]);
    Applied { option, autoreply: false, is_way: true, is_elsewhere: true, targets }
}

/// Where an option leads for an entry.
pub(super) fn apply<'a>(
    policy: &Policy,
    option: &'a DeliveryOption,
    entry: &Entry,
    request: &Request<'_>,
) -> Applied<'a> {
    let autoreply = option.flags.autoreply();
    let is_way = matches!(option.template, OptionTemplate::Address(_));
    if option.flags.vacation() && !on_vacation(entry, request.now) {
        let targets = Err(OptionFailure::NotNow);
        return Applied { option: &option.text, autoreply, is_way, is_elsewhere: false, targets };
    }
    let addresses =
        |name: &str| -> Vec<_> { entry.all(name).iter().cloned().map(Target::Address).collect() };
    let host = entry.first("mailhost");
    let is_elsewhere = matches!(&option.template, OptionTemplate::Address(pieces)
        if names_host(pieces) && host.is_some_and(|host| !policy.speaks_lmtp(host)));
    let targets = match &option.template {
        OptionTemplate::Forward => Ok(addresses("mailforwardingaddress")),
        OptionTemplate::Members => {
            let mut targets = searched(entry);
            targets.extend(addresses("mgrprfc822mailmember"));
            targets.extend(addresses("rfc822mailmember"));
            targets.extend(entry.all("uniquemember").iter().cloned().map(Target::Member));
            Ok(targets)
        }
        OptionTemplate::Address(pieces) => match host {
            Some(host) if is_elsewhere => routed(&option.text, host, request).targets,
            _ => fill(pieces, |value| value_of(value, policy, entry, request))
                .map(|address| vec![Target::Address(address)]),
        },
    };
    Applied { option: &option.text, autoreply, is_way, is_elsewhere, targets }
}

/// The members whom URLs name. A URL that names nobody has its list refused before.
fn searched(entry: &Entry) -> Vec<Target> {
    let all = MEMBER_URLS.iter().flat_map(|name| MemberUrl::all(entry, name).unwrap_or_default());
    let target = |url| match url {
        MemberUrl::Address(address) => Target::Address(address),
        MemberUrl::Search(search) => Target::Search(search),
    };
    all.map(target).collect()
}

fn names_host(pieces: &[OptionPiece]) -> bool {
    pieces.iter().any(OptionPiece::is_mail_host)
}

fn value_of<'a>(
    value: Value,
    policy: &Policy,
    entry: &'a Entry,
    request: &Request<'a>,
) -> Option<Cow<'a, str>> {
    let own = |name| entry.first(name).map(Cow::Borrowed);
    match value {
        Value::Address => Some(request.address.mailbox().into()),
        Value::Domain => request.address.domain().map(Cow::Borrowed),
        Value::Local => Some(request.address.unquoted_local().into()),
        Value::Subaddress => request.subaddress.map(Cow::Borrowed),
        // The route was followed before an address comes here.
        Value::Route => None,
        Value::HostedDomain => {
            let name = &request.domain.name;
            (*name != policy.default_domain).then_some(Cow::Borrowed(name))
        }
        Value::Uid => own("uid"),
        Value::MailHost => own("mailhost"),
        Value::Program => own("mailprogramdeliveryinfo"),
        Value::File => own("maildeliveryfileurl"),
        Value::Spare(nth) => {
            let name = policy.spare_attributes.get(usize::from(nth).checked_sub(1)?)?;
            own(name)
        }
    }
}

/// An automatic reply's address is where a message without other recipients ends; beside others it
/// is there for the reply alone. No address at all is a mistake of the entry.
pub(super) fn settled<'a>(
    mut applied: Vec<Applied<'a>>,
    entry: &Entry,
    request: &Request<'_>,
) -> Result<Vec<Applied<'a>>, EntryError> {
    let leads =
        |applied: &Applied<'_>| applied.targets.as_ref().is_ok_and(|targets| !targets.is_empty());
    let delivers = applied.iter().any(|applied| leads(applied) && !applied.autoreply);
    if delivers && !AutoreplyTexts::of(entry).has_any() {
        for applied in applied.iter_mut().filter(|its| its.autoreply && its.targets.is_ok()) {
            applied.targets = Err(OptionFailure::NoText);
        }
    }
    if applied.iter().any(leads) {
        return Ok(applied);
    }
    let absent = Err(OptionFailure::Absent(Value::MailHost));
    if applied.iter().any(|applied| applied.targets == absent) {
        applied.push(smart_host(request)?);
        return Ok(applied);
    }
    Err(EntryError::NoDelivery)
}

/// Fills in a template. `Err`: a value is absent, and the option yields nothing.
///
/// The local part comes out quoted when what was inserted makes that necessary (a folder with
/// blanks in its name); the route and the domain are the template's own.
pub(crate) fn fill<'a>(
    pieces: &[OptionPiece],
    value: impl Fn(Value) -> Option<Cow<'a, str>>,
) -> Result<String, OptionFailure> {
    let there = |what| value(what).ok_or(OptionFailure::Absent(what));
    let mut filled = Filled::default();
    for piece in pieces {
        match piece {
            OptionPiece::Text(text) => filled.characters(text.chars()),
            OptionPiece::Case(case) => filled.case = *case,
            OptionPiece::Value(what) => {
                filled.insert(*what, &there(*what)?);
            }
            OptionPiece::Part { value: what, part } => {
                let whole = there(*what)?;
                let text = part.of(&whole).ok_or(OptionFailure::TooShort(*what))?;
                filled.case.push(&mut filled.out, text);
            }
            OptionPiece::Maybe { value: what, before, after } => {
                if let Some(text) = value(*what) {
                    filled.characters(*before);
                    filled.insert(*what, &text);
                    filled.characters(*after);
                }
            }
        }
    }
    Ok(filled.finish())
}

/// Attributes with URLs of members.
pub(super) const MEMBER_URLS: [&str; 2] = ["mgrpDeliverTo", "memberURL"];

#[derive(Default)]
struct Filled {
    out: String,
    case: Case,
    /// Behind the colon of the template's source route.
    local: usize,
    /// The `@` that the template puts before the domain.
    at: Option<usize>,
    /// A whole address was inserted; its parts are quoted as they should be.
    whole: bool,
}

impl Filled {
    /// Appends what the template itself says.
    fn characters(&mut self, characters: impl IntoIterator<Item = char>) {
        for c in characters {
            let here = self.out.len();
            match c {
                ':' if self.local == 0 && self.out.starts_with('@') => self.local = here + 1,
                '@' if here > 0 => self.at = Some(here),
                _ => {}
            }
            self.case.push(&mut self.out, c.encode_utf8(&mut [0; 4]));
        }
    }

    fn insert(&mut self, what: Value, text: &str) {
        self.whole |= what == Value::Address;
        self.case.push(&mut self.out, text);
    }

    fn finish(mut self) -> String {
        let end = self.at.filter(|at| *at >= self.local).unwrap_or(self.out.len());
        let local = &self.out[self.local..end];
        let sound = Address::parse(local).is_ok_and(|address| address.domain().is_none());
        if !sound && !self.whole {
            let quoted = quote(local);
            self.out.replace_range(self.local..end, &quoted);
        }
        self.out
    }
}

/// A local part as RFC 5321 quoted string.
pub(crate) fn quote(local: &str) -> String {
    let mut quoted = String::with_capacity(local.len() + 2);
    quoted.push('"');
    for c in local.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use relais_config::DeliveryOption;

    use super::*;

    #[test]
    fn options_of_the_original() {
        let mailbox = r"#*mailbox=@$X.LMTP:$M%$\$2I$_+$2S@lmtpcs-daemon";
        // option, hosted domain, subaddress, result
        let rows = [
            (mailbox, "", "", "@store1.siroe.com.LMTP:jdoe@lmtpcs-daemon"),
            (mailbox, "", "Work", "@store1.siroe.com.LMTP:jdoe+Work@lmtpcs-daemon"),
            (mailbox, "Sesta.COM", "", "@store1.siroe.com.LMTP:jdoe%sesta.com@lmtpcs-daemon"),
            (
                mailbox,
                "Sesta.COM",
                "Work",
                "@store1.siroe.com.LMTP:jdoe%sesta.com+Work@lmtpcs-daemon",
            ),
            (
                mailbox,
                "",
                r#"My "own" box"#,
                r#"@store1.siroe.com.LMTP:"jdoe+My \"own\" box"@lmtpcs-daemon"#,
            ),
            (r"*mailbox=$M%$\$2I$_+$2S@ims-ms-daemon", "", "", "jdoe@ims-ms-daemon"),
            ("#*^!autoreply=$M+$D@bitbucket", "", "", "jdoe+siroe.com@bitbucket"),
            ("#/hold=@hold-daemon:$A", "", "", "@hold-daemon:\"j d\"@siroe.com"),
            ("#program=$M%$P@pipe-daemon", "", "", "jdoe%procmail@pipe-daemon"),
            ("x=@$4O:$M@$3I.d", "", "", "jdoe@d"),
            ("x=@$4O:$M@$3I.d", "Y", "", "jdoe@Y.d"),
            ("x=$U@d", "", "", "\"j d\"@d"),
            ("x=$0M/$1M/$M@$0X.$2X", "", "", "j/d/jdoe@store1.com"),
            ("x=$0U$2U@$H.$1H", "", "", "jd@siroe.com"),
            (r"x=$\$M@$J.$^$1J", "Sesta.COM", "", "jdoe@sesta.COM"),
            ("x=$8A$9A@d", "", "", "ro@d"),
            ("x=$M+$E/$G/$2E/$3g@d", "", "", "jdoe+blue/12/12/x@d"),
        ];
        for (text, hosted, subaddress, want) in rows {
            let OptionTemplate::Address(pieces) = DeliveryOption::parse(text).unwrap().template
            else {
                panic!("{text}")
            };
            let some = |text: &'static str| (!text.is_empty()).then_some(Cow::Borrowed(text));
            let value = |value| match value {
                Value::Uid => some("jdoe"),
                Value::MailHost => some("store1.siroe.com"),
                Value::HostedDomain => some(hosted),
                Value::Subaddress => some(subaddress),
                Value::Domain => some("siroe.com"),
                Value::Address => some("\"j d\"@siroe.com"),
                Value::Local => some("j d"),
                Value::Program => some("procmail"),
                Value::Spare(1) => some("blue"),
                Value::Spare(2) => some("12"),
                Value::Spare(_) => some("x"),
                Value::Route | Value::File => None,
            };
            assert_eq!(fill(&pieces, value).as_deref(), Ok(want), "{text}");
        }
        for (text, value) in [("x=$4M@d", Value::Uid), ("x=$M@$1J", Value::HostedDomain)] {
            let OptionTemplate::Address(pieces) = DeliveryOption::parse(text).unwrap().template
            else {
                panic!("{text}")
            };
            let short = Err(OptionFailure::TooShort(value));
            assert_eq!(fill(&pieces, |_| Some("jdoe".into())), short, "{text}");
        }
        let OptionTemplate::Address(pieces) = DeliveryOption::parse("x=+$F@d").unwrap().template
        else {
            panic!()
        };
        assert_eq!(fill(&pieces, |_| None), Err(OptionFailure::Absent(Value::File)));
    }

    /// Table 9-7 of the administrators' guide, for each value that has a mode.
    #[test]
    fn a_mode_says_what_happens_around_a_value_and_without_it() {
        // mode, with the value, without it
        let rows = [
            ("", "a%V-b@d", None),
            ("0", "a%V-b@d", None),
            ("1", "a%V-b@d", Some("a%-b@d")),
            ("2", "a%V-b@d", Some("a-b@d")),
            ("3", "a%V-b@d", Some("a%b@d")),
            ("4", "a%V-b@d", Some("ab@d")),
        ];
        for letter in ["I", "S", "O"] {
            for (mode, present, absent) in rows {
                let text = format!("x=a%${mode}{letter}-b@d");
                let OptionTemplate::Address(pieces) =
                    DeliveryOption::parse(&text).unwrap().template
                else {
                    panic!("{text}")
                };
                let with = fill(&pieces, |_| Some("V".into()));
                assert_eq!(with.as_deref(), Ok(present), "{text}");
                let without = fill(&pieces, |_| None).ok();
                assert_eq!(without.as_deref(), absent, "{text}");
            }
        }
    }
}
