//! The manners of an LDAP server and of its library that one would guess wrong: limits of requests
//! under way, requests that nobody waits for any more, referrals, logins, names and limits.

use std::{
    collections::HashSet,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use relais_tests::{
    Authority, Dialogue, Instance, Settings, Slapd, eventually, free_port, needs, python, within,
};

const PACKAGES: &[&str] = &[Slapd::PROGRAM];
const MINUTE: Duration = Duration::from_secs(60);

/// The sample asks this directory.
fn asking(directory: &str) -> Settings {
    Settings::standalone()
        .edit("directory: Ldif()", directory)
        .edit("default_domain: \"relais.example\"", "default_domain: \"siroe.com\"")
}

fn user(uid: &str, more: &str) -> String {
    format!(
        "dn: uid={uid},dc=siroe,dc=com\nobjectClass: inetOrgPerson\nobjectClass: \
         inetLocalMailRecipient\nobjectClass: inetMailUser\nuid: {uid}\ncn: {uid}\nsn: {uid}\n\
         mailHost: localhost\n{more}\n\n"
    )
}

/// The reply to a recipient.
fn ask(instance: &Instance, recipient: &str) -> String {
    let mut client = Dialogue::open(instance.settings.smtp);
    client.ask("MAIL FROM:<a@b.test>").expect(250);
    client.ask(&format!("RCPT TO:<{recipient}>")).text
}

/// Counts of what clients asked a server.
#[derive(Default)]
struct Books {
    connections: AtomicUsize,
    /// Searches that were not answered when another came, at most on one connection.
    most_open: AtomicUsize,
    searches: AtomicUsize,
    abandoned: AtomicUsize,
    /// Names of binds.
    bound: Mutex<HashSet<Vec<u8>>>,
}

/// A server that answers each search with nothing after this time, and keeps books.
fn slow_server(delay: Duration) -> (u16, Arc<Books>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let books = Arc::new(Books::default());
    let shared = Arc::clone(&books);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let books = Arc::clone(&shared);
            books.connections.fetch_add(1, Ordering::Relaxed);
            thread::spawn(move || serve(client, delay, &books));
        }
    });
    (port, books)
}

/// Reads requests until the client goes away.
fn serve(mut client: TcpStream, delay: Duration, books: &Arc<Books>) {
    let open: Arc<Mutex<HashSet<Vec<u8>>>> = Arc::default();
    while let Ok((id, operation, content)) = request(&mut client) {
        let result = |tag: u8| answer(&id, tag, &[10, 1, 0, 4, 0, 4, 0]);
        match operation {
            BIND => {
                books.bound.lock().expect("no panic").insert(content);
                let _ = client.write_all(&result(0x61));
            }
            SEARCH => {
                books.searches.fetch_add(1, Ordering::Relaxed);
                let mut held = open.lock().expect("no panic");
                held.insert(id.clone());
                books.most_open.fetch_max(held.len(), Ordering::Relaxed);
                drop(held);
                let (reply, id, open) = (result(0x65), id.clone(), Arc::clone(&open));
                let mut client = client.try_clone().expect("a socket");
                thread::spawn(move || {
                    thread::sleep(delay);
                    if open.lock().expect("no panic").remove(&id) {
                        let _ = client.write_all(&reply);
                    }
                });
            }
            ABANDON => {
                books.abandoned.fetch_add(1, Ordering::Relaxed);
                open.lock().expect("no panic").remove(&content);
            }
            _ => return,
        }
    }
}

/// The id of a request, its operation, and the content of that.
fn request(client: &mut TcpStream) -> io::Result<(Vec<u8>, u8, Vec<u8>)> {
    let (_, message) = element(client)?;
    let mut rest = message.as_slice();
    let (_, id) = element(&mut rest)?;
    let (operation, content) = element(&mut rest)?;
    Ok((id, operation, content))
}

