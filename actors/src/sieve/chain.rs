//! The scripts that see a message on its way, in their order: of the system, of its channels, of the
//! user.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use relais_config::Config;
use relais_sieve::{Capability, Limits, Script};
use tracing::warn;

use super::{
    compiled::CompiledScripts,
    files::{FileScript, FileScripts},
};
use crate::{
    directory::SieveScripts,
    events::Printable,
    metrics::{Metrics, SieveResult},
    router::Route,
    seldom::Seldom,
};

/// The scripts of a user; the one in a file as it is now.
pub(super) struct OwnScripts<'a> {
    scripts: &'a SieveScripts,
    file: FileScript,
}

/// A file of a script cannot be read now, and was not before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unreadable;

/// All scripts that see a way.
pub(super) struct ScriptChain {
    pub(super) scripts: Vec<Arc<Script>>,
    /// The place of the user's among them.
    pub(super) own: Range<usize>,
    /// Why one of the user's does not work, without words of it.
    pub(super) broken: Option<String>,
}

/// Where scripts are, and which of them see a message.
pub(super) struct ScriptSources {
    compiled: Arc<CompiledScripts>,
    /// Files of users, and those of the system and of channels: the ones wait for none of the others.
    user_files: FileScripts,
    system_files: FileScripts,
    users: bool,
    before: Option<PathBuf>,
    after: Option<PathBuf>,
    /// Files of scripts by channel: of mail that comes in by it, and that leaves by it.
    of_channels: Vec<(String, Option<PathBuf>, Option<PathBuf>)>,
    /// Scripts that were told of as broken.
    pub(super) broken: Arc<Seldom>,
    metrics: Arc<Metrics>,
}

