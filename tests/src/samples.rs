//! Real messages: those that Debian's Python and the `mail-parser` crate are tested with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::build::work_tree;

/// One message of a collection.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Where it lies.
    pub path: PathBuf,
    /// Its content with every line end made CRLF, the last one too, as `smtplib` sends it.
    pub content: Vec<u8>,
}

/// The `msg_*.txt` of `libpython3.11-testsuite`.
pub fn python_samples() -> Vec<Sample> {
    let named = |path: &Path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("msg_"))
    };
    samples(Path::new("/usr/lib/python3.11/test/test_email/data"), &named)
}

/// The `resources/eml/**/*.eml` of the `mail-parser` crate.
pub fn rust_samples() -> Vec<Sample> {
    let is_eml = |path: &Path| path.extension().is_some_and(|end| end == "eml");
    samples(&mail_parser().join("resources/eml"), &is_eml)
}

fn samples(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<Sample> {
    let mut paths = Vec::new();
    collect(folder, wanted, &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "no messages below {}", folder.display());
    let sample = |path: PathBuf| {
        let content = as_sent(&fs::read(&path).expect("a message"));
        Sample { path, content }
    };
    paths.into_iter().map(sample).collect()
}

fn collect(folder: &Path, wanted: &dyn Fn(&Path) -> bool, paths: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.expect("a folder entry").path()) {
        if path.is_dir() {
            collect(&path, wanted, paths);
        } else if wanted(&path) {
            paths.push(path);
        }
    }
}

/// CRLF, LF and CR all end a line; the last line is ended if it was not.
fn as_sent(file: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(file.len() + file.len() / 32 + 2);
    let mut rest = file.iter().copied().peekable();
    while let Some(octet) = rest.next() {
        match octet {
            b'\r' => {
                rest.next_if_eq(&b'\n');
                content.extend_from_slice(b"\r\n");
            }
            b'\n' => content.extend_from_slice(b"\r\n"),
            _ => content.push(octet),
        }
    }
    if !content.ends_with(b"\r\n") {
        content.extend_from_slice(b"\r\n");
    }
    content
}

/// The folder `resources` of the `mail-auth` crate: what it is tested with itself.
pub fn mail_auth_resources() -> PathBuf {
    crate_folder("mail-auth", "0.13.3").join("resources")
}

fn mail_parser() -> PathBuf {
    crate_folder("mail-parser", "1.0.1")
}

/// Where cargo keeps the sources of a crate.
fn crate_folder(name: &str, version: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(work_tree())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let is_pinned = |p: &&Value| p["name"] == name && p["version"] == version;
    let package = packages.iter().find(is_pinned).expect("it is a dependency");
    let manifest = package["manifest_path"].as_str().expect("a path");
    Path::new(manifest).parent().expect("a folder").to_owned()
}

#[cfg(test)]
mod tests {
    use super::as_sent;

    #[test]
    fn line_ends_become_crlf() {
        let rows: [(&str, &[u8], &[u8]); 4] = [
            ("all three kinds", b"a\nb\rc\r\n", b"a\r\nb\r\nc\r\n"),
            ("a last line without end", b"a", b"a\r\n"),
            ("nothing at all", b"", b"\r\n"),
            ("CR CR LF is two ends", b"a\r\r\n", b"a\r\n\r\n"),
        ];
        for (name, file, want) in rows {
            assert_eq!(as_sent(file), want, "{name}");
        }
    }
}
