//! The system's file of hosts (hosts(5)), read again when it changes.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// A file of addresses and the names of their hosts.
#[derive(Debug)]
pub struct Hosts {
    path: PathBuf,
    kept: Mutex<Option<KeptHosts>>,
}

#[derive(Debug)]
struct KeptHosts {
    /// When it changed, and its octets.
    stamp: Option<(SystemTime, u64)>,
    looked: Instant,
    names: Arc<HashMap<Box<str>, Vec<IpAddr>>>,
}

impl Hosts {
    /// The system's, one for the whole process.
    pub fn of_system() -> &'static Self {
        static SYSTEM: LazyLock<Hosts> = LazyLock::new(|| Hosts::of("/etc/hosts".into()));
        &SYSTEM
    }

    fn of(path: PathBuf) -> Self {
        Self { path, kept: Mutex::default() }
    }

    /// The addresses of a name, in the order of the file. `localhost` is this machine whatever the
    /// file says (RFC 6761 section 6.3). A file that is not there names nobody.
    pub fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let found = self.names()?.get(&*name).cloned().unwrap_or_default();
        if found.is_empty() && name == "localhost" {
            return Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
        }
        Ok(found)
    }

    fn names(&self) -> io::Result<Arc<HashMap<Box<str>, Vec<IpAddr>>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &*kept
            && kept.looked.elapsed() < LOOKED_AFTER
        {
            return Ok(Arc::clone(&kept.names));
        }
        let (file, stamp) = match File::open(&self.path) {
            Ok(file) => {
                let its = file.metadata()?;
                (Some(file), Some((its.modified()?, its.len())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, None),
            Err(error) => return Err(error),
        };
        if let Some(kept) = &mut *kept
            && kept.stamp == stamp
        {
            kept.looked = Instant::now();
            return Ok(Arc::clone(&kept.names));
        }
        let mut text = Vec::new();
        if let Some(file) = file {
            file.take(LARGEST).read_to_end(&mut text)?;
        }
        let names = Arc::new(names_of(&String::from_utf8_lossy(&text)));
        *kept = Some(KeptHosts { stamp, looked: Instant::now(), names: Arc::clone(&names) });
        Ok(names)
    }
}

/// `address name alias ... # comment`, a line each.
fn names_of(text: &str) -> HashMap<Box<str>, Vec<IpAddr>> {
    let mut names: HashMap<Box<str>, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        for name in words {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let addresses = names.entry(name.into()).or_default();
            if !addresses.contains(&address) && addresses.len() < MOST {
                addresses.push(address);
            }
        }
    }
    names
}

/// Octets of the file.
const LARGEST: u64 = 32 << 20;
/// Addresses of one name.
const MOST: usize = 100;
const LOOKED_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::{fs, thread::sleep};

    use super::*;

    #[test]
    fn names_are_found_in_the_file() {
        let text = "# hosts\n127.0.0.1 localhost\n10.0.0.1\tStore1.Example store1 # the first\n\
                    10.0.0.2 store1.example.\n::1 store1\n10.0.0.1 store1\nx y\n10.0.0.3\n#10.0.0.4 z\n";
        let names = names_of(text);
        // name, addresses
        let rows = [
            ("localhost", "127.0.0.1"),
            ("store1.example", "10.0.0.1 10.0.0.2"),
            ("store1", "10.0.0.1 ::1"),
            ("y", ""),
            ("z", ""),
        ];
        for (name, want) in rows {
            let found = names.get(name).into_iter().flatten();
            let found: Vec<_> = found.map(ToString::to_string).collect();
            assert_eq!(found.join(" "), want, "{name}");
        }
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_one_that_is_gone_names_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let hosts = Hosts::of(path.clone());
        let found = |name| hosts.addresses(name).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found("a"), Vec::<String>::new());
        assert_eq!(found("localhost"), ["::1", "127.0.0.1"]);
        fs::write(&path, "10.0.0.1 a\n127.0.0.9 localhost\n").unwrap();
        sleep(LOOKED_AFTER);
        assert_eq!(
            (found("A."), found("localhost")),
            (vec!["10.0.0.1".into()], vec!["127.0.0.9".into()])
        );
        fs::write(&path, "10.0.0.22 a\n").unwrap();
        sleep(LOOKED_AFTER);
        assert_eq!(found("a"), ["10.0.0.22"]);
        fs::remove_file(&path).unwrap();
        sleep(LOOKED_AFTER);
        assert_eq!(found("a"), Vec::<String>::new());
    }
}
