//! Other MTAs send to our store by LMTP: odd messages of each, all of them stored, none returned.
//!
//! Postfix is the installed one, with a configuration of its own. Exim and `OpenSMTPD` cannot
//! be installed beside it: `tests/run` unpacks their packages into a folder.

use std::{
    collections::HashMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use relais_tests::{
    Dialogue, Instance, Running, Settings, free_port, mailbox, needs, needs_root, run_with,
    succeed, within,
};
use tempfile::TempDir;

const MESSAGES: usize = 100;
const LIMIT: Duration = Duration::from_secs(180);

/// A store as a foreign MTA of this machine finds it: a port and a UNIX socket, on a channel without
/// `flagtransfer`.
struct Store {
    instance: Instance,
    port: u16,
    socket: PathBuf,
    /// For everybody to enter: MTAs work as users of their own.
    folder: TempDir,
    _running: Running,
}

impl Store {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("mta-").tempdir_in("/tmp").expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("our folder");
        let (port, socket) = (free_port(), folder.path().join("lmtp"));
        let services = format!(
            "services: {{
                \"OPEN\": (program: Lmtp, channel: \"open\", interface_address: \"127.0.0.1\", ports: [{port}]),
                \"LMTPUX\": (program: Lmtp, channel: \"open\", socket: \"{}\", socket_mode: \"0666\"),",
            socket.display()
        );
        let channel = "program: Local),\n (name: \"open\", tag: \"open-daemon\", program: Lmtp),";
        let settings =
            Settings::standalone().edit("services: {", &services).edit("program: Local),", channel);
        let instance = Instance::new(settings);
        let running = instance.start();
        Self { instance, port, socket, folder, _running: running }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How often each message lies in alice's mailbox, by its number.
    fn stored(&self) -> HashMap<usize, usize> {
        let mut stored = HashMap::new();
        for message in mailbox(&self.instance.store(), "relais.example", "alice") {
            let message = String::from_utf8_lossy(&message).into_owned();
            let number = message.split("odd-").nth(1).and_then(|rest| rest.split('-').next());
            let number = number.and_then(|n| n.parse().ok());
            *stored.entry(number.unwrap_or_else(|| panic!("whose is {message}"))).or_default() += 1;
        }
        stored
    }

    /// Waits for every message, and sees that each is there once.
    #[track_caller]
    fn has_all_once(&self, mta: &str, log: impl Fn() -> String) {
        let all = within(LIMIT, || self.stored().len() == MESSAGES);
        assert!(all, "{mta} has not delivered all:\n{}", log());
        let twice: Vec<_> = self.stored().into_iter().filter(|(_, times)| *times != 1).collect();
        assert!(twice.is_empty(), "{mta}: {twice:?}");
    }
}

/// Message `n`, with LF lines, as a local program hands it over. Its kind is one of ten.
fn odd(n: usize) -> Vec<u8> {
    let head = format!(
        "Message-ID: <odd-{n}-@client.test>\nFrom: a@client.test\nTo: alice\nSubject: odd {n}\n"
    );
    let x = |count: usize| "x".repeat(count);
    let rest = match n % 10 {
        0 => format!("\n{}\n", x(999)),
        1 => format!("X-Long: {}\n\nbody\n", x(990)),
        2 => format!("X-Folded:{}\n\nbody\n", format!("\n {}", x(70)).repeat(60)),
        3 => "\nno newline at the end".to_owned(),
        4 => "\n".to_owned(),
        5 => "\n.\n..\n.x\n\n.\n".to_owned(),
        6 => format!("\n{}\n", format!("{}\n", x(998)).repeat(30)),
        7 => format!("\n{}\n", x(1_900)),
        8 => format!("X-Many: 1\n{}\n\u{e9}\u{fc} 8 bits\n", "X-Many: 2\n".repeat(200)),
        _ => "\n \n\t\nFrom here\n>From there\n\n\n".to_owned(),
    };
    [head.as_bytes(), rest.as_bytes()].concat()
}

/// Where `tests/run` unpacked a program of a package that cannot be installed.
fn unpacked(program: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("RELAIS_FOREIGN_MTAS");
    let folder =
        folder.map_or_else(|| PathBuf::from("/var/tmp/relais-foreign-mtas"), PathBuf::from);
    let path = folder.join(program);
    needs(&[&path.display().to_string()]).then_some(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A Postfix that hands everything to our store's UNIX socket.
struct Postfix {
    config: PathBuf,
    log: PathBuf,
}

impl Postfix {
    fn start(store: &Store) -> Self {
        let [config, queue, data] = ["config", "queue", "data"].map(|name| store.path(name));
        let log = store.path("log");
        for folder in [&config, &queue, &data] {
            fs::create_dir(folder).expect("a fresh folder");
        }
        succeed(Command::new("chown").arg("postfix").arg(&data), b"");
        let (socket, place) = (store.socket.display(), store.folder.path().display());
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {}\n\
             myhostname = postfix.test\nmydestination =\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nalias_maps =\nlocal_recipient_maps =\n\
             default_transport = lmtp:unix:{socket}\nrelay_transport = lmtp:unix:{socket}\n\
             maillog_file = {}\nmaillog_file_prefixes = {place}\n\
             lmtp_header_checks = regexp:{}/checks\n",
            queue.display(),
            data.display(),
            log.display(),
            config.display(),
        );
        fs::write(config.join("main.cf"), main).expect("a configuration");
        fs::write(config.join("checks"), "/^Subject:/ PREPEND X-Prepended: by header_checks\n")
            .expect("a table");
        let services = [
            ("pickup", "unix n - n 60 1 pickup"),
            ("cleanup", "unix n - n - 0 cleanup"),
            ("qmgr", "unix n - n 300 1 qmgr"),
            ("rewrite", "unix - - n - - trivial-rewrite"),
            ("bounce", "unix - - n - 0 bounce"),
            ("defer", "unix - - n - 0 bounce"),
            ("trace", "unix - - n - 0 bounce"),
            ("flush", "unix n - n 1000? 0 flush"),
            ("proxymap", "unix - - n - - proxymap"),
            ("showq", "unix n - n - - showq"),
            ("error", "unix - - n - - error"),
            ("retry", "unix - - n - - error"),
            ("anvil", "unix - - n - 1 anvil"),
            ("scache", "unix - - n - 1 scache"),
            ("lmtp", "unix - - n - - lmtp flags=DORX"),
            ("postlog", "unix-dgram n - n - 1 postlogd"),
        ];
        let master = services.map(|(name, rest)| format!("{name} {rest}\n")).concat();
        fs::write(config.join("master.cf"), master).expect("a configuration");
        let postfix = Self { config, log };
        succeed(&mut postfix.command("start"), b"");
        postfix
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(&self.config).arg(what);
        command
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        run_with(&mut self.command("stop"), b"");
    }
}

#[test]
fn postfix_delivers_odd_messages_and_bounces_none() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let store = Store::start();
    let postfix = Postfix::start(&store);
    for n in 0..MESSAGES {
        let mut sendmail = Command::new("/usr/sbin/sendmail");
        sendmail.arg("-C").arg(&postfix.config).args([
            "-f",
            "a@client.test",
            "alice@relais.example",
        ]);
        succeed(&mut sendmail, &odd(n));
    }
    store.has_all_once("Postfix", || read(&postfix.log));
    let log = read(&postfix.log);
    assert!(!log.contains("status=bounced") && !log.contains("status=deferred"), "{log}");
    let messages = mailbox(&store.instance.store(), "relais.example", "alice");
    let added = |message: &Vec<u8>| {
        let text = String::from_utf8_lossy(message).into_owned();
        text.contains("X-Prepended: by header_checks") && text.contains("X-Original-To: alice")
    };
    assert!(messages.iter().all(added), "each grew after its size was announced");
}

#[test]
fn postfix_delivers_to_users_beyond_ascii() {
    if !needs(&["/usr/sbin/postfix"]) || !needs_root() {
        return;
    }
    let store = Store::start();
    let postfix = Postfix::start(&store);
    let message = "From: s\u{f8}ren@client.test\nSubject: Gr\u{fc}\u{df}e\n\nx\n";
    for to in ["j\u{f6}rg@gr\u{fc}\u{df}e.test", "j\u{f6}rg@xn--gre-6ka8l.test"] {
        let mut sendmail = Command::new("/usr/sbin/sendmail");
        let config = sendmail.arg("-C").arg(&postfix.config);
        config.args(["-f", "s\u{f8}ren@client.test", to]);
        succeed(&mut sendmail, message.as_bytes());
    }
    let stored = || mailbox(&store.instance.store(), "xn--gre-6ka8l.test", "j\u{f6}rg");
    assert!(within(LIMIT, || stored().len() == 2), "{}", read(&postfix.log));
    for message in stored() {
        let text = String::from_utf8(message).expect("UTF-8");
        assert!(text.contains("Return-Path: <s\u{f8}ren@client.test>"), "{text}");
        assert!(text.contains("\r\nSubject: Gr\u{fc}\u{df}e\r\n"), "{text}");
    }
    let log = read(&postfix.log);
    assert!(!log.contains("status=bounced") && !log.contains("status=deferred"), "{log}");
}

#[test]
fn exim_delivers_odd_messages_and_bounces_none() {
    let Some(exim) = unpacked("usr/sbin/exim4").filter(|_| needs_root()) else { return };
    let store = Store::start();
    let (spool, config) = (store.path("exim"), store.path("exim.conf"));
    fs::create_dir(&spool).expect("a fresh folder");
    succeed(Command::new("chown").arg("nobody:nogroup").arg(&spool), b"");
    let (port, place) = (store.port, spool.display());
    let text = format!(
        "exim_user = nobody\nexim_group = nogroup\nspool_directory = {place}\n\
         log_file_path = {place}/%slog\nprimary_hostname = exim.test\nlocal_interfaces = 127.0.0.1\n\
         keep_environment =\ndisable_ipv6 = true\nbegin routers\nstore:\n  driver = manualroute\n\
         \x20 transport = store\n  route_list = * 127.0.0.1\n  self = send\nbegin transports\nstore:\n\
         \x20 driver = smtp\n  protocol = lmtp\n  port = {port}\n  message_linelength_limit = 100000\n\
         begin retry\n* * F,1h,1m\n"
    );
    fs::write(&config, text).expect("a configuration");
    let command = || {
        let mut command = Command::new(&exim);
        command.arg("-C").arg(&config);
        command
    };
    for n in 0..MESSAGES {
        let mut submit = command();
        submit.args(["-odq", "-f", "a@client.test", "alice@relais.example"]);
        succeed(&mut submit, &odd(n));
    }
    succeed(command().arg("-q"), b"");
    let log = || read(&spool.join("mainlog"));
    store.has_all_once("Exim", log);
    assert!(!log().contains(" ** ") && !log().contains(" == "), "{}", log());
}

/// `smtpd` in a world of its own: its package lies elsewhere, and its users are not of this machine.
/// Arguments: the unpacked package, a folder of ours, the configuration.
const SMTPD: &str = r#"
set -e
mount --make-rprivate /
for place in /var/spool /var/lib /run; do mount -t tmpfs none $place; done
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd
chmod 711 /var/spool/smtpd
[ -L /var/run ] || mount -t tmpfs none /var/run
mount --bind "$1/usr/libexec" /usr/libexec
for file in passwd group; do
    cp /etc/$file "$2/$file"
    mount --bind "$2/$file" /etc/$file
done
for user in opensmtpd:961 opensmtpq:962; do
    echo "${user%:*}:x:${user#*:}:${user#*:}::/var/lib/opensmtpd/empty:/usr/sbin/nologin" >>/etc/passwd
    echo "${user%:*}:x:${user#*:}:" >>/etc/group
done
exec "$1/usr/sbin/smtpd" -d -v -f "$3"
"#;

/// Ends with everything that it started.
struct Smtpd(Child);

impl Drop for Smtpd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn opensmtpd_relays_odd_messages_and_bounces_none() {
    let Some(package) = unpacked("usr/sbin/smtpd").filter(|_| needs_root()) else { return };
    let package = package.ancestors().nth(3).expect("where it was unpacked");
    let store = Store::start();
    let (port, config, log) = (free_port(), store.path("smtpd.conf"), store.path("smtpd.log"));
    let text = format!(
        "action \"store\" relay host \"lmtp://127.0.0.1:{}\"\nlisten on 127.0.0.1 port {port}\n\
         match from any for any action \"store\"\n",
        store.port
    );
    fs::write(&config, text).expect("a configuration");
    fs::set_permissions(&config, Permissions::from_mode(0o600)).expect("our file");
    let output = fs::File::create(&log).expect("a fresh file");
    let mut world = Command::new("unshare");
    world.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SMTPD, "smtpd"]);
    world.arg(package).arg(store.folder.path()).arg(&config);
    world.stdin(Stdio::null()).stdout(output.try_clone().expect("a second one")).stderr(output);
    let _smtpd = Smtpd(world.spawn().expect("unshare runs"));
    let up = within(LIMIT, || Dialogue::connect(port).is_ok());
    assert!(up, "smtpd does not listen:\n{}", read(&log));
    let mut client = Dialogue::open(port);
    for n in 0..MESSAGES {
        let content = String::from_utf8(odd(n)).expect("UTF-8").replace('\n', "\r\n");
        let content = if content.ends_with('\n') { content } else { content + "\r\n" };
        client.message("a@client.test", &["alice@relais.example"], content.as_bytes()).expect(250);
    }
    store.has_all_once("OpenSMTPD", || read(&log));
    let log = read(&log);
    assert!(!log.contains("stat=\"4") && !log.contains("stat=\"5"), "{log}");
}

#[test]
fn opensmtpds_mail_lmtp_delivers_odd_messages_and_bounces_none() {
    let Some(lmtp) = unpacked("usr/libexec/opensmtpd/mail.lmtp").filter(|_| needs_root()) else {
        return;
    };
    let store = Store::start();
    let place = format!("127.0.0.1:{}", store.port);
    for n in 0..MESSAGES {
        // As smtpd runs it: one recipient, the message on its input, not as root.
        let mut deliver = Command::new("setpriv");
        deliver.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]);
        deliver.arg(&lmtp).args(["-d", &place, "-f", "a@client.test", "-r"]);
        deliver.env("RECIPIENT", "alice@relais.example").env("SENDER", "a@client.test");
        succeed(&mut deliver, &odd(n));
    }
    store.has_all_once("OpenSMTPD", || store.instance.log());
}
