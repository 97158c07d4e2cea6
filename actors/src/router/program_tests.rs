//! Ways to programs: by delivery options, commands of aliases and transports, and by nobody's own
//! word.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use relais_config::{Channel, Config, channel::Program};

use super::{
    Resolver, Routes, Step,
    tests::{address, question, sample, way},
};
use crate::directory::{LdifDirectory, Source};

const LATER: &str = "451 4.3.5 this address cannot be served yet";

fn programs() -> Vec<relais_config::ListedProgram> {
    let text = "(host: \"a.example\", data: \"/d\", default_domain: \"a.example\", \
                dispatcher: (services: {}), channels: [(name: \"l\", tag: \"l\", program: Local)], \
                programs: {\"Procmail\": (command: [\"/usr/bin/procmail\", \"-d\", \"$user\"]), \
                \"mlm\": (command: [\"/path/to/mlm/software\"])})";
    Config::parse("f", text).unwrap().0.programs
}

/// The sample for Postfix's way, with a channel for programs and an account.
fn postfix(folder: &Path) -> Config {
    let mut config = sample("postfix.ron");
    folder.clone_into(&mut config.data);
    config.channels.push(Channel::new("pipe", "pipe-daemon", Program::Pipe));
    config.programs = programs();
    config.accounts = "accounts".into();
    let id = fs::metadata(folder).unwrap().uid();
    let home = folder.join("home");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join(".forward"), "\"|Procmail\", \"|/bin/sh\"\n").unwrap();
    let accounts = format!("ann:x:{id}:1::{}:/bin/sh\n", home.display());
    fs::write(folder.join("accounts"), accounts).unwrap();
    fs::write(folder.join("members"), "\"|/usr/bin/procmail -d $user\"\nx\n").unwrap();
    let aliases: &[(&str, &[&str])] = &[
        ("label", &["|Procmail"]),
        ("words", &["|/usr/bin/procmail  -d $user"]),
        ("more", &["|/usr/bin/procmail -d $user; id"]),
        ("shell", &["|exec /path/to/mlm/software"]),
        ("two words", &["|mlm"]),
        ("nested", &["mlist"]),
        ("list", &[":include:members"]),
        ("outer", &["list", "label"]),
        ("crafted", &["x%Procmail@pipe-daemon"]),
        ("mixed", &["|/bin/sh", "x"]),
    ];
    for (name, targets) in aliases {
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        config.aliases.insert((*name).to_owned(), targets);
    }
    config.virtual_alias.insert("v@example.net".to_owned(), vec!["|Procmail".to_owned()]);
    for (domain, transport) in [("lists.example", "pipe:mlm"), ("odd.example", "pipe:none")] {
        config.transport.own.insert(domain.to_owned(), transport.to_owned());
    }
    config
}

#[tokio::test]
async fn commands_of_operators_and_accounts_run_what_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let config = postfix(folder.path());
    let routes = Routes::new(&config).unwrap();
    let x = "lmtp unix:/var/imap/socket/lmtp x";
    let rows = [
        ("mlist", "pipe mlm mlist%mlm@pipe-daemon".to_owned()),
        ("label", "pipe procmail label%Procmail@pipe-daemon".to_owned()),
        ("words", "pipe procmail words%Procmail@pipe-daemon".to_owned()),
        ("words+detail", "pipe procmail words+detail%Procmail@pipe-daemon".to_owned()),
        ("\"two words\"", "pipe mlm \"two words%mlm\"@pipe-daemon".to_owned()),
        ("nested", "pipe mlm mlist%mlm@pipe-daemon".to_owned()),
        ("list", format!("{x}\npipe procmail list%Procmail@pipe-daemon")),
        (
            "outer",
            format!(
                "{x}\npipe procmail label%Procmail@pipe-daemon\npipe procmail list%Procmail@pipe-daemon"
            ),
        ),
        ("v@lists.example", "pipe mlm v@lists.example".to_owned()),
        (
            "ann",
            "pipe procmail ann%Procmail@pipe-daemon\nreprocess reprocess-daemon ann".to_owned(),
        ),
        ("mixed", format!("{x}\nreprocess reprocess-daemon mixed")),
    ];
    for (text, want) in rows {
        let found = way(&routes, text, false, &Source::None).await;
        let mut found: Vec<_> =
            found.lines().map(|line| line.replace("@mail.example.org", "")).collect();
        found.sort_unstable();
        assert_eq!(found.join("\n"), want, "{text}");
    }
    let refused = [
        ("more", LATER),
        ("shell", LATER),
        ("v@odd.example", LATER),
        // No word of a user chooses what a program is told.
        ("crafted", "550 5.1.1 unknown or illegal alias"),
        ("v@example.net", LATER),
    ];
    for (text, want) in refused {
        assert_eq!(way(&routes, text, false, &Source::None).await, want, "{text}");
    }
    for text in ["root%mlm@pipe-daemon", "root%mlm%pipe-daemon@localhost"] {
        for ours in [false, true] {
            let found = way(&routes, text, ours, &Source::None).await;
            assert!(found.starts_with("550 5."), "{text}: {found}");
        }
    }
    let to = address("words");
    let told = Resolver::new(&routes, &Source::None, question(&to, false)).traced();
    let steps = told.route().await.steps;
    let told = steps.iter().find(|step| matches!(step, Step::Program { .. })).unwrap();
    assert_eq!(told.to_string(), "  program Procmail: /usr/bin/procmail -d $user");
}

