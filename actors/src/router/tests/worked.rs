//! Worked examples of the administrators' guide, as whole recipients: the rows of `DELIVERY_OPTIONS`,
//! of what comes of a look-up in the directory, and of one entry under its several statuses.

use super::*;

/// Users of the default domain and of a hosted one, by the names that the examples have.
const USERS: &str = "\
dn: o=siroe.com,dc=siroe,dc=com
objectClass: sunManagedOrganization
sunPreferredDomain: siroe.com

dn: uid=jdoe,o=siroe.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailUser
uid: jdoe
mail: jdoe@siroe.com
mailHost: store1.siroe.com
OWN

dn: cn=list,o=siroe.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailGroup
uid: list
mail: list@siroe.com
mailHost: store1.siroe.com
mgrpRFC822MailMember: jdoe@siroe.com
mailDeliveryFileURL: /var/mail/list
GROUP

dn: o=sesta.com,dc=siroe,dc=com
objectClass: sunManagedOrganization
sunPreferredDomain: sesta.com
DOMAIN

dn: uid=jdoe,o=sesta.com,dc=siroe,dc=com
objectClass: inetLocalMailRecipient
objectClass: inetMailUser
uid: jdoe
mail: jdoe@sesta.com
mailAlternateAddress: jane.doe@sesta.com
mailHost: store1.siroe.com
OWN
";

/// The users with more attributes: of both called jdoe, of the list, of the hosted domain.
fn users(own: &str, group: &str, domain: &str) -> LdifDirectory {
    users_at("store1.siroe.com", own, group, domain)
}

