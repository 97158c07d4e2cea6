//! Rules, mappings and options: whether they lead anywhere.

use std::collections::HashSet;

use crate::{
    check::{
        known::{Known, list},
        leads::literal_tags,
        roles::logs_in,
    },
    file::reader::{Reader, suggest},
    language::rewrite::{Condition, RewriteTemplate, Rewriting},
    sections::{channel::Program, config::Config, dispatcher},
};

pub(crate) fn check(config: &Config, known: &Known<'_>, reader: &mut Reader<'_>) {
    options_lead_to_channels(config, known, reader);
    options_have_names(config, reader);
    options_have_their_attributes(config, reader);
    if !config.delivery_options.is_empty() && config.directory.is_none() {
        let message = "delivery_options need a directory, which is not there";
        let accepted = "directory: Ldif(...) or Ldap(...) is expected beside them";
        if reader.is_sound("directory") {
            reader.mistake_at("delivery_options", message, accepted);
        }
    }
    if config.directory.is_some() && config.delivery_options.is_empty() && !logs_in(config) {
        let message = "without delivery_options the directory's users have no place to deliver to";
        reader.warning_at("directory", message, false);
    }
    let mut services = config.dispatcher.enabled();
    let takes_mail = services.any(|service| service.program == dispatcher::Program::Smtp);
    if takes_mail && config.rewrite_rules.is_empty() && reader.is_sound("rewrite_rules") {
        let message = "there are no rewrite rules: every recipient will be refused";
        reader.warning_at("rewrite_rules", message, false);
    }
    if takes_mail && reader.is_sound("rewrite_rules") && reader.are_sound("channels", "program") {
        somebody_hears(config, reader);
    }
}

/// Whether senders, owners of lists and the postmaster can be reached.
fn somebody_hears(config: &Config, reader: &mut Reader<'_>) {
    warn_of_others(config, reader);
    let has = |programs: &[Program]| {
        config.channels.iter().any(|channel| programs.contains(&channel.program))
    };
    let lists = config.directory.is_some() || !config.aliases.is_absent();
    if lists && !has(&[Program::Reprocess, Program::Process]) {
        let message = "there is no channel of program Reprocess: a list with a member that leads \
                       nowhere, for now or for good, is refused as a whole";
        reader.warning_at("channels", message, false);
    }
    let aliased = config.aliases.keys().any(|name| name.eq_ignore_ascii_case("postmaster"));
    // Files are looked into elsewhere.
    let aliased = aliased || config.aliases.file.is_some();
    let somebody = config.notary.postmaster.is_some() || config.store.is_some() || aliased;
    if !somebody && config.directory.is_none() && !config.rewrite_rules.is_empty() {
        let message = "nobody is postmaster: name one in notary.postmaster or in aliases; until then \
                       his mail is held";
        reader.warning_at("rewrite_rules", message, false);
    }
}

/// Where mail for domains that are not ours leads: notices to senders there, if nothing else.
fn warn_of_others(config: &Config, reader: &mut Reader<'_>) {
    let is_for_ours = |rewriting: &Rewriting| {
        rewriting.conditions.iter().any(|its| matches!(its, Condition::Local(_)))
    };
    let mut ours = None;
    for (i, rule) in config.rewrite_rules.iter().enumerate() {
        match &rule.parsed {
            _ if !rule.kind.is_catch_all() => {}
            RewriteTemplate::Plain(rewriting) if is_for_ours(rewriting) => {
                ours.get_or_insert((i, &rule.pattern));
            }
            // It is for everybody.
            _ => return,
        }
    }
    let postmaster = config.notary.postmaster.clone();
    let postmaster = postmaster.unwrap_or_else(|| format!("postmaster@{}", config.default_domain));
    let consequence = format!(
        "senders at domains that neither a rule nor the directory knows cannot be told what became \
         of their mail: their notices go to {postmaster} (notary.postmaster)"
    );
    let pattern = ours.map(|(_, pattern)| crate::file::source::shorten(pattern));
    let path =
        ours.map_or_else(|| "rewrite_rules".to_owned(), |(i, _)| format!("rewrite_rules[{i}]"));
    let remedy = pattern.map_or_else(
        || "a rule with the pattern \"$*\" or \".\" would lead there".to_owned(),
        |pattern| {
            format!(
                "$V keeps the rule {pattern:?} for our own; one without $V behind it would lead there"
            )
        },
    );
    if !config.rewrite_rules.is_empty() {
        reader.warning_at(&path, &format!("{consequence}; {remedy}"), false);
    }
}

