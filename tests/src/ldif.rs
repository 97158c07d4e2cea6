//! Entries of a directory in LDIF, as tests write them.

use std::{borrow::Cow, fs};

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::{Instance, Settings};

/// Entries of domains, users and groups. Each domain is an organization right below `root`, users and
/// groups lie right below their domain.
#[derive(Clone, Debug)]
pub struct Ldif {
    root: &'static str,
    /// Attributes of a class that servers check, beside those of mail.
    is_structural: bool,
    text: String,
}

/// A line as LDIF has it: a value beyond ASCII stands in base64 (RFC 2849).
fn encoded(line: &str) -> Cow<'_, str> {
    match line.trim_end().split_once(": ") {
        Some((name, value)) if !value.is_ascii() => {
            format!("{name}:: {}\n", BASE64_STANDARD.encode(value)).into()
        }
        _ => line.into(),
    }
}

/// Attributes of a user with these Sieve scripts, behind others.
pub fn scripts(scripts: &[impl AsRef<str>]) -> String {
    let values = scripts.iter().map(|script| BASE64_STANDARD.encode(script.as_ref()));
    values.fold(String::new(), |text, value| text + "\nmailSieveRuleSource:: " + &value)
}

impl Ldif {
    const FILE: &str = "users.ldif";

    /// For a file beside the configuration.
    pub fn file() -> Self {
        Self { root: "dc=example", is_structural: false, text: String::new() }
    }

    /// For [`Slapd`](crate::Slapd), which has its root already.
    pub fn slapd() -> Self {
        Self { root: "dc=siroe,dc=com", is_structural: true, text: String::new() }
    }

    /// A domain of ours, with more attributes.
    #[must_use]
    pub fn domain(self, name: &str, more: &str) -> Self {
        let own = format!("o: {name}\nsunPreferredDomain: {name}");
        let place = self.place(name);
        self.entry(&place, &["sunManagedOrganization"], &["organization"], (&own, more))
    }

    /// A user `uid@domain`, with more attributes: a `mailHost` is one of them.
    #[must_use]
    pub fn user(self, uid: &str, domain: &str, more: &str) -> Self {
        let own = format!("uid: {uid}\ncn: {uid}\nsn: {uid}\nmail: {uid}@{domain}");
        let classes = ["inetOrgPerson", "inetLocalMailRecipient"];
        let place = format!("uid={uid},{}", self.place(domain));
        self.entry(&place, &["inetMailUser"], &classes, (&own, more))
    }

    /// A group `name@domain`, with more attributes. A server wants a `uniqueMember` among them.
    #[must_use]
    pub fn group(self, name: &str, domain: &str, more: &str) -> Self {
        let own = format!("cn: {name}\nmail: {name}@{domain}");
        let classes = ["groupOfUniqueNames", "inetLocalMailRecipient"];
        let place = format!("cn={name},{}", self.place(domain));
        self.entry(&place, &["inetMailGroup"], &classes, (&own, more))
    }

    /// An entry of these classes, and of those that servers check.
    fn entry(
        mut self,
        place: &str,
        classes: &[&str],
        structural: &[&str],
        (own, more): (&str, &str),
    ) -> Self {
        let structural = if self.is_structural { structural } else { &[] };
        // slapadd wants all values of an attribute in one place.
        let classes: Vec<_> = structural
            .iter()
            .chain(classes)
            .map(|class| format!("objectClass: {class}\n"))
            .collect();
        self.add(&format!("dn: {place}\n{}{own}\n", classes.concat()), more);
        self
    }

    /// The name of a user.
    pub fn dn(&self, uid: &str, domain: &str) -> String {
        format!("uid={uid},{}", self.place(domain))
    }

    /// An instance whose directory has these entries: they lie in a file beside its data.
    pub fn instance(&self, settings: Settings) -> Instance {
        let file = format!("directory: Ldif(file: \"{}\")", Self::FILE);
        let instance = Instance::new(settings.edit("directory: Ldif()", &file));
        self.write(&instance);
        instance
    }

    /// Writes the file of [`Self::instance`] anew.
    pub fn write(&self, instance: &Instance) {
        fs::create_dir_all(instance.data()).expect("a folder");
        fs::write(instance.data().join(Self::FILE), &self.text).expect("a file");
    }

    /// An entry as it is written.
    #[must_use]
    pub fn and(mut self, entry: &str) -> Self {
        self.add("", entry);
        self
    }

    /// All entries.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where a domain lies. The server's root is a domain itself.
    fn place(&self, domain: &str) -> String {
        if self.is_structural && domain == "siroe.com" {
            self.root.to_owned()
        } else {
            format!("o={domain},{}", self.root)
        }
    }

    fn add(&mut self, head: &str, more: &str) {
        let more = more.trim_matches('\n');
        let end = if more.is_empty() { "" } else { "\n" };
        for line in [head, more, end, "\n"].concat().split_inclusive('\n') {
            self.text += &encoded(line);
        }
    }
}
