//! What a user's or group's entry means for mail: addresses to go on with, or a refusal.
//!
//! Follows the original's order: object classes, status, uid, mail host, delivery options. An
//! entry that makes no sense is refused with a reason and never guessed at. Lists with access
//! rules or computed members are refused until those are there: letting them pass would open
//! them to everybody.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    time::SystemTime,
};

use relais_channels::mail::{Address, Enhanced, Reply, is_domain};
use relais_config::{
    DeliveryOption,
    delivery_option::{Piece, Template, Value},
};

use super::{
    Domain, Entry,
    options::fill,
    status::{Standing, standing},
    vacation::on_vacation,
};

/// What the configuration says about entries.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The options in order; the first is the default of users, the second of groups.
    pub options: Vec<DeliveryOption>,
    /// In lower case.
    pub default_domain: String,
    /// The names of this machine, in lower case.
    pub hosts: Vec<String>,
    /// Mail hosts that take LMTP, in lower case; `None`: all do.
    pub lmtp_stores: Option<HashSet<String>>,
}

/// The address that led to an entry.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `local@domain`.
    pub address: &'a Address,
    /// What follows the delimiter, when the entry was found without it.
    pub subaddress: Option<&'a str>,
    /// The domain it was found in.
    pub domain: &'a Domain,
    /// For vacation dates.
    pub now: SystemTime,
    /// The mail was released from a hold channel: the status `hold` does not count.
    pub released: bool,
}

/// Whom an entry stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// One person.
    User,
    /// Several.
    Group,
}

/// Where mail for an entry goes on to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// This address, which is rewritten.
    Address(String),
    /// The entry of this name, a member of a group.
    Member(String),
}

/// What one delivery option came to.
#[derive(Clone, Debug)]
pub struct Applied<'a> {
    /// The option as in the file; or what took its place.
    pub option: &'a str,
    /// It only answers; nothing is delivered by it.
    pub autoreply: bool,
    /// It leads to a place of the entry's own, by an address that stands for nobody else.
    pub is_way: bool,
    /// Where it leads.
    pub targets: Result<Vec<Target>, OptionFailure>,
}

/// Why an option yields nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OptionFailure {
    /// A value is missing.
    #[error("{0:?} is absent")]
    Absent(Value),
    /// `^`: outside of the vacation.
    #[error("not between vacationStartDate and vacationEndDate")]
    NotNow,
    /// `!`: nothing is delivered by it.
    #[error("automatic replies are not sent yet")]
    Autoreply,
}

/// Why mail for an entry cannot go on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EntryError {
    /// Neither a mail user nor a mail group: as if it were not there.
    #[error("neither a mail user nor a mail group")]
    NotMail,
    /// Several entries have the address.
    #[error("{0} entries have this address")]
    Ambiguous(usize),
    /// Status.
    #[error("inactive")]
    Inactive(Kind),
    /// Status.
    #[error("disabled")]
    Disabled(Kind),
    /// Status.
    #[error("deleted")]
    Deleted,
    /// Status.
    #[error("over quota")]
    OverQuota,
    /// No uid.
    #[error("the entry has no uid")]
    NoUid,
    /// A uid that cannot name a mailbox.
    #[error("the uid {0:?} cannot name a mailbox")]
    BadUid(String),
    /// No mail host, and the domain has no smart host.
    #[error("the entry has no mailHost")]
    NoMailHost,
    /// Not a host.
    #[error("mailHost {0:?} is not a host name")]
    BadMailHost(String),
    /// No option yields an address.
    #[error("no delivery option yields an address")]
    NoDelivery,
    /// A list that asks for what is not there yet.
    #[error("the list uses {0}, which is not supported yet")]
    Unsupported(&'static str),
}

impl Policy {
    /// What the configuration says.
    pub fn new(config: &relais_config::Config) -> Self {
        let mut hosts = vec![config.host.to_ascii_lowercase()];
        let local = relais_config::channel::Program::Local;
        let tags = config.channels.iter().filter(|channel| channel.program == local);
        hosts.extend(tags.map(|channel| channel.tag.to_ascii_lowercase()));
        Self {
            options: config.delivery_options.clone(),
            default_domain: config.default_domain.to_ascii_lowercase(),
            hosts,
            lmtp_stores: lmtp_stores(&config.general),
        }
    }

