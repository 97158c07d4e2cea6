//! The package on a machine with systemd: installed, started as its own user, upgraded under load, removed.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use relais_tests::{Machine, needs, needs_root, program};

const SENDERS: &str = r#"
import smtplib, sys, threading, time
stop, taken, refused, cut = time.time() + float(sys.argv[1]), [], [], []
def send():
    while time.time() < stop:
        try:
            with smtplib.SMTP("127.0.0.1", 25, timeout=30) as server:
                server.sendmail("ann@example.org", ["root@machine.example"], "Subject: load\r\n\r\nx\r\n")
                taken.append(1)
        except ConnectionRefusedError as error:
            refused.append(str(error))
        except (smtplib.SMTPException, OSError) as error:
            cut.append(repr(error))
            time.sleep(0.02)
senders = [threading.Thread(target=send) for _ in range(6)]
[sender.start() for sender in senders]
[sender.join() for sender in senders]
print(len(taken), len(refused), len(cut), cut[:3])
"#;

/// The package, and the same one with a higher version.
fn packages(folder: &Path) -> [PathBuf; 2] {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = folder.join("target");
    let build = Command::new(top.join("engine/package/build"))
        .args(["deb", "sendmail"])
        .env("RELAIS_BIN", program())
        .env("RELAIS_FAST", "1")
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .expect("the script runs");
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    let first = target.join("debian/relais_0.1.0-1_amd64.deb");
    let (tree, second) = (folder.join("tree"), folder.join("relais_0.1.0-2_amd64.deb"));
    let script = "dpkg-deb -R $0 $1 && sed -i 's/^Version:.*/Version: 0.1.0-2/' $1/DEBIAN/control && dpkg-deb -Znone -b $1 $2";
    let again = Command::new("sh").args(["-c", script]).args([&first, &tree, &second]).output();
    assert!(again.expect("a shell").status.success());
    [first, second]
}

fn mailed(machine: &Machine) -> usize {
    let folder = "/var/lib/relais/store/machine.example/postmaster/Maildir/new";
    machine.must(&format!("ls {folder} | wc -l")).trim().parse().unwrap()
}

#[test]
fn the_package_is_installed_upgraded_under_load_and_removed() {
    if !needs_root() || !needs(&["cargo-deb", "systemd-run", "unshare", "nsenter"]) {
        return;
    }
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let [first, second] = packages(folder.path());
    let machine = match Machine::boot() {
        Ok(machine) => machine,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    machine.must(&format!("rm -f /etc/mailname; dpkg -i {}", first.display()));
    assert_eq!(
        machine.must("systemctl is-active relais; systemctl is-enabled relais"),
        "active\nenabled\n"
    );
    assert_eq!(machine.must("ps -o user= -C relais").trim(), "relais");
    assert!(machine.must("systemctl show relais -p StatusText").contains("takes mail"));
    assert!(machine.must("relais check").contains(": 0 mistakes, 0 warnings"));
    machine.must(
        "man -w relais relais-queue-list && test -s /usr/share/bash-completion/completions/relais",
    );

    // Local programs, as nobody in particular.
    let sendmail = folder.path().join("target/debian/relais-sendmail_0.1.0-1_all.deb");
    machine.must(&format!("dpkg -i --force-conflicts --force-overwrite {}", sendmail.display()));
    let letter = r"printf 'To: root\nBcc: postmaster\nSubject: hi\n\nhello\n.\nmore\n'";
    machine.must(&format!(
        "setpriv --reuid nobody --clear-groups sh -c \"{letter} | sendmail -t -i\""
    ));
    machine.must(&format!("{letter} | relais send -f ann@example.org"));
    let refused = machine.run("echo x | sendmail nobody-here@machine.example");
    assert_eq!(refused.status.code(), Some(69), "{}", String::from_utf8_lossy(&refused.stderr));
    thread::sleep(Duration::from_secs(1));
    let text = machine
        .must("cat /var/lib/relais/store/machine.example/postmaster/Maildir/new/* | tr -d '\\r'");
    assert!(
        text.contains("From: nobody@machine.example\n") && text.contains("hello\n.\nmore\n"),
        "{text}"
    );
    assert!(text.contains("From: ann@example.org\n") && !text.contains("Bcc"), "{text}");

    // Nobody is refused while it is upgraded, restarted, and reads its file again.
    let before = mailed(&machine);
    std::fs::write(folder.path().join("senders.py"), SENDERS).unwrap();
    let senders = format!("python3 {}/senders.py 9 >/run/sent", folder.path().display());
    machine.must(&format!("({senders} 2>&1 &) && sleep 1 && dpkg -i {}", second.display()));
    machine.must("sleep 1; systemctl reload relais && systemctl restart relais");
    assert!(machine.must("dpkg -s relais").contains("Version: 0.1.0-2"));
    machine.must("for n in $(seq 60); do test -s /run/sent && break; sleep 0.5; done; sleep 1");
    let sent = machine.must("cat /run/sent");
    let [taken, refused, cut] =
        [0, 1, 2].map(|n| sent.split(' ').nth(n).unwrap().parse::<usize>().unwrap());
    assert!(taken > 100 && refused == 0 && cut < taken / 20, "{sent}");
    let came = mailed(&machine) - before;
    assert!((taken..=taken + cut).contains(&came), "{came} of {sent}");

    // Mail stays when the package goes.
    machine.must("dpkg -r relais-sendmail relais");
    assert!(!machine.run("systemctl is-active relais").status.success());
    machine.must("test -e /etc/relais/relais.ron && ! test -e /usr/bin/relais");
    machine.must("dpkg -P relais && ! test -e /etc/relais && test -d /var/lib/relais/store");
}

#[test]
fn the_unit_keeps_the_service_to_itself() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/package/relais.service");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=20"])
        .arg(&unit)
        .output()
        .expect("systemd-analyze runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", text.lines().last().unwrap_or_default());
}
