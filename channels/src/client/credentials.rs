//! Passwords at other servers: a file of them, and which one is for whom.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use zeroize::Zeroizing;

use crate::{mail::NextHop, sasl::Login};

/// A file of passwords. It is looked at when a connection is made, and read again when it has
/// changed; one that cannot be read any more leaves those of before in force.
#[derive(Debug)]
pub struct Credentials {
    file: PathBuf,
    read: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    stamp: Option<Stamp>,
    logins: Option<Arc<Logins>>,
    fault: Option<String>,
}

type Logins = HashMap<Box<str>, Login>;

/// A file as it was when it was read.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    changed: Option<SystemTime>,
    inode: u64,
    size: u64,
}

/// Why a file of passwords cannot be used. No line of it is quoted.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// Larger than any.
    #[error("it is larger than {} KiB", LARGEST >> 10)]
    TooLarge,
    /// Not lines of text.
    #[error("it is no text")]
    NoText,
    /// A line of another form.
    #[error("line {0} is not HOST[:PORT] USER:PASSWORD")]
    Malformed(usize),
    /// A key that an earlier line has.
    #[error("line {0} is for a host that an earlier line is for")]
    Twice(usize),
}

/// Nobody can tell whether there is a password.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub(crate) struct Unknown {
    file: PathBuf,
    why: String,
}

impl Credentials {
    /// Of this file, which is not read yet.
    pub fn of(file: PathBuf) -> Self {
        Self { file, read: Mutex::default() }
    }

    /// Looks at a file: why others should not be able to read it, if they are.
    pub fn examine(file: &Path) -> Result<Option<String>, CredentialsError> {
        let mode = std::fs::metadata(file)?.mode() & 0o777;
        read(file)?;
        let words =
            || format!("others can read its passwords (mode {mode:04o}): chmod 600 is expected");
        Ok((mode & 0o077 != 0).then(words))
    }

    /// The login for a server: as its place is written, then without the port. `port`: where it is
    /// connected to when the place names none.
    pub(crate) fn find(&self, hop: &NextHop, port: u16) -> Result<Option<Login>, Unknown> {
        let logins = self.logins()?;
        Ok(keys(hop, port).iter().find_map(|key| logins.get(key.as_str()).cloned()))
    }

    /// The login for a host of this name, whatever its port.
    pub(crate) fn find_name(&self, name: &str) -> Result<Option<Login>, Unknown> {
        Ok(self.logins()?.get(name.to_ascii_lowercase().as_str()).cloned())
    }

    fn logins(&self) -> Result<Arc<Logins>, Unknown> {
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&self.file);
        if stamp.is_none() || known.stamp != stamp {
            let fault = match read(&self.file) {
                Ok(logins) => {
                    known.logins = Some(Arc::new(logins));
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            // Once for each change is enough.
            if let Some(error) =
                fault.as_ref().filter(|_| fault != known.fault || stamp != known.stamp)
            {
                let before = known.logins.is_some();
                let file = self.file.display();
                tracing::warn!(%file, error, before, "the file of passwords cannot be used");
            }
            (known.stamp, known.fault) = (stamp, fault);
        }
        let why = || known.fault.clone().unwrap_or_default();
        known.logins.clone().ok_or_else(|| Unknown { file: self.file.clone(), why: why() })
    }
}

impl Stamp {
    /// `None`: it cannot be looked at.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let data = std::fs::metadata(file).ok()?;
        Some(Self { changed: data.modified().ok(), inode: data.ino(), size: data.len() })
    }
}

