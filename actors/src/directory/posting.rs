//! Rules of a list about who may post to it. They are read here; whoever asks them also knows who
//! posts.

use super::{
    entry::Entry, filter::is_like, member_url::MemberUrl, password::ListPassword,
    poster_list::PostingConditions, refusal::EntryError,
};

/// The rules of a list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PostingRules {
    /// `mgrpMsgRejectAction: TOMODERATOR`: mail that is refused goes to the moderators.
    pub to_moderators: bool,
    /// The list's own words of refusal.
    pub words: Option<String>,
    /// Only users who have logged in may post, and they are who is asked about.
    pub wants_login: bool,
    /// One of the rules that allow is enough.
    pub any_is_enough: bool,
    /// `mgrpAllowedDomain`
    pub allowed_domains: Vec<DomainPattern>,
    /// `mgrpDisallowedDomain`
    pub disallowed_domains: Vec<DomainPattern>,
    /// `mgrpAllowedBroadcaster`
    pub allowed: Vec<MemberUrl>,
    /// `mgrpDisallowedBroadcaster`
    pub disallowed: Vec<MemberUrl>,
    /// `mgrpModerator`
    pub moderators: Vec<MemberUrl>,
    /// Conditions of a list in an alias file.
    pub conditions: PostingConditions,
    /// `mgrpAuthPassword`: the header has to have one of these. `None`: no password is wanted.
    pub passwords: Option<Vec<ListPassword>>,
}

/// A pattern of domains, in lower case: `*` stands for anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DomainPattern(String);

impl PostingRules {
    /// The rules of an entry; `None`: everybody may post.
    pub fn of(entry: &Entry) -> Result<Option<Self>, EntryError> {
        if RULES.iter().all(|name| entry.all(name).is_empty()) {
            return Ok(None);
        }
        let policy = BroadcasterPolicy::of(entry)?;
        let action = entry.first("mgrpmsgrejectaction").unwrap_or_default().trim();
        Ok(Some(Self {
            to_moderators: action.eq_ignore_ascii_case("TOMODERATOR"),
            words: words(entry),
            wants_login: policy.wants_login,
            any_is_enough: policy.any_is_enough,
            allowed_domains: domains(entry, "mgrpalloweddomain"),
            disallowed_domains: domains(entry, "mgrpdisalloweddomain"),
            allowed: MemberUrl::all(entry, "mgrpAllowedBroadcaster")?,
            disallowed: MemberUrl::all(entry, "mgrpDisallowedBroadcaster")?,
            moderators: MemberUrl::all(entry, "mgrpModerator")?,
            conditions: PostingConditions::default(),
            passwords: passwords(entry, policy.wants_password)?,
        }))
    }

    /// Whether a list wants a password of those who post.
    pub fn want_password(entry: &Entry) -> bool {
        entry.first("mgrpauthpassword").is_some()
            || BroadcasterPolicy::of(entry).is_ok_and(|policy| policy.wants_password)
    }

    /// Whether it matters who posts, beyond a login.
    pub fn ask_for_names(&self) -> bool {
        let no_domains = self.allowed_domains.is_empty() && self.disallowed_domains.is_empty();
        let no_names = self.allowed.is_empty() && self.disallowed.is_empty();
        !(no_domains && no_names) || self.conditions.ask_for_names()
    }
}

impl DomainPattern {
    /// Whether a domain, in lower case, is one of these. A sender without one has the empty domain.
    pub fn matches(&self, domain: &str) -> bool {
        is_like(domain, &self.0.split('*').collect::<Vec<_>>())
    }
}

/// `mgrpBroadcasterPolicy`.
#[derive(Default)]
struct BroadcasterPolicy {
    wants_login: bool,
    wants_password: bool,
    any_is_enough: bool,
}

impl BroadcasterPolicy {
    fn of(entry: &Entry) -> Result<Self, EntryError> {
        let mut policy = Self::default();
        let values = entry.all("mgrpbroadcasterpolicy").iter();
        let words = values.flat_map(|value| value.split(',')).map(str::trim);
        for word in words.filter(|word| !word.is_empty()) {
            match word.to_ascii_uppercase().as_str() {
                "SMTP_AUTH_REQUIRED" | "AUTH_REQUIRED" | "AUTH_REQ" => policy.wants_login = true,
                "PASSWORD_REQUIRED" | "PASSWD_REQUIRED" | "PASSWD_REQ" => {
                    policy.wants_password = true;
                }
                "OR" => policy.any_is_enough = true,
                "AND" => policy.any_is_enough = false,
                "NO_REQUIREMENTS" => {}
                _ => {
                    // A rule that is not understood would open the list to those whom it keeps out.
                    let shown: String = word.chars().take(80).collect();
                    let why = format!("{shown:?} is not known");
                    return Err(EntryError::BadValue { attribute: "mgrpBroadcasterPolicy", why });
                }
            }
        }
        Ok(policy)
    }
}

fn words(entry: &Entry) -> Option<String> {
    posting_words(entry.first("mgrpmsgrejecttext").or(entry.first("mailrejecttext"))?)
}

/// The first line of a list's own words, if a reply can have it.
pub(crate) fn posting_words(text: &str) -> Option<String> {
    let line = text.trim_start().lines().next()?.trim_end();
    let sound = line.bytes().all(|c| (b' '..=b'~').contains(&c));
    (sound && !line.is_empty()).then(|| line.chars().take(MOST_WORDS).collect())
}

