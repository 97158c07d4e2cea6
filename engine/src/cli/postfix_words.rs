//! Ends of recipients in words, and the programs of Postfix as they are run.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

/// Where a recipient ends: an address and its place, each in words.
pub(super) type Ends = BTreeSet<String>;

/// A delivery by a transport that hands mail to a program.
pub(super) fn to_program(address: &str, transport: &str) -> String {
    format!("{} to the program {transport}", address.to_ascii_lowercase())
}

/// The command of an alias.
pub(super) fn to_command(alias: &str, file: &str) -> String {
    format!("{} to the command {file}", alias.to_ascii_lowercase())
}

/// The file of an alias.
pub(super) fn to_file(file: &str) -> String {
    format!("to the file {file}")
}

/// A delivery in words: the address, the transport, and the host or socket with its port.
pub(super) fn place(address: &str, transport: &str, hop: &str, queue: &str) -> String {
    let (user, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let address = format!("{user}@{}", domain.to_ascii_lowercase());
    let hop = match hop.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => format!("unix:{path}"),
        Some(path) => format!("unix:{queue}/{path}"),
        None => {
            let usual = if transport.starts_with("lmtp") { 24 } else { 25 };
            let hops = hop.split([',', ' ']).filter(|hop| !hop.is_empty());
            hops.map(|hop| host_and_port(hop, usual)).collect::<Vec<_>>().join(",")
        }
    };
    format!("{address} by {transport} to {hop}")
}

fn host_and_port(hop: &str, usual: u16) -> String {
    let hop = hop.strip_prefix("inet:").unwrap_or(hop).to_ascii_lowercase();
    let (host, port) = match hop.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host.to_owned(), port.trim_start_matches(':').to_owned()),
        None => match hop.split_once(':') {
            Some((host, port)) => (host.to_owned(), port.to_owned()),
            None => (hop, String::new()),
        },
    };
    let port = match port.as_str() {
        "" => usual.to_string(),
        "smtp" => "25".to_owned(),
        "submission" => "587".to_owned(),
        "lmtp" => "24".to_owned(),
        port => port.to_owned(),
    };
    format!("{host}:{port}")
}

pub(super) fn halves(text: &str) -> (String, String) {
    let (name, hop) = text.split_once(':').unwrap_or((text, ""));
    (name.trim().to_owned(), hop.trim().to_owned())
}

/// Members of an alias.
pub(super) fn members(value: &str) -> Vec<String> {
    let (mut all, mut one, mut is_quoted) = (Vec::new(), String::new(), false);
    for c in value.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => all.push(std::mem::take(&mut one)),
            c => one.push(c),
        }
    }
    all.push(one);
    all.iter().map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

/// Standard output of a program of Postfix, which is given this.
pub(super) fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        format!("--verify asks the programs of Postfix, and {name} does not run: {error}")
    })?;
    let stdin = child.stdin.take();
    let input = input.to_owned();
    // The answer may begin before all was asked.
    let writer =
        std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().map_err(|error| format!("{name}: {error}"))?;
    let _ = writer.join();
    let told = String::from_utf8_lossy(&output.stderr);
    // postmap ends with 1 where it has found nothing, and says why where it could not look.
    if told.contains("fatal:") || !output.status.success() && name != "postmap" {
        return Err(format!("{name}: {}", told.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(super) const UNKNOWN: &str = "refused";
pub(super) const LATER: &str = "deferred";
pub(super) const THROWN_AWAY: &str = "thrown away";
