//! `relais route --message FILE`: what the scripts on each way decide about a message, and where they
//! redirect it.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    rc::Rc,
};

use relais_actors::sieve::{
    CIRCLE, Ending, NoFolder, Onward, RedirectChain, Redirected, Redirects, edited_copy,
    script_text,
};
use relais_config::Config;
use relais_sieve::Redirect;

use super::{
    refusal::Refusal,
    sieve::{MessageFile, ScriptRules, Tried, TriedMail, tried},
};
use crate::{
    admin::RouteQuestion,
    api::{RouteExplained, RouteRedirect, RouteResult, RouteScripts, SieveTested},
};

/// A message for which `relais route` shows what scripts decide.
pub(super) struct SievedMessage {
    message: MessageFile,
    sender: String,
    config: Config,
    rules: ScriptRules,
}

/// Redirects of one recipient that are being followed.
struct Walk<'a> {
    /// Routes an address.
    ask: &'a mut dyn FnMut(&RouteQuestion) -> Result<RouteExplained, Refusal>,
    source_channel: String,
    /// A copy is known by its address.
    redirects: Redirects<String>,
}

/// A copy that is redirected.
struct Followed {
    redirect: RouteRedirect,
    chain: RedirectChain,
    /// The message, as scripts have changed it so far.
    content: Rc<[u8]>,
}

/// A recipient that scripts decide for.
#[derive(Clone, Copy)]
struct Here<'a> {
    to: &'a str,
    own: &'a RouteScripts,
    chain: &'a RedirectChain,
    content: &'a Rc<[u8]>,
}

impl SievedMessage {
    /// Reads the message. Its sender is the one that is given, else the one that its header names; no client
    /// brings it where none is given.
    pub(super) fn load(
        file: &Path,
        (sender, client): (Option<&str>, Option<IpAddr>),
        (config, name): (Config, &str),
    ) -> Result<Self, Refusal> {
        let message = MessageFile::load(file)?;
        let sender = message.sender(sender);
        let rules = ScriptRules::of(&config, name).with_client(client);
        Ok(Self { message, sender, config, rules })
    }

    /// The sender of the envelope.
    pub(super) fn sender(&self) -> &str {
        &self.sender
    }

    /// Adds what scripts of the system, of channels and of users decide to each way of a route, and the
    /// ways that they redirect to, as `ask` finds them.
    pub(super) fn add_to(
        &self,
        explained: &mut RouteExplained,
        ask: &mut dyn FnMut(&RouteQuestion) -> Result<RouteExplained, Refusal>,
    ) -> Result<(), Refusal> {
        let source_channel = explained.source_channel.clone().unwrap_or_default();
        let mut walk = Walk { ask, source_channel, redirects: Redirects::default() };
        let content = &Rc::from(&*self.message.content);
        let mut all: Vec<Followed> = Vec::new();
        for way in explained.ways_mut() {
            let Some(own) = &way.scripts.clone() else { continue };
            let chain = &RedirectChain::new(&own.to);
            all.extend(self.decide(&mut walk, way, Here { to: &own.to, own, chain, content })?);
        }
        // Redirects of redirected copies come behind all that are there.
        let mut at = 0;
        while let Some(Followed { redirect, chain, content }) = all.get_mut(at) {
            let (to, chain, content) = (&redirect.to.clone(), &chain.clone(), &content.clone());
            let mut ways = std::mem::take(&mut redirect.results);
            for way in &mut ways {
                let Some(own) = &way.scripts.clone() else {
                    walk.redirects.end(to.clone(), chain, Ending::Kept);
                    continue;
                };
                all.extend(self.decide(&mut walk, way, Here { to, own, chain, content })?);
            }
            all[at].redirect.results = ways;
            at += 1;
        }
        for (by, to) in walk.redirects.stranded() {
            let its = |redirect: &&mut RouteRedirect| {
                redirect.by == by && redirect.to.eq_ignore_ascii_case(&to)
            };
            let mut redirects = all.iter_mut().map(|followed| &mut followed.redirect);
            if let Some(redirect) = redirects.find(its) {
                redirect.stays = Some(STRANDED.to_owned());
            }
        }
        explained.redirects = all.into_iter().map(|followed| followed.redirect).collect();
        Ok(())
    }

