//! A program that reads a part of a message and prints what comes in its place.

use std::{fs::File, io, os::fd::AsFd, process::Stdio};

use rustix::fs::{Gid, Uid, fchown};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
    process::{Child, Command},
    task::spawn_blocking,
    time::{Instant, timeout, timeout_at},
};

use super::{
    invocation::{Invocation, Piped, Unfit},
    run::{Group, LAST_WORDS, PATH, Runner, ended},
};
use crate::mail::MessageId;

/// A part for a program.
#[derive(Debug)]
pub struct PartForProgram<'a> {
    /// The decoded part. The program may open it again as `/dev/stdin`.
    pub input: File,
    /// The sender of the message, without angle brackets.
    pub sender: &'a str,
    /// The message.
    pub id: MessageId,
    /// More for its environment: names and values.
    pub environment: Vec<(&'static str, String)>,
    /// Octets that it may print.
    pub output: u64,
    /// Memory that each of its processes may map, in octets.
    pub memory: Option<u64>,
}

/// A program that has ended by itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConvertedPart {
    /// Its exit status.
    pub status: i32,
    /// Octets that it printed on standard output.
    pub printed: u64,
    /// The beginning of what it wrote to standard error.
    pub said: Vec<u8>,
}

/// Why nothing came of a run.
#[derive(Debug, thiserror::Error)]
pub enum Unconverted {
    /// The sender's address is none to give to a program.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It could not be started, or what it printed could not be kept.
    #[error("it cannot be run: {0}")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("it took longer than {0:?}")]
    Late(std::time::Duration),
    /// It printed too much.
    #[error("it printed more than {0} octets")]
    Flood(u64),
    /// The end of what it printed did not come, or could not be kept in time.
    #[error("what it printed has no end in time: another process may hold its output")]
    Open,
    /// It wrote too much to standard error.
    #[error("it wrote more than {0} octets to standard error")]
    Noise(u64),
    /// A signal ended it.
    #[error("it was ended by signal {0}")]
    Signal(i32),
}

/// The ends of the pipes of a program that has been started.
struct Started {
    child: Child,
    output: pipe::Receiver,
    errors: pipe::Receiver,
}

impl Runner {
    /// Runs the program over a part; what it prints goes to `out`. Whoever drops the future ends it.
    pub async fn convert(
        &self,
        part: PartForProgram<'_>,
        out: &mut (impl AsyncWriteExt + Unpin),
    ) -> Result<ConvertedPart, Unconverted> {
        let most = part.output;
        let Started { mut child, mut output, mut errors } = self.start_conversion(part).await?;
        let (mut said, mut printed) = (Vec::new(), 0);
        let group = Group::of(&child);
        let ended = {
            let mut listen = std::pin::pin!(hear(&mut errors, &mut said));
            let mut keep = std::pin::pin!(keep(&mut output, out, (most, &mut printed)));
            let (mut is_heard, mut is_kept) = (false, false);
            let until = Instant::now() + self.program.timeout;
            let running = timeout_at(until, async {
                let mut ended = std::pin::pin!(ended(&mut child));
                loop {
                    tokio::select! {
                        kept = &mut keep, if !is_kept => {
                            kept?;
                            is_kept = true;
                        }
                        heard = &mut listen, if !is_heard => {
                            is_heard = true;
                            heard?;
                        }
                        () = &mut ended => return Ok(()),
                    }
                }
            });
            let mut ended = running.await.unwrap_or(Err(Unconverted::Late(self.program.timeout)));
            // Processes that it has left behind write no more.
            drop(group);
            if ended.is_ok() && !is_kept {
                // All of it, or nothing: the disk may be slow, and another process may hold the pipe.
                let until = until.max(Instant::now() + LAST_WORDS);
                ended = timeout_at(until, &mut keep).await.unwrap_or(Err(Unconverted::Open));
            }
            if !is_heard {
                let _ = timeout(LAST_WORDS, &mut listen).await;
            }
            ended
        };
        ended?;
        let status = child.wait().await?;
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        match status.code() {
            Some(status) => Ok(ConvertedPart { status, printed, said }),
            None => Err(Unconverted::Signal(signal.unwrap_or_default())),
        }
    }

