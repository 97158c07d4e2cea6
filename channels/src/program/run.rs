//! One run of a program: started, fed, heard and ended.

use std::{io, path::PathBuf, process::Stdio, time::Duration};

use relais_config::ListedProgram;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    feed::feed,
    invocation::{Invocation, Piped, Unfit},
    verdict::{self, outcome},
};
use crate::mail::{Attempt, Content, Enhanced, Outcome, Reply, SiteTrouble};

/// A listed program, and the account that it runs as. Shared by all who run it.
#[derive(Clone, Debug)]
pub struct Runner {
    /// As listed.
    pub program: ListedProgram,
    /// The account.
    pub run_as: RunAs,
}

/// The account that a program runs as.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunAs {
    /// User and group to change to; `None`: it stays the engine's own.
    pub ids: Option<(u32, u32)>,
    /// Its name.
    pub name: String,
    /// Its home.
    pub home: PathBuf,
}

/// Why a program has no exit status.
enum CutShort {
    /// It took too long.
    Late,
    /// The message could not be read.
    Unread(io::Error),
}

impl Runner {
    /// Runs the program for one recipient. Whoever drops the future ends the program.
    pub async fn deliver(&self, piped: &Piped<'_>, content: &Content) -> Attempt {
        let (outcome, trouble) = match Invocation::of(&self.program, piped) {
            Err(unfit) => (Outcome::Failed(refused(&unfit)), None),
            Ok(invocation) => match self.start(&invocation).await {
                Ok((child, output)) => {
                    (self.attend(child, output, (&invocation, content)).await, None)
                }
                Err(error) => {
                    let reply = self.not_run(&error);
                    (Outcome::Deferred(reply.clone()), Some(SiteTrouble::deferred(reply)))
                }
            },
        };
        Attempt { outcomes: [outcome].into_iter().collect(), trouble, peer: None }
    }

    /// Starting one takes its time where memory is large: not on the thread of sessions.
    async fn start(&self, invocation: &Invocation) -> io::Result<(Child, pipe::Receiver)> {
        let (reader, writer) = io::pipe()?;
        let output = pipe::Receiver::from_owned_fd(reader.into())?;
        let mut command = Command::new(self.program.file());
        command
            .args(&invocation.arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("SHELL", "/bin/sh")
            .env("HOME", &self.run_as.home)
            .env("USER", &self.run_as.name)
            .env("LOGNAME", &self.run_as.name)
            .envs(invocation.environment.iter().map(|(name, value)| (name, value)))
            .envs(std::env::var_os("TZ").map(|zone| ("TZ", zone)))
            .current_dir(&self.program.directory)
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        if let Some((user, group)) = self.run_as.ids {
            // Other groups of the engine go with its user.
            command.uid(user).gid(group);
        }
        let started = spawn_blocking(move || command.spawn()).await;
        Ok((started.map_err(io::Error::other)??, output))
    }

    /// Feeds and hears the program until it ends.
    async fn attend(
        &self,
        mut child: Child,
        mut output: pipe::Receiver,
        (invocation, content): (&Invocation, &Content),
    ) -> Outcome {
        let ListedProgram { name, timeout: limit, output: most, crlf, .. } = &self.program;
        let mut heard = Vec::new();
        let ended = {
            let mut stdin = child.stdin.take();
            let mut feeding = std::pin::pin!(feed(&mut stdin, &invocation.head, content, *crlf));
            // Ends the group before its input is closed: half a message would look like all of it.
            let group = Group::of(&child);
            let mut listen = std::pin::pin!(listen(&mut output, &mut heard, *most));
            let (mut is_fed, mut is_heard) = (false, false);
            let ended = timeout(*limit, async {
                let mut ended = std::pin::pin!(ended(&mut child));
                loop {
                    tokio::select! {
                        biased;
                        () = &mut ended => return Ok(()),
                        fed = &mut feeding, if !is_fed => {
                            fed.map_err(CutShort::Unread)?;
                            is_fed = true;
                        }
                        () = &mut listen, if !is_heard => is_heard = true,
                    }
                }
            });
            let ended = ended.await.unwrap_or(Err(CutShort::Late));
            drop(group);
            if !is_heard {
                // A process that left the group may keep the pipe open.
                let _ = timeout(LAST_WORDS, &mut listen).await;
            }
            ended
        };
        match ended {
            Ok(()) => match child.wait().await {
                Ok(status) => verdict::of(status, name, &heard),
                Err(error) => outcome(Enhanced(4, 3, 0), format!("the program {name}: {error}")),
            },
            Err(CutShort::Late) => {
                let text = format!("the program {name} took longer than {limit:?}");
                outcome(Enhanced(4, 3, 0), text)
            }
            Err(CutShort::Unread(error)) => {
                outcome(Enhanced(4, 3, 0), format!("the message cannot be read: {error}"))
            }
        }
    }

    /// Only we can mend this: the mail waits until we do.
    fn not_run(&self, error: &io::Error) -> Reply {
        let ListedProgram { name, .. } = &self.program;
        let file = verdict::said(self.program.file().as_bytes());
        let text = format!("the program {name} cannot be run: {file}: {error}");
        Reply::with_text(451, Enhanced(4, 3, 5), text)
    }
}

/// The process group of a program, which ends when this is dropped.
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// The group of a child that leads one.
    pub(crate) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its leader has not been waited for, so that the number is still its own.
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Until the program has ended. It is not waited for: its number stays its own.
pub(super) async fn ended(child: &mut Child) {
    let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let (Some(id), Ok(mut children)) = (id, signal(SignalKind::child())) {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while let Ok(None) = waitid(WaitId::Pid(id), look) {
            children.recv().await;
        }
    } else {
        // Nothing else tells.
        let _ = child.wait().await;
    }
}

/// Reads all that a program prints, and keeps the beginning.
pub(super) async fn listen(output: &mut pipe::Receiver, heard: &mut Vec<u8>, most: usize) {
    let mut piece = [0; 4_096];
    while let Ok(read @ 1..) = output.read(&mut piece).await {
        let room = most.saturating_sub(heard.len());
        heard.extend_from_slice(&piece[..read.min(room)]);
    }
}

fn refused(unfit: &Unfit) -> Reply {
    Reply::with_text(550, Enhanced(5, 1, 3), unfit.to_string())
}

/// How long what a program printed last is waited for.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);
/// As Postfix's.
pub(crate) const PATH: &str = "/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin";