    /// Adds the decision of the scripts on a way; their redirects, each with the ways behind it.
    fn decide(
        &self,
        walk: &mut Walk<'_>,
        way: &mut RouteResult,
        here: Here<'_>,
    ) -> Result<Vec<Followed>, Refusal> {
        let Here { to, own, content, .. } = here;
        let (scripts, mistake) = self.scripts_of(&walk.source_channel, &way.channel, own);
        if scripts.is_empty() && mistake.is_none() {
            walk.redirects.end(to.to_owned(), here.chain, Ending::Kept);
            return Ok(Vec::new());
        }
        let names = (format!("scripts on the way by {}", way.channel), self.message.name.clone());
        let own_addresses: Vec<&str> = own.addresses.iter().map(String::as_str).collect();
        let mail = TriedMail { content, from: &self.sender, to, own_addresses: &own_addresses };
        let (tested, verdict) = tried(&scripts, names, &mail, &self.rules);
        let error = tested.error.clone().or(mistake);
        let mut notes = tested.notes.clone();
        let channel = self.config.channels.iter().find(|its| its.name == way.channel);
        let folders = verdict.iter().flat_map(|verdict| &verdict.files).map(|filed| &filed.folder);
        notes.extend(folders.filter_map(|folder| {
            let why = NoFolder::of(channel?, folder)?;
            Some(format!("mail for {folder:?} goes to the INBOX: {why}"))
        }));
        way.sieve = Some(SieveTested { error, notes, ..tested });
        let Some(verdict) = verdict else {
            walk.redirects.end(to.to_owned(), here.chain, Ending::Kept);
            return Ok(Vec::new());
        };
        let mut onward = Onward::default();
        let mut stays = verdict.keep.is_some() || !verdict.files.is_empty();
        let follow = |its: &Redirect| {
            let content = if its.edits == 0 {
                Rc::clone(content)
            } else {
                edited_copy(content, &verdict, its.edits).into()
            };
            let (redirect, chain) = self.follow(walk, here, &its.to, (&mut stays, &mut onward))?;
            Ok(Followed { redirect, chain, content })
        };
        let followed = verdict.redirects.iter().map(follow).collect::<Result<_, Refusal>>()?;
        let ending = onward.ending(stays, verdict.refusal.is_some());
        walk.redirects.end(to.to_owned(), here.chain, ending);
        Ok(followed)
    }

    /// Goes on with an address that scripts redirect to; `stays`: the message stays there, too. The redirect,
    /// and the chain that it ends.
    fn follow(
        &self,
        walk: &mut Walk<'_>,
        Here { to: by, chain, .. }: Here<'_>,
        to: &str,
        (stays, onward): (&mut bool, &mut Onward),
    ) -> Result<(RouteRedirect, RedirectChain), Refusal> {
        let mut keep = |why: String| {
            let end = if *stays { "no copy goes there" } else { "it stays in the INBOX" };
            *stays = true;
            (Some(format!("{why}: {end}")), Vec::new(), chain.clone())
        };
        let (stays, results, chain) = match walk.redirects.follow(chain, to) {
            Redirected::Known => {
                onward.is_known(to);
                (Some("a copy goes there already".to_owned()), Vec::new(), chain.clone())
            }
            Redirected::TooFar => keep(CIRCLE.to_string()),
            Redirected::On(chain) => {
                let found = (walk.ask)(&RouteQuestion {
                    address: to.to_owned(),
                    from: Some(self.sender.clone()),
                    channel: Some(walk.source_channel.clone()),
                    scripts: true,
                    redirected: true,
                    ..RouteQuestion::default()
                })?;
                if found.accepted {
                    onward.goes(to);
                    (None, found.results, chain)
                } else if found.reply.starts_with('4') {
                    onward.goes(to);
                    walk.redirects.wait(to);
                    (Some(format!("{}: this copy waits", found.reply)), Vec::new(), chain)
                } else {
                    keep(found.reply)
                }
            }
        };
        let (by, to) = (by.to_owned(), to.to_owned());
        Ok((RouteRedirect { by, to, stays, results }, chain))
    }

    /// The scripts that see a way, in their order; and the first that does not work. Mail passes by such a
    /// file, and by all scripts of a user who has such a one.
    fn scripts_of(
        &self,
        source_channel: &str,
        channel: &str,
        own: &RouteScripts,
    ) -> (Vec<Tried>, Option<String>) {
        let config = &self.config;
        let named = |name: &str| config.channels.iter().find(|its| its.name == name);
        let (mut scripts, mut mistake) = (Vec::new(), None);
        let of_text = |name: &str, text: io::Result<Vec<u8>>| {
            let text = text.map_err(|error| format!("{name}: {error}"))?;
            Tried::of(name, &text, &self.rules)
        };
        let of_system = |path: Option<&PathBuf>| {
            let path = config.data.join(path?);
            let script = of_text(&path.display().to_string(), fs::read(&path));
            Some(script.map(|script| vec![script]))
        };
        let of_channel = |path: Option<&PathBuf>| {
            let script = of_system(path)?;
            Some(script.and_then(|script| match script.first().and_then(Tried::channel_mistake) {
                Some(why) => Err(why),
                None => Ok(script),
            }))
        };
        let texts = own.texts.iter().enumerate().map(|(n, text)| {
            of_text(&format!("script {} of the user", n + 1), Ok(text.clone().into_bytes()))
        });
        let own_file = own.file.as_ref().and_then(|name| {
            Some(of_text(name, script_text(Path::new(name), config.sieve.max_script_size)?))
        });
        let of_user = || texts.chain(own_file).collect();
        let source = named(source_channel).and_then(|its| its.sourcefilter.as_ref());
        let behind = named(channel).and_then(|its| its.destinationfilter.as_ref());
        let all = [
            of_system(config.sieve.before.as_ref()),
            of_channel(source),
            config.sieve.users.then(of_user),
            of_channel(behind),
            of_system(config.sieve.after.as_ref()),
        ];
        for some in all.into_iter().flatten() {
            match some {
                Ok(some) => scripts.extend(some),
                Err(why) => drop(mistake.get_or_insert(why)),
            }
        }
        (scripts, mistake)
    }
}

/// Said of the redirect of a copy that stays since an address that had one before lets nothing through.
const STRANDED: &str = "a copy that went there before gets through nowhere: it stays in the INBOX";
