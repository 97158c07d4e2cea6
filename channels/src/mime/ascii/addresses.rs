//! Fields of addresses, and of phrases (RFC 6857 section 3).

use std::borrow::Cow;

use relais_config::grammar::ascii_domain;

use super::{
    folding::Folding,
    tokens::{Token, TokenKind, tokens},
    words::{as_they_are, phrase, raw_text},
};

/// How an address without SMTPUTF8 is written.
enum AsciiForm {
    /// As it is, but for comments.
    Same,
    /// With this domain behind the token at the index, which is its `@`.
    Domain(usize, String),
    /// Not at all.
    No,
}

/// A list of addresses; `None`: it makes no sense.
pub(super) fn addresses(value: &[u8], out: &mut Folding<'_>) -> Option<()> {
    let (mut element, mut in_angle, mut in_group) = (Vec::new(), false, false);
    for token in tokens(value) {
        let token = token?;
        match token.kind {
            TokenKind::Special(b'<') => in_angle = true,
            TokenKind::Special(b'>') => in_angle = false,
            TokenKind::Special(b':') if !in_angle => in_group = true,
            TokenKind::Special(b';') if !in_angle => in_group = false,
            TokenKind::Special(b',') if !in_angle && !in_group => {
                address(&element, out)?;
                element.clear();
                out.plain(b",");
                continue;
            }
            _ => {}
        }
        element.push(token);
    }
    address(&element, out)
}

/// A blank behind a comma that has none, where A-labels make the line too long.
fn part(behind: &[Token<'_>], out: &mut Folding<'_>) {
    if behind.first().is_some_and(|token| token.kind != TokenKind::Blank) {
        out.part();
    }
}

/// A list of phrases (`Keywords`).
pub(super) fn phrases(value: &[u8], out: &mut Folding<'_>) -> Option<()> {
    let all = tokens(value).collect::<Option<Vec<_>>>()?;
    let mut is_encoded = false;
    for (n, one) in all.split(|token| token.is(b',')).enumerate() {
        if n > 0 {
            if is_encoded {
                out.space();
            }
            out.plain(b",");
        }
        is_encoded = phrase(one, out);
    }
    Some(())
}

/// The A-labels of a domain (RFC 5890); `None`: it has none, or is no domain.
pub(super) fn a_labels(domain: &[u8]) -> Option<String> {
    ascii_domain(std::str::from_utf8(domain).ok()?).map(Cow::into_owned)
}

/// A mailbox or a group.
fn address(tokens: &[Token<'_>], out: &mut Folding<'_>) -> Option<()> {
    part(tokens, out);
    let angle = tokens.iter().position(|token| token.is(b'<')).unwrap_or(tokens.len());
    let Some(colon) = tokens[..angle].iter().position(|token| token.is(b':')) else {
        return mailbox(tokens, out);
    };
    let (name, list) = tokens.split_at(colon);
    let semicolon = list.iter().rposition(|token| token.is(b';')).unwrap_or(list.len());
    let (list, behind) = list.split_at(semicolon);
    let members = || list[1..].split(|token| token.is(b','));
    let is_encoded = phrase(name, out);
    if members().any(|member| matches!(ascii_form(specification(member)), AsciiForm::No)) {
        encoded_group(is_encoded, &list[1..], out);
        return as_they_are(behind.get(1..).unwrap_or_default(), out);
    }
    if is_encoded {
        out.space();
    }
    out.plain(b":");
    for (n, member) in members().enumerate() {
        if n > 0 {
            out.plain(b",");
            part(member, out);
        }
        mailbox(member, out)?;
    }
    as_they_are(behind, out)
}

fn mailbox(tokens: &[Token<'_>], out: &mut Folding<'_>) -> Option<()> {
    let specification = specification(tokens);
    let start = tokens.iter().position(|token| token.is(b'<'));
    let before = start.unwrap_or_else(|| room(tokens));
    let behind = match start {
        Some(start) => {
            let length = tokens[start..].iter().position(|token| token.is(b'>'))?;
            start + length
        }
        None => before + specification.len(),
    };
    let is_encoded = phrase(&tokens[..before], out);
    match ascii_form(specification) {
        AsciiForm::No => {
            encoded_group(is_encoded, specification, out);
            let behind = behind + usize::from(start.is_some());
            return as_they_are(&tokens[behind..], out);
        }
        form => {
            if is_encoded {
                out.space();
            }
            if start.is_some() {
                out.plain(b"<");
            }
            match form {
                AsciiForm::Domain(at, domain) => {
                    let (local, rest) = specification.split_at(at + 1);
                    as_they_are(local, out)?;
                    out.plain(domain.as_bytes());
                    let room: Vec<_> = rest.iter().copied().filter(|it| it.is_room()).collect();
                    as_they_are(&room, out)?;
                }
                _ => as_they_are(specification, out)?,
            }
        }
    }
    as_they_are(&tokens[behind..], out)
}

/// `=?UTF-8?Q?...?= :;` for an address, or a list of them, that has no other form.
fn encoded_group(behind_encoded: bool, tokens: &[Token<'_>], out: &mut Folding<'_>) {
    // A blank between encoded words means nothing.
    let mut text = if behind_encoded { b" ".to_vec() } else { Vec::new() };
    text.extend(raw_text(tokens));
    out.space();
    out.encoded(&text);
    out.space();
    out.plain(b":;");
}

/// The tokens of the address of a mailbox: between angle brackets, or without the room around it.
fn specification<'t, 'v>(tokens: &'t [Token<'v>]) -> &'t [Token<'v>] {
    if let Some(start) = tokens.iter().position(|token| token.is(b'<')) {
        let inside = &tokens[start + 1..];
        let end = inside.iter().position(|token| token.is(b'>')).unwrap_or(inside.len());
        return &inside[..end];
    }
    let end = tokens.iter().rposition(|token| !token.is_room()).map_or(0, |at| at + 1);
    &tokens[room(tokens).min(end)..end]
}

/// Tokens at the front that are no more than room.
fn room(tokens: &[Token<'_>]) -> usize {
    tokens.iter().take_while(|token| token.is_room()).count()
}

fn ascii_form(specification: &[Token<'_>]) -> AsciiForm {
    let is_ascii = |tokens: &[Token<'_>]| {
        tokens.iter().filter(|token| !token.is_room()).all(|token| token.raw.is_ascii())
    };
    if is_ascii(specification) {
        return AsciiForm::Same;
    }
    let Some(at) = specification.iter().rposition(|token| token.is(b'@')) else {
        return AsciiForm::No;
    };
    let (local, domain) = specification.split_at(at);
    let domain = domain[1..].iter().filter(|token| !token.is_room()).flat_map(|token| token.raw);
    match a_labels(&domain.copied().collect::<Vec<_>>()) {
        Some(domain) if is_ascii(local) => AsciiForm::Domain(at, domain),
        _ => AsciiForm::No,
    }
}