#[tokio::test]
async fn what_nobody_lists_or_runs_waits() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = postfix(folder.path());
    config.programs.clear();
    let routes = Routes::new(&config).unwrap();
    for text in ["mlist", "label", "v@lists.example"] {
        assert_eq!(way(&routes, text, false, &Source::None).await, LATER, "{text}");
    }
    config.programs = programs();
    config.channels.retain(|channel| channel.program != Program::Pipe);
    config.transport.own.clear();
    let routes = Routes::new(&config).unwrap();
    assert_eq!(way(&routes, "mlist", false, &Source::None).await, LATER);
}

#[tokio::test]
async fn a_delivery_option_leads_to_the_program_of_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = sample("standalone.ron");
    folder.path().clone_into(&mut config.data);
    fs::write(folder.path().join("members"), "secret@elsewhere.example\n").unwrap();
    config.aliases.insert("private".to_owned(), vec![":include:members".to_owned()]);
    config.channels.push(Channel::new("pipe", "pipe-daemon", Program::Pipe));
    config.programs = programs();
    let option = relais_config::DeliveryOption::parse("#program=$M%$P@pipe-daemon").unwrap();
    config.delivery_options.push(option);
    let user = |uid: &str, more: &str| {
        format!(
            "\ndn: uid={uid},o=relais.example,dc=example\nobjectClass: inetMailUser\nuid: {uid}\n\
             mail: {uid}@relais.example\nmailDeliveryOption: program\n{more}\n"
        )
    };
    let ldif = [
        "dn: o=relais.example,dc=example\nobjectClass: sunManagedOrganization\n\
         sunPreferredDomain: relais.example\n"
            .to_owned(),
        user("jdoe", "mailProgramDeliveryInfo: procmail"),
        user("odd", "mailProgramDeliveryInfo: /bin/sh"),
        user("sly", "mailDeliveryOption: forward\nmailForwardingAddress: |mlm"),
        user(
            "lister",
            "mailDeliveryOption: forward\nmailForwardingAddress:: OmluY2x1ZGU6bWVtYmVycw==",
        ),
        user("host", "mailHost: pipe-daemon\nmailRoutingAddress: root%procmail"),
        user("hosts", "mailHost: pipe-daemon\nmailRoutingAddress: root%procmail@relais.example"),
        user("routed", "mailRoutingAddress: @pipe-daemon:root%procmail"),
        user("plain", "mailRoutingAddress: root%procmail@pipe-daemon"),
    ];
    let directory = LdifDirectory::parse("f", &ldif.concat()).unwrap();
    let routes = Routes::new(&config).unwrap();
    let rows = [
        ("jdoe@relais.example", "pipe procmail jdoe%procmail@pipe-daemon"),
        ("jdoe+work@relais.example", "pipe procmail jdoe%procmail@pipe-daemon"),
        ("odd@relais.example", LATER),
        ("sly@relais.example", LATER),
        // A list in a file is the operator's.
        ("lister@relais.example", LATER),
        // Nobody names a program by a host, and its user by a mailbox there.
        ("host@relais.example", "550 5.1.1 unknown or illegal alias"),
        ("hosts@relais.example", "550 5.1.1 unknown or illegal alias"),
        ("routed@relais.example", "550 5.1.1 unknown or illegal alias"),
        ("plain@relais.example", "550 5.1.1 unknown or illegal alias"),
    ];
    for (text, want) in rows {
        assert_eq!(way(&routes, text, false, &directory).await, want, "{text}");
    }
}
