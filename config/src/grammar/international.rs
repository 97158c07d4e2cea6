//! Names and addresses beyond ASCII (RFC 6531, RFC 6532; UTS 46 for domains).

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::{
    IsNormalized, UnicodeNormalization, char::canonical_combining_class, is_nfc_quick,
};

use super::domain::{is_domain, is_domain_name};

/// A domain name with each label in ASCII: `xn--gre-6ka8l.example` for `grüße.example`. A name in ASCII
/// stays as it is written. `None`: it is no domain name, or one that IDNA refuses.
pub fn ascii_domain(name: &str) -> Option<Cow<'_, str>> {
    if name.is_ascii() {
        return is_domain_name(name).then_some(Cow::Borrowed(name));
    }
    // Longer ones than any name, in whatever script, need not be looked at.
    if name.len() > MAX_UNICODE_NAME || !is_nameable(name) {
        return None;
    }
    let (rules, denied) = (Uts46::new(), AsciiDenyList::URL);
    let ascii =
        rules.to_ascii(name.as_bytes(), denied, Hyphens::CheckFirstLast, DnsLength::Ignore).ok()?;
    is_domain_name(&ascii).then_some(ascii)
}

/// Whether `text` is a domain name, in ASCII or beyond, or an address literal.
pub fn is_any_domain(text: &str) -> bool {
    if text.is_ascii() { is_domain(text) } else { ascii_domain(text).is_some() }
}

/// The same name with the labels that stand for others written out: `grüße.example`. `None`: it has no
/// such label.
pub fn unicode_domain(name: &str) -> Option<String> {
    let is_encoded = |label: &str| label.get(..4).is_some_and(|it| it.eq_ignore_ascii_case("xn--"));
    if !name.split('.').any(is_encoded) || name.len() > MAX_UNICODE_NAME {
        return None;
    }
    let (denied, hyphens) = (AsciiDenyList::URL, Hyphens::CheckFirstLast);
    let (unicode, sound) = Uts46::new().to_unicode(name.as_bytes(), denied, hyphens);
    (sound.is_ok() && !unicode.is_ascii() && is_printable(&unicode)).then(|| unicode.into_owned())
}

/// The one spelling of texts that look alike: Unicode's normal form C.
pub fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// A text that is equal to others in any case: in lower case, and composed.
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    composed(&text.to_lowercase()).into_owned()
}

/// The key of a table under which an address, a part of one, or a pattern for domains is found in any
/// spelling: folded, its domain in ASCII. What stands alone and has no dot is no domain.
pub fn table_key(text: &str) -> String {
    if text.is_ascii() || !text.contains(['@', '.', '|']) {
        return folded(text);
    }
    // Domains in the case that they have: IDNA does not take the sigma at the end of a word for another.
    let (local, domain) = text.split_at(text.rfind('@').map_or(0, |at| at + 1));
    folded(local) + &folded(&with_labels_in_ascii(domain))
}

/// A pattern with the domains behind each `@` in ASCII, as far as wildcards leave whole labels of them.
pub fn pattern_key(pattern: &str) -> Cow<'_, str> {
    if pattern.is_ascii() || !pattern.contains('@') {
        return pattern.into();
    }
    let mut key = String::with_capacity(pattern.len() + pattern.len() / 2);
    for field in pattern.split_inclusive('|') {
        let mut signs = field.rmatch_indices('@').filter(|(at, _)| !field[..*at].ends_with('$'));
        let domain = signs.next().map_or(field.len(), |(at, _)| at + 1);
        key.push_str(&field[..domain]);
        key.push_str(&with_labels_in_ascii(&field[domain..]));
    }
    key.into()
}

/// Each label in ASCII that has such a form; whatever else stands among them stays.
fn with_labels_in_ascii(labels: &str) -> String {
    let mut out = String::with_capacity(labels.len() * 2);
    for piece in labels.split_inclusive(['.', '|']) {
        let label = piece.strip_suffix(['.', '|']).unwrap_or(piece);
        let ascii = if label.is_ascii() { None } else { ascii_domain(label) };
        out.push_str(ascii.as_deref().unwrap_or(label));
        out.push_str(&piece[label.len()..]);
    }
    out
}