/// The passwords of a list that has some, or wants one.
fn passwords(entry: &Entry, is_wanted: bool) -> Result<Option<Vec<ListPassword>>, EntryError> {
    let values = entry.all("mgrpauthpassword");
    if values.is_empty() && !is_wanted {
        return Ok(None);
    }
    let parse = |value: &String| {
        ListPassword::parse(value.trim()).map_err(|error| EntryError::BadValue {
            attribute: "mgrpAuthPassword",
            why: error.to_string().replace("userPassword", "the password"),
        })
    };
    let values = values.iter().filter(|value| !value.trim().is_empty()).take(MOST_PASSWORDS);
    values.map(parse).collect::<Result<_, _>>().map(Some)
}

fn domains(entry: &Entry, attribute: &str) -> Vec<DomainPattern> {
    let pattern = |value: &String| {
        let value = value.trim().trim_start_matches('@').trim_end_matches('.');
        DomainPattern(value.to_ascii_lowercase())
    };
    entry.all(attribute).iter().map(pattern).collect()
}

/// Attributes that say who may post, in lower case.
const RULES: [&str; 7] = [
    "mgrpauthpassword",
    "mgrpbroadcasterpolicy",
    "mgrpalloweddomain",
    "mgrpdisalloweddomain",
    "mgrpallowedbroadcaster",
    "mgrpdisallowedbroadcaster",
    "mgrpmoderator",
];
/// Characters of a list's own words.
const MOST_WORDS: usize = 300;
/// Passwords of one list: each may take a moment to compare.
const MOST_PASSWORDS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(attributes: &[(&str, &str)]) -> Result<Option<PostingRules>, EntryError> {
        let mut entry = Entry::new("cn=x,o=y");
        for (name, value) in attributes {
            entry.add(name, *value);
        }
        PostingRules::of(&entry)
    }

    #[test]
    fn a_policy_is_made_of_known_words() {
        // value, who has to log in, whether one rule is enough
        let rows = [
            ("NO_REQUIREMENTS", Ok((false, false))),
            ("smtp_auth_required", Ok((true, false))),
            ("AUTH_REQ", Ok((true, false))),
            (" AUTH_REQUIRED , or ", Ok((true, true))),
            ("OR,AND", Ok((false, false))),
            ("", Ok((false, false))),
            ("PASSWD_REQ", Ok((false, false))),
            ("AUTH_REQ,PASSWORD_REQUIRED", Ok((true, false))),
            (
                "AUTH-REQ",
                Err(EntryError::BadValue {
                    attribute: "mgrpBroadcasterPolicy",
                    why: "\"AUTH-REQ\" is not known".to_owned(),
                }),
            ),
        ];
        for (value, want) in rows {
            let got = rules(&[("mgrpBroadcasterPolicy", value)]);
            let got = got.map(|its| its.map(|its| (its.wants_login, its.any_is_enough)));
            assert_eq!(got, want.map(Some), "{value}");
        }
        assert_eq!(rules(&[("mgrpMsgRejectText", "x"), ("mgrpErrorsTo", "a@x")]), Ok(None));
    }

    #[test]
    fn a_password_is_wanted_where_there_is_one_and_where_the_policy_says_so() {
        type Row<'a> = (&'a [(&'a str, &'a str)], Option<usize>);
        let (policy, password) = ("mgrpBroadcasterPolicy", "mgrpAuthPassword");
        let rows: [Row<'_>; 7] = [
            (&[(policy, "NO_REQUIREMENTS")], None),
            (&[(policy, "PASSWD_REQ")], Some(0)),
            (&[(policy, "password_required,OR")], Some(0)),
            (&[(policy, "PASSWD_REQUIRED"), (password, " x ")], Some(1)),
            (&[(password, "x"), (password, "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0")], Some(2)),
            (&[(password, " ")], Some(0)),
            (&[(password, "x"); 20], Some(MOST_PASSWORDS)),
        ];
        for (attributes, want) in rows {
            let its = rules(attributes).unwrap().unwrap();
            assert_eq!(its.passwords.map(|all| all.len()), want, "{attributes:?}");
        }
        let error = rules(&[(password, "{MD5}xyz")]).unwrap_err();
        assert!(!error.to_string().contains("xyz"), "{error}");
    }

    #[test]
    fn words_are_one_line_of_ascii() {
        let long = "x".repeat(1_000);
        let rows = [
            ("Members only", Some("Members only")),
            ("first\nsecond", Some("first")),
            ("first\r\n550 second", Some("first")),
            ("\n\nlate", Some("late")),
            ("pas de bo\u{ee}tes", None),
            ("tab\there", None),
            ("bell\u{7}", None),
            ("", None),
            (&long, Some(&long[..MOST_WORDS])),
        ];
        for (text, want) in rows {
            for name in ["mgrpMsgRejectText", "mailRejectText"] {
                let its = rules(&[("mgrpModerator", "a@x.example"), (name, text)]);
                assert_eq!(its.unwrap().unwrap().words.as_deref(), want, "{text}");
            }
        }
    }

    #[test]
    fn domains_are_patterns() {
        let rows = [
            ("siroe.com", "siroe.com", true),
            ("Siroe.COM.", "siroe.com", true),
            ("@siroe.com", "siroe.com", true),
            ("siroe.com", "x.siroe.com", false),
            ("*.siroe.com", "x.siroe.com", true),
            ("*.siroe.com", "siroe.com", false),
            ("*siroe.com", "notsiroe.com", true),
            ("*", "", true),
            ("siroe.com", "", false),
            ("", "", true),
            ("", "siroe.com", false),
        ];
        for (pattern, domain, want) in rows {
            let its = rules(&[("mgrpAllowedDomain", pattern)]).unwrap().unwrap();
            assert_eq!(its.allowed_domains[0].matches(domain), want, "{pattern} {domain}");
        }
    }
}
