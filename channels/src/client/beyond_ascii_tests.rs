//! Addresses and headers beyond ASCII, to servers with SMTPUTF8 and without.

use relais_config::channel::Downgrade;
use tokio::net::UnixStream;

use super::{
    rendition_tests::server,
    tests::{outbound, settings, short},
    *,
};
use crate::{
    client::{AtServers, OutgoingRcpt},
    mail::{Attempt, OriginalRecipient, Outcome},
};

/// The attempt at these recipients, what the client said from MAIL to DATA, and what it sent then.
async fn handed(
    message: Outgoing<'_>,
    offer: &'static str,
    (text, downgrade): (&str, Downgrade),
) -> (Attempt, String, String) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let server = server(theirs, offer);
    let settings = Settings { downgrade, ..settings(false) };
    let connection =
        outbound(settings).greet(Stream::Unix(ours), "s[::1]:24".into(), "s".into()).await;
    let mut connection = connection.expect("a connection");
    let content = Content::Whole(text.to_owned().into());
    let size = content.size();
    let transacted = connection.deliver(&Outgoing { size, ..message }, &content, None).await;
    assert!(connection.is_usable());
    drop(connection);
    let heard = String::from_utf8(server.await.expect("the server")).expect("UTF-8");
    let from_mail = heard.split_once("\r\n").expect("LHLO").1;
    let (commands, sent) = from_mail.split_once("DATA\r\n").unwrap_or((from_mail, ""));
    let sent = sent.split_once(".\r\n").map_or("", |(content, _)| content);
    (transacted.expect("it is new").attempt, commands.replace("\r\n", "|"), sent.to_owned())
}

fn letters(attempt: &Attempt) -> String {
    attempt.outcomes.iter().map(|its| short(its).remove(0)).collect()
}

const PLAIN: &str = "Subject: x\r\n\r\nplain\r\n";
const IN_HEADER: &str = "Subject: gr\u{fc}\u{df}e\r\n\r\nplain\r\n";

#[tokio::test]
async fn addresses_go_out_as_the_server_takes_them() {
    let (with, without) = ("SMTPUTF8", "8BITMIME");
    // sender, recipients, whether SMTPUTF8 was asked for, the offer, outcomes, commands
    let rows = [
        ("a@b", "c@d", false, with, "D", "MAIL FROM:<a@b> SIZE=23|RCPT TO:<c@d>|"),
        ("a@b", "c@d", true, with, "D", "MAIL FROM:<a@b> SIZE=23 SMTPUTF8|RCPT TO:<c@d>|"),
        ("a@b", "c@d", true, without, "D", "MAIL FROM:<a@b> SIZE=23|RCPT TO:<c@d>|"),
        ("a@ü.b", "ö@ü.d", false, with, "D", "MAIL FROM:<a@ü.b> SIZE=23 SMTPUTF8|RCPT TO:<ö@ü.d>|"),
        ("a@b", "c@ü.d", true, without, "D", "MAIL FROM:<a@b> SIZE=23|RCPT TO:<c@xn--tda.d>|"),
        ("a@ü.b", "c@d", true, without, "D", "MAIL FROM:<a@xn--tda.b> SIZE=23|RCPT TO:<c@d>|"),
        ("a@b", "ö@d", true, without, "F", ""),
        ("ä@b", "c@d e@f", true, without, "FF", ""),
        (
            "a@b",
            "ö@d c@d ö@ü.d e@ü.d",
            true,
            without,
            "FDFD",
            "MAIL FROM:<a@b> SIZE=23|RCPT TO:<c@d>|RCPT TO:<e@xn--tda.d>|",
        ),
    ];
    for (sender, to, smtputf8, offer, want, commands) in rows {
        let to: Vec<_> = to.split(' ').map(OutgoingRcpt::new).collect();
        let message = Outgoing { smtputf8, ..Outgoing::new(sender, &to, 0) };
        let (attempt, heard, _) = handed(message, offer, (PLAIN, Downgrade::Convert)).await;
        assert_eq!((&*letters(&attempt), &*heard), (want, commands), "{sender} {to:?}");
        for (place, outcome) in attempt.outcomes.iter().enumerate() {
            let peer = attempt.peer.as_ref().expect("a server");
            let is_ours = matches!(outcome, Outcome::Failed(_));
            assert_ne!(peer.has_answered(place), is_ours);
            let text = outcome.reply().to_string();
            let names = "550 5.6.7 s[::1]:24 does not offer SMTPUTF8";
            assert!(!is_ours || text.starts_with(names) && text.is_ascii(), "{text}");
        }
        // Another server is asked for those, and for no others.
        let open = AtServers::first(attempt).open().to_vec();
        let failed: Vec<_> = want.match_indices('F').map(|(place, _)| place).collect();
        assert_eq!(open, failed);
    }
}

