//! Access tokens of OAuth 2.0 (RFC 6749): in a file that somebody else renews, or of a command that is run
//! when the last one is about to end.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    io::AsyncReadExt,
    process::Command,
    sync::Mutex,
    task::spawn_blocking,
    time::{Instant, timeout},
};
use zeroize::Zeroizing;

use super::credentials::Stamp;
use crate::program::{Group, PATH};

/// The tokens of one channel. One connection gets a new one, others wait for it.
#[derive(Debug)]
pub(crate) struct Tokens {
    origin: TokenOrigin,
    kept: Mutex<Option<KeptToken>>,
}

enum TokenOrigin {
    File(PathBuf),
    Command { arguments: Vec<String>, limit: Duration },
}

/// A token in use.
struct KeptToken {
    token: Zeroizing<String>,
    /// The file as it was.
    stamp: Option<Stamp>,
    /// From then on another one is asked for.
    renewed_at: Option<Instant>,
    /// Until then it is good.
    ends_at: Option<Instant>,
}

/// Why there is no token. Nothing of what was read is shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The file, or the program, cannot be used.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The command took too long.
    #[error("it took longer than {0:?}")]
    Late(Duration),
    /// The command failed.
    #[error("it ended with {0}")]
    Failed(std::process::ExitStatus),
    /// More than [`LARGEST`] octets.
    #[error("it is longer than {} KiB", LARGEST >> 10)]
    TooLong,
    /// Neither a token nor a JSON object with one.
    #[error("it holds no token")]
    None,
}

/// The answer of a token endpoint (RFC 6749 section 5.1).
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    /// Seconds.
    expires_in: Option<u64>,
}

impl fmt::Debug for KeptToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptToken").field("ends_at", &self.ends_at).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Of this file.
    pub(crate) fn in_file(file: PathBuf) -> Self {
        Self { origin: TokenOrigin::File(file), kept: Mutex::default() }
    }

    /// Of this command, which is no shell's: the program by its path, and its arguments.
    pub(crate) fn by(arguments: Vec<String>, limit: Duration) -> Self {
        Self { origin: TokenOrigin::Command { arguments, limit }, kept: Mutex::default() }
    }

    /// The token that is good now.
    pub(crate) async fn current(&self) -> Result<Zeroizing<String>, TokenError> {
        let mut kept = self.kept.lock().await;
        let fresh = match &self.origin {
            TokenOrigin::File(file) => {
                let stamp = Stamp::of(file);
                match &*kept {
                    Some(its) if stamp.is_some() && its.stamp == stamp => {
                        return Ok(its.token.clone());
                    }
                    _ => read(file).await.map(|text| KeptToken { stamp, ..text }),
                }
            }
            TokenOrigin::Command { arguments, limit } => match &*kept {
                Some(its) if its.renewed_at.is_none_or(|at| Instant::now() < at) => {
                    return Ok(its.token.clone());
                }
                _ => run(arguments, *limit).await,
            },
        };
        match (fresh, &*kept) {
            (Ok(fresh), _) => {
                let token = fresh.token.clone();
                *kept = Some(fresh);
                Ok(token)
            }
            (Err(error), Some(its)) if its.ends_at.is_some_and(|at| Instant::now() < at) => {
                tracing::warn!(%error, origin = %self.origin, "the access token is not renewed; the one before is still good");
                Ok(its.token.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// A server did not want this token.
    pub(crate) async fn is_refused(&self, token: &str) {
        let mut kept = self.kept.lock().await;
        // Another connection may have a newer one by now. That of a file is what it is.
        if matches!(self.origin, TokenOrigin::Command { .. }) {
            kept.take_if(|its| *its.token == *token);
        }
    }

    /// Where they come from, in words.
    pub(crate) fn origin(&self) -> String {
        self.origin.to_string()
    }
}

/// As it is displayed.
impl fmt::Debug for TokenOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TokenOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "sasl.token_file {}", file.display()),
            // Arguments may be secret.
            Self::Command { arguments, .. } => {
                write!(f, "sasl.token_command {}", arguments.first().map_or("", String::as_str))
            }
        }
    }
}

async fn read(file: &Path) -> Result<KeptToken, TokenError> {
    let mut octets = Zeroizing::new(Vec::new());
    tokio::fs::File::open(file).await?.take(LARGEST + 1).read_to_end(&mut octets).await?;
    let KeptToken { token, .. } = parse(&octets)?;
    // When it ends is for whoever writes the file to see to.
    Ok(KeptToken { token, stamp: None, renewed_at: None, ends_at: None })
}

