//! Addresses and header fields that a script names.

use crate::message::mailboxes;

/// The one address of a text, with a name or without (RFC 5228 2.4.2.3), as mail can be sent to it:
/// `local@domain`.
pub(crate) fn only_address(text: &str) -> Option<String> {
    let mut found = mailboxes(text);
    let only = found.pop().filter(|it| found.is_empty() && it.is_address())?;
    let (local, domain) = (only.local?, only.domain?);
    let (local, domain) = (local.text(), domain.text());
    let is_local =
        local.len() <= 64 && !local.starts_with('-') && !local.contains(char::is_control);
    let is_label = |it: &str| {
        !it.is_empty() && it.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    let is_domain = match domain.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        Some(literal) => literal.chars().all(|c| c.is_ascii_alphanumeric() || ".:-".contains(c)),
        None => domain.split('.').all(is_label),
    };
    let is_good = is_local && is_domain && domain.len() <= 255;
    is_good.then(|| only.all.text().to_owned())
}

/// Whether a text can name a header field: RFC 5322 2.2.
pub(crate) fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|c| c.is_ascii_graphic() && c != b':')
}
