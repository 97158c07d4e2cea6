//! `check` says before `run` what would keep `run` from starting on this machine, with its place in
//! the file, and leaves no trace of having looked.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::TcpListener,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    slice,
    time::Duration,
};

use relais_tests::{Instance, Settings, free_port};
use serde_json::Value;

/// Everything below a folder.
fn tree(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}

#[track_caller]
fn check(instance: &Instance) -> (Vec<Value>, Option<i32>) {
    let output = instance.relais("check", &["--json"]);
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (found.as_array().expect("a list").clone(), output.status.code())
}

/// The LMTP service on a socket instead of its port.
fn on_socket(socket: &str) -> Settings {
    let settings = Settings::standalone();
    let port = settings.lmtp;
    settings.edit(
        &format!("interface_address: \"127.0.0.1\", ports: [{port}]"),
        &format!("socket: {socket:?}"),
    )
}

fn smtp(fields: &str) -> Settings {
    let settings = Settings::standalone();
    let port = settings.smtp;
    settings.edit(&format!("interface_address: \"127.0.0.1\", ports: [{port}]"), fields)
}

fn store(path: &str) -> Settings {
    Settings::standalone().edit("path: \"store\"", &format!("path: {path:?}"))
}

/// The thing that stands in the way, below the data directory.
#[derive(Clone, Copy)]
enum InTheWay {
    Nothing,
    File(&'static str),
    Folder(&'static str),
    Locked(&'static str),
    Socket(&'static str),
}

impl InTheWay {
    /// Puts it there, and keeps it for as long as the result lives.
    fn put(self, data: &Path) -> (Option<File>, Option<UnixListener>) {
        let made = |name: &str| {
            let path = data.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        match self {
            Self::Nothing => (None, None),
            Self::File(name) => (Some(File::create(made(name)).unwrap()), None),
            Self::Folder(name) => {
                fs::create_dir_all(data.join(name)).unwrap();
                (None, None)
            }
            Self::Locked(name) => {
                let file = File::create(made(name)).unwrap();
                file.lock().unwrap();
                (Some(file), None)
            }
            Self::Socket(name) => (None, Some(UnixListener::bind(made(name)).unwrap())),
        }
    }
}

struct Row {
    settings: Settings,
    way: InTheWay,
    field: &'static str,
    says: &'static [&'static str],
}

use InTheWay::{Folder, Locked, Nothing, Socket};

fn files() -> Vec<Row> {
    const DATA: &[(InTheWay, &str)] = &[
        (InTheWay::File("spool"), "spool is no folder"),
        (InTheWay::File("spool/large"), "large is no folder"),
        (Folder("spool/00000001.msg"), "00000001.msg is no file"),
        (Folder("lock"), "lock is no file"),
        (Folder("stopped"), "stopped is no file"),
        (Folder("admin.sock/x"), "admin.sock is a folder; it must be removed"),
    ];
    const STORES: &[(&str, InTheWay, &str)] = &[
        ("/proc/store", Nothing, "/proc/store cannot be made: /proc is of the kernel (proc)"),
        ("store/below", InTheWay::File("store"), "store is no folder"),
        ("store", InTheWay::File("store"), "store is no folder; a folder is expected"),
        ("store", Folder("store/.journal"), ".journal is no file"),
        ("store", InTheWay::File("store/.tmp"), ".tmp is no folder"),
        ("store", Locked("store/.lock"), "another process has this store"),
        ("store", Folder("stores"), "stores is no file"),
    ];
    let data = DATA.iter().map(|(way, says)| (Settings::standalone(), *way, "data", says));
    let stores = STORES.iter().map(|(path, way, says)| (store(path), *way, "store.path", says));
    let row =
        |(settings, way, field, says)| Row { settings, way, field, says: slice::from_ref(says) };
    data.chain(stores).map(row).collect()
}

fn places() -> Vec<Row> {
    let settings = Settings::standalone();
    let admin = format!("127.0.0.1:{}", settings.admin);
    let admin = settings.edit(&admin, "192.0.2.77:9225");
    let socket = "dispatcher.services[\"LMTPSS\"].socket";
    let row = |settings, way, field, says| Row { settings, way, field, says };
    vec![
        row(
            on_socket("sub/x.sock"),
            Nothing,
            socket,
            &["there is no folder", "sub; it must be made"],
        ),
        row(on_socket("/nowhere/x.sock"), Nothing, socket, &["there is no folder /nowhere"]),
        row(on_socket("x.sock"), InTheWay::File("x.sock"), socket, &["what is there is no socket"]),
        row(on_socket("x.sock"), Folder("x.sock"), socket, &["what is there is no socket"]),
        row(on_socket("x.sock/y"), InTheWay::File("x.sock"), socket, &["Not a directory"]),
        row(
            on_socket("x.sock"),
            Socket("x.sock"),
            socket,
            &["another program listens on", "x.sock"],
        ),
        row(
            smtp("interface_address: \"192.0.2.77\", ports: [2525, 2526]"),
            Nothing,
            "dispatcher.services[\"SMTP\"].interface_address",
            &["this machine has no address 192.0.2.77", "ip address shows them"],
        ),
        row(admin, Nothing, "admin.listen", &["this machine has no address 192.0.2.77"]),
    ]
}

#[test]
fn check_names_whatever_keeps_run_from_starting_and_leaves_no_trace() {
    for Row { settings, way, field, says } in files().into_iter().chain(places()) {
        let name = says[0];
        let text = settings.text().to_owned();
        let instance = Instance::new(settings);
        fs::create_dir(instance.data()).unwrap();
        let kept = way.put(instance.data());
        let before = tree(&instance.path(""));
        let (found, code) = check(&instance);
        assert_eq!(tree(&instance.path("")), before, "{name}");
        assert_eq!(code, Some(1), "{name}: {found:#?}");
        let errors: Vec<_> = found.iter().filter(|f| f["severity"] == "error").collect();
        let [error] = &*errors else { panic!("{name}: {errors:#?}") };
        assert_eq!(error["field"], field, "{name}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(says.iter().all(|word| message.contains(word)), "{name}: {message}");
        let line = usize::try_from(error["line"].as_u64().unwrap()).unwrap();
        let shown = text.lines().nth(line - 1).unwrap();
        let last = field.rsplit('.').next().unwrap();
        assert!(shown.contains(&format!("{last}:")), "{name}: line {line} is {shown}");
        let mut run = instance.spawn();
        assert_eq!(run.wait(Duration::from_secs(60)).0.code(), Some(1), "{name}");
        drop(kept);
    }
}

#[test]
fn check_names_a_data_directory_that_cannot_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let long = folder.path().join("d".repeat(100));
    let rows = [
        (file.clone(), "file is no folder"),
        (file.join("data"), "file/data cannot be made: "),
        (PathBuf::from("/proc/relais"), "/proc/relais cannot be made: /proc is of the kernel"),
        (PathBuf::from("/sys/relais"), "/sys/relais cannot be made: "),
        // The engine makes it before it finds that out.
        (long, "too long for the admin socket"),
    ];
    for (data, says) in rows {
        let instance = Instance::in_data(Settings::standalone(), &data);
        let (found, code) = check(&instance);
        assert_eq!(code, Some(1), "{data:?}: {found:#?}");
        let error = found.iter().find(|f| f["severity"] == "error").unwrap();
        assert_eq!((&error["field"], &error["line"]), (&"data".into(), &6.into()), "{error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
        let names = |path: &Path| fs::read_dir(path).unwrap().count();
        assert_eq!(names(folder.path()), 1, "{data:?}");
        let run = instance.relais("run", &[]);
        assert_eq!(run.status.code(), Some(1), "{run:?}");
    }
}

#[test]
fn a_port_that_another_program_has_is_named_and_one_that_this_engine_has_is_not() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let second = free_port();
    let instance = Instance::new(smtp(&format!(
        "interface_address: \"127.0.0.1\", ports: [{second}, {port}]"
    )));
    let (found, code) = check(&instance);
    assert_eq!(code, Some(1), "{found:#?}");
    let errors: Vec<_> = found.iter().filter(|f| f["severity"] == "error").collect();
    let [error] = &*errors else { panic!("{errors:#?}") };
    assert_eq!(error["field"], "dispatcher.services[\"SMTP\"].ports[1]");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&format!("another program listens on 127.0.0.1:{port}")), "{message}");
    drop(taken);

    // The engine of this data directory, on a port, a socket and the admin's port.
    let instance = Instance::new(on_socket("x.sock"));
    fs::create_dir(instance.data()).unwrap();
    // One that was left over is no obstacle, and stays where it is.
    drop(UnixListener::bind(instance.data().join("x.sock")).unwrap());
    let before = tree(&instance.path(""));
    let (found, code) = check(&instance);
    assert_eq!((code, tree(&instance.path(""))), (Some(0), before), "{found:#?}");
    let running = instance.start();
    let accepted = || instance.metric("relais_dispatcher_connections_total");
    let sessions = accepted();
    let (found, code) = check(&instance);
    assert_eq!(code, Some(0), "{found:#?}");
    assert!((accepted() - sessions).abs() < 0.5, "check connects to nobody");
    drop(running);
}
