//! Names of mailboxes, and where they lie.
//!
//! Guaranteed: the path of a name lies below the root of the partition, whatever a client wrote.

use base64::engine::general_purpose::NO_PAD;
use base64::{Engine as _, alphabet::IMAP_MUTF7, engine::general_purpose::GeneralPurpose};
use relais_config::grammar::{ascii_domain, composed, folded, is_nameable, undotted};

use crate::mail::Address;

/// `uid[+folder][@domain]`, checked.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct MailboxName {
    /// In lower case, and in ASCII.
    domain: Box<str>,
    /// In lower case, composed.
    uid: Box<str>,
    /// `Work.Projects`, in the modified UTF-7 of IMAP; `None` is the INBOX.
    folder: Option<Box<str>>,
}

/// Not the name of a mailbox.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// Left of the `+`.
    #[error("the user name is malformed")]
    Uid,
    /// Right of the `@`.
    #[error("the domain is malformed")]
    Domain,
}

impl MailboxName {
    /// The mailbox that an address means. A bare uid is one of `default_domain`; `uid%domain` is
    /// how the original writes a user of a hosted domain internally. A folder that cannot be
    /// one is no folder: the mail reaches the INBOX.
    pub fn of(address: &Address, default_domain: &str) -> Result<Self, NameError> {
        let local = address.unquoted_local();
        let (user, folder) = local.split_once('+').unwrap_or((&local, ""));
        // `jdoe%sesta.com+work` only: behind the `+`, a percent sign belongs to the folder.
        let (user, domain) = match (address.domain(), user.split_once('%')) {
            (Some(domain), _) => (user, domain),
            (None, Some((user, domain))) => (user, domain),
            (None, None) => (user, default_domain),
        };
        Self::new(user, domain, folder)
    }

    /// From its parts; an empty folder is the INBOX.
    pub fn new(uid: &str, domain: &str, folder: &str) -> Result<Self, NameError> {
        if !is_uid(uid) {
            return Err(NameError::Uid);
        }
        let domain = ascii_domain(domain).ok_or(NameError::Domain)?;
        let uid = folded(uid);
        // In lower case a name may be longer.
        if uid.len() > MAX_UID {
            return Err(NameError::Uid);
        }
        Ok(Self {
            domain: undotted(&domain).to_ascii_lowercase().into(),
            uid: uid.into(),
            folder: self::folder(folder),
        })
    }

    /// The Maildir, relative to the root of the partition.
    pub fn maildir(&self) -> String {
        format!("{}/{}/Maildir", self.domain, self.uid)
    }

    /// The directory of everything of its user, relative to the root of the partition.
    pub(super) fn user(&self) -> String {
        format!("{}/{}", self.domain, self.uid)
    }

    /// The user in the notation of mail: `uid@domain`.
    pub fn address(&self) -> String {
        format!("{}@{}", self.uid, self.domain)
    }

    /// The domain.
    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// The user, in lower case.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Whether it is the INBOX, or a folder, of this user.
    pub fn is_of(&self, uid: &str, domain: &str) -> bool {
        let is_domain = |domain: &str| self.domain.eq_ignore_ascii_case(undotted(domain));
        *self.uid == folded(uid) && ascii_domain(domain).is_some_and(|domain| is_domain(&domain))
    }

    /// The folder with dots between its levels; `None` is the INBOX.
    pub fn folder(&self) -> Option<&str> {
        self.folder.as_deref()
    }
}

/// Whether the original's store takes `uid` for one.
fn is_uid(uid: &str) -> bool {
    let is_beyond_ascii = |c: char| !c.is_ascii() && !c.is_whitespace();
    let plain = |c: char| c.is_ascii_graphic() && !"%?*&/:\\\"".contains(c) || is_beyond_ascii(c);
    let is_bounded = (1..=MAX_UID).contains(&uid.len()) && !uid.starts_with(['.', '-']);
    is_bounded && uid.chars().all(plain) && is_nameable(uid)
}

