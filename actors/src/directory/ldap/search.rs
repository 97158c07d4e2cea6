//! Searches as they are sent: a base, a filter, and how far they reach.
//!
//! The types are the guard: text from outside comes into a [`Dn`] and a [`LdapFilter`] only in its
//! escaped form (RFC 4514, RFC 4515), by the place where it stands.

use std::fmt::{self, Display, Formatter, Write as _};

use ldap3::{Scope, dn_escape, ldap_escape};
use relais_config::{
    ldap_search::{SearchFilter, SearchPiece, SearchScope, SearchUrl, SearchValue},
    lookup_url::UrlQuery,
};

/// A distinguished name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Dn(String);

/// A filter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct LdapFilter(String);

/// A search.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) base: Dn,
    pub(super) scope: Scope,
    pub(super) filter: LdapFilter,
    /// There need not be such a base: then nothing is found.
    pub(super) base_may_lack: bool,
    pub(super) extent: Extent,
}

/// How much of what there is a search is to find.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extent {
    /// Whether there is one, or more than one.
    Few,
    /// All, or more than so many.
    Whole(usize),
}

/// The address that a search is for, and where it may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct SearchValues<'a> {
    /// The whole address.
    pub(super) address: &'a str,
    /// The same with the own name of the domain, where that counts, too.
    pub(super) own_address: Option<&'a str>,
    /// Its local part; or a login name.
    pub(super) local: &'a str,
    /// Its domain.
    pub(super) domain: &'a str,
    /// Where the users of the domain lie.
    pub(super) domain_base: &'a Dn,
    /// The root of all users.
    pub(super) user_base: &'a Dn,
    /// The root of domains.
    pub(super) domain_root: &'a Dn,
    /// Attributes that hold addresses.
    pub(super) address_attributes: &'a [String],
}

impl Dn {
    /// A name from the configuration or from the directory itself.
    pub(super) fn known(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name of a domain's entry in a DC tree below `root`.
    pub(super) fn in_dc_tree(domain: &str, root: &Self) -> Self {
        let labels = domain.split('.').map(|label| format!("dc={},", dn_escape(label)));
        Self(labels.collect::<String>() + &root.0)
    }

    fn filled(pieces: &[SearchPiece], sought: &SearchValues<'_>) -> Self {
        let mut name = String::new();
        for piece in pieces {
            match piece {
                SearchPiece::Text(text) => name.push_str(text),
                SearchPiece::Value(SearchValue::DomainBase) => name.push_str(&sought.domain_base.0),
                SearchPiece::Value(SearchValue::UserBase) => name.push_str(&sought.user_base.0),
                SearchPiece::Value(SearchValue::DomainRoot) => name.push_str(&sought.domain_root.0),
                SearchPiece::Value(value) => name.push_str(&dn_escape(sought.text(*value))),
            }
        }
        Self(name)
    }
}

impl LdapFilter {
    /// Every entry.
    pub(super) fn anything() -> Self {
        Self("(objectClass=*)".to_owned())
    }

    /// The configuration's filter, with values in place of its sequences.
    pub(super) fn filled(filter: &SearchFilter, sought: &SearchValues<'_>) -> Self {
        let mut text = String::new();
        for piece in &filter.pieces {
            match piece {
                SearchPiece::Text(plain) => text.push_str(plain),
                SearchPiece::Value(SearchValue::AnyAddress) => text.push_str(&any_address(sought)),
                SearchPiece::Value(value) => text.push_str(&ldap_escape(sought.text(*value))),
            }
        }
        Self(text)
    }

    /// A list's own filter, which was read before; of entries that have one of these addresses in one
    /// of these attributes, if there are any.
    pub(super) fn of_list(filter: &str, among: &[String], attributes: &[String]) -> Self {
        if among.is_empty() {
            return Self(filter.to_owned());
        }
        let values = among.iter().map(|address| ldap_escape(address.as_str()));
        let either =
            values.flat_map(|value| attributes.iter().map(move |name| format!("({name}={value})")));
        Self(format!("(&{filter}(|{}))", either.collect::<String>()))
    }

    /// Domains of a DC tree, and aliases of such.
    pub(super) fn of_domains() -> Self {
        Self("(|(objectClass=inetDomain)(objectClass=inetDomainAlias))".to_owned())
    }

    /// The attribute has the value.
    pub(super) fn is(attribute: &str, value: &str) -> Self {
        Self(format!("({attribute}={})", ldap_escape(value)))
    }

    /// Either of these attributes has the value, in entries of this class.
    pub(super) fn of_class(class: &str, attributes: &[&str], value: &str) -> Self {
        let value = ldap_escape(value);
        let either: Vec<_> = attributes.iter().map(|name| format!("({name}={value})")).collect();
        Self(format!("(&(objectClass={class})(|{}))", either.concat()))
    }
}

impl Search {
    /// The search of a URL.
    pub(super) fn of(url: &SearchUrl, sought: &SearchValues<'_>) -> Self {
        let base = Dn::filled(&url.base, sought);
        let filter = LdapFilter::filled(&url.filter, sought);
        Self { base, scope: scope_of(url.scope), filter, base_may_lack: false, extent: Extent::Few }
    }

    /// The search of a look-up by URL; its values are escaped.
    pub(super) fn of_query(query: &UrlQuery) -> Self {
        Self {
            base: Dn(query.base.clone()),
            scope: scope_of(query.scope),
            filter: LdapFilter(query.filter.clone()),
            base_may_lack: query.base_may_lack,
            extent: Extent::Few,
        }
    }

    /// Everything below a name.
    pub(super) fn below(base: Dn, filter: LdapFilter) -> Self {
        let (scope, base_may_lack) = (Scope::Subtree, false);
        Self { base, scope, filter, base_may_lack, extent: Extent::Few }
    }

