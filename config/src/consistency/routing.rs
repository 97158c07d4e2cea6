//! Rules, mappings and options: whether they lead anywhere.

use super::list;
use crate::{Config, dispatcher, reader::Reader};

pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    rules_lead_to_channels(config, reader);
    tables_are_consulted(config, reader);
    if !config.delivery_options.is_empty() && config.directory.is_none() {
        let message = "delivery_options need a directory, which is not there";
        let accepted = "directory: Ldif(...) or Ldap(...) is expected beside them";
        if reader.is_sound("directory") {
            reader.mistake_at("delivery_options", message, accepted);
        }
    }
    if config.directory.is_some() && config.delivery_options.is_empty() {
        let message = "without delivery_options the directory's users have no place to deliver to";
        reader.warning_at("directory", message, false);
    }
    let mut services = config.dispatcher.services.iter();
    let takes_mail = services.any(|service| service.program == dispatcher::Program::Smtp);
    if takes_mail && config.rewrite_rules.is_empty() && reader.is_sound("rewrite_rules") {
        let message = "there are no rewrite rules: every recipient will be refused";
        reader.warning_at("rewrite_rules", message, false);
    }
}

/// Literal texts behind an `@`: the tags a template may route to.
pub(crate) fn literal_tags(template: &str) -> impl Iterator<Item = &str> {
    template.split('@').skip(1).filter_map(|part| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let (name, rest) = part.split_at(part.find(|c| !plain(c)).unwrap_or(part.len()));
        let whole = rest.is_empty() || rest.starts_with([':', ',', '|']);
        (whole && !name.is_empty()).then_some(name)
    })
}

fn rules_lead_to_channels(config: &Config, reader: &mut Reader<'_>) {
    if !reader.are_sound("channels", "tag") || !reader.is_sound("rewrite_rules") {
        return;
    }
    for (i, rule) in config.rewrite_rules.iter().enumerate() {
        // The channel's tag stands last; what lies before it names hosts.
        let last = rule.template.rfind('@').map_or("", |at| &rule.template[at..]);
        let Some(tag) = literal_tags(last).next() else { continue };
        if !config.channels.iter().any(|channel| channel.tag.eq_ignore_ascii_case(tag)) {
            let tags = list(config.channels.iter().map(|channel| channel.tag.as_str()));
            let message =
                format!("no channel has the tag {tag:?}: the rule will never apply; {tags}");
            reader.warning_at(&format!("rewrite_rules[{i}]"), &message, false);
        }
    }
}

/// A misspelt table protects nobody.
fn tables_are_consulted(config: &Config, reader: &mut Reader<'_>) {
    for name in config.mappings.keys().filter(|name| !KNOWN_TABLES.contains(&name.as_str())) {
        let called = config.rewrite_rules.iter().any(|rule| rule.template.contains(name.as_str()))
            || config.mappings.values().any(|table| {
                table.entries.iter().any(|(_, template)| template.contains(name.as_str()))
            });
        let close = |known: &&&str| strsim::damerau_levenshtein(name, known) <= 2;
        if !called
            && name.len() <= 64
            && let Some(known) = KNOWN_TABLES.iter().find(close)
        {
            let message = format!("nothing consults a table of this name; did you mean {known}?");
            reader.warning_at(&format!("mappings[{name:?}]"), &message, false);
        }
    }
}

/// Tables that the original consults by itself.
pub(crate) const KNOWN_TABLES: &[&str] = &[
    "PORT_ACCESS",
    "INTERNAL_IP",
    "SEND_ACCESS",
    "ORIG_SEND_ACCESS",
    "MAIL_ACCESS",
    "ORIG_MAIL_ACCESS",
    "FROM_ACCESS",
    "AUTH_ACCESS",
    "FORWARD",
    "REVERSE",
    "PERSONAL_NAMES",
    "CHARSET-CONVERSION",
    "CONVERSIONS",
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