async fn run(arguments: &[String], limit: Duration) -> Result<KeptToken, TokenError> {
    let begun = Instant::now();
    let (program, rest) = arguments.split_first().ok_or(TokenError::None)?;
    let mut command = Command::new(program);
    command.args(rest).env_clear().env("PATH", PATH).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.process_group(0).kill_on_drop(true);
    // Starting one takes its time where memory is large: not on the thread of sessions.
    let mut child = spawn_blocking(move || command.spawn()).await.map_err(io::Error::other)??;
    let group = Group::of(&child);
    let mut octets = Zeroizing::new(Vec::new());
    let output = child.stdout.take().ok_or(TokenError::None)?;
    let heard = timeout(limit, async {
        output.take(LARGEST + 1).read_to_end(&mut octets).await?;
        if octets.len() as u64 > LARGEST {
            return Err(TokenError::TooLong);
        }
        Ok(child.wait().await?)
    });
    let heard = heard.await;
    drop(group);
    let status = heard.map_err(|_elapsed| TokenError::Late(limit))??;
    if !status.success() {
        return Err(TokenError::Failed(status));
    }
    let kept = parse(&octets)?;
    let Some(life) = kept.ends_at.map(|at| at.saturating_duration_since(begun)) else {
        return Ok(KeptToken { renewed_at: Some(begun + UNTOLD_LIFE), ..kept });
    };
    let margin = (life / 5).min(LONGEST_MARGIN);
    Ok(KeptToken { renewed_at: Some(begun + life - margin), ends_at: Some(begun + life), ..kept })
}

/// A token alone, or a JSON object with one, and a time.
fn parse(octets: &[u8]) -> Result<KeptToken, TokenError> {
    if octets.len() as u64 > LARGEST {
        return Err(TokenError::TooLong);
    }
    let text = str::from_utf8(octets).map_err(|_| TokenError::None)?.trim();
    let (token, expires_in) = if text.starts_with('{') {
        let TokenAnswer { access_token, expires_in } =
            serde_json::from_str(text).map_err(|_| TokenError::None)?;
        (Zeroizing::new(access_token), expires_in)
    } else {
        (Zeroizing::new(text.to_owned()), None)
    };
    // RFC 6750 section 2.1 allows less; nothing else could break out of the exchange.
    if token.is_empty() || !token.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(TokenError::None);
    }
    let life = expires_in.map(|seconds| Duration::from_secs(seconds.min(LONGEST_LIFE)));
    Ok(KeptToken {
        token,
        stamp: None,
        renewed_at: None,
        ends_at: life.map(|life| Instant::now() + life),
    })
}

/// Octets of a file, or of what a command prints.
const LARGEST: u64 = 64 << 10;
/// A token whose end nobody tells is used for so long.
const UNTOLD_LIFE: Duration = Duration::from_secs(60);
/// A token is renewed so long before its end at most; else when a fifth of its life is left.
const LONGEST_MARGIN: Duration = Duration::from_secs(5 * 60);
/// Seconds; a year.
const LONGEST_LIFE: u64 = 365 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Tokens {
        let arguments = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Tokens::by(arguments, Duration::from_secs(5))
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let tokens = Tokens::in_file(file.clone());
        assert!(matches!(tokens.current().await, Err(TokenError::Io(_))));
        for (written, want) in [("one\n", "one"), ("{\"access_token\": \"twice\"}", "twice")] {
            std::fs::write(&file, written).unwrap();
            assert_eq!(*tokens.current().await.unwrap(), want);
        }
        std::fs::write(&file, "").unwrap();
        assert!(matches!(tokens.current().await, Err(TokenError::None)));
    }

    #[tokio::test]
    async fn a_command_is_run_again_before_its_token_ends() {
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count").display().to_string();
        // Seconds of life, whether the next connection has another token.
        for (life, renewed) in [(3_600, false), (0, true)] {
            let script = format!(
                "echo x >> {count}; echo \"{{\\\"access_token\\\": \\\"t$(wc -l < {count})\\\", \
                 \\\"expires_in\\\": {life}}}\""
            );
            let tokens = shell(&script);
            let first = tokens.current().await.unwrap();
            assert_eq!(*tokens.current().await.unwrap() != *first, renewed, "{life}");
            tokens.is_refused(&first).await;
            assert_ne!(*tokens.current().await.unwrap(), *first, "{life}: it was refused");
        }
    }

    #[tokio::test]
    async fn what_a_command_does_wrong_is_said_and_nothing_of_its_output() {
        let rows = [
            ("exit 3", "it ended with exit status: 3"),
            ("echo", "it holds no token"),
            ("printf 'se cret'", "it holds no token"),
            ("printf '{\"access_token\": 1}'", "it holds no token"),
            ("printf '{\"access_token\": \"a\\\\u0001b\"}'", "it holds no token"),
            ("head -c 100000 /dev/zero | tr '\\0' s", "it is longer than 64 KiB"),
        ];
        for (script, want) in rows {
            let said = shell(script).current().await.unwrap_err().to_string();
            assert_eq!(said, want, "{script}");
        }
        let slow = ["/bin/sh", "-c", "sleep 60 & wait"].map(str::to_owned).to_vec();
        let slow = Tokens::by(slow, Duration::from_millis(200));
        let begun = Instant::now();
        assert!(matches!(slow.current().await, Err(TokenError::Late(_))));
        assert!(begun.elapsed() < Duration::from_secs(5));
        let gone = Tokens::by(vec!["/nowhere/token".to_owned()], Duration::from_secs(1));
        assert!(matches!(gone.current().await, Err(TokenError::Io(_))));
    }

    #[tokio::test]
    async fn a_token_is_shown_to_nobody() {
        let tokens = shell("echo secret-token");
        tokens.current().await.unwrap();
        assert!(!format!("{tokens:?}").contains("secret-token"), "{tokens:?}");
    }
}