    /// Whether a host is this machine.
    pub(crate) fn is_here(&self, host: &str) -> bool {
        self.hosts.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    fn speaks_lmtp(&self, host: &str) -> bool {
        self.lmtp_stores.as_ref().is_none_or(|stores| stores.contains(&host.to_ascii_lowercase()))
    }
}

/// Keys of the general database that are marked `lmtp`. A database without any leaves it open.
fn lmtp_stores(general: &BTreeMap<String, String>) -> Option<HashSet<String>> {
    let listed = general.iter().filter(|(_, value)| value.eq_ignore_ascii_case("lmtp"));
    let stores: HashSet<_> = listed.map(|(key, _)| key.to_ascii_lowercase()).collect();
    (!stores.is_empty()).then_some(stores)
}

impl Entry {
    /// Whether the entry is a mail user or a mail group.
    pub fn is_mail(&self) -> bool {
        Kind::of(self).is_some()
    }
}

impl Kind {
    /// By object classes. The original wants `inetLocalMailRecipient` as well, which says nothing
    /// about what an entry is, and which hand-written directories forget.
    fn of(entry: &Entry) -> Option<Self> {
        match (entry.has_class("inetMailUser"), entry.has_class("inetMailGroup")) {
            (true, _) => Some(Self::User),
            (_, true) => Some(Self::Group),
            _ => None,
        }
    }
}

/// Evaluates an entry.
pub fn evaluate<'a>(
    policy: &'a Policy,
    entry: &Entry,
    request: &Request<'_>,
) -> Result<Vec<Applied<'a>>, EntryError> {
    let kind = Kind::of(entry).ok_or(EntryError::NotMail)?;
    let standing = standing(kind, entry, request.domain, request.released)?;
    if kind == Kind::User {
        check_uid(entry)?;
    } else {
        check_list(entry)?;
    }
    if let Some(host) = entry.first("mailhost").filter(|host| !is_domain(host)) {
        return Err(EntryError::BadMailHost(host.to_owned()));
    }
    let options = active_options(policy, kind, entry, standing);
    if let Some(elsewhere) = elsewhere(policy, kind, entry, request, &options)? {
        return Ok(vec![elsewhere]);
    }
    let mut applied: Vec<_> =
        options.into_iter().map(|option| apply(policy, option, entry, request)).collect();
    settle(&mut applied, request)?;
    Ok(applied)
}

/// Options named by the entry, in the order of the configuration; the default when there is none.
fn active_options<'a>(
    policy: &'a Policy,
    kind: Kind,
    entry: &Entry,
    standing: Standing,
) -> Vec<&'a DeliveryOption> {
    let suits = |option: &&DeliveryOption| match kind {
        Kind::User => option.flags.users(),
        Kind::Group => option.flags.groups(),
    };
    let named = |option: &&DeliveryOption| match standing {
        Standing::Held => option.name == "hold",
        Standing::Active => {
            let values = entry.all("maildeliveryoption");
            values.iter().any(|value| value.eq_ignore_ascii_case(&option.name))
        }
    };
    let active: Vec<_> = policy.options.iter().filter(suits).filter(named).collect();
    if !active.is_empty() || standing == Standing::Held {
        return active;
    }
    policy.options.get(usize::from(kind == Kind::Group)).into_iter().collect()
}

/// When the entry's own host has to do the work: the address with that host as its route.
fn elsewhere(
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
    Applied { option, autoreply: false, is_way: true, targets: Ok(vec![Target::Address(address)]) }
}

fn apply<'a>(
    policy: &Policy,
    option: &'a DeliveryOption,
    entry: &Entry,
    request: &Request<'_>,
) -> Applied<'a> {
    let autoreply = option.flags.autoreply();
    let is_way = matches!(option.template, Template::Address(_));
    if option.flags.vacation() && !on_vacation(entry, request.now) {
        let targets = Err(OptionFailure::NotNow);
        return Applied { option: &option.text, autoreply, is_way, targets };
    }
    let addresses =
        |name: &str| -> Vec<_> { entry.all(name).iter().cloned().map(Target::Address).collect() };
    let targets = match &option.template {
        Template::Forward => Ok(addresses("mailforwardingaddress")),
        Template::Members => {
            let mut targets = addresses("mgrprfc822mailmember");
            targets.extend(addresses("rfc822mailmember"));
            targets.extend(entry.all("uniquemember").iter().cloned().map(Target::Member));
            Ok(targets)
        }
        Template::Address(pieces) => match entry.first("mailhost") {
            Some(host) if names_host(pieces) && !policy.speaks_lmtp(host) => {
                routed(&option.text, host, request).targets
            }
            _ => fill(pieces, |value| value_of(value, policy, entry, request))
                .map(|address| vec![Target::Address(address)])
                .map_err(OptionFailure::Absent),
        },
    };
    Applied { option: &option.text, autoreply, is_way, targets }
}

