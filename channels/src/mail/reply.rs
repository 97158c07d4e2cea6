//! Replies of SMTP and LMTP: a code, an enhanced code, a text.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// One reply, ours or a peer's. Lines of the text are separated by LF and hold no CR.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// RFC 3463, when there is one.
    pub enhanced: Option<Enhanced>,
    /// The text behind the codes.
    pub text: Cow<'static, str>,
}

/// An enhanced status code: class, subject, detail (RFC 3463).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Enhanced(pub u8, pub u16, pub u16);

/// Between the words of a server that took a message for the INBOX, and those in which it refused the folder.
pub(super) const IN_INBOX: &str = "\nin the INBOX, as ";
/// The end of a store's 250, for relays of its own, when it is slow.
pub const STRESSED: &str = " [stress]";

impl Reply {
    /// Our store's reply while its partition is not there.
    pub const STORE_AWAY: Self = Self::new(430, Enhanced(4, 3, 0), "the store is not available");

    /// A reply with an enhanced code and a fixed text.
    pub const fn new(code: u16, enhanced: Enhanced, text: &'static str) -> Self {
        Self { code, enhanced: Some(enhanced), text: Cow::Borrowed(text) }
    }

    /// A reply whose text is made on the spot.
    pub fn with_text(code: u16, enhanced: Enhanced, text: String) -> Self {
        Self { code, enhanced: Some(enhanced), text: Cow::Owned(text) }
    }

    /// A reply without enhanced code: greetings, EHLO, 354.
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: None, text: text.into() }
    }

    /// 2xx.
    pub fn is_success(&self) -> bool {
        self.code / 100 == 2
    }

    /// `452 4.3.1`: the disk is full.
    pub fn is_no_room(&self) -> bool {
        self.code == 452 && self.enhanced == Some(Enhanced(4, 3, 1))
    }

    /// The store cannot take mail now, for anybody: [no room](Self::is_no_room), or
    /// [not there](Self::STORE_AWAY). Any other 430 may be about one mailbox.
    pub fn is_store_trouble(&self) -> bool {
        self.is_no_room() || *self == Self::STORE_AWAY
    }

    /// The server takes nothing before it knows who we are: `430` without further codes is Cyrus's
    /// way to say so, 530 that of RFC 4954.
    pub fn wants_login(&self) -> bool {
        self.code == 530 || self.code == 430 && self.enhanced.is_none()
    }

    /// The same from a server that asks at each recipient, where a 430 may be about one mailbox: it has
    /// to say so.
    pub fn wants_login_for_recipient(&self) -> bool {
        let says = || {
            let text = self.text.to_ascii_lowercase();
            text.contains("authenticat") || text.contains("log in")
        };
        self.wants_login() && (self.code == 530 || says())
    }

    /// A recipient came one too late for this transaction (RFC 5321 section 4.5.3.1.10). A mailbox
    /// that is full, 4.2.2, is so in the next one, too; and 552 is said of such a mailbox by most, so
    /// that it has to name what it is about, as does any code beside the 452 of the standard (Courier:
    /// `431 Too many recipients.`, hMailServer: 550).
    pub fn is_too_many(&self) -> bool {
        match (self.code, self.enhanced) {
            (400.., Some(Enhanced(_, 5, 3))) => true,
            (452, enhanced) => enhanced.is_none_or(|Enhanced(_, subject, _)| subject != 2),
            (400.., None) => {
                let text = self.text.to_ascii_lowercase();
                text.contains("too many") && text.contains("recipient")
            }
            _ => false,
        }
    }

    /// The mailbox is busy with other mail, locked or being made, and free soon: 4.2.1, [too many
    /// deliveries](Self::is_crowded), the original's `420 4.2.0 Mailbox Locked`, or Cyrus's `451 4.3.0
    /// Mailbox already exists`, which the second of two first messages of a user hears.
    pub fn is_busy(&self) -> bool {
        let says = |words: &str| self.text.eq_ignore_ascii_case(words);
        match self.enhanced {
            Some(Enhanced(4, 2, 1)) => true,
            Some(Enhanced(4, 2, 0)) if says("mailbox locked") => true,
            Some(Enhanced(4, 3, 0)) if says("mailbox already exists") => true,
            _ => self.is_crowded(),
        }
    }

    /// Too many deliveries to this mailbox are under way at once: Dovecot's `451 4.3.0`, which it says
    /// of nothing but in these words.
    pub fn is_crowded(&self) -> bool {
        const WORDS: &[u8] = b"too many concurrent deliveries";
        self.code / 100 == 4
            && self.text.as_bytes().windows(WORDS.len()).any(|it| it.eq_ignore_ascii_case(WORDS))
    }

    /// The message is refused for what is in it, or for its size, as far as words tell: whatever
    /// repeats it is refused, too.
    pub fn blames_content(&self) -> bool {
        const WORDS: [&str; 9] = [
            "virus",
            "malware",
            "spam",
            "attachment",
            "content",
            "too long",
            "too large",
            "too big",
            "size limit",
        ];
        match self.enhanced {
            // It is about addresses.
            Some(Enhanced(_, 6, 7)) => false,
            Some(Enhanced(_, 6, _) | Enhanced(_, 3, 4) | Enhanced(_, 2, 3)) => true,
            Some(Enhanced(_, 1 | 2 | 4, _)) => false,
            _ => {
                let text = self.text.to_ascii_lowercase();
                let says = WORDS.iter().any(|word| text.contains(word));
                says || self.code == 552 && self.enhanced.is_none()
            }
        }
    }

    /// The server knows no mailbox of this name, as far as it says: 5.1.x of a recipient (RFC 3463 section
    /// 3.2), or a code that most say of such, without another reason.
    pub fn refuses_mailbox(&self) -> bool {
        match self.enhanced {
            // Of the sender (7, 8), or of a domain without mail (RFC 7505).
            Some(Enhanced(5, 1, 7 | 8 | 10)) => false,
            Some(Enhanced(5, 1, _)) => true,
            Some(Enhanced(5, 0, 0)) | None => {
                matches!(self.code, 550 | 551 | 553) && !self.blames_content()
            }
            Some(_) => false,
        }
    }

    /// Says that another address was refused before the message was taken for the INBOX.
    #[must_use]
    pub fn in_inbox(self, address: &str, refusal: &Self) -> Self {
        let text = format!("{}{IN_INBOX}<{address}> was refused: {refusal}", self.text);
        Self { text: text.into(), ..self }
    }

    /// 5xx.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }
}

