//! Patterns with wildcards.

/// Whether a pattern fits a text: `*` stands for any text, `?` for a character; case does not count.
/// Its time is bounded by the product of their lengths.
pub fn glob(pattern: &str, text: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // The last asterisk, and what it stands for ends here.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, end)) = star else { return false };
                star = Some((at, end + 1));
                (p, t) = (at + 1, end + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_texts_and_characters() {
        let rows = [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("*.exe", "A.EXE", true),
            ("*.exe", "a.exe.txt", false),
            ("a*b*c", "abxbyc", true),
            ("a*b*c", "abxby", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "\u{fc}", true),
            ("**", "x", true),
            ("tcp_*", "tcp_local", true),
            ("\u{dc}*", "\u{fc}ber", true),
        ];
        for (pattern, text, want) in rows {
            assert_eq!(glob(pattern, text), want, "{pattern} {text}");
        }
        assert!(!glob(
            &"a*".repeat(100),
            &"a".repeat(10_000).replace("aaaa", "aaab")[..9_999].replace('a', "b")
        ));
    }
}
