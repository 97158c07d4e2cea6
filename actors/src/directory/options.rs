//! Delivery option templates, filled in.

use std::borrow::Cow;

use relais_channels::mail::Address;
use relais_config::{
    delivery_option::{Piece, Value},
    template::Case,
};

/// Fills in a template. `Err`: this value is absent, and the option yields nothing.
///
/// The local part comes out quoted when what was inserted makes that necessary (a folder with
/// blanks in its name); the route and the domain are the template's own.
pub(super) fn fill<'a>(
    pieces: &[Piece],
    value: impl Fn(Value) -> Option<Cow<'a, str>>,
) -> Result<String, Value> {
    let mut filled = Filled::default();
    for piece in pieces {
        match piece {
            Piece::Text(text) => filled.characters(text.chars()),
            Piece::Case(case) => filled.case = *case,
            Piece::Value(what) => {
                filled.insert(*what, &value(*what).ok_or(*what)?);
            }
            Piece::Maybe { value: what, before, after } => {
                if let Some(text) = value(*what) {
                    filled.characters(*before);
                    filled.insert(*what, &text);
                    filled.characters(*after);
                }
            }
        }
    }
    Ok(filled.finish())
}

#[derive(Default)]
struct Filled {
    out: String,
    case: Case,
    /// Behind the colon of the template's source route.
    local: usize,
    /// The `@` that the template puts before the domain.
    at: Option<usize>,
    /// A whole address was inserted; its parts are quoted as they should be.
    whole: bool,
}

impl Filled {
    /// Appends what the template itself says.
    fn characters(&mut self, characters: impl IntoIterator<Item = char>) {
        for c in characters {
            let here = self.out.len();
            match c {
                ':' if self.local == 0 && self.out.starts_with('@') => self.local = here + 1,
                '@' if here > 0 => self.at = Some(here),
                _ => {}
            }
            self.case.push(&mut self.out, c.encode_utf8(&mut [0; 4]));
        }
    }

    fn insert(&mut self, what: Value, text: &str) {
        self.whole |= what == Value::Address;
        self.case.push(&mut self.out, text);
    }

    fn finish(mut self) -> String {
        let end = self.at.filter(|at| *at >= self.local).unwrap_or(self.out.len());
        let local = &self.out[self.local..end];
        let sound = Address::parse(local).is_ok_and(|address| address.domain().is_none());
        if !sound && !self.whole {
            let quoted = quote(local);
            self.out.replace_range(self.local..end, &quoted);
        }
        self.out
    }
}

/// A local part as RFC 5321 quoted string.
pub(crate) fn quote(local: &str) -> String {
    let mut quoted = String::with_capacity(local.len() + 2);
    quoted.push('"');
    for c in local.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use relais_config::{DeliveryOption, delivery_option::Template};

    use super::*;

    #[test]
    fn options_of_the_original() {
        let mailbox = r"#*mailbox=@$X.LMTP:$M%$\$2I$_+$2S@lmtpcs-daemon";
        // option, hosted domain, subaddress, result
        let rows = [
            (mailbox, "", "", "@store1.siroe.com.LMTP:jdoe@lmtpcs-daemon"),
            (mailbox, "", "Work", "@store1.siroe.com.LMTP:jdoe+Work@lmtpcs-daemon"),
            (mailbox, "Sesta.COM", "", "@store1.siroe.com.LMTP:jdoe%sesta.com@lmtpcs-daemon"),
            (
                mailbox,
                "Sesta.COM",
                "Work",
                "@store1.siroe.com.LMTP:jdoe%sesta.com+Work@lmtpcs-daemon",
            ),
            (
                mailbox,
                "",
                r#"My "own" box"#,
                r#"@store1.siroe.com.LMTP:"jdoe+My \"own\" box"@lmtpcs-daemon"#,
            ),
            (r"*mailbox=$M%$\$2I$_+$2S@ims-ms-daemon", "", "", "jdoe@ims-ms-daemon"),
            ("#*^!autoreply=$M+$D@bitbucket", "", "", "jdoe+siroe.com@bitbucket"),
            ("#/hold=@hold-daemon:$A", "", "", "@hold-daemon:\"j d\"@siroe.com"),
            ("#program=$M%$P@pipe-daemon", "", "", "jdoe%procmail@pipe-daemon"),
            ("x=@$4O:$M@$3I.d", "", "", "jdoe@d"),
            ("x=@$4O:$M@$3I.d", "Y", "", "jdoe@Y.d"),
            ("x=$U@d", "", "", "\"j d\"@d"),
        ];
        for (text, hosted, subaddress, want) in rows {
            let Template::Address(pieces) = DeliveryOption::parse(text).unwrap().template else {
                panic!("{text}")
            };
            let some = |text: &'static str| (!text.is_empty()).then_some(Cow::Borrowed(text));
            let value = |value| match value {
                Value::Uid => some("jdoe"),
                Value::MailHost => some("store1.siroe.com"),
                Value::HostedDomain => some(hosted),
                Value::Subaddress => some(subaddress),
                Value::Domain => some("siroe.com"),
                Value::Address => some("\"j d\"@siroe.com"),
                Value::Local => some("j d"),
                Value::Program => some("procmail"),
                Value::Route | Value::File => None,
            };
            assert_eq!(fill(&pieces, value).as_deref(), Ok(want), "{text}");
        }
        let Template::Address(pieces) = DeliveryOption::parse("x=+$F@d").unwrap().template else {
            panic!()
        };
        assert_eq!(fill(&pieces, |_| None), Err(Value::File));
    }
}