/// Whether a text has none of the characters of [`is_unprintable`].
pub fn is_printable(text: &str) -> bool {
    !text.chars().any(is_unprintable)
}

/// Whether a character means something to a terminal, or to the order of what stands around it, or is not
/// seen at all: control characters, ends of lines and paragraphs, marks of direction, soft hyphens, joiners,
/// tags. Selectors of variants are none of these.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A text as a person is shown it who has to find such characters: each as an escape of RON, `\u{202e}`, and
/// a tab as a blank.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if is_printable(text) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\t' => shown.push(' '),
            c if is_unprintable(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Whether a text has none of these but joiners between letters beyond ASCII, which some scripts are
/// written with: what may stand in an address or a name of a mailbox.
pub fn is_nameable(text: &str) -> bool {
    let mut before = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let is_joined = || {
            let mut around = [before, rest.clone().next()].into_iter();
            matches!(c, '\u{200c}' | '\u{200d}') && around.all(|c| c.is_some_and(is_joinable))
        };
        if is_unprintable(c) && !is_joined() {
            return false;
        }
        before = Some(c);
    }
    true
}

/// A letter beyond ASCII, or the sign that takes its vowel away (RFC 5892 appendix A.1).
fn is_joinable(c: char) -> bool {
    !c.is_ascii() && (c.is_alphabetic() || canonical_combining_class(c) == VIRAMA)
}