/// The domain of an option's address is a tag, unless a rule makes something else of it.
fn options_lead_to_channels(config: &Config, known: &Known<'_>, reader: &mut Reader<'_>) {
    if !reader.are_sound("channels", "tag") || !reader.is_sound("rewrite_rules") {
        return;
    }
    let patterns: HashSet<&str> = config.rewrite_rules.iter().map(|r| r.key.as_str()).collect();
    for (i, option) in config.delivery_options.iter().enumerate() {
        let text = &option.text;
        let last = text.rfind('@').map_or("", |at| &text[at..]);
        let Some(tag) = literal_tags(last).last() else { continue };
        if known.tag(tag).is_none() && !patterns.contains(tag.to_ascii_lowercase().as_str()) {
            let tags = list(tag, config.channels.iter().map(|channel| channel.tag.as_str()));
            let (path, none) = (
                format!("delivery_options[{i}]"),
                format!("no channel has the tag {tag:?}, and no rule's pattern is that"),
            );
            // A name with a dot may be a host that a pattern for many leads to.
            if tag.contains('.') {
                let message = format!("{none}: mail for this option may be deferred; {tags}");
                reader.warning_at(&path, &message, false);
            } else {
                let message = format!("{none}: mail for this option would be deferred for ever");
                reader.mistake_at(&path, &message, &tags);
            }
        }
    }
}

/// A spare attribute that is not named is absent from every entry.
fn options_have_their_attributes(config: &Config, reader: &mut Reader<'_>) {
    let named = config.spare_attributes.len();
    for (i, option) in config.delivery_options.iter().enumerate() {
        let last = option.spare_attributes();
        if last > named {
            let message = format!("${last}E is no attribute: spare_attributes names {named}");
            let accepted = "spare_attributes: [\"roomNumber\"], as many as there are";
            reader.mistake_at(&format!("delivery_options[{i}]"), &message, accepted);
        }
    }
}

/// Entries of the directory ask for options by name.
fn options_have_names(config: &Config, reader: &mut Reader<'_>) {
    for (i, option) in config.delivery_options.iter().enumerate() {
        if !OPTION_NAMES.contains(&option.name.as_str()) {
            let names = suggest(&option.name, OPTION_NAMES, "the names of the original are");
            let message = format!(
                "{:?} is the name of no delivery option of the original: only entries whose \
                 mailDeliveryOption says just that use it; {names}",
                option.name
            );
            reader.warning_at(&format!("delivery_options[{i}]"), &message, false);
        }
    }
}

/// Values of `mailDeliveryOption` that the original knows.
const OPTION_NAMES: &[&str] = &[
    "mailbox",
    "members",
    "members_offline",
    "hold",
    "program",
    "forward",
    "autoreply",
    "native",
    "unix",
    "file",
    "shared",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_templates() {
        let rows: [(&str, &[&str]); 7] = [
            ("$U%$H@tcp_local-daemon", &["tcp_local-daemon"]),
            ("$B$F$U%$H@$H@lmtpcs-daemon", &["lmtpcs-daemon"]),
            ("#/hold=@hold-daemon:$A", &["hold-daemon"]),
            ("#*^!autoreply=$M+$D@bitbucket", &["bitbucket"]),
            ("#*mailbox=@$X.LMTP:$M%$\\$2I$_+$2S@lmtpcs-daemon", &["lmtpcs-daemon"]),
            ("$U@a$H", &[]),
            ("$U@", &[]),
        ];
        for (template, want) in rows {
            assert_eq!(literal_tags(template).collect::<Vec<_>>(), want, "{template}");
        }
    }
}