    /// The entry of this name alone.
    pub(super) fn entry(name: Dn) -> Self {
        let filter = LdapFilter::anything();
        let (scope, base_may_lack) = (Scope::Base, true);
        Self { base: name, scope, filter, base_may_lack, extent: Extent::Few }
    }
}

impl SearchValues<'_> {
    fn text(&self, value: SearchValue) -> &str {
        match value {
            SearchValue::Address => self.address,
            SearchValue::Local => self.local,
            SearchValue::Domain => self.domain,
            // The parser lets these stand where they are put as they are, and nowhere else.
            SearchValue::DomainBase
            | SearchValue::UserBase
            | SearchValue::DomainRoot
            | SearchValue::AnyAddress => "",
        }
    }
}

fn scope_of(scope: SearchScope) -> Scope {
    match scope {
        SearchScope::Base => Scope::Base,
        SearchScope::One => Scope::OneLevel,
        SearchScope::Subtree => Scope::Subtree,
    }
}

fn any_address(sought: &SearchValues<'_>) -> String {
    let values = sought.own_address.into_iter().chain([sought.address]).map(ldap_escape);
    let values: Vec<_> = values.collect();
    let mut terms = String::new();
    for name in sought.address_attributes {
        for value in &values {
            let _ = write!(terms, "({name}={value})");
        }
    }
    let is_one = sought.address_attributes.len() * values.len() == 1;
    if is_one { terms } else { format!("(|{terms})") }
}

impl AsRef<str> for Dn {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for LdapFilter {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Display for Search {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let scope = match self.scope {
            Scope::Base => "base",
            Scope::OneLevel => "one",
            Scope::Subtree => "sub",
        };
        write!(f, "{}?{scope}?{}", self.base.0, self.filter.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(url: &str, address: &str) -> (String, String) {
        let (local, domain) = address.rsplit_once('@').unwrap();
        let (base, root) = (Dn::known("o=siroe.com,dc=siroe"), Dn::known("dc=siroe"));
        let attributes = ["mail".to_owned(), "mailAlternateAddress".to_owned()];
        let search = Search::of(
            &SearchUrl::parse(url).unwrap(),
            &SearchValues {
                address,
                own_address: None,
                local,
                domain,
                domain_base: &base,
                user_base: &root,
                domain_root: &root,
                address_attributes: &attributes,
            },
        );
        (search.base.0, search.filter.0)
    }

    #[test]
    fn a_search_is_filled_in() {
        let (base, filter) = filled("ldap:///$V?*?sub?$R", "j@x.example");
        assert_eq!(base, "o=siroe.com,dc=siroe");
        assert_eq!(filter, "(|(mail=j@x.example)(mailAlternateAddress=j@x.example))");
        let (base, filter) = filled("ldap:///ou=$D,$B??one?(&(a=$U)(b=@$D))", "j@x.example");
        assert_eq!(base, "ou=x.example,dc=siroe");
        assert_eq!(filter, "(&(a=j)(b=@x.example))");
    }

    /// Section 3.3 of the original's description: six terms, and three.
    #[test]
    fn an_address_counts_with_its_domains_own_name_too() {
        let attributes = ["mail", "mailAlternateAddress", "mailEquivalentAddress"];
        let (base, attributes) = (Dn::known("o=x"), attributes.map(str::to_owned));
        let filter = |own_address| {
            any_address(&SearchValues {
                address: "u@host1.siroe.com",
                own_address,
                local: "u",
                domain: "host1.siroe.com",
                domain_base: &base,
                user_base: &base,
                domain_root: &base,
                address_attributes: &attributes,
            })
        };
        assert_eq!(
            filter(Some("u@siroe.com")),
            "(|(mail=u@siroe.com)(mail=u@host1.siroe.com)(mailAlternateAddress=u@siroe.com)\
             (mailAlternateAddress=u@host1.siroe.com)(mailEquivalentAddress=u@siroe.com)\
             (mailEquivalentAddress=u@host1.siroe.com))"
        );
        let three = "(|(mail=u@host1.siroe.com)(mailAlternateAddress=u@host1.siroe.com)\
                     (mailEquivalentAddress=u@host1.siroe.com))";
        assert_eq!(filter(None), three);
    }

    /// An address stays one value, whatever it is made of: the filter parses, and has as many parts
    /// as it has for any other address.
    #[test]
    fn no_address_breaks_out_of_its_value() {
        let corpus = [
            "*",
            "*)(uid=*",
            "*)(uid=\\",
            ")(|(a=*",
            "\\2a",
            "\\",
            "\0",
            "(",
            ")",
            "&",
            "!",
            "|",
            "a)(objectClass=*))(&(a=b",
            "\u{e9}",
            "a=b",
            "a,b",
            "a+b",
            "a\"b",
            "#a",
            " a ",
            "<>;",
        ];
        let shape = |filter: &str| filter.bytes().filter(|c| b"()".contains(c)).count();
        let plain = shape(&filled("ldap:///$B??sub?(&(mail=$A)$R)", "x@x.example").1);
        for local in corpus {
            for address in [format!("{local}@x.example"), format!("x@{local}")] {
                let (_, filter) = filled("ldap:///$B??sub?(&(mail=$A)$R)", &address);
                assert_eq!(shape(&filter), plain, "{address:?}: {filter}");
                assert!(!filter.contains('*') && !filter.contains('\0'), "{address:?}: {filter}");
                ldap3::parse_filter(&filter).expect(&filter);
                let (base, _) = filled("ldap:///ou=$U,$B??sub?(a=b)", &address);
                let commas = base.replace("\\,", "").matches(',').count();
                assert_eq!(commas, 1, "{address:?}: {base}");
            }
        }
    }
}