impl Enhanced {
    /// The code of a refusal (classes 4 and 5) that a text begins with, and the text behind it: `4.2.1 text`.
    pub fn leading(text: &str) -> Option<(Self, &str)> {
        let (code, text) = text.split_once([' ', '\n']).unwrap_or((text, ""));
        let mut parts = code.split('.');
        let mut part = |most: usize| {
            let part = parts.next()?;
            let sound =
                (1..=most).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_digit());
            sound.then(|| part.parse::<u16>().ok()).flatten()
        };
        let (class, subject, detail) = (part(1)?, part(3)?, part(3)?);
        let whole = parts.next().is_none();
        let class = u8::try_from(class).ok().filter(|class| whole && [4, 5].contains(class))?;
        Some((Self(class, subject, detail), text.trim()))
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        f.write_str(".")?;
        self.1.fmt(f)?;
        f.write_str(".")?;
        self.2.fmt(f)
    }
}

/// On one line, for logs and people: `550 5.1.1 no such user`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every line of the log has one: piece by piece is several times faster than `write!`.
        self.code.fmt(f)?;
        if let Some(enhanced) = self.enhanced {
            f.write_str(" ")?;
            enhanced.fmt(f)?;
        }
        for line in self.text.lines() {
            f.write_str(" ")?;
            f.write_str(line)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_a_mailbox_are_told_from_others() {
        // code, enhanced code, text, whether there is no such mailbox
        let rows = [
            (550, Some(Enhanced(5, 1, 1)), "<u+F> User doesn't exist: u+F", true),
            (501, Some(Enhanced(5, 1, 3)), "bad syntax", true),
            (550, None, "Unknown user", true),
            (553, None, "sorry", true),
            (550, Some(Enhanced(5, 0, 0)), "no such user here", true),
            (550, Some(Enhanced(5, 1, 8)), "sender address rejected", false),
            (550, Some(Enhanced(5, 1, 10)), "null MX", false),
            (550, Some(Enhanced(5, 7, 1)), "policy", false),
            (550, Some(Enhanced(5, 2, 1)), "disabled", false),
            (552, Some(Enhanced(5, 2, 2)), "over quota", false),
            (552, None, "over quota", false),
            (550, None, "spam", false),
            (554, None, "no", false),
            (450, None, "later", false),
        ];
        for (code, enhanced, text, want) in rows {
            let reply = Reply { code, enhanced, text: text.into() };
            assert_eq!(reply.refuses_mailbox(), want, "{reply}");
        }
    }

    #[test]
    fn busy_mailboxes_are_known_by_code_and_words() {
        // code, enhanced code, text, whether the mailbox is busy
        let rows = [
            (421, Enhanced(4, 2, 1), "Mailbox busy", true),
            (420, Enhanced(4, 2, 0), "Mailbox Locked", true),
            (420, Enhanced(4, 2, 0), "Mailbox Bad Formats", false),
            (451, Enhanced(4, 3, 0), "<u> Too many concurrent deliveries for user", true),
            (451, Enhanced(4, 3, 0), "Mailbox already exists", true),
            (451, Enhanced(4, 3, 0), "System I/O error", false),
            (550, Enhanced(5, 1, 1), "Mailbox already exists", false),
        ];
        for (code, enhanced, text, want) in rows {
            assert_eq!(Reply::new(code, enhanced, text).is_busy(), want, "{code} {text}");
        }
    }
}