fn read(file: &Path) -> Result<Logins, CredentialsError> {
    let mut octets = Zeroizing::new(Vec::new());
    File::open(file)?.take(LARGEST + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > LARGEST {
        return Err(CredentialsError::TooLarge);
    }
    parse(str::from_utf8(&octets).map_err(|_| CredentialsError::NoText)?)
}

fn parse(text: &str) -> Result<Logins, CredentialsError> {
    let mut logins = Logins::new();
    for (number, line) in text.lines().enumerate().map(|(place, line)| (place + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let malformed = || CredentialsError::Malformed(number);
        let (place, login) = line.split_once(char::is_whitespace).ok_or_else(malformed)?;
        let (user, password) = login.trim_start().split_once(':').ok_or_else(malformed)?;
        let is_fit = |text: &str| text.len() <= LONGEST && !text.contains(char::is_control);
        if !is_fit(user) || !is_fit(password) || user.is_empty() && !password.is_empty() {
            return Err(malformed());
        }
        let key = key(place).ok_or_else(malformed)?;
        if logins.insert(key, Login::new(user, password)).is_some() {
            return Err(CredentialsError::Twice(number));
        }
    }
    Ok(logins)
}

/// A key of the file, as [`keys`] has it: `[name]:port` of Postfix is `name:port`.
fn key(text: &str) -> Option<Box<str>> {
    if text.starts_with('/') {
        return Some(text.into());
    }
    let unbracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let named = unbracketed.map(|(name, port)| format!("{name}{port}"));
    let hop = text.parse::<NextHop>().ok().or_else(|| named?.parse().ok())?;
    Some(written(&hop).into())
}

/// The keys of a place, the most exact first.
fn keys(hop: &NextHop, port: u16) -> Vec<String> {
    let mut keys = vec![written(hop)];
    match hop {
        NextHop::Host { name, port: None } => keys.insert(0, format!("{name}:{port}")),
        NextHop::Host { name, .. } => keys.push(name.clone()),
        NextHop::Ip { address, port: None } => keys.insert(0, format!("[{address}]:{port}")),
        NextHop::Ip { address, .. } => keys.push(format!("[{address}]")),
        NextHop::Unix(_) => {}
    }
    keys
}

fn written(hop: &NextHop) -> String {
    match hop {
        NextHop::Unix(path) => path.display().to_string(),
        hop => hop.to_string(),
    }
}

/// Octets of a file.
const LARGEST: u64 = 1 << 20;
/// Octets of a user's name, or a password.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn found(text: &str, hop: &str) -> Option<String> {
        let logins = parse(text).unwrap();
        let keys = keys(&hop.parse().expect(hop), 24);
        keys.iter().find_map(|key| logins.get(key.as_str())).map(|login| login.user.clone())
    }

    #[test]
    fn a_place_finds_its_line_by_any_of_its_spellings() {
        let file = "# passwords\n\nLocalhost  a:x\nlocalhost:2424\tb:x y:z\n[other]:25 c:x\n\
                    127.0.0.1 d:x\n[::1]:24 e:x\n/run/lmtp f:x\nunix:/run/other g:\ncert.test :\n";
        let rows = [
            ("localhost", Some("a")),
            ("localhost:24", Some("a")),
            ("LOCALHOST:2424", Some("b")),
            ("inet:localhost:2424", Some("b")),
            ("other:25", Some("c")),
            ("other", None),
            ("[127.0.0.1]:9", Some("d")),
            ("[::1]", Some("e")),
            ("[::1]:25", None),
            ("unix:/run/lmtp", Some("f")),
            ("unix:/run/other", Some("g")),
            ("cert.test", Some("")),
        ];
        for (hop, want) in rows {
            assert_eq!(found(file, hop).as_deref(), want, "{hop}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_and_not_quoted() {
        let rows = [
            ("a.test user:secret\nb.test", 2),
            ("b.test user", 1),
            ("-b user:secret", 1),
            (":25 user:secret", 1),
            ("b.test :secret", 1),
            ("b.test us\u{7}er:secret", 1),
            ("b.test user:secret\nB.test. user:secret", 2),
        ];
        for (text, line) in rows {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.starts_with(&format!("line {line} ")), "{text}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn a_file_that_changes_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwords");
        let credentials = Credentials::of(file.clone());
        let hop: NextHop = "a.test".parse().unwrap();
        let error = credentials.find(&hop, 24).unwrap_err().to_string();
        assert!(error.contains("passwords: No such file"), "{error}");
        std::fs::write(&file, "a.test one:secret\n").unwrap();
        let user = || credentials.find(&hop, 24).unwrap().map(|login| login.user);
        assert_eq!(user().as_deref(), Some("one"));
        std::fs::write(&file, "a.test other:secret\n").unwrap();
        assert_eq!(user().as_deref(), Some("other"));
        std::fs::write(&file, "a.test\n").unwrap();
        assert_eq!(user().as_deref(), Some("other"), "the one before is in force");
        std::fs::write(&file, "b.test user:secret\n").unwrap();
        assert_eq!(user(), None);
        assert!(!format!("{credentials:?}").contains("secret"));
        let mode = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o640);
        assert!(Credentials::examine(&file).unwrap().is_some());
        mode(0o600);
        assert_eq!(Credentials::examine(&file).unwrap(), None);
    }
}