/// Whether a folder of a mailbox may have this name: mail for any other reaches the INBOX. The INBOX itself is
/// none.
pub fn is_folder(name: &str) -> bool {
    folder(name).is_some()
}

/// Levels may be separated by dots or slashes. `&` begins the encoding of what is not ASCII,
/// which has to be right to be shown; `~`, `*` and `%` mean something to IMAP.
fn folder(folder: &str) -> Option<Box<str>> {
    if folder.len() > MAX_FOLDER || folder.contains(['&', '~', '*', '%', '\\', '"']) {
        return None;
    }
    if !is_nameable(folder) {
        return None;
    }
    let folder = folder.replace('/', ".");
    let folder = if folder.is_ascii() { folder } else { in_utf7(&composed(&folder)) };
    if folder.len() > MAX_FOLDER {
        return None;
    }
    let (first, rest) = folder.split_once('.').unwrap_or((&folder, ""));
    let below = if first.eq_ignore_ascii_case("INBOX") { rest } else { &folder };
    let level = |level: &str| !level.is_empty() && level.trim() == level;
    below.split('.').all(level).then(|| below.into())
}

/// A name of folders beyond ASCII as IMAP, and Maildir++ with it, has it (RFC 3501 section 5.1.3).
fn in_utf7(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len() * 2);
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let is_ascii = first.is_ascii();
        let (run, behind) =
            rest.split_at(rest.find(|c: char| c.is_ascii() != is_ascii).unwrap_or(rest.len()));
        if is_ascii {
            encoded.push_str(run);
        } else {
            let octets: Vec<u8> = run.encode_utf16().flat_map(u16::to_be_bytes).collect();
            encoded.push('&');
            UTF7.encode_string(octets, &mut encoded);
            encoded.push('-');
        }
        rest = behind;
    }
    encoded
}

