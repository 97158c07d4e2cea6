//! The name by which a peer knows a message that it took, as far as its reply tells.

use super::{Reply, reply::IN_INBOX};

impl Reply {
    /// The peer's own id of the message, from the words of a success: that of Dovecot (`<a@b> ID Saved`),
    /// Cyrus (`SESSIONID=<ID>`), Postfix and ourselves (`queued as ID`), Exim (`id=ID`). Printable and
    /// short, or none.
    pub fn delivered_as(&self) -> Option<&str> {
        if !self.is_success() {
            return None;
        }
        // The refusal of another address may stand behind it.
        let text = self.text.split(IN_INBOX).next()?;
        let behind = |word: &str| text.split_once(word).map(|(_, rest)| rest);
        let word = |rest: &str| rest.len() - rest.trim_start_matches(is_of_id).len();
        let id = if let Some(rest) = behind("SESSIONID=<") {
            rest.split('>').next().filter(|id| id.len() < rest.len())?
        } else if let Some(rest) = behind("queued as ") {
            &rest[..word(rest)]
        } else if let Some(before) = text.trim_end().strip_suffix(" Saved") {
            before.rsplit_once(' ')?.1
        } else {
            let rest = behind(" id=").or_else(|| text.strip_prefix("id="))?;
            &rest[..word(rest)]
        };
        let id = id.trim_end_matches('.');
        let is_id = (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_graphic());
        is_id.then_some(id)
    }
}

fn is_of_id(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '(' | ')' | ',' | ';' | '<' | '>' | '"')
}

/// Octets.
const MAX_ID: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_call_it() {
        let long = "x".repeat(101);
        // what follows the codes, the id
        let rows = [
            (
                "<alice@relais.test> yJ0nMxX3R2cKAAAA8b0TzQ:T2:R3 Saved",
                "yJ0nMxX3R2cKAAAA8b0TzQ:T2:R3",
            ),
            ("Success SESSIONID=<cyrus-1732-1-42-99>", "cyrus-1732-1-42-99"),
            ("Ok SESSIONID=<unfinished", ""),
            ("Ok: queued as 4Xz1Qk2Yz9", "4Xz1Qk2Yz9"),
            ("from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 0A1B2C;", "0A1B2C"),
            ("OK id=1tGabc-0000Xy-2z", "1tGabc-0000Xy-2z"),
            ("id=7", "7"),
            ("<a@b> ID Saved\nin the INBOX, as <a+f@b> was refused: 550 id=9", "ID"),
            ("<a@b> OK", ""),
            ("Saved", ""),
            ("queued as ", ""),
            ("queued as \u{1b}[2J", ""),
            (&format!("queued as {long}"), ""),
            ("a void=x", ""),
            ("", ""),
        ];
        for (text, want) in rows {
            let reply = Reply::plain(250, text.to_owned());
            assert_eq!(reply.delivered_as().unwrap_or_default(), want, "{text}");
            assert_eq!(Reply::plain(451, text.to_owned()).delivered_as(), None);
        }
    }
}