impl ScriptSources {
    /// As the configuration says.
    pub(super) fn of(
        config: &Config,
        limits: &Limits,
        broken: Arc<Seldom>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let sieve = &config.sieve;
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| config.data.join(path));
        let of_channel = |channel: &relais_config::Channel| {
            let both = (file(&channel.sourcefilter), file(&channel.destinationfilter));
            (both.0.is_some() || both.1.is_some()).then(|| (channel.name.clone(), both.0, both.1))
        };
        let of_channels: Vec<_> = config.channels.iter().filter_map(of_channel).collect();
        let (before, after) = (file(&sieve.before), file(&sieve.after));
        let compiled = Arc::new(CompiledScripts::new(limits.clone(), sieve.memory));
        let files = || FileScripts::new(Arc::clone(&compiled), sieve.max_script_size);
        Self {
            user_files: files(),
            system_files: files(),
            compiled,
            users: sieve.users,
            before,
            after,
            of_channels,
            broken,
            metrics,
        }
    }

    /// Whether mail that comes in by this channel and goes these ways is shown to any script.
    pub(super) async fn see<'r>(
        &self,
        source_channel: &str,
        ways: impl Iterator<Item = &'r Route>,
    ) -> bool {
        let by_system = self.before.is_some() || self.after.is_some();
        let has_file = |channel: &str, is_source: bool| {
            let its = self.of_channels.iter().find(|its| its.0 == channel);
            its.is_some_and(|its| if is_source { its.1.is_some() } else { its.2.is_some() })
        };
        if by_system || !self.of_channels.is_empty() && has_file(source_channel, true) {
            return true;
        }
        for way in ways {
            if self.own(way.scripts.as_deref()).await.is_some()
                || !self.of_channels.is_empty() && has_file(&way.channel, false)
            {
                return true;
            }
        }
        false
    }

    /// The scripts that a user has by now.
    pub(super) async fn own<'a>(
        &self,
        scripts: Option<&'a SieveScripts>,
    ) -> Option<OwnScripts<'a>> {
        let scripts = scripts.filter(|_| self.users)?;
        let file = match &scripts.file {
            Some(path) => self.user_files.script(path).await,
            None => FileScript::Absent,
        };
        let has_any = !matches!(file, FileScript::Absent) || !scripts.texts.is_empty();
        has_any.then_some(OwnScripts { scripts, file })
    }

    /// All scripts that see mail which comes in by the one channel and leaves by the other.
    pub(super) async fn chain(
        &self,
        (source, destination): (&str, Option<&str>),
        own: Option<&OwnScripts<'_>>,
    ) -> Result<ScriptChain, Unreadable> {
        let mut scripts = Vec::new();
        let of_channel = |name: &str| self.of_channels.iter().find(|its| its.0 == name);
        let source = of_channel(source).and_then(|its| its.1.as_ref());
        let destination = destination.and_then(of_channel).and_then(|its| its.2.as_ref());
        scripts.extend(self.of_system(self.before.as_ref()).await?);
        scripts.extend(self.of_channel(source).await?);
        let before = scripts.len();
        let broken = match own {
            Some(own) if matches!(own.file, FileScript::Unreadable) => return Err(Unreadable),
            Some(own) => self.of_user(own, &mut scripts),
            None => None,
        };
        let own = before..scripts.len();
        scripts.extend(self.of_channel(destination).await?);
        scripts.extend(self.of_system(self.after.as_ref()).await?);
        Ok(ScriptChain { scripts, own, broken })
    }

    async fn of_system(&self, path: Option<&PathBuf>) -> Result<Option<Arc<Script>>, Unreadable> {
        let Some(path) = path else { return Ok(None) };
        let script = self.system_files.script(path).await;
        let mistake = match script {
            FileScript::Unreadable => return Err(Unreadable),
            FileScript::Absent => "there is no such file",
            FileScript::Script(Ok(script)) => return Ok(Some(script)),
            FileScript::Script(Err(ref broken)) => &*broken.mistake,
        };
        self.tell_broken_file(path, mistake);
        Ok(None)
    }

    async fn of_channel(&self, path: Option<&PathBuf>) -> Result<Option<Arc<Script>>, Unreadable> {
        let Some((path, script)) = path.zip(self.of_system(path).await?) else { return Ok(None) };
        if let Some(mistake) = channel_mistake(&script) {
            self.tell_broken_file(path, mistake);
            return Ok(None);
        }
        Ok(Some(script))
    }

    /// Adds the scripts of a user; none where one of them is broken, and why.
    fn of_user(&self, own: &OwnScripts<'_>, all: &mut Vec<Arc<Script>>) -> Option<String> {
        let OwnScripts { scripts: own, file } = own;
        let before = all.len();
        let texts = own.texts.iter().map(|text| (None, self.compiled.of(text)));
        let file = match file {
            FileScript::Script(script) => Some((own.file.as_deref(), script.clone())),
            FileScript::Absent | FileScript::Unreadable => None,
        };
        let mut broken: Option<String> = None;
        for (path, script) in texts.chain(file) {
            match script {
                Ok(script) => all.push(script),
                Err(why) => {
                    let name = path.and_then(Path::file_name).map(|name| name.display());
                    let at = name.map_or_else(String::new, |name| format!("{name}: "));
                    self.metrics.sieve_runs.count(SieveResult::Broken);
                    let user = own.mail.as_deref().unwrap_or(&own.owner);
                    self.tell_broken(user, &format!("{at}{}", why.mistake));
                    broken.get_or_insert_with(|| format!("{at}{}", why.without_words));
                }
            }
        }
        // Another one might refuse what the broken one was to keep.
        if broken.is_some() {
            all.truncate(before);
        }
        broken
    }

    pub(super) fn tell_broken(&self, user: &str, mistake: &str) {
        if self.broken.is_due(&(user, mistake)) {
            let (user, mistake) = (Printable(user), Printable(mistake));
            warn!(%user, %mistake, "a Sieve script does not work: mail goes to the INBOX");
        }
    }

    fn tell_broken_file(&self, path: &Path, mistake: &str) {
        if self.broken.is_due(&(path, mistake)) {
            let (file, mistake) = (path.display(), Printable(mistake));
            warn!(%file, %mistake, "a Sieve script of the system does not work: mail passes by it");
        }
    }
}

/// Why a script cannot be one of a channel.
pub fn channel_mistake(script: &Script) -> Option<&'static str> {
    script.uses(Capability::Vacation).then_some(NO_VACATION)
}

const NO_VACATION: &str = "vacation: mail of a channel is for no user in whose name it could be answered; sieve.before and \
     sieve.after may answer";