/// A tag and what it holds.
fn element(from: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    from.read_exact(&mut head)?;
    let length = match head[1] {
        short @ 0..0x80 => usize::from(short),
        long => {
            let mut octets = vec![0; usize::from(long & 0x7f)];
            from.read_exact(&mut octets)?;
            octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet))
        }
    };
    let mut content = vec![0; length];
    from.read_exact(&mut content)?;
    Ok((head[0], content))
}

fn answer(id: &[u8], tag: u8, content: &[u8]) -> Vec<u8> {
    let operation = [&[tag, content.len() as u8][..], content].concat();
    let id = [&[2, id.len() as u8][..], id].concat();
    [&[0x30, (id.len() + operation.len()) as u8][..], &id, &operation].concat()
}

const BIND: u8 = 0x60;
const SEARCH: u8 = 0x63;
const ABANDON: u8 = 0x50;

/// slapd ends the connection of whoever has more than 100 of them waiting.
#[test]
fn a_connection_has_no_more_than_64_searches_under_way() {
    let (port, books) = slow_server(Duration::from_millis(800));
    let directory = format!(
        "directory: Ldap(servers: [\"ldap://127.0.0.1:{port}\"], schema: Mail, domains: \
         [\"siroe.com\"], user_base: \"dc=siroe,dc=com\", timeout: \"20s\", max_connections: 1)"
    );
    let instance = Instance::new(asking(&directory));
    let _running = instance.start();
    let replies = thread::scope(|scope| {
        let instance = &instance;
        let asker = |n| scope.spawn(move || ask(instance, &format!("u{n}@siroe.com")));
        let all: Vec<_> = (0..150).map(asker).collect();
        all.into_iter().map(|asked| asked.join().expect("a reply")).collect::<Vec<_>>()
    });
    // Each was answered: nobody has such an address.
    for reply in replies {
        assert!(reply.starts_with("550 5.1.1"), "{reply}");
    }
    let most = books.most_open.load(Ordering::Relaxed);
    assert!((33..=64).contains(&most), "{most} searches were under way at once");
    let searches = books.searches.load(Ordering::Relaxed);
    assert!(searches >= 150, "{searches} searches");
    let connections = books.connections.load(Ordering::Relaxed);
    assert_eq!(connections, 1, "and on the one connection that is allowed");
}

/// The library lets a search run as long as messages come, and does not tell the server of its end.
#[test]
fn a_search_that_takes_too_long_is_given_up_and_abandoned() {
    let (port, books) = slow_server(Duration::from_secs(30));
    let directory = format!(
        "directory: Ldap(servers: [\"ldap://127.0.0.1:{port}\"], schema: Mail, domains: \
         [\"siroe.com\"], user_base: \"dc=siroe,dc=com\", timeout: \"1s\")"
    );
    let instance = Instance::new(asking(&directory));
    let _running = instance.start();
    let begun = Instant::now();
    let reply = ask(&instance, "u@siroe.com");
    let took = begun.elapsed();
    assert!(reply.starts_with("451 4.4.3"), "{reply}");
    assert!((900..1_900).contains(&took.as_millis()), "{took:?}");
    let is_abandoned = || books.abandoned.load(Ordering::Relaxed) >= 1;
    assert!(within(Duration::from_secs(5), is_abandoned), "nobody told the server");
}