fn names_host(pieces: &[Piece]) -> bool {
    pieces.iter().any(|piece| matches!(piece, Piece::Value(Value::MailHost)))
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
    }
}

/// An automatic reply's address is where a message without other recipients ends; beside others
/// it is a recipient too many. No address at all is a mistake of the entry.
fn settle(applied: &mut Vec<Applied<'_>>, request: &Request<'_>) -> Result<(), EntryError> {
    let leads =
        |applied: &Applied<'_>| applied.targets.as_ref().is_ok_and(|targets| !targets.is_empty());
    if applied.iter().any(|applied| leads(applied) && !applied.autoreply) {
        for applied in applied.iter_mut().filter(|applied| applied.autoreply) {
            applied.targets = Err(OptionFailure::Autoreply);
        }
    }
    if applied.iter().any(leads) {
        return Ok(());
    }
    let absent = Err(OptionFailure::Absent(Value::MailHost));
    if applied.iter().any(|applied| applied.targets == absent) {
        applied.push(smart_host(request)?);
        return Ok(());
    }
    Err(EntryError::NoDelivery)
}

/// A uid becomes the name of a folder and a part of addresses: no character that means anything
/// in either, as in the original's `LDAP_UID_INVALID_CHARS`.
fn check_uid(entry: &Entry) -> Result<(), EntryError> {
    let uid = entry.first("uid").ok_or(EntryError::NoUid)?;
    let sound = |c: char| c.is_ascii_graphic() && !UID_INVALID.contains(c);
    let reserved = ["anonymous", "anybody", "anyone"];
    if uid.is_empty()
        || uid.len() > 127
        || uid.starts_with(['-', '.'])
        || !uid.chars().all(sound)
        || uid.contains("..")
        || uid.ends_with('.')
        || reserved.iter().any(|name| uid.eq_ignore_ascii_case(name))
    {
        return Err(EntryError::BadUid(uid.chars().take(200).collect()));
    }
    Ok(())
}

fn check_list(entry: &Entry) -> Result<(), EntryError> {
    let lower = |name: &&&str| !entry.all(&name.to_ascii_lowercase()).is_empty();
    LIST_NOT_YET.iter().find(lower).map_or(Ok(()), |name| Err(EntryError::Unsupported(name)))
}

impl EntryError {
    /// What the client gets to read.
    pub fn reply(&self) -> Reply {
        let damaged = "the directory entry of this mailbox cannot be used";
        match self {
            Self::NotMail => Reply::new(550, Enhanced(5, 1, 1), "unknown or illegal alias"),
            // What is wrong here is ours to mend; the mail waits for that.
            Self::Ambiguous(_) => Reply::new(451, Enhanced(4, 3, 5), "ambiguous address"),
            Self::Inactive(Kind::User) => {
                Reply::new(450, Enhanced(4, 2, 1), "user inactive; cannot receive new mail")
            }
            Self::Inactive(Kind::Group) => {
                Reply::new(450, Enhanced(4, 2, 1), "group inactive; cannot receive new mail")
            }
            Self::Disabled(Kind::User) => {
                Reply::new(550, Enhanced(5, 2, 1), "user disabled; cannot receive new mail")
            }
            Self::Disabled(Kind::Group) => {
                Reply::new(550, Enhanced(5, 2, 1), "group disabled; cannot receive new mail")
            }
            Self::Deleted => Reply::new(550, Enhanced(5, 1, 6), "recipient no longer on server"),
            Self::OverQuota => Reply::new(452, Enhanced(4, 2, 2), "mailbox over quota"),
            Self::NoMailHost => {
                Reply::new(451, Enhanced(4, 3, 5), "no host is known for this mailbox")
            }
            Self::NoUid | Self::BadUid(_) | Self::BadMailHost(_) | Self::NoDelivery => {
                Reply::new(451, Enhanced(4, 3, 0), damaged)
            }
            Self::Unsupported(_) => {
                Reply::new(451, Enhanced(4, 3, 5), "this list cannot be served yet")
            }
        }
    }
}

