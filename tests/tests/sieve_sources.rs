//! Where scripts come from, and whose mail they see, by the whole engine: files of users, scripts of the
//! system that answer, and mail that relais writes itself.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use relais_tests::{
    Dialogue, Instance, Ldif, Settings, eventually, mailbox, maildir_folder, message_ids, scripts,
};

const MINUTE: Duration = Duration::from_secs(60);
const DOMAIN: &str = "relais.example";
const HERE: &str = "mailHost: localhost";
/// A file that has changed is looked at again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

fn attribute(script: &str) -> String {
    scripts(&[script]).trim_start().to_owned()
}

fn with_sieve(settings: Settings, sieve: &str) -> Settings {
    settings.edit("mappings: {", &format!("sieve: ({sieve}), mappings: {{"))
}

/// Sends a message with this Message-ID and these other fields.
fn send(instance: &Instance, (from, to): (&str, &str), (id, header): (&str, &str)) {
    let content = format!(
        "From: <{from}>\r\nTo: {to}@{DOMAIN}\r\nMessage-ID: <{id}>\r\n{header}\r\n\r\nbody\r\n"
    );
    let mut client = Dialogue::open(instance.settings.smtp);
    client.message(from, &[&format!("{to}@{DOMAIN}")], content.as_bytes()).expect(250);
}

fn folder(instance: &Instance, uid: &str, name: &str) -> PathBuf {
    maildir_folder(&instance.store(), (uid, DOMAIN), name)
}

fn arrives(instance: &Instance, (uid, name): (&str, &str), id: &str) {
    let folder = folder(instance, uid, name);
    let there = || message_ids(&folder).iter().any(|its| its == id);
    eventually(&format!("{id} is in {name:?} of {uid}"), MINUTE, there);
}

/// The messages of the folder `new` of a maildir.
fn messages(maildir: &Path) -> Vec<String> {
    let files = fs::read_dir(maildir.join("new")).into_iter().flatten().flatten();
    files
        .map(|file| String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned())
        .collect()
}

fn has(instance: &Instance, uid: &str) -> Vec<String> {
    let all = mailbox(&instance.store(), DOMAIN, uid);
    all.iter().map(|its| String::from_utf8_lossy(its).into_owned()).collect()
}

