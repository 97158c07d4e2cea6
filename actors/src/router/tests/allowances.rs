//! Quotas and limits of the directory, as they arrive at the ways of a recipient.

use super::{address, question, route, sample};
use crate::{directory::LdifDirectory, router::Routes};

/// A domain whose messages have at most 100 blocks.
const PEOPLE: &str = "\
dn: o=siroe.com,dc=siroe,dc=com
objectClass: sunManagedOrganization
sunPreferredDomain: siroe.com
mailQuota: 1K
mailDomainMsgMaxBlocks: 100

dn: uid=own,o=siroe.com,dc=siroe,dc=com
objectClass: inetMailUser
uid: own
mail: own@siroe.com
mailHost: store1.siroe.com
mailQuota: 2K
mailMsgQuota: 7
mailMsgMaxBlocks: 10

dn: uid=plain,o=siroe.com,dc=siroe,dc=com
objectClass: inetMailUser
uid: plain
mail: plain@siroe.com
mailHost: store1.siroe.com

dn: uid=both,o=siroe.com,dc=siroe,dc=com
objectClass: inetMailUser
uid: both
mail: both@siroe.com
mailHost: store1.siroe.com
mailQuota: 3K
mailDeliveryOption: mailbox
mailDeliveryOption: forward
mailForwardingAddress: guest@elsewhere.example

dn: uid=far,o=siroe.com,dc=siroe,dc=com
objectClass: inetMailUser
uid: far
mail: far@siroe.com
mailHost: store9.siroe.com
mailQuota: 4K

dn: cn=all,o=siroe.com,dc=siroe,dc=com
objectClass: inetMailGroup
mail: all@siroe.com
mailQuota: 5K
mailMsgMaxBlocks: 20
mgrpRFC822MailMember: own@siroe.com
mgrpRFC822MailMember: inner@siroe.com

dn: cn=inner,o=siroe.com,dc=siroe,dc=com
objectClass: inetMailGroup
mail: inner@siroe.com
mailMsgMaxBlocks: 50
mgrpRFC822MailMember: plain@siroe.com
mgrpRFC822MailMember: guest@elsewhere.example

dn: o=catch.com,dc=siroe,dc=com
objectClass: sunManagedOrganization
sunPreferredDomain: catch.com
mailDomainCatchallAddress: plain@siroe.com
mailDomainMsgMaxBlocks: 5
";

/// Address, blocks of a message, quota.
type Way<'a> = (&'a str, u64, &'a str);

#[tokio::test]
async fn ways_carry_the_tightest_limit_and_mailboxes_their_quota() {
    let routes = Routes::new(&sample("relay.ron")).unwrap();
    let directory = LdifDirectory::parse("people", PEOPLE).unwrap();
    // recipient; of each way the address, the blocks, the quota
    let rows: [(&str, &[Way<'_>]); 7] = [
        ("own@siroe.com", &[("own", 10, "2048,7")]),
        ("plain@siroe.com", &[("plain", 100, "1024,-2")]),
        ("both@siroe.com", &[("both", 100, "3072,-2"), ("guest@elsewhere.example", 100, "")]),
        // No store is told by SMTP.
        ("far@siroe.com", &[("@store9.siroe.com:far@siroe.com", 100, "")]),
        (
            "all@siroe.com",
            &[("own", 10, "2048,7"), ("plain", 20, "1024,-2"), ("guest@elsewhere.example", 20, "")],
        ),
        ("inner@siroe.com", &[("plain", 50, "1024,-2"), ("guest@elsewhere.example", 50, "")]),
        ("somebody@catch.com", &[("plain", 5, "1024,-2")]),
    ];
    for (text, want) in rows {
        let to = address(text);
        let ways = route(&routes, question(&to, true), &directory).await.outcome.unwrap();
        let seen: Vec<_> = ways
            .iter()
            .map(|way| {
                let blocks = way.size_limit.map_or(0, |limit| limit.get() / 1_024);
                let quota = way.quota.as_ref().map_or(String::new(), ToString::to_string);
                (way.address.to_string(), blocks, quota)
            })
            .collect();
        let want = want.iter().map(|(to, n, q)| ((*to).to_owned(), *n, (*q).to_owned()));
        let want: Vec<_> = want.collect();
        assert_eq!(seen, want, "{text}");
    }
}

#[tokio::test]
async fn a_message_is_too_large_for_all_ways_or_for_some() {
    let routes = Routes::new(&sample("relay.ron")).unwrap();
    let directory = LdifDirectory::parse("people", PEOPLE).unwrap();
    let to = address("all@siroe.com");
    let ways = route(&routes, question(&to, true), &directory).await.outcome.unwrap();
    let all = "all@siroe.com".into();
    // octets; ways that fail; whether all do
    for (size, failing, all_fail) in
        [(10_240, 0, false), (10_241, 1, false), (20_480, 1, false), (20_481, 3, true)]
    {
        let left = routes.without_too_large(&ways, &all, size);
        let failed = left.iter().flat_map(|ways| ways.iter()).filter(|way| way.refused.is_some());
        let failed: Vec<_> = failed.collect();
        assert_eq!(failed.len(), failing, "{size}");
        assert!(failed.iter().all(|way| &*way.channel == "reprocess" && way.member.is_some()));
        assert_eq!(super::super::too_large_for_all(&ways, size).is_some(), all_fail, "{size}");
    }
}