const UID_INVALID: &str = "`$~=#*+%!@,{}()/\\<>;:\"[]&?|";
/// Attributes that decide who may post, or whose members are found by searching.
const LIST_NOT_YET: [&str; 10] = [
    "mgrpBroadcasterPolicy",
    "mgrpAllowedDomain",
    "mgrpDisallowedDomain",
    "mgrpAllowedBroadcaster",
    "mgrpDisallowedBroadcaster",
    "mgrpAuthPassword",
    "mgrpModerator",
    "mgrpMsgMaxSize",
    "mgrpDeliverTo",
    "memberURL",
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn policy(options: &[&str], general: &[(&str, &str)]) -> Policy {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        Policy {
            options: options.iter().map(|text| DeliveryOption::parse(text).unwrap()).collect(),
            default_domain: "siroe.com".to_owned(),
            hosts: vec!["relay1.siroe.com".to_owned()],
            lmtp_stores: lmtp_stores(&general.iter().map(own).collect()),
        }
    }

    fn entry(classes: &[&str], attributes: &[(&str, &str)]) -> Entry {
        let mut entry = Entry::new("uid=x,o=siroe.com");
        for class in classes.iter().chain(&["inetLocalMailRecipient"]) {
            entry.add("objectClass", *class);
        }
        for (name, value) in attributes {
            entry.add(name, *value);
        }
        entry
    }

    fn user(attributes: &[(&str, &str)]) -> Entry {
        entry(&["inetMailUser"], attributes)
    }

    /// The targets, joined by blanks; or the error.
    fn outcome(policy: &Policy, entry: &Entry, domain: &Entry) -> Result<String, EntryError> {
        let domain = Domain {
            name: "siroe.com".to_owned(),
            base: "o=siroe.com".to_owned(),
            entry: Arc::new(domain.clone()),
        };
        let address = Address::parse("J.Doe+Work@Siroe.com").unwrap();
        let now = SystemTime::UNIX_EPOCH;
        let subaddress = Some("Work");
        let request =
            Request { address: &address, subaddress, domain: &domain, now, released: false };
        let applied = evaluate(policy, entry, &request)?;
        let targets = applied.into_iter().filter_map(|applied| applied.targets.ok()).flatten();
        let text = |target| match target {
            Target::Address(address) => address,
            Target::Member(dn) => format!("<{dn}>"),
        };
        Ok(targets.map(text).collect::<Vec<_>>().join(" "))
    }

    const RELAY: [&str; 7] = [
        r"#*mailbox=@$X.LMTP:$M%$\$2I$_+$2S@lmtpcs-daemon",
        "#&members=*",
        "#&@members_offline=*",
        "#/hold=@hold-daemon:$A",
        "#program=$M%$P@pipe-daemon",
        "#forward=**",
        "#*^!autoreply=$M+$D@bitbucket",
    ];

    #[test]
    fn options_lead_where_the_entry_says() {
        type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
        let (uid, host) = (("uid", "jdoe"), ("mailHost", "store1.siroe.com"));
        let option = |name| ("mailDeliveryOption", name);
        let forward = ("mailForwardingAddress", "jane@home.example");
        let mailbox = "@store1.siroe.com.LMTP:jdoe+Work@lmtpcs-daemon";
        let rows: [Row<'_>; 9] = [
            ("default", &[uid, host], mailbox),
            ("unknown values are ignored", &[uid, host, option("pigeon")], mailbox),
            ("any case", &[uid, host, option("MailBox")], mailbox),
            ("forward", &[uid, option("forward"), forward], "jane@home.example"),
            (
                "both, in the order of the configuration",
                &[uid, host, option("forward"), option("mailbox"), forward],
                "@store1.siroe.com.LMTP:jdoe+Work@lmtpcs-daemon jane@home.example",
            ),
            (
                "program",
                &[uid, option("program"), ("mailProgramDeliveryInfo", "procmail")],
                "jdoe%procmail@pipe-daemon",
            ),
            (
                "no reply beside a mailbox",
                &[uid, host, option("autoreply"), option("mailbox")],
                mailbox,
            ),
            ("a reply alone", &[uid, option("autoreply")], "jdoe+Siroe.com@bitbucket"),
            (
                "held",
                &[uid, host, ("mailUserStatus", "hold"), option("mailbox")],
                "@hold-daemon:J.Doe+Work@Siroe.com",
            ),
        ];
        for (name, attributes, want) in rows {
            let got = outcome(&policy(&RELAY, &[]), &user(attributes), &Entry::default());
            assert_eq!(got.as_deref(), Ok(want), "{name}");
        }
    }

    #[test]
    fn groups_have_members() {
        let members = [
            ("mgrpRFC822MailMember", "a@x"),
            ("mgrpRFC822MailMember", "b@x"),
            ("uniqueMember", "uid=c,o=x"),
        ];
        let group = entry(&["inetMailGroup"], &members);
        let got = outcome(&policy(&RELAY, &[]), &group, &Entry::default());
        assert_eq!(got.as_deref(), Ok("a@x b@x <uid=c,o=x>"));
        for name in LIST_NOT_YET {
            let mut restricted = group.clone();
            restricted.add(name, "x");
            let got = outcome(&policy(&RELAY, &[]), &restricted, &Entry::default());
            assert_eq!(got, Err(EntryError::Unsupported(name)));
        }
    }

    #[test]
    fn the_mail_host_decides_where_it_matters() {
        type Row<'a> = (&'a str, &'a Policy, &'a str, &'a Entry, Result<&'a str, EntryError>);
        let old = policy(&["*mailbox=$M@ims-ms-daemon", "&members=*", "#forward=**"], &[]);
        let listed = policy(&RELAY, &[("Store1.siroe.com", "LMTP"), ("x", "y")]);
        let unlisted = policy(&RELAY, &[("store2.siroe.com", "lmtp")]);
        let mut smart = Entry::default();
        smart.add("mailRoutingSmartHost", "smart.siroe.com");
        let none = Entry::default();
        let rows: [Row<'_>; 8] = [
            ("here", &old, "Relay1.siroe.com", &none, Ok("jdoe@ims-ms-daemon")),
            (
                "there",
                &old,
                "store1.siroe.com",
                &none,
                Ok("@store1.siroe.com:J.Doe+Work@Siroe.com"),
            ),
            ("nowhere", &old, "", &none, Err(EntryError::NoMailHost)),
            ("smart host", &old, "", &smart, Ok("@smart.siroe.com:J.Doe+Work@Siroe.com")),
            ("LMTP, nowhere", &listed, "", &none, Err(EntryError::NoMailHost)),
            ("LMTP, smart host", &listed, "", &smart, Ok("@smart.siroe.com:J.Doe+Work@Siroe.com")),
            (
                "listed",
                &listed,
                "store1.siroe.com",
                &none,
                Ok("@store1.siroe.com.LMTP:jdoe+Work@lmtpcs-daemon"),
            ),
            (
                "not listed",
                &unlisted,
                "store1.siroe.com",
                &none,
                Ok("@store1.siroe.com:J.Doe+Work@Siroe.com"),
            ),
        ];
        for (name, policy, host, domain, want) in rows {
            let mut entry = user(&[("uid", "jdoe")]);
            if !host.is_empty() {
                entry.add("mailHost", host);
            }
            assert_eq!(outcome(policy, &entry, domain), want.map(str::to_owned), "{name}");
        }
    }

    #[test]
    fn entries_that_make_no_sense_are_refused() {
        let relay = policy(&RELAY, &[]);
        let none = Entry::default();
        assert_eq!(outcome(&relay, &user(&[]), &none), Err(EntryError::NoUid));
        for uid in
            ["", "a b", "a@b", "../etc", "a..b", ".", "-x", "a%b", "a+b", "j\u{f6}rg", "Anyone"]
        {
            let got = outcome(&relay, &user(&[("uid", uid)]), &none);
            assert_eq!(got, Err(EntryError::BadUid(uid.to_owned())));
        }
        let long = "x".repeat(128);
        assert!(outcome(&relay, &user(&[("uid", &long)]), &none).is_err());
        let bad = user(&[("uid", "x"), ("mailHost", "a b")]);
        assert_eq!(outcome(&relay, &bad, &none), Err(EntryError::BadMailHost("a b".to_owned())));
        assert_eq!(outcome(&relay, &entry(&[], &[]), &none), Err(EntryError::NotMail));
        let nothing = user(&[("uid", "x"), ("mailDeliveryOption", "forward")]);
        assert_eq!(outcome(&relay, &nothing, &none), Err(EntryError::NoDelivery));
        let empty = policy(&[], &[]);
        assert_eq!(outcome(&empty, &user(&[("uid", "x")]), &none), Err(EntryError::NoDelivery));
    }
}
