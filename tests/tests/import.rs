//! Configurations of other mail systems, imported and run: the blocks of the Sun guide's chapter 16 and the
//! pieces of Postfix's `LMTP_README`, as they stand there.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use relais_tests::{Dialogue, Instance, Ldif, Settings, Sink, eventually, mailbox, program};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with these files.
fn source(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::Builder::new().prefix("import-").tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

/// Standard output, standard error and exit status of `relais import KIND FOLDER ARGS...`.
fn import(kind: &str, folder: &TempDir, args: &[&str]) -> (String, String, Option<i32>) {
    let mut command = Command::new(program());
    command.args(["import", kind]).arg(folder.path()).args(args).stdin(Stdio::null());
    let output = command.output().expect("relais runs");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// The new file.
#[track_caller]
fn imported(kind: &str, folder: &TempDir) -> Settings {
    let (text, told, status) = import(kind, folder, &[]);
    assert_eq!(status, Some(0), "{told}\n{text}");
    Settings::imported(&text)
}

/// A back end store with a minimal MTA (16.5.1), and the front end before it (16.5): a message comes in
/// at the one and lies in a mailbox of the other.
#[test]
fn the_two_tiers_of_the_guide_are_imported_and_deliver() {
    let store = source(&[
        ("dispatcher.cnf", STORE_DISPATCHER),
        ("mappings", STORE_MAPPINGS),
        ("imta.cnf", STORE_IMTA),
    ]);
    let store = imported("sun", &store);
    let port = store.lmtp;
    let store = store
        .edit("ports: [225]", &format!("interface_address: \"127.0.0.1\", ports: [{port}]"))
        .edit("(\"TCP|*|225|192.18.74.206|*\"", &format!("(\"TCP|*|{port}|127.0.0.1|*\""))
        .edit("default_domain: \"localhost\"", "default_domain: \"siroe.com\"");
    let store = Instance::new(store);
    let _store = store.start();

    let relay = source(&[
        ("imta.cnf", RELAY_IMTA),
        ("option.dat", RELAY_OPTIONS),
        ("dispatcher.cnf", RELAY_DISPATCHER),
        ("msg.conf", "service.defaultdomain = siroe.com\n"),
    ]);
    let relay = imported("sun", &relay);
    let smtp = relay.smtp;
    let begin = relay.text().find("directory: Ldap(").expect("a directory");
    let end = begin + relay.text()[begin..].find("\n    ),").expect("its end") + "\n    )".len();
    let directory = relay.text()[begin..end].to_owned();
    let relay = relay
        .edit(&directory, "directory: Ldif()")
        .edit("ports: [25]", &format!("interface_address: \"127.0.0.1\", ports: [{smtp}]"))
        .edit("port: 225", &format!("port: {port}"));
    let people =
        Ldif::file().domain("siroe.com", "").user("jdoe", "siroe.com", "mailHost: localhost");
    let relay = people.instance(relay);
    let _relay = relay.start();

    let mut client = Dialogue::open(smtp);
    client.message("a@example.org", &["jdoe@siroe.com"], b"Subject: x\r\n\r\nx\r\n").expect(250);
    let stored = || mailbox(&store.store(), "siroe.com", "jdoe").len() == 1;
    eventually("the message is in its mailbox", PATIENCE, stored);
    client.ask("MAIL FROM:<a@example.org>").expect(250);
    client.ask("RCPT TO:<nobody@siroe.com>").expect(550);
    client.ask("RCPT TO:<b@elsewhere.test>").expect(550);
}

#[test]
fn rules_as_they_were_read_and_the_new_file_lead_to_the_same_places() {
    let rules = RELAY_IMTA.replace(
        "$*      $A$E$F$U%$H$V$H@relay1.siroe.com\n",
        "siroe.com  $U%$D@relay1.siroe.com\n.siroe.com $U%$H$D@tcp-daemon\nold.test $U%new.test\n\
         ours.test $U%$D$V$D@relay1.siroe.com\nlate.test $4001002?Try later\n\
         no.test $?No; write to postmaster@siroe.com\nhub.test $U%$D@other.example.net\n\
         error.test $U%$D@tcp-daemon$Mtcp_local$1~-error\n",
    );
    let rules = rules.replace("\ntcp-daemon\n", "\ntcp-daemon\nother.example.net\n");
    // Nobody listens there, and there is no file with the password.
    let options = "LDAP_HOST=127.0.0.1\nLDAP_PORT=9\nLDAP_USERNAME=cn=x\nLDAP_PASSWORD=y\n";
    let folder = source(&[
        ("imta.cnf", &rules),
        ("option.dat", options),
        ("dispatcher.cnf", RELAY_DISPATCHER),
    ]);
    let list = folder.path().join("list");
    let addresses = ["a", "b+c", "d%inner.test", "e!f"].map(|user| {
        let hosts = [
            "siroe.com",
            "x.siroe.com",
            "relay1.siroe.com",
            "y.test",
            "[192.0.2.1]",
            "store1.siroe.com.lmtp",
            "OLD.test",
            "ours.test",
            "late.test",
            "no.test",
            "hub.test",
            "other.example.net",
            "error.test",
        ];
        hosts.map(|host| format!("{user}@{host}\n")).concat()
    });
    fs::write(&list, addresses.concat()).expect("a list");
    let (told, errors, status) =
        import("sun", &folder, &["--output", "/dev/stdout", "--verify", "-"]);
    assert_eq!(status, Some(1), "{told}{errors}");
    assert!(errors.contains("cannot write /dev/stdout"), "nothing is written over: {errors}");
    let output = folder.path().join("new.ron").display().to_string();
    let list = list.display().to_string();
    let (told, errors, status) = import("sun", &folder, &["--output", &output, "--verify", &list]);
    assert_eq!(status, Some(0), "{told}{errors}");
    assert!(told.contains("52 addresses, 0 go another way"), "{told}");
    assert!(fs::read_to_string(&output).is_ok_and(|text| text.contains("imta.cnf:2: siroe.com")));
}

/// Mail for local names goes to LMTP servers as `LMTP_README` has it: mechanism 1 behind aliases, a
/// transport table for other domains, and a list that a virtual alias takes away from one.
#[test]
fn the_postfix_of_the_lmtp_readme_is_imported_and_delivers() {
    let (local, far) = (Sink::start(), Sink::start());
    let main = format!(
        "myhostname = mail.example.com\nmydomain = example.com\n\
         mydestination = localhost, $myhostname, $mydomain\n\
         mailbox_transport = lmtp:localhost:{}\n\
         virtual_maps = hash:/etc/postfix/virtual\n\
         transport_maps = hash:/etc/postfix/transport\n\
         alias_maps = hash:/etc/postfix/aliases\nalias_database = hash:/etc/postfix/aliases\n\
         relay_domains = domain1.name example.org\n\
         smtpd_sender_restrictions = check_sender_access hash:/etc/postfix/senders\n\
         smtpd_recipient_restrictions = check_recipient_access regexp:/etc/postfix/rcpt\n\
         smtpd_client_restrictions = check_client_access cidr:/etc/postfix/clients\n",
        local.port
    );
    let transport = format!(
        "domain1.name lmtp1:127.0.0.1:{}\nexample.org lmtp:inet:localhost:{}\n",
        far.port, far.port
    );
    let folder = source(&[
        ("main.cf", &main),
        (
            "master.cf",
            "smtp inet n - n - - smtpd\nlmtp unix - - n - - lmtp\nlmtp1 unix - - n - - lmtp\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\n",
        ),
        ("transport", &transport),
        ("virtual", "mlist@example.org mlist@localhost\n"),
        ("aliases", "mlist: joe, ann\n"),
        (
            "senders",
            "bad.test REJECT not from there\ngood@bad.test OK\nslow.test 450 4.7.1 later\n",
        ),
        ("rcpt", "/^trap-[0-9]+@domain1\\.name$/ 550 5.7.1 no\n"),
        ("clients", "192.0.2.0/24 REJECT\n"),
    ]);
    let settings = imported("postfix", &folder);
    let smtp = settings.smtp;
    let port = format!("interface_address: \"127.0.0.1\", ports: [{smtp}]");
    let settings = settings.edit("ports: [25]", &port).edit("|25|", &format!("|{smtp}|"));
    let instance = Instance::new(settings);
    let _running = instance.start();
    let to = ["ann@example.com", "mlist@example.org", "x@domain1.name", "y@example.org"];
    Dialogue::open(smtp).message("a@client.test", &to, b"Subject: x\r\n\r\nx\r\n").expect(250);
    let handed = |sink: &Sink| {
        let mut all: Vec<_> = sink.handed().into_iter().flat_map(|its| its.1).collect();
        all.sort();
        all
    };
    access_is_as_in_the_tables(&instance);
    // The list and the user are one: a copy.
    let want_far = ["x@domain1.name", "y@example.org"];
    eventually("all are there", PATIENCE, || handed(&local).len() >= 2 && handed(&far) == want_far);
    let names: Vec<_> = handed(&local)
        .iter()
        .map(|to| to.split('@').next().unwrap_or_default().to_owned())
        .collect();
    assert!(names.contains(&"ann".to_owned()) && names.contains(&"joe".to_owned()), "{names:?}");
}

/// Restrictions of `main.cf` that ask tables.
#[track_caller]
fn access_is_as_in_the_tables(instance: &Instance) {
    let mut client = Dialogue::open(instance.settings.smtp);
    for (sender, code) in [
        ("a@bad.test", 550),
        ("a@sub.bad.test", 550),
        ("good@bad.test", 250),
        ("a@slow.test", 450),
        ("a@notbad.test", 250),
    ] {
        client.ask(&format!("MAIL FROM:<{sender}>")).expect(code);
        client.ask("RSET").expect(250);
    }
    client.ask("MAIL FROM:<a@client.test>").expect(250);
    client.ask("RCPT TO:<trap-12@domain1.name>").expect(550);
    client.ask("RCPT TO:<trap-@domain1.name>").expect(250);
    let asked = instance.relais("test", &["access", "192.0.2.7"]);
    let asked = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(asked.contains("PORT_ACCESS") && asked.contains("Access denied"), "{asked}");
}

/// A Postfix with tables of addresses and of expressions, asked by its own programs: each sample goes the
/// same way under both, and what the new file has not is told.
#[test]
fn postfix_itself_and_the_new_file_lead_to_the_same_places() {
    let folder = source(&[
        ("main.cf", VERIFIED_MAIN),
        ("master.cf", VERIFIED_MASTER),
        (
            "v.regexp",
            "/^(abuse|root)@v\\.test$/ ann@r.test\n/^(.*)@old\\.test$/ $1@r.test\n/^info-(.+)@r\\.test$/ $1@far.test\n",
        ),
        ("v", "joe@v.test joe@far.test, root@example.org\nlist@v.test list@example.org\n"),
        (
            "t.regexp",
            "/^ceo@far\\.test$/ smtp:[192.0.2.7]\n/@(.*\\.)?lmtp\\.test$/ lmtp:inet:192.0.2.8:24\n/^sales-.*@far\\.test$/ lmtp:inet:192.0.2.9:24\n",
        ),
        (
            "t",
            "sub.lmtp.test smtp:\ngone.test error:5.1.1 gone\nlater.test retry:4.0.0 later\ngate.test smtp:[192.0.2.11]:25\nann+x@gate.test smtp:[192.0.2.12]\nnobody@gate.test smtp:\nhop.test :[192.0.2.13]\nblack.test discard:\nhere.test local:\nbox.test relay:[192.0.2.14]\n",
        ),
        ("c", "bob@example.org robert@example.org\n@was.test @r.test\n"),
        ("moved", "moved@example.org new@far.test\n"),
        ("aliases", "list root, x@far.test, \"|/bin/cat -n\"\nfile /var/tmp/relais-no-such-file\n"),
    ]);
    let list = folder.path().join("list");
    fs::write(&list, VERIFIED).expect("a list");
    let output = folder.path().join("new.ron").display().to_string();
    let verify = list.display().to_string();
    let (told, errors, status) =
        import("postfix", &folder, &["--output", &output, "--verify", &verify]);
    assert_eq!(status, Some(0), "{told}{errors}");
    assert!(told.contains(" 0 go another way"), "{told}{errors}");
    // The master of Postfix runs as root alone.
    let asks_daemons = told.contains("sendmail -bv on a copy of it");
    assert_eq!(asks_daemons, relais_tests::is_root(), "{told}{errors}");
    assert!(errors.contains("t.regexp:3: /^sales-.*@far\\.test$/"), "{errors}");
    let left: Vec<_> = fs::read_dir(std::env::temp_dir())
        .expect("a folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("relais-verify-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    // A row that nothing here says, and an alias that the operator has lost.
    let text = fs::read_to_string(&output).expect("the new file");
    assert!(text.contains("\"file\": [\"/var/tmp/relais-no-such-file\"]"), "{text}");
    fs::write(&list, "sales-1@far.test\n").expect("a list");
    let output = folder.path().join("new2.ron").display().to_string();
    let (told, errors, status) =
        import("postfix", &folder, &["--output", &output, "--verify", &verify]);
    assert_eq!(status, Some(1), "{told}{errors}");
    assert!(told.contains("before: sales-1@far.test by lmtp to 192.0.2.9:24"), "{told}");
}

const VERIFIED_MAIN: &str = "compatibility_level = 3.6
myhostname = mail.example.org
mydestination = $myhostname, localhost, example.org
relayhost = [smart.example.net]:587
recipient_delimiter = +
virtual_alias_domains = v.test old.test
virtual_alias_maps = regexp:$config_directory/v.regexp texthash:$config_directory/v
relay_domains = r.test gate.test
relay_recipient_maps = inline:{ {ann@gate.test=x}, {@r.test=x} }
virtual_mailbox_domains = box.test
virtual_mailbox_maps = inline:{ {joe@box.test=x} }
virtual_transport = lmtp:inet:192.0.2.10:24
smtp_fallback_relay = [fb.example.net]
canonical_maps = inline:{ {sender@example.org=other@example.org} }
canonical_classes = envelope_sender header_sender
transport_maps = texthash:$config_directory/t regexp:$config_directory/t.regexp
recipient_canonical_maps = texthash:$config_directory/c
relocated_maps = texthash:$config_directory/moved
alias_maps = texthash:$config_directory/aliases
alias_database =
mailbox_transport = lmtp:unix:/run/cyrus/lmtp
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
";
const VERIFIED_MASTER: &str = "smtp inet n - n - - smtpd
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
local unix - n n - - local
discard unix - - n - - discard
";
/// A sample of each row.
const VERIFIED: &str = "abuse@v.test
ann@gate.test
ann+x@gate.test
ann+y@gate.test
nobody@gate.test
other@gate.test
joe@box.test
joe+a@box.test
ann@box.test
a@hop.test
a@black.test
root@here.test
sender@example.org
root@v.test
x@old.test
x+y@old.test
info-k@r.test
joe@v.test
list@v.test
nobody@v.test
ceo@far.test
z@far.test
q@lmtp.test
q@a.b.lmtp.test
q@sub.lmtp.test
a@gone.test
a@later.test
bob@example.org
x@was.test
moved@example.org
list@example.org
file@example.org
root
ann+x@example.org
Weird.Case@Example.ORG
";

const STORE_DISPATCHER: &str = "! VERSION=1.1
! IMTA default dispatcher configuration file
!
! Global defaults
!
MIN_PROCS=1
MAX_PROCS=10
MIN_CONNS=30
MAX_CONNS=50
MAX_SHUTDOWN=2
MAX_LIFE_TIME=86400
MAX_LIFE_CONNS=10000
MAX_IDLE_TIME=600
HISTORICAL_TIME=0
!
! rfc 2033 LMTP server - store
!
[SERVICE=LMTPSS]
PORT=225
IMAGE=IMTA_BIN:tcp_lmtp_server
LOGFILE=IMTA_LOG:tcp_lmtpss_server.log
PARAMETER=CHANNEL=tcp_lmtpss
STACKSIZE=2048000
! Uncomment the following line and set INTERFACE_ADDRESS to an
! appropriate host IP (dotted quad) if the dispatcher needs to
! listen on a specific interface (e.g. in a HA environment).
! INTERFACE_ADDRESS=!
! rfc 2033 LMTP server - native
!
";

const STORE_MAPPINGS: &str = "PORT_ACCESS

  TCP|*|225|192.18.74.206|* $Y
  TCP|*|226|192.18.74.206|* $Y
  TCP|*|225|192.18.74.129|* $Y
  TCP|*|226|192.18.74.129|* $Y
  TCP|*|*|*|*   $N500$ Do$ not$ connect$ to$ this$ machine
";

const STORE_IMTA: &str = "!
! IMTA configuration file
!
! tcp_lmtpss (LMTP server - store)
tcp_lmtpss lmtp flagtransfer
tcp_lmtpss-daemon
";

/// The guide's blocks for LMTP within what they change.
const RELAY_IMTA: &str = "! VERSION=1.1
$*      $A$E$F$U%$H$V$H@relay1.siroe.com
! lmtp
.lmtp   $E$F$U%$H.lmtp@lmtpcs-daemon
.lmtp   $B$F$U%$H@$H@lmtpcs-daemon
!
.       $U%$H@tcp-daemon

l viaaliasrequired
relay1.siroe.com

tcp_local smtp mx single_sys subdirs 20 maxjobs 7 pool SMTP_POOL
tcp-daemon

!
! tcp_lmtpcs (LMTP client - store)
tcp_lmtpcs defragment lmtp  multigate connectcanonical \\
   fileinto @$4O:$U+$S@$D port 225 nodns single_sys \\
   subdirs 20 maxjobs 7 pool SMTP_POOL dequeue_removeroute
lmtpcs-daemon

process
process-daemon

reprocess
reprocess-daemon

hold
hold-daemon

pipe
pipe-daemon

bitbucket
bitbucket-daemon
";

const RELAY_OPTIONS: &str = "!------------------------------------------
! Modified DELIVERY_OPTIONS to activate LMTP 
! delivery from a frontend to the backend store
!--------------------------------------------
!
DELIVERY_OPTIONS=\\
    #*mailbox=@$X.LMTP:$M%$\\$2I$_+$2S@lmtpcs-daemon,\\
    #&members=*,\\
    #&@members_offline=*,\\
    #/hold=@hold-daemon:$A,\\
    #program=$M%$P@pipe-daemon,\\
    #forward=**,\\
    #*^!autoreply=$M+$D@bitbucket
!
";

const RELAY_DISPATCHER: &str = "[SERVICE=SMTP]
PORT=25
IMAGE=IMTA_BIN:tcp_smtp_server
";
