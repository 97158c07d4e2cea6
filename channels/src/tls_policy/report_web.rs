//! Reports on their way to places on the web (RFC 8460 section 5.4), kept on disk until they are there.
//!
//! One that is not taken is sent again with pauses that double, for a day from its first attempt
//! (section 5.5).

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::report::{TlsReport, write};

/// A report for one place.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct WebReport {
    /// The domain that it is about.
    pub domain: String,
    /// `https://...`, as its domain says.
    pub place: String,
    /// Name servers that know the place; none: those of the section `dns`.
    pub nameservers: Vec<SocketAddr>,
    /// Seconds since 1970, from which the day counts.
    since: u64,
    /// Not before this second it is sent.
    next: u64,
    /// Attempts in vain.
    attempts: u32,
    body: Value,
}

/// All of them.
#[derive(Debug)]
pub struct WebReports {
    folder: PathBuf,
    /// By their files.
    waiting: Mutex<Vec<(String, WebReport)>>,
}

/// A report that was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WebRetry {
    /// It is sent again after so many seconds.
    After(u64),
    /// Its day is over.
    GivenUp,
}

impl WebReport {
    /// The report, packed.
    pub fn packed(&self) -> Vec<u8> {
        super::report_mail::gzipped(self.body.to_string().as_bytes())
    }
}

impl WebReports {
    /// Goes on with what this folder has; what cannot be read is removed.
    pub fn open(folder: PathBuf) -> Self {
        let files = fs::read_dir(&folder).into_iter().flatten();
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let mut waiting = Vec::new();
        for name in names {
            let text = fs::read(folder.join(&name)).ok();
            match text.and_then(|text| serde_json::from_slice(&text).ok()) {
                Some(report) if name.rsplit('.').next() == Some("json") => {
                    waiting.push((name, report));
                }
                _ => _ = fs::remove_file(folder.join(&name)),
            }
        }
        Self { folder, waiting: Mutex::new(waiting) }
    }

    /// Takes a report for a place, at this time in seconds since 1970.
    pub fn add(&self, report: &TlsReport, place: &str, now: u64) -> io::Result<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MOST_WAITING {
            return Err(io::Error::other(format!("{MOST_WAITING} reports wait already")));
        }
        let TlsReport { domain, nameservers, body } = report;
        let report = WebReport {
            domain: domain.clone(),
            place: place.to_owned(),
            nameservers: nameservers.clone(),
            since: now,
            next: now,
            attempts: 0,
            body: body.clone(),
        };
        let is_free = |name: &String| !waiting.iter().any(|(other, _)| other == name);
        let mut names = (0_u32..).map(|n| format!("{now}-{n}.json"));
        let Some(name) = names.find(is_free) else { return Ok(()) };
        fs::create_dir_all(&self.folder)?;
        write(&self.folder.join(&name), &serde_json::to_vec(&report)?)?;
        waiting.push((name, report));
        Ok(())
    }

    /// The reports that are to be sent now, with their files.
    pub fn due(&self, now: u64) -> Vec<(String, WebReport)> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.iter().filter(|(_, report)| report.next <= now).cloned().collect()
    }

    /// The report of this file is there.
    pub fn is_sent(&self, file: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(name, _)| name != file);
        remove(&self.folder, file);
    }

    /// It was not taken.
    pub fn is_refused(&self, file: &str, now: u64) -> WebRetry {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = waiting.iter().position(|(name, _)| name == file) else {
            return WebRetry::GivenUp;
        };
        let report = &mut waiting[place].1;
        if now.saturating_sub(report.since) >= DAY {
            waiting.swap_remove(place);
            remove(&self.folder, file);
            return WebRetry::GivenUp;
        }
        let pause = FIRST.saturating_mul(1 << report.attempts.min(10)).min(LONGEST);
        // The last attempt is at the end of the day.
        report.next = (now + pause).min(report.since + DAY);
        report.attempts += 1;
        let pause = report.next.saturating_sub(now);
        if let Ok(text) = serde_json::to_vec(report) {
            // Without it, the pauses begin anew after a restart.
            let _ = write(&self.folder.join(file), &text);
        }
        WebRetry::After(pause)
    }
}

/// A file that stays is sent once more after a restart.
fn remove(folder: &Path, file: &str) {
    if let Err(error) = fs::remove_file(folder.join(file)) {
        tracing::warn!(file, %error, "a report that is done with stays on disk");
    }
}

/// Seconds.
const FIRST: u64 = 5 * 60;
const LONGEST: u64 = 4 * 3_600;
const DAY: u64 = 24 * 3_600;
/// Reports on disk; a day has as many domains at most.
const MOST_WAITING: usize = 10_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(domain: &str) -> TlsReport {
        let body = json!({"report-id": domain});
        TlsReport { domain: domain.to_owned(), nameservers: Vec::new(), body }
    }

    #[test]
    fn a_report_is_sent_again_with_longer_pauses_for_a_day_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let open = || WebReports::open(folder.path().join("web"));
        let mut reports = open();
        reports.add(&report("a.test"), "https://a.test/1", 1_000).unwrap();
        reports.add(&report("a.test"), "https://a.test/2", 1_000).unwrap();
        let sent = reports.due(1_000).remove(0).0;
        reports.is_sent(&sent);
        let (mut now, mut pauses) = (1_000, Vec::new());
        loop {
            let (file, report) = reports.due(now).remove(0);
            assert_eq!(report.place, "https://a.test/2");
            match reports.is_refused(&file, now) {
                WebRetry::After(pause) => {
                    assert!(reports.due(now + pause - 1).is_empty());
                    pauses.push(pause);
                    now += pause;
                }
                WebRetry::GivenUp => break,
            }
            reports = open();
        }
        assert_eq!(pauses[..4], [300, 600, 1_200, 2_400]);
        assert_eq!((now, pauses.iter().max()), (1_000 + DAY, Some(&LONGEST)));
        assert!(open().due(u64::MAX).is_empty());
        assert_eq!(fs::read_dir(folder.path().join("web")).unwrap().count(), 0);
    }

    #[test]
    fn damage_and_plenty_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("1.json", "{"), ("2.new", "{}"), ("3.json", "{\"place\": 3}")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let reports = WebReports::open(folder.path().to_owned());
        assert!(reports.due(u64::MAX).is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let (file, one) = {
            reports.add(&report("a.test"), "https://a.test/", 1).unwrap();
            reports.due(1).remove(0)
        };
        reports.waiting.lock().unwrap().resize(MOST_WAITING, (file, one));
        assert!(reports.add(&report("b.test"), "https://b.test/", 1).is_err());
    }
}