/// slapd names referrals beside entries in each search of a tree that has one somewhere, and answers
/// a search that begins at one with nothing else.
#[test]
fn referrals_beside_entries_are_none_and_a_referral_alone_is_no_answer() {
    if !needs(PACKAGES) {
        return;
    }
    let tree = [
        user("jdoe", "mail: jdoe@siroe.com"),
        "dn: ou=moved,dc=siroe,dc=com\nobjectClass: referral\nobjectClass: extensibleObject\n\
         ou: moved\nref: ldap://elsewhere.test/ou=moved,dc=siroe,dc=com\n\n"
            .to_owned(),
    ];
    let slapd = Slapd::start(&tree.concat());
    let fields = "schema: Mail, domains: [\"siroe.com\"], timeout: \"3s\"";
    let beside = Instance::new(asking(&slapd.section(fields)));
    let running = beside.start();
    assert!(ask(&beside, "jdoe@siroe.com").starts_with("250"));
    assert!(ask(&beside, "nobody@siroe.com").starts_with("550 5.1.1"));
    drop(running);
    let base = slapd.section(fields).replace("\"dc=siroe,dc=com\"", "\"ou=moved,dc=siroe,dc=com\"");
    let alone = Instance::new(asking(&base));
    let _running = alone.start();
    let reply = ask(&alone, "jdoe@siroe.com");
    assert!(reply.starts_with("451 4.4.3"), "{reply}");
    let told = || alone.log().contains("it refers to ldap://elsewhere.test");
    eventually("it is told", MINUTE, told);
}

/// A bind changes who everybody on its connection is: users have connections of their own.
#[test]
fn the_relay_stays_who_it_is_while_users_log_in() {
    if !needs(PACKAGES) {
        return;
    }
    let password = |uid: &str| format!("mail: {uid}@siroe.com\nuserPassword: pw of {uid}");
    let rights = format!(
        "access to attrs=userPassword by anonymous auth by * none\naccess to * by dn.exact=\"{}\" read \
         by anonymous auth by * none",
        Slapd::DN
    );
    let tree = user("u0", &password("u0")) + &user("u1", &password("u1"));
    let slapd = Slapd::start_with(&rights, &tree);
    let cache = "timeout: \"3s\", cache: (ttl: \"1ms\", negative_ttl: \"1ms\")";
    let (submits, settings) = (free_port(), asking(&slapd.section(cache)));
    let smtp = settings.smtp;
    let settings = settings
        .section("tls: (certificate: \"localhost.crt\", key: \"localhost.key\")")
        .channel("tcp_local", "tls: (server: May), sasl: (server: May)")
        .edit(&format!("ports: [{smtp}]"), &format!("ports: [{smtp}], tls_ports: [{submits}]"));
    let instance = Instance::new(settings);
    let authority = Authority::new(instance.data());
    authority.sign("localhost", &["localhost"], 2099);
    let _running = instance.start();
    let script = format!(
        r#"
import smtplib, ssl
CA = ssl.create_default_context(cafile='{}')
for n in range(6):
    with smtplib.SMTP_SSL("localhost", {submits}, context=CA) as client:
        client.ehlo()
        assert client.login("u0@siroe.com", "pw of u0")[0] == 235
        client.docmd("MAIL FROM:<u0@siroe.com>")
        # The user may read nobody: found by the relay.
        assert client.docmd("RCPT TO:<u1@siroe.com>")[0] == 250
        assert client.docmd("RCPT TO:<nobody@siroe.com>")[0] == 550
"#,
        authority.file().display()
    );
    python(&script);
}

#[test]
fn a_relay_with_a_wrong_password_bounces_nothing_and_says_so() {
    if !needs(PACKAGES) {
        return;
    }
    let slapd = Slapd::start(&user("u0", "mail: u0@siroe.com"));
    let section = slapd.section("timeout: \"2s\"");
    for (password, words) in
        [("wrong\n", "the name or the password is wrong"), ("\n", "the first line is empty")]
    {
        std::fs::write(slapd.path().join("password"), password).expect("a file");
        let instance = Instance::new(asking(&section));
        let _running = instance.start();
        let reply = ask(&instance, "u0@siroe.com");
        assert!(reply.starts_with("451 4.4.3"), "{password:?}: {reply}");
        eventually("it is told", MINUTE, || instance.log().contains(words));
        let status = String::from_utf8(instance.relais("status", &[]).stdout).expect("text");
        assert!(status.contains(words), "{status}");
        // It is tried again, and the password of the day is read.
        std::fs::write(slapd.path().join("password"), format!("{}\n", Slapd::PASSWORD))
            .expect("a file");
        eventually("mail is taken", MINUTE, || ask(&instance, "u0@siroe.com").starts_with("250"));
    }
}

