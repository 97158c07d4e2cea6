//! Commands of the client in the words that filters get.

use relais_channels::{
    mail::{Notify, xtext::Xtext},
    server::{MailFrom, RcptTo},
};

/// The sender and its parameters.
pub(crate) fn mail_words(from: &MailFrom) -> Vec<String> {
    let mut words = vec![format!("<{}>", from.path.as_str())];
    words.extend(from.size.map(|size| format!("SIZE={size}")));
    words.extend(from.eight_bit.then(|| "BODY=8BITMIME".to_owned()));
    words.extend(from.smtputf8.then(|| "SMTPUTF8".to_owned()));
    words.extend(from.returned.map(|returned| format!("RET={returned}")));
    words.extend(from.envelope_id.as_ref().map(|id| format!("ENVID={}", Xtext(id))));
    words
}

/// A recipient and its parameters.
pub(crate) fn rcpt_words(to: &RcptTo) -> Vec<String> {
    let mut words = vec![format!("<{}>", to.as_given)];
    words.extend((to.notify != Notify::Unsaid).then(|| format!("NOTIFY={}", to.notify)));
    words.extend(to.original_recipient.as_ref().map(|its| format!("ORCPT={its}")));
    words
}

#[cfg(test)]
mod tests {
    use relais_channels::mail::{Address, OriginalRecipient, Return, ReversePath};

    use super::*;

    #[test]
    fn commands_as_the_client_said_them() {
        let mut from = MailFrom::new(ReversePath::parse("a@b.example").unwrap());
        assert_eq!(mail_words(&from), ["<a@b.example>"]);
        (from.size, from.eight_bit, from.smtputf8) = (Some(7), true, true);
        (from.returned, from.envelope_id) = (Some(Return::Headers), Some("x+y".into()));
        let want =
            ["<a@b.example>", "SIZE=7", "BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=x+2By"];
        assert_eq!(mail_words(&from), want);
        assert_eq!(mail_words(&MailFrom::new(ReversePath(None))), ["<>"]);
        let mut to = RcptTo::new(Address::parse("c@d.example").unwrap(), "C@d.example");
        assert_eq!(rcpt_words(&to), ["<C@d.example>"]);
        to.notify = Notify::Never;
        to.original_recipient = OriginalRecipient::parse(b"rfc822;e@f");
        assert_eq!(rcpt_words(&to), ["<C@d.example>", "NOTIFY=NEVER", "ORCPT=rfc822;e@f"]);
    }
}
