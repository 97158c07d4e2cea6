//! Real Postfix with the same maps beside ours: `sendmail -bv` against `relais route`, and `postmap`
//! against how our files are read.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use relais_config::text_table::{TextForm, TextTableReader};
use relais_tests::{
    Dialogue, Instance, Settings, needs, needs_root, postfix_services, program, run_with, succeed,
    within,
};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);

/// Where an address ends: who is asked for, and by which place.
type Ends = BTreeSet<(String, String)>;

/// A Postfix whose every delivery is to a socket that is not there: its log tells the rest.
struct Postfix {
    folder: TempDir,
}

impl Postfix {
    fn start(main: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("maps-").tempdir_in("/tmp").expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("our folder");
        let postfix = Self { folder };
        let [config, queue, data] = ["config", "queue", "data"].map(|name| postfix.path(name));
        for made in [&config, &queue, &data] {
            fs::create_dir(made).expect("a fresh folder");
        }
        succeed(Command::new("chown").arg("postfix").arg(&data), b"");
        for (name, text) in [("aliases", ALIASES), ("virtual", VIRTUAL), ("transport", TRANSPORT)] {
            let text = text.replace("FOLDER", &postfix.folder.path().display().to_string());
            fs::write(postfix.path(name), text).expect("a table");
        }
        fs::write(postfix.path("members"), MEMBERS).expect("a list");
        fs::create_dir_all(postfix.path("home/games")).expect("a home");
        fs::write(postfix.path("home/games/.forward"), "bob\n").expect("a forward");
        let passwd = fs::read_to_string("/etc/passwd").expect("accounts");
        let passwd = passwd.lines().map(|line| {
            let mut fields: Vec<_> = line.split(':').map(str::to_owned).collect();
            let home = postfix.path("home").join(&fields[0]).display().to_string();
            if let Some(field) = fields.get_mut(5) {
                *field = home;
            }
            fields.join(":")
        });
        let passwd: Vec<_> = passwd.collect();
        fs::write(postfix.path("accounts"), passwd.join("\n")).expect("accounts");
        let place = postfix.folder.path().display().to_string();
        let text = format!("{MAIN}{main}").replace("FOLDER", &place);
        fs::write(config.join("main.cf"), text).expect("a configuration");
        fs::write(config.join("master.cf"), postfix_services(&SERVICES)).expect("a configuration");
        let aliases = format!("hash:{}", postfix.path("aliases").display());
        succeed(Command::new("/usr/sbin/postalias").arg("-c").arg(&config).arg(aliases), b"");
        succeed(&mut postfix.command("start"), b"");
        postfix
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(self.path("config")).arg(what);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Where each address ends, as `sendmail -bv` has it tried. Each has a message of its own, so that
    /// none is a duplicate of another.
    fn ends(&self, addresses: &[String]) -> Vec<Ends> {
        for (n, address) in addresses.iter().enumerate() {
            let mut sendmail = Command::new("/usr/sbin/sendmail");
            sendmail.arg("-C").arg(self.path("config"));
            sendmail.args(["-bv", "-f", &format!("asks{n}@reports.test"), "--", address]);
            succeed(&mut sendmail, b"");
        }
        // One look at the log answers both: between two of them a message may begin.
        let mut all = HashMap::new();
        let done = within(LIMIT, || {
            all = tried(&self.log());
            all.len() == addresses.len() && all.values().all(|its| its.is_done)
        });
        assert!(done, "Postfix has not tried all:\n{}", self.log());
        (0..addresses.len())
            .map(|n| all.remove(&n).map(|its| its.ends).unwrap_or_default())
            .collect()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        run_with(&mut self.command("stop"), b"");
    }
}

#[derive(Default)]
struct Tried {
    ends: Ends,
    is_done: bool,
}

/// The deliveries of a log, by the number of the address that was asked for.
fn tried(log: &str) -> HashMap<usize, Tried> {
    let (mut numbers, mut found) = (HashMap::new(), HashMap::<usize, Tried>::new());
    for line in log.lines() {
        let Some((_, rest)) = line.split_once("]: ") else { continue };
        let Some((id, rest)) = rest.split_once(": ") else { continue };
        if let Some(asks) = rest.strip_prefix("from=<asks") {
            let number = asks.split('@').next().and_then(|number| number.parse::<usize>().ok());
            numbers.extend(number.map(|number| (id.to_owned(), number)));
        }
        let Some(tried) = numbers.get(id).map(|number| found.entry(*number).or_default()) else {
            continue;
        };
        tried.is_done |= rest == "removed";
        if let Some(to) = rest.strip_prefix("to=<") {
            let Some((address, rest)) = to.split_once(">, ") else { continue };
            let why = rest.split_once("status=").map_or("", |(_, why)| why);
            let forwarded = why.split_once("(forwards to ").and_then(|its| its.1.split(')').next());
            let place = forwarded.map_or_else(|| place(why, rest), |_| "anywhere".to_owned());
            // A refusal has no address: each names another one.
            let is_code = place.starts_with(|c: char| c.is_ascii_digit());
            let address =
                if is_code { String::new() } else { folded(forwarded.unwrap_or(address)) };
            tried.ends.insert((address, place));
        }
    }
    found
}

/// The place of a delivery in Postfix's words.
fn place(why: &str, line: &str) -> String {
    let socket = why.split_once("[/").and_then(|(_, path)| path.split(']').next());
    let name = socket.and_then(|path| path.rsplit('/').next());
    let code = line.split_once("dsn=").and_then(|(_, code)| code.split(',').next());
    match name {
        Some(name) => name.to_owned(),
        None if why.contains("delivers to command") => "command".to_owned(),
        None if why.contains("delivers to mailbox") => "account".to_owned(),
        None => code.unwrap_or_default().to_owned(),
    }
}

/// An address as both write it: the case of a domain does not matter.
fn folded(address: &str) -> String {
    let (user, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    format!("{user}@{}", domain.to_ascii_lowercase())
}

/// Where each address ends with us.
fn ours(instance: &Instance, addresses: &[String]) -> Vec<Ends> {
    let list = instance.path("addresses");
    fs::write(&list, addresses.join("\n")).expect("a list");
    let list = list.display().to_string();
    // Its status says that some are refused.
    let output = instance
        .relais("route", &["--offline", "--json", "--client", "127.0.0.1", "--file", &list]);
    let text = String::from_utf8_lossy(&output.stdout);
    let told: Vec<serde_json::Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(told.len(), addresses.len(), "{output:?}");
    let end = |told: &serde_json::Value| {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        if told["accepted"] != true {
            let reply = text(&told["reply"]);
            let code = reply.split(' ').nth(1).unwrap_or_default();
            return [(String::new(), code.to_owned())].into();
        }
        let results = told["results"].as_array().cloned().unwrap_or_default();
        let ends = results.iter().map(|its| {
            let hop = text(&its["next_hop"]);
            let address = text(&its["address"]);
            if its["channel"] == "l" {
                return (folded(&address), "account".to_owned());
            }
            if let Some((user, _)) = address.split_once('%').filter(|_| its["channel"] == "pipe") {
                return (format!("{user}@mail.example.org"), "command".to_owned());
            }
            (folded(&text(&its["address"])), hop.rsplit('/').next().unwrap_or_default().to_owned())
        });
        ends.collect()
    };
    told.iter().map(end).collect()
}

/// Ours with the same files; `transports` are settings of the local channel.
fn beside(postfix: &Postfix, transports: &str) -> Instance {
    let place = postfix.folder.path().display().to_string();
    let text = Settings::postfix()
        .edit("mailbox_transport: \"lmtp:unix:/var/imap/socket/lmtp\"", transports)
        .edit("\"$U%$H@tcp_local-daemon\"", "\"$U%$H@other-daemon\"")
        .edit(
            "(name: \"process\"",
            &format!(
                "(name: \"other\", tag: \"other-daemon\", program: Lmtp, daemon: \"unix:{place}/other\"),
                 (name: \"pipe\", tag: \"pipe-daemon\", program: Pipe),
                 (name: \"process\""
            ),
        )
        .section("programs: {\"cat\": (command: [\"/bin/cat\", \"-u\"], user: \"nobody\")}")
        .section("mappings: {\"INTERNAL_IP\": [(\"127.0.0.1\", \"$Y\")]}")
        .table("transport", &format!("{place}/transport"))
        .table("virtual_alias", &format!("{place}/virtual"))
        .table("aliases", &format!("{place}/aliases"));
    Instance::new(text.section(&format!("accounts: \"{place}/accounts\"")))
}

/// The addresses that are put to both: every key of the maps, and what is none, with and without an
/// extension, in several domains.
fn addresses() -> Vec<String> {
    let mut all = BTreeSet::new();
    let users = [
        "joe",
        "Joe",
        "team",
        "kim",
        "list",
        "loop1",
        "nested",
        "daemon",
        "nobody-here",
        "bare",
        "user",
        "two",
        "owner-list",
        "many",
        "o'neil",
        "a=b",
    ];
    let domains = ["", "mail.example.org", "example.org", "LOCALHOST", "v.example", "d.test"];
    for user in users {
        for domain in domains {
            let at = if domain.is_empty() { "" } else { "@" };
            all.insert(format!("{user}{at}{domain}"));
            all.insert(format!("{user}+Ext{at}{domain}"));
        }
    }
    for (user, domain) in [
        ("u", "v.example"),
        ("u+x", "v.example"),
        ("U+X", "V.Example"),
        ("self", "v.example"),
        ("chain", "v.example"),
        ("wide", "cat.example"),
        ("wide+x", "cat.example"),
        ("moved+x", "map.example"),
        ("u", "virt.example"),
        ("none", "virt.example"),
        ("none+x", "virt.example"),
        ("tolocal", "v.example"),
        ("toalias", "v.example"),
        ("toalias+x", "v.example"),
        ("x", "d.test"),
        ("x+y", "d.test"),
        ("special", "d.test"),
        ("special+y", "d.test"),
        ("special+exact", "d.test"),
        ("x", "sub.d.test"),
        ("x", "deep.sub.d.test"),
        ("x", "p.test"),
        ("x", "a.p.test"),
        ("x", "b.a.p.test"),
        ("x", "other.test"),
        ("x", "gone.test"),
        ("x", "dotless"),
        ("me", "example.org"),
        ("me+x", "example.org"),
        ("me", "localhost"),
        ("x", "named.test"),
        ("x", "sub.named.test"),
        ("pipe", ""),
        ("x.y-z", "d.test"),
        ("x_y", "p.test"),
        ("X", "D.TEST"),
        ("postmaster", "example.org"),
    ] {
        let at = if domain.is_empty() { "" } else { "@" };
        all.insert(format!("{user}{at}{domain}"));
    }
    all.into_iter().collect()
}

/// Whether both say the same, as far as Postfix tells: of what local(8) sends on it tells only to whom.
fn agree(postfix: &Ends, ours: &Ends) -> bool {
    let names = |ends: &Ends| ends.iter().map(|end| end.0.clone()).collect::<BTreeSet<_>>();
    let told = |end: &(String, String)| end.1 == "anywhere" || ours.contains(end);
    postfix.iter().all(told) && names(postfix) == names(ours)
}

#[test]
fn postfix_with_the_same_maps_routes_alike() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let postfix = Postfix::start("mailbox_transport = lmtp:unix:FOLDER/mailbox\n");
    let place = postfix.folder.path().display();
    let instance = beside(&postfix, &format!("mailbox_transport: \"lmtp:unix:{place}/mailbox\""));
    let addresses = addresses();
    assert!(addresses.len() >= 200, "{}", addresses.len());
    let (theirs, ours) = (postfix.ends(&addresses), ours(&instance, &addresses));
    let mut meant: BTreeSet<&str> = MEANT.iter().map(|(address, _)| *address).collect();
    let mut different = Vec::new();
    for ((address, theirs), ours) in addresses.iter().zip(&theirs).zip(&ours) {
        if !agree(theirs, ours) && !meant.remove(&**address) {
            different.push(format!("{address}\n  Postfix: {theirs:?}\n  relais:  {ours:?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(meant.is_empty(), "no difference any more: {meant:?}");
}

/// Postfix's own files, imported: the same places for the same addresses, as its deliveries tell and as
/// `--verify` does.
#[test]
fn an_imported_postfix_routes_alike() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let more = "mailbox_transport = lmtp:unix:FOLDER/mailbox\nrelay_domains = relay.test\n\
                relay_transport = lmtp:unix:FOLDER/relay\n\
                relay_recipient_maps = inline:{ann@relay.test=x, @any.relay.test=x}\n\
                virtual_mailbox_domains = box.test\nvirtual_transport = lmtp:unix:FOLDER/boxes\n\
                virtual_mailbox_maps = inline:{ann@box.test=x}\n\
                virtual_alias_domains = listed.test, virt.example\n\
                mynetworks = 127.0.0.0/8\nmessage_size_limit = 100000\n";
    let postfix = Postfix::start(more);
    let mut addresses = addresses();
    let more = [
        "ann@relay.test",
        "ann+x@relay.test",
        "none@relay.test",
        "u@any.relay.test",
        "ann@box.test",
        "ann+x@box.test",
        "none@box.test",
        "u@listed.test",
        "x@sub.box.test",
    ];
    addresses.extend(more.map(str::to_owned));
    let folder = postfix.path("config").display().to_string();
    let list = postfix.path("list");
    fs::write(&list, addresses.join("\n")).expect("a list");
    let new = postfix.path("new.ron").display().to_string();
    let list = list.display().to_string();
    let mut import = Command::new(program());
    import.args(["import", "postfix", &folder, "--output", &new, "--verify", &list]);
    let output = run_with(&mut import, b"");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let place = postfix.folder.path().display();
    let sums = format!("{} addresses, {} go another way", addresses.len(), MEANT.len());
    let text = fs::read_to_string(&new).expect("the new file");
    assert!(told.contains(&sums), "{told}");
    let told_aside = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("sendmail -bv on a copy of it"), "{told}{told_aside}");
    // Each delivery takes its time: some of all stand for the others.
    let addresses: Vec<_> = addresses.into_iter().rev().step_by(3).collect();
    let settings = Settings::imported(&text).section(&format!("accounts: \"{place}/accounts\""));
    let instance = Instance::new(settings);
    let (theirs, ours) = (postfix.ends(&addresses), ours(&instance, &addresses));
    let mut different = Vec::new();
    for ((address, theirs), ours) in addresses.iter().zip(&theirs).zip(&ours) {
        // Tables of recipients are asked at RCPT alone, and not for what sendmail brings.
        let is_unlisted = address.starts_with("none@") && ours.contains(&refused("5.1.1"));
        let is_meant = is_unlisted || MEANT.iter().any(|its| its.0 == address);
        if !agree(theirs, ours) && !is_meant {
            different.push(format!("{address}\n  Postfix: {theirs:?}\n  relais:  {ours:?}"));
        }
    }
    assert!(different.is_empty(), "{}\n{told}", different.join("\n"));
}

fn refused(code: &str) -> (String, String) {
    (String::new(), code.to_owned())
}

#[test]
fn each_transport_of_the_local_channel_takes_what_postfix_gives_it() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    for (n, setting) in
        ["mailbox_transport", "local_transport", "fallback_transport"].iter().enumerate()
    {
        let postfix = Postfix::start(&format!(
            "{setting} = lmtp:unix:FOLDER/lmtp\nforward_path = FOLDER/home/$user/.forward\n"
        ));
        let place = postfix.folder.path().display();
        let instance = beside(&postfix, &format!("{setting}: \"lmtp:unix:{place}/lmtp\""));
        let addresses = PRECEDENCE.map(|(name, _)| name.to_owned());
        let (theirs, ours) = (postfix.ends(&addresses), ours(&instance, &addresses));
        for ((theirs, ours), (name, want)) in theirs.iter().zip(&ours).zip(PRECEDENCE) {
            let want = want[n].iter().map(|(name, place)| {
                let name = if name.is_empty() {
                    String::new()
                } else {
                    format!("{name}@mail.example.org")
                };
                (name, (*place).to_owned())
            });
            let want: Ends = want.collect();
            assert!(agree(theirs, &want), "{setting}: {name}: Postfix: {theirs:?}");
            assert_eq!(*ours, want, "{setting}: {name}");
        }
    }
}

/// Postfix delivers such a message to `joe` twice: it passes one recipient at a time to local(8).
#[test]
fn a_user_and_an_alias_of_the_user_are_one_delivery() {
    let folder = tempfile::tempdir().expect("a folder");
    let aliases = folder.path().join("aliases");
    fs::write(&aliases, "team: joe, guest\n").expect("a table");
    let settings = Settings::postfix().table("aliases", &aliases.display().to_string());
    let instance = Instance::new(settings);
    let _running = instance.start();
    let mut client = Dialogue::open(instance.settings.smtp);
    let to = ["joe@mail.example.org", "team@mail.example.org"];
    client.message("a@client.test", &to, b"Subject: x\r\n\r\nx\r\n").expect(250);
    let queue = instance.queue();
    let recipients = queue.iter().filter_map(|entry| entry["recipients"].as_array()).flatten();
    let mut names: Vec<_> = recipients.filter_map(|its| its["address"].as_str()).collect();
    names.sort_unstable();
    // The alias has its other member left, under its own name.
    assert_eq!(names, ["joe@mail.example.org", "team@mail.example.org"], "{queue:#?}");
}

/// postmap(1) makes of a file what we make of it.
#[test]
fn postmap_reads_the_same_entries() {
    if !needs(&["/usr/sbin/postmap"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("map");
    fs::write(&file, format!("{VIRTUAL}{TRANSPORT}{ODD_LINES}")).expect("a table");
    fs::write(folder.path().join("main.cf"), "compatibility_level = 3.6\n").expect("a file");
    let mut dump = Command::new("/usr/sbin/postmap");
    dump.arg("-c").arg(folder.path()).arg("-s").arg(format!("texthash:{}", file.display()));
    let told = succeed(&mut dump, b"");
    // It keeps the blanks with which a line goes on.
    let plain = |value: &str| value.split_whitespace().collect::<Vec<_>>().join(" ");
    let theirs = told.lines().filter_map(|line| line.split_once('\t'));
    let theirs: BTreeMap<&str, String> = theirs.map(|(key, value)| (key, plain(value))).collect();
    let mut reader = TextTableReader::new(TextForm::Values, 0);
    let text = fs::read(&file).expect("the table");
    reader.read(&*text, &mut |_, _| Ok(()), &mut Vec::new()).expect("a table");
    let (table, _) = reader.finish();
    let ours: BTreeMap<&str, String> =
        table.iter().map(|(key, value)| (key, plain(value))).collect();
    assert_eq!(ours, theirs);
    assert!(ours.len() > 25);
}

/// Differences that are meant, and why.
const MEANT: [(&str, &str); 1] =
    [("postmaster@example.org", "a host has one postmaster, whatever its domains")];

type Row = (&'static str, [&'static [(&'static str, &'static str)]; 3]);

/// Recipients, and who gets their mail under `mailbox_transport`, `local_transport` and
/// `fallback_transport`: `daemon` and
/// `games` are accounts, the latter with a forward to `bob`; `crew` is an alias of one of them and
/// somebody else, `pipe` of a command; `ghost` is nobody.
const PRECEDENCE: [Row; 6] = [
    ("daemon", [&[("daemon", "lmtp")], &[("daemon", "lmtp")], &[("daemon", "account")]]),
    ("games", [&[("bob", "lmtp")], &[("games", "lmtp")], &[("bob", "lmtp")]]),
    (
        "crew",
        [
            &[("daemon", "lmtp"), ("guest", "lmtp")],
            &[("crew", "lmtp")],
            &[("daemon", "account"), ("guest", "lmtp")],
        ],
    ),
    ("ghost", [&[("ghost", "lmtp")], &[("ghost", "lmtp")], &[("ghost", "lmtp")]]),
    (
        "daemon+ext",
        [&[("daemon+ext", "lmtp")], &[("daemon+ext", "lmtp")], &[("daemon+ext", "account")]],
    ),
    ("pipe", [&[("pipe", "command")], &[("pipe", "lmtp")], &[("pipe", "command")]]),
];

const ALIASES: &str = "# aliases(5)
team: joe, guest,
\tout@p.test
Kim: \\kim, joe
crew: daemon, guest
list: :include:FOLDER/members, joe
owner-list: boss
loop1: loop2
loop2: loop1
nested: team, kim
pipe: \"|/bin/cat -u\"
";

const MEMBERS: &str = "# who belongs to the list
kim, first@p.test
second@d.test
";

const VIRTUAL: &str = "# virtual(5)
u+x@v.example     exact@p.test
u@v.example       a@d.test, b@p.test
Self@v.example    self@v.example, more@v.example
more@v.example    last@p.test
chain@v.example   more@v.example
@cat.example      sink@p.test
@map.example      @p.test
bare              bare@p.test
two               one@p.test, joe
many              m1@p.test,
                  m2@p.test,
    # in between
                  m3@p.test
virt.example      any
u@virt.example    a@d.test
tolocal@v.example someone
toalias@v.example team@localhost
";

const TRANSPORT: &str = "# transport(5)
d.test                lmtp1:unix:FOLDER/domain
special+exact@d.test  lmtp2:unix:FOLDER/exact
special@d.test        lmtp1:unix:FOLDER/special
.d.test               lmtp1:unix:FOLDER/below
p.test                lmtp2:unix:FOLDER/p
.p.test               lmtp2:unix:FOLDER/parent
.a.p.test             lmtp2:unix:FOLDER/grandparent
gone.test             error:5.1.6 moved
me@example.org        lmtp1:unix:FOLDER/me
Named.test            lmtp2:unix:FOLDER/named
";

const ODD_LINES: &str = "
Key\twith a tab
trailing   blanks and a \\ within \t
\"some user\"@example.com  quoted
\t
long one,
 # a comment
\ttwo,

 three
last no newline";

const MAIN: &str = "compatibility_level = 3.6
queue_directory = FOLDER/queue
data_directory = FOLDER/data
myhostname = mail.example.org
mydomain = example.org
myorigin = mail.example.org
mydestination = localhost, mail.example.org, example.org
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps = hash:FOLDER/aliases
virtual_alias_maps = texthash:FOLDER/virtual
transport_maps = texthash:FOLDER/transport
recipient_delimiter = +
local_recipient_maps =
default_transport = lmtp:unix:FOLDER/other
maillog_file = FOLDER/log
maillog_file_prefixes = FOLDER
";

const SERVICES: [(&str, &str); 5] = [
    ("discard", "unix - - n - - discard"),
    ("local", "unix - n n - - local"),
    ("lmtp", "unix - - n - - lmtp"),
    ("lmtp1", "unix - - n - - lmtp"),
    ("lmtp2", "unix - - n - - lmtp"),
];