    async fn start_conversion(&self, part: PartForProgram<'_>) -> Result<Started, Unconverted> {
        let piped = Piped {
            user: "",
            subaddress: "",
            address: "",
            original: "",
            sender: part.sender,
            id: part.id,
            date: "",
        };
        let invocation = Invocation::of(&self.program, &piped)?;
        let known = |(name, _): &(&str, _)| ["SENDER", "QUEUE_ID"].contains(name);
        let own = invocation.environment.iter().filter(|pair| known(pair));
        let more = part.environment.iter().chain(own).map(|(name, value)| (*name, value));
        let (output, writer) = io::pipe()?;
        let (errors, error_writer) = io::pipe()?;
        // The program limits itself before it begins: nobody but root's own may do that from outside.
        let mut command = match part.memory {
            None => Command::new(self.program.file()),
            Some(memory) => {
                let mut command = Command::new(PRLIMIT);
                command.args([&format!("--as={memory}"), "--", self.program.file()]);
                command
            }
        };
        command.args(&invocation.arguments).env_clear().envs(more).env("PATH", PATH);
        for (name, path) in FILES {
            command.env(name, path);
        }
        if let Some((user, group)) = self.run_as.ids {
            command.uid(user).gid(group);
            let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
            // Its own names for them, such as /dev/stdout, can be opened by their owner alone.
            for file in [part.input.as_fd(), writer.as_fd(), error_writer.as_fd()] {
                fchown(file, user, group).map_err(io::Error::from)?;
            }
        }
        command
            .env("SHELL", "/bin/sh")
            .env("HOME", &self.run_as.home)
            .env("USER", &self.run_as.name)
            .env("LOGNAME", &self.run_as.name)
            .current_dir(&self.program.directory)
            .stdin(Stdio::from(part.input))
            .stdout(writer)
            .stderr(error_writer)
            .process_group(0)
            .kill_on_drop(true);
        let output = pipe::Receiver::from_owned_fd(output.into())?;
        let errors = pipe::Receiver::from_owned_fd(errors.into())?;
        let started = spawn_blocking(move || command.spawn()).await;
        let child = started.map_err(io::Error::other)??;
        Ok(Started { child, output, errors })
    }
}

/// Keeps all that a program prints, up to so many octets.
async fn keep(
    output: &mut pipe::Receiver,
    out: &mut (impl AsyncWriteExt + Unpin),
    (most, printed): (u64, &mut u64),
) -> Result<(), Unconverted> {
    let mut piece = vec![0; 64 << 10];
    while let read @ 1.. = output.read(&mut piece).await? {
        *printed += read as u64;
        if *printed > most {
            return Err(Unconverted::Flood(most));
        }
        out.write_all(&piece[..read]).await?;
    }
    out.flush().await?;
    Ok(())
}

/// Reads what a program writes to standard error, and keeps the beginning.
async fn hear(errors: &mut pipe::Receiver, said: &mut Vec<u8>) -> Result<(), Unconverted> {
    let (mut piece, mut heard) = ([0; 4_096], 0);
    while let Ok(read @ 1..) = errors.read(&mut piece).await {
        heard += read as u64;
        if heard > MOST_HEARD {
            return Err(Unconverted::Noise(MOST_HEARD));
        }
        let room = MOST_SAID.saturating_sub(said.len());
        said.extend_from_slice(&piece[..read.min(room)]);
    }
    Ok(())
}

/// Of util-linux: sets limits, and becomes the program.
const PRLIMIT: &str = "/usr/bin/prlimit";
/// By these names scripts of the original know them.
const FILES: [(&str, &str); 3] = [
    ("INPUT_FILE", "/dev/stdin"),
    ("OUTPUT_FILE", "/dev/stdout"),
    ("OUTPUT_OPTIONS", "/dev/stderr"),
];
/// Octets of standard error that are read.
const MOST_HEARD: u64 = 1 << 20;
/// Octets of standard error that are kept.
const MOST_SAID: usize = 16 << 10;