#[tokio::test]
async fn a_header_beyond_ascii_is_converted_or_bounces() {
    let (convert, bounce) = (Downgrade::Convert, Downgrade::Bounce);
    let (in_body, converted) =
        ("Subject: x\r\n\r\nü\r\n", "Subject: =?UTF-8?Q?gr=C3=BC=C3=9Fe?=\r\n\r\nplain\r\n");
    // whether SMTPUTF8 was asked for, offer, content, setting, outcome, what is sent
    let rows = [
        (true, "8BITMIME SMTPUTF8", IN_HEADER, bounce, "D 2.0.0", IN_HEADER),
        (true, "8BITMIME SMTPUTF8", IN_HEADER, convert, "D 2.0.0", IN_HEADER),
        (true, "8BITMIME", IN_HEADER, bounce, "F 5.6.7", ""),
        (true, "8BITMIME", "A: x\r\nB: ü\r\n", bounce, "F 5.6.7", ""),
        (true, "8BITMIME", IN_HEADER, convert, "D 2.0.0", converted),
        (false, "8BITMIME", IN_HEADER, bounce, "D 2.0.0", IN_HEADER),
        (false, "8BITMIME", IN_HEADER, convert, "D 2.0.0", IN_HEADER),
        (true, "8BITMIME", in_body, bounce, "D 2.0.0", in_body),
        (true, "8BITMIME", in_body, convert, "D 2.0.0", in_body),
        (true, "8BITMIME", "\r\nü: ü\r\n", bounce, "D 2.0.0", "\r\nü: ü\r\n"),
    ];
    let to = [OutgoingRcpt::new("c@d")];
    for (smtputf8, offer, content, downgrade, want, sends) in rows {
        let message = Outgoing { smtputf8, ..Outgoing::new("a@b", &to, 0) };
        let (attempt, _, sent) = handed(message, offer, (content, downgrade)).await;
        let got = (short(&attempt.outcomes[0]), sent);
        assert_eq!(got, (want.to_owned(), sends.to_owned()), "{smtputf8} {offer} {content}");
    }
}

#[tokio::test]
async fn original_recipients_are_named_in_the_words_of_the_server() {
    let original = OriginalRecipient::parse("utf-8;j\\x{F6}rg@b".as_bytes());
    let named = OutgoingRcpt { original_recipient: original.as_ref(), ..OutgoingRcpt::new("c@d") };
    let known = OutgoingRcpt { original: "j+ö@ü.d", ..OutgoingRcpt::new("c@d") };
    let rows = [
        (named, "DSN", "utf-8;j\\x{F6}rg@b"),
        (named, "DSN SMTPUTF8", "utf-8;jörg@b"),
        (known, "DSN", "utf-8;j\\x{2B}\\x{F6}@\\x{FC}.d"),
        (known, "DSN SMTPUTF8", "utf-8;j\\x{2B}ö@ü.d"),
    ];
    for (to, offer, want) in rows {
        let to = [to];
        let message = Outgoing { smtputf8: true, ..Outgoing::new("a@b", &to, 0) };
        let (_, heard, _) = handed(message, offer, (PLAIN, Downgrade::Convert)).await;
        assert!(heard.ends_with(&format!("RCPT TO:<c@d> ORCPT={want}|")), "{heard}");
    }
}
