//! Senders of copies that a list makes: one for all members, or another one for each.

use std::sync::Arc;

use relais_channels::mail::{Address, ErrorsTo};
use relais_config::grammar::ascii_domain;

use super::list_alias::EACH;
use crate::directory::quote;

/// The one for a member: `+*@` stands for its address, whose `@` is written as `=`. An address that
/// cannot be written so stands for nothing.
pub(super) fn of_member(errors_to: &ErrorsTo, member: &str) -> ErrorsTo {
    let Some((name, domain)) = errors_to.address.split_once(EACH) else { return errors_to.clone() };
    let member = member.strip_prefix('\\').unwrap_or(member);
    let mailbox = Address::parse(member).ok();
    let written = mailbox.and_then(|member| {
        let domain_of = member.domain().map_or_else(String::new, |domain| format!("={domain}"));
        let local = format!("{name}+{}{domain_of}", member.unquoted_local());
        let texts = [format!("{local}@{domain}"), format!("{}@{domain}", quote(&local))];
        texts.into_iter().find(|text| Address::parse(text).is_ok_and(|its| is_whole(&its, domain)))
    });
    match written {
        Some(address) => ErrorsTo { address: address.into(), ..errors_to.clone() },
        None => of_nobody(errors_to),
    }
}

/// The one for what is no member: nothing stands in the place of a member's address.
pub(super) fn of_nobody(errors_to: &ErrorsTo) -> ErrorsTo {
    if !errors_to.address.contains(EACH) {
        return errors_to.clone();
    }
    let address: Arc<str> = errors_to.address.replacen(EACH, "@", 1).into();
    ErrorsTo { address, ..errors_to.clone() }
}

/// Whether an address is the mailbox that is meant, and none within a route or another domain.
fn is_whole(address: &Address, domain: &str) -> bool {
    let ascii = ascii_domain(domain);
    let its = address.domain();
    address.route().next().is_none() && (its == Some(domain) || its == ascii.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_told_by_the_sender_of_its_copy() {
        let rows = [
            ("l+*@x.example", "bob@b.example", "l+bob=b.example@x.example"),
            ("l+*@x.example", "\\bob", "l+bob@x.example"),
            ("l+*@x.example", "a+b@b.example", "l+a+b=b.example@x.example"),
            ("l+*@x.example", "\"a b\"@b.example", "\"l+a b=b.example\"@x.example"),
            ("l+*@x.example", "\"a@c\"@b.example", "\"l+a@c=b.example\"@x.example"),
            ("l+*@x.example", "+*@b.example", "l++*=b.example@x.example"),
            ("l+*@x.example", "no address", "l@x.example"),
            ("l+*@x.example", "@c:bob@b.example", "l+bob=b.example@x.example"),
            ("l@x.example", "bob@b.example", "l@x.example"),
        ];
        for (address, member, want) in rows {
            let errors_to = ErrorsTo { address: address.into(), is_sender: true };
            let of = of_member(&errors_to, member);
            assert_eq!(&*of.address, want, "{address} {member}");
            assert_eq!(&*of_nobody(&of).address, want);
        }
        let errors_to = ErrorsTo::reader("l+*@x.example");
        assert_eq!(of_nobody(&errors_to), ErrorsTo::reader("l@x.example"));
    }
}
