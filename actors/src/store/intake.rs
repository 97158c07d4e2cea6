//! What an LMTP session does with its messages: into the store.
//!
//! As in the original, addresses are not looked up at RCPT; what became of each recipient is said
//! after the data.

use std::io;

use relais_channels::{
    intake::{Intake, MailFrom, RcptTo, Verdict},
    mail::{Enhanced, Reply},
    mailbox::{Body, Delivery, MailboxName, Rcpt, spill::Spill},
};

use super::{Deliveries, writer::AWAY};

/// One session's end of the store.
#[derive(Debug)]
pub struct LmtpIntake {
    deliveries: Deliveries,
    default_domain: String,
    /// Whether the client may say how to deliver (XDFLG).
    flag_transfer: bool,
    sender: String,
    recipients: Vec<Rcpt>,
    spill: Spill,
}

impl LmtpIntake {
    /// `default_domain`: of users without one. `flag_transfer`: as the channel says.
    pub fn new(deliveries: Deliveries, default_domain: &str, flag_transfer: bool) -> Self {
        Self {
            deliveries,
            default_domain: default_domain.to_owned(),
            flag_transfer,
            sender: String::new(),
            recipients: Vec::new(),
            spill: Spill::default(),
        }
    }

    async fn body(&mut self) -> io::Result<Body> {
        let mut spill = std::mem::take(&mut self.spill);
        if !spill.is_file() {
            return Ok(spill.into_memory());
        }
        let dir =
            self.deliveries.spill_dir().ok_or_else(|| io::Error::other("the store is away"))?;
        let chunk = spill.chunk(&dir);
        self.deliveries.blocking(|| chunk.finish()).await?
    }

    async fn deliver(&mut self) -> Result<Vec<Reply>, Reply> {
        let body = self.body().await.map_err(|error| trouble(&error))?;
        let recipients = std::mem::take(&mut self.recipients);
        self.deliveries.deliver(Delivery { body, recipients }).await.map_err(|_| BUSY)
    }
}

impl Intake for LmtpIntake {
    async fn sender(&mut self, from: &MailFrom) -> Result<(), Reply> {
        self.reset();
        if self.deliveries.spill_dir().is_none() {
            // What will be refused need not be sent first.
            return Err(AWAY);
        }
        from.path.as_str().clone_into(&mut self.sender);
        Ok(())
    }

    async fn recipient(&mut self, to: &RcptTo) -> Result<(), Reply> {
        let mailbox = MailboxName::of(&to.address, &self.default_domain)
            .map_err(|error| Reply::with_text(501, Enhanced(5, 1, 3), error.to_string()))?;
        self.recipients.push(Rcpt {
            mailbox,
            as_given: to.as_given.clone(),
            quota: to.quota,
            flags: if self.flag_transfer { to.delivery_flags } else { 0 },
        });
        Ok(())
    }

    /// RFC 5321 section 4.4: the last server writes down the sender.
    async fn open(&mut self) -> Result<(), Reply> {
        self.spill = Spill::default();
        self.spill.push(b"Return-Path: <");
        self.spill.push(self.sender.as_bytes());
        self.spill.push(b">\r\n");
        Ok(())
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), Reply> {
        if self.spill.push(octets) {
            let chunk = self.spill.chunk(&self.deliveries.spill_dir().ok_or(AWAY)?);
            let written = self.deliveries.blocking(|| chunk.write()).await;
            let chunk = written.and_then(|chunk| chunk).map_err(|error| trouble(&error))?;
            self.spill.written(chunk);
        }
        Ok(())
    }

    async fn commit(&mut self) -> Verdict {
        let recipients = self.recipients.len();
        Verdict::Each(match self.deliver().await {
            Ok(replies) => replies,
            Err(reply) => vec![reply; recipients],
        })
    }

    fn reset(&mut self) {
        self.sender.clear();
        self.recipients.clear();
        self.spill = Spill::default();
    }
}

fn trouble(error: &io::Error) -> Reply {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => NO_SPACE,
        _ => IO_ERROR,
    }
}

// The original writes an enhanced code without its dots; 421 closes nothing here.
const BUSY: Reply = Reply::new(421, Enhanced(4, 2, 1), "Mailbox busy");
const NO_SPACE: Reply = Reply::new(452, Enhanced(4, 3, 1), "no space left for mail");
const IO_ERROR: Reply = Reply::new(430, Enhanced(4, 3, 0), "IMAP IOERROR");