/// The same with their mailboxes on this host.
fn users_at(host: &str, own: &str, group: &str, domain: &str) -> LdifDirectory {
    let more = |text: &str, mark: &str, attributes: &str| {
        let lines: Vec<_> = attributes.split("; ").filter(|line| !line.is_empty()).collect();
        let end = if lines.is_empty() { "" } else { "\n" };
        text.replace(&format!("{mark}\n"), &format!("{}{end}", lines.join("\n")))
    };
    let text = more(&more(&more(USERS, "OWN", own), "GROUP", group), "DOMAIN", domain);
    let text = text.replace("store1.siroe.com", host);
    LdifDirectory::parse("worked", &text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The relay's routes, with other delivery options where there are some.
fn relay(options: &[&str]) -> Routes {
    let mut config = sample("relay.ron");
    if !options.is_empty() {
        let parse = |text: &&str| DeliveryOption::parse(text).unwrap();
        config.delivery_options = options.iter().map(parse).collect();
    }
    Routes::new(&config).unwrap()
}

/// The addresses that an address's delivery options lead to; or why the last one leads nowhere.
async fn options(routes: &Routes, directory: &LdifDirectory, text: &str) -> String {
    let to = address(text);
    let resolver = Resolver::new(routes, directory, question(&to, true)).traced();
    let steps = resolver.route().await.steps;
    let applied = steps.iter().filter_map(|step| match step {
        Step::Option { targets, .. } if !targets.is_empty() => Some(targets.join(" ")),
        Step::Option { failure: Some(failure), .. } => Some(format!("({failure})")),
        _ => None,
    });
    applied.collect::<Vec<_>>().join(" ")
}

/// Section 4.6, with the entry's option spelled out and without.
#[tokio::test]
async fn results_of_the_mailbox_option_and_what_the_store_is_told() {
    let routes = relay(&[]);
    let rows = [
        ("jdoe@siroe.com", "@store1.siroe.com.LMTP:jdoe@lmtpcs-daemon", "jdoe"),
        ("jdoe+Work@siroe.com", "@store1.siroe.com.LMTP:jdoe+Work@lmtpcs-daemon", "jdoe+Work"),
        ("jdoe@Sesta.COM", "@store1.siroe.com.LMTP:jdoe%sesta.com@lmtpcs-daemon", "jdoe@sesta.com"),
        (
            "jdoe+Work@sesta.com",
            "@store1.siroe.com.LMTP:jdoe%sesta.com+Work@lmtpcs-daemon",
            "jdoe+Work@sesta.com",
        ),
    ];
    for own in ["", "mailDeliveryOption: mailbox"] {
        let directory = users(own, "", "");
        for (to, internal, told) in rows {
            assert_eq!(options(&routes, &directory, to).await, internal, "{to}");
            let want = format!("tcp_lmtpcs store1.siroe.com {told}");
            assert_eq!(way(&routes, to, false, &directory).await, want, "{to}");
        }
    }
}

/// Section 4.3: the defaults of 6.3, the relay's of chapter 16, and the relay's of 2005Q4.
#[tokio::test]
async fn every_option_of_the_three_lists_leads_where_it_says() {
    let default: &[&str] = &[
        r"*mailbox=$M%$\$2I$_+$2S@ims-ms-daemon",
        "&members=*",
        "*native=$M@native-daemon",
        "/hold=@hold-daemon:$A",
        "*unix=$M@native-daemon",
        "&file=+$F@native-daemon",
        "&@members_offline=*",
        "program=$M%$P@pipe-daemon",
        "#forward=**",
        "*^!autoreply=$M+$D@bitbucket",
    ];
    let earlier: &[&str] = &[
        r"#*mailbox=@$X.LMTP:$M%$\$2I$_+$2S@lmtpcs-daemon",
        "#&members=*",
        "#*native=@$X.LMTPN:$M+$2S@native-daemon",
        "#/hold=@hold-daemon:$A",
        "#*unix=@$X.LMTPN:$M",
        "#*file=@$X.LMTPN:+$F",
        "#&@members_offline=*",
        "#program=$M%$P@pipe-daemon",
        "#forward=**",
        "#*^!autoreply=$M+$D@bitbucket",
    ];
    let program = "mailProgramDeliveryInfo: procmail";
    let forward = "mailForwardingAddress: jane@home.example";
    let away = "mailAutoReplyText: away";
    let file = "mailDeliveryFileURL: /var/mail/jdoe";
    // options, value of mailDeliveryOption, more of the user's, address, where it leads
    let rows: [(&[&str], &str, &str, &str, &str); 24] = [
        (default, "", "", "jdoe@siroe.com", "jdoe@ims-ms-daemon"),
        (default, "mailbox", "", "jdoe+Work@siroe.com", "jdoe+Work@ims-ms-daemon"),
        (default, "mailbox", "", "jdoe@sesta.com", "jdoe%sesta.com@ims-ms-daemon"),
        (default, "native", "", "jdoe@siroe.com", "jdoe@native-daemon"),
        (default, "unix", "", "jdoe@siroe.com", "jdoe@native-daemon"),
        (default, "hold", "", "jdoe@siroe.com", "@hold-daemon:jdoe@siroe.com"),
        (default, "program", program, "jdoe@siroe.com", "jdoe%procmail@pipe-daemon"),
        (default, "forward", forward, "jdoe@siroe.com", "jane@home.example"),
        (default, "autoreply", away, "jdoe@siroe.com", "jdoe+siroe.com@bitbucket"),
        (default, "", "", "list@siroe.com", "jdoe@siroe.com jdoe@ims-ms-daemon"),
        (earlier, "", "", "jdoe@siroe.com", "@store1.siroe.com.LMTP:jdoe@lmtpcs-daemon"),
        (earlier, "native", "", "jdoe@siroe.com", "@store1.siroe.com.LMTPN:jdoe@native-daemon"),
        (earlier, "native", "", "jdoe+w@siroe.com", "@store1.siroe.com.LMTPN:jdoe+w@native-daemon"),
        (earlier, "unix", "", "jdoe@siroe.com", "@store1.siroe.com.LMTPN:jdoe"),
        (earlier, "file", file, "jdoe@siroe.com", "@store1.siroe.com.LMTPN:+/var/mail/jdoe"),
        (earlier, "hold", "", "jdoe@siroe.com", "@hold-daemon:jdoe@siroe.com"),
        (&[], "", "", "jdoe@siroe.com", "@store1.siroe.com.LMTP:jdoe@lmtpcs-daemon"),
        (&[], "hold", "", "jdoe@siroe.com", "@hold-daemon:jdoe@siroe.com"),
        (&[], "program", program, "jdoe@siroe.com", "jdoe%procmail@pipe-daemon"),
        (&[], "program", "", "jdoe@siroe.com", ""),
        (&[], "forward", forward, "jdoe@siroe.com", "jane@home.example"),
        (&[], "autoreply", away, "jdoe@siroe.com", "jdoe+siroe.com@bitbucket"),
        // Of groups alone, and so of no user: the first of the list instead.
        (&[], "members", "", "jdoe@siroe.com", "@store1.siroe.com.LMTP:jdoe@lmtpcs-daemon"),
        (&[], "pigeon", "", "jdoe@siroe.com", "@store1.siroe.com.LMTP:jdoe@lmtpcs-daemon"),
    ];
    for (list, option, more, to, want) in rows {
        let named = named(option);
        let directory = users_at(host_of(list), &format!("{named}{more}"), "", "");
        assert_eq!(options(&relay(list), &directory, to).await, want, "{option} of {list:?}: {to}");
    }
    // Groups have members by default and by the option's own name, no mailbox, and a file.
    let members = "jdoe@siroe.com @store1.siroe.com.LMTP:jdoe@lmtpcs-daemon";
    for (list, option, want) in [
        (&[][..], "", members),
        (&[], "members", members),
        (&[], "mailbox", members),
        (default, "file", "+/var/mail/list@native-daemon"),
    ] {
        let directory = users_at(host_of(list), "", &named(option), "");
        let got = options(&relay(list), &directory, "list@siroe.com").await;
        assert_eq!(got, want, "{option} of a group");
    }
}

fn named(option: &str) -> String {
    if option.is_empty() { String::new() } else { format!("mailDeliveryOption: {option}; ") }
}

/// Where mailboxes lie: the options of 6.3 are for the machine of the store itself.
fn host_of(options: &[&str]) -> &'static str {
    let here = options.first().is_some_and(|option| option.contains("ims-ms-daemon"));
    if here { "relay1.siroe.com" } else { "store1.siroe.com" }
}

/// The end of section 3.7: one entry, and what its statuses and the directory make of it.
#[tokio::test]
async fn one_entry_under_its_statuses() {
    let routes = relay(&[]);
    let away = "mailDeliveryOption: mailbox; mailDeliveryOption: autoreply; mailAutoReplyText: x";
    let open = "vacationStartDate: 20200101000000Z; vacationEndDate: 20990101000000Z";
    let over = "vacationStartDate: 20200101000000Z; vacationEndDate: 20200102000000Z";
    let to = "jane.doe+inv@sesta.com";
    let mailbox = "@store1.siroe.com.LMTP:jdoe%sesta.com+inv@lmtpcs-daemon";
    let answered = format!("{mailbox} jdoe+sesta.com@bitbucket");
    let late = format!("{mailbox} (not between vacationStartDate and vacationEndDate)");
    let rows = [
        (format!("{away}; {open}"), answered.as_str()),
        (format!("{away}; {over}"), late.as_str()),
        (format!("{away}; {open}; mailUserStatus: hold"), "@hold-daemon:jane.doe+inv@sesta.com"),
    ];
    for (own, want) in rows {
        assert_eq!(options(&routes, &users(&own, "", ""), to).await, want, "{own}");
    }
    let store = "tcp_lmtpcs store1.siroe.com jdoe+inv@sesta.com";
    let bitbucket = "bitbucket autoreply jdoe+sesta.com@bitbucket";
    let rows = [
        (away.to_owned(), format!("{store}\n{bitbucket}")),
        (
            format!("{away}; mailUserStatus: hold"),
            "hold hold-daemon @hold-daemon:jane.doe+inv@sesta.com".to_owned(),
        ),
        (
            format!("{away}; mailUserStatus: inactive"),
            "450 4.2.1 user inactive; cannot receive new mail".to_owned(),
        ),
        (
            format!("{away}; mailUserStatus: disabled"),
            "550 5.2.1 user disabled; cannot receive new mail".to_owned(),
        ),
        (
            format!("{away}; mailUserStatus: deleted"),
            "550 5.1.6 recipient no longer on server".to_owned(),
        ),
        (format!("{away}; mailUserStatus: overquota"), "452 4.2.2 mailbox over quota".to_owned()),
    ];
    for (own, want) in rows {
        assert_eq!(way(&routes, to, false, &users(&own, "", "")).await, want, "{own}");
    }
    // The directory is away for the domain, or for the entry behind it.
    let away = "451 4.4.3 temporary lookup failure";
    assert_eq!(way(&routes, to, false, &Dead).await, away);
    assert_eq!(way(&routes, to, false, &DomainsAlone(users("", "", ""))).await, away);
}

/// Section 3.3: what comes of a look-up.
#[tokio::test]
async fn a_look_up_that_finds_nobody_goes_on_as_the_domain_says() {
    let routes = relay(&[]);
    let catch = "mailDomainCatchallAddress: jdoe@siroe.com";
    let smart = "mailRoutingSmartHost: hub.siroe.com";
    let store = "tcp_lmtpcs store1.siroe.com jdoe";
    let rows = [
        ("", "550 5.1.1 unknown or illegal alias"),
        (catch, store),
        (smart, "tcp_intranet hub.siroe.com @hub.siroe.com:nobody@sesta.com"),
        // The address for all counts before the host for all.
        (&format!("{smart}; {catch}"), store),
    ];
    for (domain, want) in rows {
        let directory = users("", "", domain);
        assert_eq!(way(&routes, "nobody@sesta.com", false, &directory).await, want, "{domain}");
        let known = way(&routes, "jdoe@sesta.com", false, &directory).await;
        assert_eq!(known, "tcp_lmtpcs store1.siroe.com jdoe@sesta.com", "{domain}");
    }
    // An entry without the classes of a user or a group is none.
    let text = USERS.replace(
        "objectClass: inetMailUser\nuid: jdoe\nmail: jdoe@siroe.com",
        "uid: jdoe\nmail: jdoe@siroe.com",
    );
    let text = text.replace("OWN\n", "").replace("GROUP\n", "").replace("DOMAIN\n", "");
    let directory = LdifDirectory::parse("classless", &text).unwrap();
    let unknown = "550 5.1.1 unknown or illegal alias";
    assert_eq!(way(&routes, "jdoe@siroe.com", false, &directory).await, unknown);
    // The directory comes before the alias file, which has what the directory has not.
    let mut config = sample("relay.ron");
    for name in ["jdoe@siroe.com", "other@siroe.com"] {
        config.aliases.insert(name.to_owned(), vec!["jdoe@sesta.com".to_owned()]);
    }
    let routes = Routes::new(&config).unwrap();
    let directory = users("", "", "");
    assert_eq!(way(&routes, "jdoe@siroe.com", false, &directory).await, store);
    let other = way(&routes, "other@siroe.com", false, &directory).await;
    assert_eq!(other, "tcp_lmtpcs store1.siroe.com jdoe@sesta.com");
    let none = way(&routes, "none@siroe.com", false, &directory).await;
    assert_eq!(none, unknown);
}

/// Knows which domains are ours, and does not answer for the entries in them.
struct DomainsAlone(LdifDirectory);

impl Lookup for DomainsAlone {
    async fn domain(&self, name: &str) -> Result<Option<Arc<Domain>>, LookupError> {
        self.0.domain(name).await
    }

    async fn entries(&self, _: &Arc<Domain>, _: &str) -> Result<Vec<Arc<Entry>>, LookupError> {
        Err(LookupError("down".to_owned()))
    }

    async fn entry(&self, _: &str) -> Result<Option<Arc<Entry>>, LookupError> {
        Err(LookupError("down".to_owned()))
    }

    async fn found_by(
        &self,
        _: &MemberSearch,
        _: &[String],
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        Err(LookupError("down".to_owned()))
    }

    async fn url(&self, _: &UrlQuery) -> Result<Option<String>, LookupError> {
        Err(LookupError("down".to_owned()))
    }
}