/// The combining class of signs that take a vowel away.
const VIRAMA: u8 = 9;
/// Octets of the longest name in UTF-8: 253 of ASCII stand for fewer characters, of 4 octets at most.
const MAX_UNICODE_NAME: usize = 4 * 253;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn names_have_one_form_in_ascii() {
        // name, its labels in ASCII, and written out
        let rows = [
            ("relais.example", Some("relais.example"), None),
            ("Relais.Example.", Some("Relais.Example."), None),
            ("grüße.example", Some("xn--gre-6ka8l.example"), Some("grüße.example")),
            ("GRÜSSE.example", Some("xn--grsse-lva.example"), Some("grüsse.example")),
            ("gru\u{308}ße.example", Some("xn--gre-6ka8l.example"), Some("grüße.example")),
            ("grüße.example.", Some("xn--gre-6ka8l.example."), Some("grüße.example.")),
            ("例え。テスト", Some("xn--r8jz45g.xn--zckzah"), Some("例え.テスト")),
            ("a_b.grüße", Some("a_b.xn--gre-6ka8l"), Some("a_b.grüße")),
            ("XN--GRE-6KA8L.example", Some("XN--GRE-6KA8L.example"), Some("grüße.example")),
            ("xn--999999999.example", Some("xn--999999999.example"), None),
            ("ü..example", None, None),
            (".ü", None, None),
            ("-ü.example", None, None),
            ("ü-.example", None, None),
            ("ü b.example", None, None),
            ("ü@b.example", None, None),
            ("ü\u{ff20}b.example", None, None),
            ("ü/b.example", None, None),
            ("\u{301}a.example", None, None),
            ("\u{202e}ü.example", None, None),
            ("gr\u{ad}üße.example", None, None),
            ("gr\u{200b}üße.example", None, None),
            ("ü\u{200d}ü.example", None, None),
            ("\u{dc1}\u{dca}\u{200d}\u{dbb}.example", Some("xn--10cl1a711o.example"), None),
            ("a\u{2028}ü.example", None, None),
            ("ü\u{7f}.example", None, None),
            ("aא.example", None, None),
            ("xn--a-ecp.ü", None, None),
            ("[ü]", None, None),
        ];
        for (name, ascii, unicode) in rows {
            assert_eq!(ascii_domain(name).as_deref(), ascii, "{name:?}");
            let written_out = ascii.and_then(unicode_domain);
            assert_eq!(written_out.as_deref(), unicode, "{name:?}");
        }
        let long = "ü".repeat(60);
        assert_eq!(ascii_domain(&long), None);
    }

    #[test]
    fn long_names_take_no_longer_than_long_lines() {
        let bombs = [
            "ü".repeat(500),
            "ü.".repeat(330),
            format!("{}ü", "\u{1e9b}\u{323}".repeat(190)),
            format!("{}.ü", "xn--".repeat(250)),
            "\u{fdfa}".repeat(330),
            format!("ü{}", "\u{301}".repeat(499)),
        ];
        let begun = Instant::now();
        for bomb in bombs.iter().cycle().take(600) {
            assert_eq!(ascii_domain(bomb), None);
            assert_eq!(unicode_domain(bomb), None);
        }
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    }

    #[test]
    fn texts_that_look_alike_are_one() {
        let rows = [
            ("jdoe", "jdoe"),
            ("gru\u{308}ße", "grüße"),
            ("grüße", "grüße"),
            ("\u{212b}", "\u{e5}".to_uppercase().as_str()),
        ]
        .map(|(text, want)| (text.to_owned(), want.to_owned()));
        for (text, want) in rows {
            assert_eq!(composed(&text), want);
        }
    }

    #[test]
    fn tables_have_one_key_for_all_spellings() {
        let rows = [
            ("Ann@X.Example", "ann@x.example"),
            ("J\u{d6}rg@Grüße.example", "j\u{f6}rg@xn--gre-6ka8l.example"),
            ("jo\u{308}rg@XN--GRE-6KA8L.example", "j\u{f6}rg@xn--gre-6ka8l.example"),
            ("J\u{d6}RG", "j\u{f6}rg"),
            (".grüße.example", ".xn--gre-6ka8l.example"),
            ("*.Grüße.example", "*.xn--gre-6ka8l.example"),
            ("tag|grüße.example", "tag|xn--gre-6ka8l.example"),
            ("@grüße.example", "@xn--gre-6ka8l.example"),
            ("jörg@", "jörg@"),
            ("ΟΔΟΣ@Dömäin.ΟΔΟΣ", "οδος@xn--dmin-moa0i.xn--pxavbq"),
            ("Dömäin.ΟΔΟΣ", "xn--dmin-moa0i.xn--pxavbq"),
            ("", ""),
        ];
        for (text, want) in rows {
            assert_eq!(table_key(text), want, "{text}");
            assert_eq!(table_key(want), want, "{text}");
        }
        let rows = [
            ("tcp_local|*@grüße.example|*|*", "tcp_local|*@xn--gre-6ka8l.example|*|*"),
            ("*|grüße@*.grüße.example", "*|grüße@*.xn--gre-6ka8l.example"),
            ("*@*grüße.example", "*@*grüße.example"),
            ("grüße|*", "grüße|*"),
            ("*@x", "*@x"),
            ("$@grüße.*", "$@grüße.*"),
        ];
        for (pattern, want) in rows {
            assert_eq!(pattern_key(pattern), want, "{pattern}");
        }
    }

    #[test]
    fn what_means_something_to_a_terminal_is_not_printable() {
        for c in ["\u{1b}", "\u{7f}", "\u{9b}", "\u{85}", "\u{2028}", "\u{202e}", "\u{2069}"] {
            assert!(!is_printable(&format!("a{c}b")), "{c:?}");
            assert!(!is_nameable(&format!("ä{c}ü")), "{c:?}");
        }
        // Unseen characters: between letters beyond ASCII only joiners may stand.
        let unseen =
            "\u{ad}\u{180e}\u{200b}\u{200c}\u{200d}\u{2060}\u{2064}\u{feff}\u{e0001}\u{e007f}";
        for c in unseen.chars() {
            assert!(!is_printable(&format!("ä{c}ü")), "{c:?}");
            let is_joiner = matches!(c, '\u{200c}' | '\u{200d}');
            assert_eq!(is_nameable(&format!("ä{c}ü")), is_joiner, "{c:?}");
            for text in [
                format!("a{c}ü"),
                format!("ü{c}a"),
                format!("{c}ü"),
                format!("ü{c}"),
                format!("ä{c}{c}ü"),
            ] {
                assert!(!is_nameable(&text), "{text:?}");
            }
        }
        assert!(is_printable("grüße 例え \u{a0}\u{fe0f}"));
        assert!(is_nameable("grüße 例え \u{dc1}\u{dca}\u{200d}\u{dbb}\u{dd3}"));
    }
}