fn said(instance: &Instance, command: &str, args: &[&str]) -> String {
    let output = instance.relais(command, args);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

const INTO_WORK: &str = "require \"fileinto\"; fileinto \"Work\";";

#[test]
fn a_users_file_is_a_script_as_soon_as_it_is_there_and_as_long() {
    let both = format!(
        "{HERE}\n{}",
        attribute("require \"fileinto\"; if header :is \"x-own\" \"1\" { fileinto \"Own\"; }")
    );
    let ldif = Ldif::file().domain(DOMAIN, "").user("jdoe", DOMAIN, HERE);
    let ldif = ldif.user("both", DOMAIN, &both).user("bob", DOMAIN, HERE);
    let settings = with_sieve(Settings::standalone(), "files: \"scripts/$D/$U.sieve\"");
    let instance = ldif.instance(settings);
    let check = said(&instance, "check", &[]);
    assert!(check.contains("no user has a file there"), "{check}");
    let scripts = instance.data().join("scripts").join(DOMAIN);
    fs::create_dir_all(&scripts).unwrap();
    let file = |uid: &str| scripts.join(format!("{uid}.sieve"));
    fs::write(file("both"), INTO_WORK).unwrap();
    let _running = instance.start();

    send(&instance, ("a@b.example", "jdoe"), ("none@t", "X: 1"));
    arrives(&instance, ("jdoe", ""), "none@t");
    fs::write(file("jdoe"), INTO_WORK).unwrap();
    std::thread::sleep(LOOK_AGAIN);
    send(&instance, ("a@b.example", "jdoe"), ("added@t", "X: 1"));
    arrives(&instance, ("jdoe", "Work"), "added@t");
    fs::write(file("jdoe"), INTO_WORK.replace("Work", "Else")).unwrap();
    std::thread::sleep(LOOK_AGAIN);
    send(&instance, ("a@b.example", "jdoe"), ("changed@t", "X: 1"));
    arrives(&instance, ("jdoe", "Else"), "changed@t");

    fs::write(file("jdoe"), "fileinto \"Work\";").unwrap();
    std::thread::sleep(LOOK_AGAIN);
    for id in ["broken@t", "broken2@t"] {
        send(&instance, ("a@b.example", "jdoe"), (id, "X: 1"));
        arrives(&instance, ("jdoe", ""), id);
    }
    let is_told = |its: &&String| its.contains("One of your mail filters does not work");
    let told = || has(&instance, "jdoe").iter().filter(is_told).count();
    eventually("the owner is told", MINUTE, || told() == 1);
    assert!(
        has(&instance, "jdoe").iter().any(|its| its.contains("jdoe.sieve: line 1, column 1: "))
    );
    assert!(instance.metrics().contains("relais_sieve_runs_total{result=\"broken\"} 2"));
    let check = said(&instance, "check", &[]);
    assert!(check.contains(&format!("{}: line 1, column 1: ", file("jdoe").display())), "{check}");

    fs::remove_file(file("jdoe")).unwrap();
    std::thread::sleep(LOOK_AGAIN);
    send(&instance, ("a@b.example", "jdoe"), ("gone@t", "X: 1"));
    arrives(&instance, ("jdoe", ""), "gone@t");
    assert_eq!(told(), 1);

    // The entry's own comes first; the file sees what it leaves in the INBOX.
    send(&instance, ("a@b.example", "both"), ("own@t", "X-Own: 1"));
    arrives(&instance, ("both", "Own"), "own@t");
    send(&instance, ("a@b.example", "both"), ("file@t", "X-Own: 2"));
    arrives(&instance, ("both", "Work"), "file@t");
    assert!(message_ids(&folder(&instance, "both", "Work")).iter().all(|id| id != "own@t"));
    shown(&instance, &file("both"));
}

#[test]
fn a_reply_is_written_by_the_script_as_it_was_seen_last() {
    let ldif = Ldif::file().domain(DOMAIN, "").user("jdoe", DOMAIN, HERE);
    let ldif = ldif.user("bob", DOMAIN, HERE);
    let settings = with_sieve(Settings::standalone(), "files: \"scripts/$D/$U.sieve\"")
        .channel("bitbucket", "backoff: [\"1s\"]");
    let instance = ldif.instance(settings);
    let scripts = instance.data().join("scripts").join(DOMAIN);
    fs::create_dir_all(&scripts).unwrap();
    let file = scripts.join("jdoe.sieve");
    fs::write(&file, "require \"vacation\"; vacation \"I am away.\";").unwrap();
    let _running = instance.start();
    assert!(instance.relais("channel", &["stop", "bitbucket"]).status.success());
    send(&instance, ("bob@relais.example", "jdoe"), ("asks@t", "Subject: x"));
    arrives(&instance, ("jdoe", ""), "asks@t");
    fault(&file);
    std::thread::sleep(LOOK_AGAIN);
    assert!(instance.relais("channel", &["start", "bitbucket"]).status.success());
    eventually("it is sent", MINUTE, || {
        has(&instance, "bob").iter().any(|its| its.contains("I am away."))
    });
}

/// `relais route` names the file, and what it would decide.
fn shown(instance: &Instance, file: &Path) {
    let file = file.display().to_string();
    let route = said(instance, "route", &["both@relais.example"]);
    let both = format!("1 Sieve script (mailSieveRuleSource), then the Sieve script {file}");
    assert!(route.contains(&both), "{route}");
    let message = instance.data().join("message.eml");
    fs::write(&message, "Subject: x\n\nbody\n").unwrap();
    let message = message.display().to_string();
    let args = ["both@relais.example", "--message", &message];
    for offline in [&[][..], &["--offline"]] {
        let route = said(instance, "route", &[&args[..], offline].concat());
        assert!(route.contains("\"Work\"") && route.contains("it goes to Work"), "{route}");
    }
    let route = said(instance, "route", &["bob@relais.example", "--message", &message]);
    assert!(!route.contains("outcome"), "there is no such file: {route}");
}

/// Puts a regular file there of which the system reads nothing (EIO).
fn fault(path: &Path) {
    let other = path.with_extension("other");
    symlink("/proc/self/mem", &other).unwrap();
    fs::rename(other, path).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_now_makes_its_reader_wait_and_nobody_else() {
    let ldif = Ldif::file().domain(DOMAIN, "").user("jdoe", DOMAIN, HERE);
    let ldif = ldif.user("known", DOMAIN, HERE).user("bob", DOMAIN, HERE);
    let sieve = "files: \"scripts/$D/$U.sieve\", before: \"before.sieve\"";
    let settings = with_sieve(Settings::standalone(), sieve)
        .edit("program: Reprocess", "program: Reprocess, backoff: [\"1s\"]");
    let instance = ldif.instance(settings);
    let scripts = instance.data().join("scripts").join(DOMAIN);
    fs::create_dir_all(&scripts).unwrap();
    let (jdoe, known) = (scripts.join("jdoe.sieve"), scripts.join("known.sieve"));
    let before = instance.data().join("before.sieve");
    fs::write(&known, INTO_WORK).unwrap();
    fs::write(&before, "if header :is \"x-gone\" \"1\" { discard; }").unwrap();
    fault(&jdoe);
    let _running = instance.start();
    let send = |id: &str, header: &str, to: &[&str]| {
        let to: Vec<String> = to.iter().map(|uid| format!("{uid}@{DOMAIN}")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let content = format!("Message-ID: <{id}>\r\n{header}\r\n\r\nbody\r\n");
        let mut client = Dialogue::open(instance.settings.smtp);
        client.message("a@b.example", &to, content.as_bytes()).expect(250);
    };
    send("first@t", "X: 1", &["jdoe", "known", "bob"]);
    arrives(&instance, ("bob", ""), "first@t");
    arrives(&instance, ("known", "Work"), "first@t");
    let waits = || {
        let queue = instance.queue();
        let said = queue.first().map(ToString::to_string).unwrap_or_default();
        queue.len() == 1 && said.contains("mail filters cannot be read now")
    };
    eventually("it waits, and is tried again", MINUTE, waits);
    let log = instance.log();
    assert!(log.contains("jdoe.sieve") && log.contains("(os error 5)"), "{log}");
    assert!(instance.metric("relais_sieve_runs_total{result=\"unreadable\"}") > 1.0);
    assert!(instance.metric("relais_sieve_runs_total{result=\"broken\"}") < 1.0);
    assert!(has(&instance, "jdoe").is_empty(), "{:?}", has(&instance, "jdoe"));

    // Scripts that were read before count on.
    fault(&known);
    fault(&before);
    std::thread::sleep(LOOK_AGAIN);
    send("second@t", "X-Gone: 1", &["known", "bob"]);
    send("third@t", "X-Gone: 2", &["known", "bob"]);
    arrives(&instance, ("known", "Work"), "third@t");
    arrives(&instance, ("bob", ""), "third@t");
    assert!(message_ids(&folder(&instance, "bob", "")).iter().all(|id| id != "second@t"));

    fs::remove_file(&jdoe).unwrap();
    fs::write(&jdoe, INTO_WORK).unwrap();
    arrives(&instance, ("jdoe", "Work"), "first@t");
    eventually("nothing waits", MINUTE, || instance.queue().is_empty());
    assert_eq!(message_ids(&folder(&instance, "jdoe", "Work")).len(), 1);
}

#[test]
fn a_link_to_a_file_of_somebody_else_tells_its_owner_no_words_of_it() {
    let ldif = Ldif::file().domain(DOMAIN, "").user("jdoe", DOMAIN, HERE);
    let settings = with_sieve(Settings::standalone(), "files: \"scripts/$U.sieve\"");
    let instance = ldif.instance(settings);
    let scripts = instance.data().join("scripts");
    fs::create_dir_all(&scripts).unwrap();
    let secret = instance.data().join("secret");
    fs::write(&secret, "password;").unwrap();
    symlink(&secret, scripts.join("jdoe.sieve")).unwrap();
    let _running = instance.start();
    send(&instance, ("a@b.example", "jdoe"), ("1@t", "X: 1"));
    arrives(&instance, ("jdoe", ""), "1@t");
    let told = || has(&instance, "jdoe").into_iter().find(|its| its.contains("One of your mail"));
    eventually("the owner is told", MINUTE, || told().is_some());
    let told = told().unwrap();
    let want = "jdoe.sieve: line 1, column 1: there is no such command";
    assert!(told.contains(want) && !told.contains("password"), "{told}");
    assert!(instance.log().contains("there is no command"), "{}", instance.log());
}

#[test]
fn check_names_users_who_have_one_file_between_them() {
    let ldif = Ldif::file().domain(DOMAIN, "").domain("other.example", "");
    let ldif = ldif.user("jdoe", DOMAIN, HERE).user("jdoe", "other.example", HERE);
    let ldif = ldif.user("bob", DOMAIN, HERE);
    for (files, is_told) in [("s/$U", true), ("s/$M", true), ("s/$D/$U", false)] {
        let settings = with_sieve(Settings::standalone(), &format!("files: {files:?}"));
        let instance = ldif.clone().instance(settings);
        let check = said(&instance, "check", &[]);
        let check = check.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(check.contains("have one file"), is_told, "{files}: {check}");
        assert!(!check.contains("uid=bob"), "{check}");
    }
}

#[test]
fn route_names_the_scripts_of_the_system_on_the_way() {
    let ldif = Ldif::file().domain(DOMAIN, "").user("jdoe", DOMAIN, HERE);
    let settings = with_sieve(Settings::standalone(), "before: \"b.sieve\", after: \"a.sieve\"")
        .channel("tcp_local", "sourcefilter: \"in.sieve\"")
        .channel("tcp_lmtpcs", "destinationfilter: \"out.sieve\"");
    let instance = ldif.instance(settings);
    let route = said(&instance, "route", &["jdoe@relais.example", "--offline"]);
    let route = route.split_whitespace().collect::<Vec<_>>().join(" ");
    let all = "Sieve scripts see each message: b.sieve (sieve.before), in.sieve (sourcefilter of \
               tcp_local), out.sieve (destinationfilter of tcp_lmtpcs), a.sieve (sieve.after)";
    assert!(route.contains(all), "{route}");
}

#[test]
fn check_tells_of_one_broken_file_in_each_place_that_names_it() {
    let sieve = "before: \"b.sieve\", after: \"b.sieve\"";
    let instance = Instance::new(with_sieve(Settings::standalone(), sieve));
    fs::create_dir_all(instance.data()).unwrap();
    fs::write(instance.data().join("b.sieve"), "nothing;").unwrap();
    let check = said(&instance, "check", &[]);
    assert!(check.contains("sieve.before") && check.contains("sieve.after"), "{check}");
}

#[test]
fn no_name_of_a_user_leads_to_a_file_elsewhere() {
    // As the entry has it, and as SMTP does. A file lies where each of these names would lead.
    let names = [
        ("../outside", "\"../outside\""),
        ("..", "\"..\""),
        ("a/b", "a/b"),
        (".hidden", "\".hidden\""),
        ("sound", "sound"),
    ];
    let mut ldif = Ldif::file().domain(DOMAIN, "");
    for (n, (name, _)) in names.iter().enumerate() {
        let entry = format!(
            "dn: uid=u{n},o={DOMAIN},dc=example\nobjectClass: inetMailUser\nuid: u{n}\n\
             mail: {name}@{DOMAIN}\n{HERE}\n"
        );
        ldif = ldif.and(&entry);
    }
    let settings = with_sieve(Settings::standalone(), "files: \"scripts/$U\"");
    let instance = ldif.instance(settings);
    let scripts = instance.data().join("scripts");
    fs::create_dir_all(scripts.join("a")).unwrap();
    for place in ["outside", "scripts/a/b", "scripts/.hidden", "scripts/sound"] {
        fs::write(instance.data().join(place), INTO_WORK).unwrap();
    }
    let _running = instance.start();
    for (n, (name, written)) in names.iter().enumerate() {
        let content = format!("Message-ID: <{n}@t>\r\n\r\nbody\r\n");
        let mut client = Dialogue::open(instance.settings.smtp);
        let to = format!("{written}@{DOMAIN}");
        client.message("a@b.example", &[&to], content.as_bytes()).expect(250);
        let uid = format!("u{n}");
        let place = if *name == "sound" { "Work" } else { "" };
        arrives(&instance, (&uid, place), &format!("{n}@t"));
    }
}

#[test]
fn a_script_of_the_system_answers_for_each_user_and_one_of_a_channel_for_nobody() {
    let ldif = Ldif::file().domain(DOMAIN, "");
    let ldif =
        ldif.user("jdoe", DOMAIN, HERE).user("bob", DOMAIN, HERE).user("carol", DOMAIN, HERE);
    let own = format!("{HERE}\n{}", attribute("require \"vacation\"; vacation \"My own.\";"));
    let settings = with_sieve(Settings::standalone(), "before: \"before.sieve\"")
        .channel("tcp_lmtpcs", "destinationfilter: \"out.sieve\"");
    let instance = ldif.user("own", DOMAIN, &own).instance(settings);
    let vacation = |condition: &str, text: &str| {
        format!(
            "require \"vacation\"; if header :is \"subject\" \"{condition}\" {{ vacation \"{text}\"; }}"
        )
    };
    fs::write(instance.data().join("before.sieve"), vacation("strike", "We are on strike."))
        .unwrap();
    fs::write(instance.data().join("out.sieve"), vacation("channel", "Nobody says this.")).unwrap();
    let check = said(&instance, "check", &[]);
    assert!(
        check.contains("channels[2].destinationfilter") && check.contains("vacation"),
        "{check}"
    );
    let _running = instance.start();
    for (n, to) in ["jdoe", "carol", "jdoe", "own"].iter().enumerate() {
        let id = format!("{n}@t");
        send(&instance, ("bob@relais.example", to), (&id, "Subject: strike"));
        arrives(&instance, (to, ""), &id);
    }
    let strikes = || has(&instance, "bob").iter().filter(|its| its.contains("on strike.")).count();
    eventually("one reply for each of the three", MINUTE, || strikes() == 3);
    send(&instance, ("bob@relais.example", "jdoe"), ("c@t", "Subject: channel"));
    arrives(&instance, ("jdoe", ""), "c@t");
    send(&instance, ("bob@relais.example", "own"), ("o@t", "Subject: x"));
    let own = || has(&instance, "bob").iter().any(|its| its.contains("My own."));
    eventually("the user's own answers, too", MINUTE, own);
    let all = has(&instance, "bob");
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all.iter().any(|its| its.contains("From: <carol@relais.example>")), "{all:?}");
}

#[test]
fn a_user_who_is_away_in_two_ways_answers_once_by_the_script() {
    let away = format!(
        "{HERE}\nmailDeliveryOption: mailbox\nmailDeliveryOption: autoreply\n\
         mailAutoReplyText: By the option.\n{}",
        attribute(
            "require \"vacation\"; if not header :is \"subject\" \"plain\" { vacation \"By the script.\"; }"
        )
    );
    let option = "\"#*forward=**\",\n \"#*^!autoreply=$M+$D@bitbucket\",";
    let settings = Settings::standalone().edit("\"#*forward=**\",", option);
    let ldif =
        Ldif::file().domain(DOMAIN, "").user("bob", DOMAIN, HERE).user("carol", DOMAIN, HERE);
    let instance = ldif.user("jdoe", DOMAIN, &away).instance(settings);
    let _running = instance.start();
    send(&instance, ("bob@relais.example", "jdoe"), ("1@t", "Subject: hello"));
    send(&instance, ("carol@relais.example", "jdoe"), ("2@t", "Subject: plain"));
    for (uid, text) in [("bob", "By the script."), ("carol", "By the option.")] {
        eventually(&format!("{uid} has a reply"), MINUTE, || !has(&instance, uid).is_empty());
        eventually("nothing waits", MINUTE, || instance.queue().is_empty());
        let all = has(&instance, uid);
        assert!(all.len() == 1 && all[0].contains(text), "{uid}: {all:?}");
    }
}

#[test]
fn notices_and_replies_meet_the_scripts_of_their_reader_and_are_not_lost_by_them() {
    let sorting = "require [\"fileinto\", \"envelope\"]; if envelope :is \"from\" \"\" { \
        if exists \"auto-submitted\" { fileinto \"Machines\"; } }";
    let refusing = "require \"reject\"; reject \"never\";";
    let no = "require \"reject\"; reject \"not wanted\";";
    let away = "require \"vacation\"; vacation \"I am away.\";";
    let ldif = Ldif::file().domain(DOMAIN, "");
    let user = |ldif: Ldif, uid: &str, script: &str| {
        ldif.user(uid, DOMAIN, &format!("{HERE}\n{}", attribute(script)))
    };
    let ldif = user(user(ldif, "sorting", sorting), "refusing", refusing);
    let ldif = user(user(ldif, "no", no), "away", away).user("bob", DOMAIN, HERE);
    let instance = ldif.instance(Settings::standalone());
    let _running = instance.start();
    for from in ["sorting", "refusing"] {
        let mut client = Dialogue::open(instance.settings.smtp);
        let from = format!("{from}@{DOMAIN}");
        let to = ["no@relais.example", "bob@relais.example"];
        client.message(&from, &to, b"Subject: x\r\n\r\nbody\r\n").expect(250);
    }
    let machines = || messages(&folder(&instance, "sorting", "Machines"));
    let has_notice = || machines().iter().any(|its| its.contains("not wanted"));
    eventually("the notice is filed", MINUTE, has_notice);
    let kept = || has(&instance, "refusing").iter().any(|its| its.contains("not wanted"));
    eventually("a notice that is refused stays", MINUTE, kept);
    send(&instance, ("sorting@relais.example", "away"), ("1@t", "Subject: hello"));
    let is_answer = |its: &String| its.contains("I am away.");
    eventually("the reply is filed", MINUTE, || machines().iter().any(is_answer));
    assert!(has(&instance, "sorting").is_empty());
    eventually("nothing is told of any of it", MINUTE, || instance.queue().is_empty());
}