const UTF7: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);
/// Bytes; what the original allows.
const MAX_UID: usize = 127;
/// Bytes; with its leading dot it is the name of a directory.
const MAX_FOLDER: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(address: &str) -> Result<String, NameError> {
        let name = MailboxName::of(&Address::parse(address).expect(address), "Siroe.com")?;
        let folder = name.folder().map(|folder| format!("/.{folder}"));
        Ok(name.maildir() + folder.as_deref().unwrap_or_default())
    }

    #[test]
    fn every_form_of_an_address_finds_its_maildir() {
        let rows = [
            ("a user of the default domain", "jdoe", "siroe.com/jdoe/Maildir"),
            ("case makes no difference", "JDoe@Sesta.COM", "sesta.com/jdoe/Maildir"),
            ("a folder", "jdoe+work", "siroe.com/jdoe/Maildir/.work"),
            (
                "folders keep their case",
                "jdoe+Work.Projects",
                "siroe.com/jdoe/Maildir/.Work.Projects",
            ),
            (
                "slashes separate too",
                "jdoe+Work/Projects@sesta.com",
                "sesta.com/jdoe/Maildir/.Work.Projects",
            ),
            ("the original's inner form", "jdoe%sesta.com+work", "sesta.com/jdoe/Maildir/.work"),
            ("blanks need quotes", "\"jdoe+My Work\"@sesta.com", "sesta.com/jdoe/Maildir/.My Work"),
            ("INBOX is the INBOX", "jdoe+inbox", "siroe.com/jdoe/Maildir"),
            ("below INBOX", "jdoe+INBOX.Work", "siroe.com/jdoe/Maildir/.Work"),
            ("only the first plus counts", "jdoe+c++", "siroe.com/jdoe/Maildir/.c++"),
            ("an empty folder", "jdoe+", "siroe.com/jdoe/Maildir"),
            ("a folder that climbs", "\"jdoe+../../x\"", "siroe.com/jdoe/Maildir"),
            ("a folder with empty levels", "\"jdoe+a..b\"", "siroe.com/jdoe/Maildir"),
            ("a folder beyond ASCII", "jdoe+Grüße", "siroe.com/jdoe/Maildir/.Gr&APwA3w-e"),
            (
                "the same in another form",
                "jdoe+Gru\u{308}\u{df}e@sesta.com",
                "sesta.com/jdoe/Maildir/.Gr&APwA3w-e",
            ),
            (
                "folders below folders",
                "jdoe+\u{53f0}\u{5317}/\u{65e5}\u{672c}\u{8a9e}.x",
                "siroe.com/jdoe/Maildir/.&U,BTFw-.&ZeVnLIqe-.x",
            ),
            ("a user beyond ASCII", "JÖRG@x.test", "x.test/jörg/Maildir"),
            ("in another form", "jo\u{308}rg@x.test", "x.test/jörg/Maildir"),
            ("a domain", "jdoe@Grüße.test", "xn--gre-6ka8l.test/jdoe/Maildir"),
            ("the same", "jdoe@XN--GRE-6KA8L.test", "xn--gre-6ka8l.test/jdoe/Maildir"),
            ("in the original's inner form", "ö%grüße.test+x", "xn--gre-6ka8l.test/ö/Maildir/.x"),
            ("a folder beyond the BMP", "jdoe+\u{1f4ec}", "siroe.com/jdoe/Maildir/.&2D3c7A-"),
            ("a folder with an encoding", "jdoe+&ZeVnLIqe-", "siroe.com/jdoe/Maildir"),
        ];
        for (name, address, want) in rows {
            assert_eq!(path(address).as_deref(), Ok(want), "{name}");
        }
    }

    #[test]
    fn what_is_no_mailbox_is_refused() {
        let long = "x".repeat(MAX_UID + 1);
        // Two octets each, and three in lower case.
        let wide = "\u{23a}".repeat(60);
        let rows = [
            ("a slash", "\"a/b\"", NameError::Uid),
            ("a parent", "\"..\"", NameError::Uid),
            ("a hidden file", "\".a\"", NameError::Uid),
            ("an option", "-rf", NameError::Uid),
            ("a blank", "\"a b\"", NameError::Uid),
            ("nothing before the plus", "+work", NameError::Uid),
            ("too long", &long, NameError::Uid),
            ("an address literal", "a@[127.0.0.1]", NameError::Domain),
            ("a domain that climbs", "\"a%../../etc\"", NameError::Domain),
            ("a domain that begins with a hyphen", "a%-x", NameError::Domain),
            ("a domain that IDNA refuses", "a%-ü.test", NameError::Domain),
            ("a blank beyond ASCII", "\"a\u{3000}b\"", NameError::Uid),
            ("too long in composed form", &wide, NameError::Uid),
        ];
        for (name, address, want) in rows {
            assert_eq!(path(address), Err(want), "{name}");
        }
        for unseen in ["ü\u{200d}", "ä\u{200b}ü", "a\u{ad}"] {
            assert_eq!(MailboxName::new(unseen, "a.test", ""), Err(NameError::Uid), "{unseen:?}");
        }
        assert!(path(&long[1..]).is_ok());
    }

    proptest! {
        #[test]
        fn no_address_leaves_the_tree(local in "[ -~\u{e0}-\u{ff}\u{300}-\u{340}]{1,40}", domain in "[a-z./%-]{0,12}") {
            let quoted = local.replace('\\', "\\\\").replace('"', "\\\"");
            for text in [format!("\"{quoted}\"@{domain}"), format!("\"{quoted}\""), local] {
                let Ok(address) = Address::parse(&text) else { continue };
                let Ok(name) = MailboxName::of(&address, "siroe.com") else { continue };
                let path = format!("{}/.{}/x", name.maildir(), name.folder().unwrap_or("y"));
                let parts: Vec<_> = path.split('/').collect();
                prop_assert_eq!(parts.len(), 5, "{}", path);
                prop_assert!(!parts[0].starts_with('.') && !parts[1].starts_with('.'), "{}", path);
                prop_assert!(!parts[3].starts_with(".."), "{}", path);
                prop_assert!(!path.contains(char::is_control));
                prop_assert!(parts[0].is_ascii() && parts[3].is_ascii());
            }
        }
    }
}