/// An address of more users than a search tells, and names of attributes that the server replaces.
#[test]
fn what_a_server_leaves_out_or_calls_otherwise_is_not_missed() {
    if !needs(PACKAGES) {
        return;
    }
    let crowd = (0..15).map(|n| user(&format!("c{n}"), "mail: crowd@siroe.com"));
    let tree = crowd.collect::<Vec<_>>().concat()
        + &user("jdoe", "mail: jdoe@siroe.com\nl: store9.siroe.com\nsurname: doe");
    let slapd = Slapd::start(&tree);
    // `rfc822Mailbox` comes back as `mail`, `localityName` as `l`, `surname` as `sn`.
    let fields = "timeout: \"3s\", address_attributes: [\"rfc822Mailbox\"], attributes: {\"mail\": \
                  \"rfc822Mailbox\", \"mailHost\": \"localityName\", \"uid\": \"surname\"}";
    let instance = Instance::new(asking(&slapd.section(fields)));
    let _running = instance.start();
    let route = instance.relais("route", &["jdoe@siroe.com"]);
    let told = String::from_utf8_lossy(&route.stdout).into_owned();
    assert!(told.contains("store9.siroe.com") && !told.contains("no uid"), "{told}");
    let crowded = ask(&instance, "crowd@siroe.com");
    assert!(crowded.starts_with("451 4.3.5"), "{crowded}");
}

/// `LDAP_SPARE_1` of the original: an attribute that only a delivery option has a use for is asked for.
#[test]
fn a_spare_attribute_is_asked_for_and_inserted() {
    if !needs(PACKAGES) {
        return;
    }
    let slapd = Slapd::start(&user("jdoe", "mail: jdoe@siroe.com\nroomNumber: store7.siroe.com"));
    let settings = asking(&slapd.section("timeout: \"3s\""))
        .edit("#*mailbox=@$X.LMTP:", "#*mailbox=@$E.LMTP:")
        .section("spare_attributes: [\"roomNumber\"]");
    let instance = Instance::new(settings);
    let route = instance.relais("route", &["jdoe@siroe.com"]);
    let told = String::from_utf8_lossy(&route.stdout).into_owned();
    assert!(told.contains("store7.siroe.com"), "{told}");
}

/// `ALIAS_URL2` of the original: the user who gets what is for nobody else of a domain.
#[test]
fn a_search_for_the_whole_domain_finds_who_gets_the_rest() {
    if !needs(PACKAGES) {
        return;
    }
    let tree = user("jdoe", "mail: jdoe@siroe.com")
        + &user("rest", "mail: rest@siroe.com\nmailAlternateAddress: @siroe.com");
    let slapd = Slapd::start(&tree);
    let urls = "alias_urls: [\"ldap:///$V?*?sub?$R\", \
                \"ldap:///$1V?*?sub?(mailAlternateAddress=@$D)\"]";
    let instance = Instance::new(asking(&slapd.section(&format!("timeout: \"3s\", {urls}"))));
    for (address, uid) in [("jdoe@siroe.com", "jdoe"), ("anybody@siroe.com", "rest")] {
        let route = instance.relais("route", &["--json", address]);
        let told = String::from_utf8_lossy(&route.stdout).into_owned();
        assert!(told.contains(&format!("uid={uid},dc=siroe,dc=com")), "{address}: {told}");
        assert!(told.contains(&format!("\"address\":\"{uid}\"")), "{address}: {told}");
        let asked = told.contains("?sub?(mailAlternateAddress=@siroe.com): 1 entry");
        assert_eq!(asked, uid == "rest", "{address}: {told}");
    }
}
