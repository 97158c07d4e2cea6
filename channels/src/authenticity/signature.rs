//! Signatures of one message.

use std::{io, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_auth::{
    common::crypto::{Algorithm, SigningKey},
    dkim::Canonicalization,
};
use ring::digest::{Digest, SHA256};

use super::{
    body::BodyHash,
    signers::{Signer, Signers},
};
use crate::{
    clock,
    mail::{fields, header_addresses, named},
};

/// In whose name a message may be signed.
#[derive(Clone, Debug)]
pub struct SignAs {
    /// The keys.
    pub signers: Signers,
    /// Its author is one of ours: the domain of `From:`, or else of `Sender:`, signs.
    pub author: bool,
    /// The domain of the sender in the envelope, for which it is signed otherwise. None: for nobody.
    pub sender: Option<Box<str>>,
}

/// Signatures that are being made: the octets of a message, from the first to the last.
pub struct SignatureHeaders<'a> {
    name: &'a SignAs,
    header: Vec<u8>,
    body: Option<BodySeen>,
}

struct BodySeen {
    hash: BodyHash,
    signers: Vec<Arc<Signer>>,
}

/// A message cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum Unsigned {
    /// Its header is larger than any that is signed.
    #[error("its header is larger than {} MiB", LARGEST_HEADER >> 20)]
    LargeHeader,
    /// The key cannot.
    #[error("the key {selector}._domainkey.{domain} does not sign: {why}")]
    Key {
        /// Its domain.
        domain: Box<str>,
        /// Its selector.
        selector: Box<str>,
        /// The words of the library.
        why: String,
    },
    /// The content cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
}

impl SignAs {
    /// Begins with a message.
    pub fn begin(&self) -> SignatureHeaders<'_> {
        SignatureHeaders { name: self, header: Vec::new(), body: None }
    }

    /// Octets that the signatures may take.
    pub(crate) fn room(&self) -> u64 {
        self.signers.room()
    }

    /// The keys that sign a message with this header.
    fn signers_of(&self, header: &[u8]) -> Vec<Arc<Signer>> {
        let keys = self.signers.keys();
        if self.author {
            for name in ["from", "sender"] {
                let signers = first_domain(header, name).map(|domain| keys.of(&domain));
                let signers = signers.unwrap_or_default();
                if !signers.is_empty() {
                    return signers;
                }
            }
        }
        let mut signers = self.sender.as_deref().map(|domain| keys.of(domain)).unwrap_or_default();
        if !self.author {
            // A stranger may have written any name there: our signature must not seem to prove it.
            let names = author_domains(header);
            let is_proof = |domain: &str| match &names {
                Some(names) => names.iter().any(|name| may_align(name, domain)),
                None => true,
            };
            signers.retain(|signer| !is_proof(&signer.domain));
        }
        signers
    }
}

impl SignatureHeaders<'_> {
    /// Takes in a piece of the message.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), Unsigned> {
        if let Some(body) = &mut self.body {
            body.hash.feed(piece);
            return Ok(());
        }
        let seen = self.header.len().saturating_sub(3);
        self.header.extend_from_slice(piece);
        // A message without a header begins with its blank line.
        let end = if self.header.starts_with(b"\r\n") {
            Some(2)
        } else {
            memchr::memmem::find(&self.header[seen..], b"\r\n\r\n").map(|at| seen + at + 4)
        };
        match end {
            Some(end) => {
                let begun = self.header.split_off(end);
                self.begin_body();
                self.feed(&begun)
            }
            None if self.header.len() > LARGEST_HEADER => Err(Unsigned::LargeHeader),
            None => Ok(()),
        }
    }

    /// Whether there is nothing to sign with: the rest need not be fed.
    pub fn is_idle(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.signers.is_empty())
    }

    /// The fields, each with its line ends; to be put in front of the message. Empty when no key is
    /// for it.
    pub fn finish(mut self) -> Result<Vec<u8>, Unsigned> {
        self.begin_body();
        let Some(BodySeen { hash, signers }) = self.body.take() else { return Ok(Vec::new()) };
        let hash = hash.finish();
        let mut fields = Vec::new();
        for signer in signers {
            signer.sign(&self.header, &hash, &mut fields).map_err(|error| Unsigned::Key {
                domain: signer.domain.clone(),
                selector: signer.selector.clone(),
                why: error.to_string(),
            })?;
        }
        Ok(fields)
    }

    fn begin_body(&mut self) {
        if self.body.is_none() {
            let signers = self.name.signers_of(&self.header);
            let form = signers.first().map_or_else(Default::default, |its| its.manner.body_form);
            self.body = Some(BodySeen { hash: BodyHash::new(form, &SHA256), signers });
        }
    }
}

impl Signer {
    /// Writes the field that signs this header, and a body of this hash.
    fn sign<'h>(
        &self,
        header: &'h [u8],
        body: &Digest,
        out: &mut Vec<u8>,
    ) -> mail_auth::Result<()> {
        let parted = |field: &'h [u8]| Some(field.split_at(memchr::memchr(b':', field)?));
        let all: Vec<_> =
            fields(header).filter_map(parted).map(|(name, value)| (name, &value[1..])).collect();
        let (mut names, mut fields) = (Vec::new(), Vec::new());
        for signed in &self.manner.headers {
            let its = |(name, _): &&(&[u8], &[u8])| {
                name.trim_ascii_end().eq_ignore_ascii_case(signed.name.as_bytes())
            };
            // The last of a name is the first that counts (RFC 6376 section 5.4.2).
            for field in all.iter().rev().filter(its) {
                names.push(&*signed.name);
                fields.push(*field);
            }
            if signed.over {
                names.push(&*signed.name);
            }
        }
        let mut signed = Vec::with_capacity(header.len() + 512);
        self.manner.header_form.canonicalize_headers(fields.into_iter(), &mut signed);
        let value = self.unsigned(&names, body);
        let own = [(NAME, value.as_bytes())];
        self.manner.header_form.canonicalize_headers(own.into_iter(), &mut signed);
        // It is signed without the end of its line.
        let end = signed.trim_ascii_end().len();
        let signature = STANDARD.encode(self.key.sign(&signed[..end])?);
        for part in [NAME, b":", value.as_bytes()] {
            out.extend_from_slice(part);
        }
        fold(signature.as_bytes(), out);
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// The value of the field, of which nothing but the signature itself is missing. That is its last
    /// tag, and nothing follows it, blanks and a semicolon neither: not all who verify leave them out.
    fn unsigned(&self, names: &[&str], body: &Digest) -> String {
        let Self { domain, selector, manner, .. } = self;
        let algorithm = match self.key.algorithm() {
            Algorithm::Ed25519Sha256 => "ed25519-sha256",
            _ => "rsa-sha256",
        };
        let forms = [manner.header_form, manner.body_form].map(|form| match form {
            Canonicalization::Relaxed => "relaxed",
            Canonicalization::Simple => "simple",
        });
        let now = clock::now().as_secs();
        let expires = manner.expire.map(|expire| format!(" x={};", now + expire.as_secs()));
        let mut text = format!(
            " v=1; a={algorithm}; c={}/{};\r\n\td={domain};\r\n\ts={selector}; t={now};{}\r\n\th=",
            forms[0],
            forms[1],
            expires.unwrap_or_default(),
        );
        let mut line = 2;
        for (place, name) in names.iter().enumerate() {
            if place > 0 {
                text.push(':');
                if line + name.len() > LINE {
                    text += "\r\n\t ";
                    line = 0;
                }
            }
            text += name;
            line += name.len() + 1;
        }
        text += ";\r\n\tbh=";
        text += &STANDARD.encode(body);
        text += ";\r\n\tb=";
        text
    }
}

/// Writes base64 in lines.
fn fold(text: &[u8], out: &mut Vec<u8>) {
    for (place, line) in text.chunks(LINE).enumerate() {
        if place > 0 {
            out.extend_from_slice(b"\r\n\t ");
        }
        out.extend_from_slice(line);
    }
}

/// The domain of the first address in the first field of this name.
fn first_domain(header: &[u8], name: &str) -> Option<Box<str>> {
    let is = |its: &[u8]| its.eq_ignore_ascii_case(name.as_bytes());
    let field = fields(header).find(|field| named(field).is_some_and(|(its, _)| is(its)))?;
    let addresses = header_addresses(field, MOST_ADDRESSES)?;
    let (_, domain) = addresses.first()?.text.rsplit_once('@')?;
    Some(domain.into())
}

/// The domains of all addresses in all fields `From`. `None`: they cannot be read.
fn author_domains(header: &[u8]) -> Option<Vec<Box<str>>> {
    let mut domains = Vec::new();
    for field in fields(header) {
        if named(field).is_some_and(|(name, _)| name.eq_ignore_ascii_case(b"from")) {
            let addresses =
                header_addresses(field, MOST_ADDRESSES).filter(|all| !all.is_empty())?;
            for address in addresses {
                domains.push(address.text.rsplit_once('@')?.1.into());
            }
        }
    }
    Some(domains)
}

/// Whether DMARC may take a signature of one domain for a proof of the other: they may belong to one
/// organization (RFC 7489 section 3.1.1). Which labels make one is not known without a list of all
/// registries; two that are shared may.
fn may_align(author: &str, signer: &str) -> bool {
    let organization = |domain: &str| {
        let mut labels = domain.trim_end_matches('.').rsplit('.').map(str::to_ascii_lowercase);
        (labels.next(), labels.next())
    };
    !author.is_ascii() || organization(author) == organization(signer)
}

const NAME: &[u8] = b"DKIM-Signature";
/// Octets of a line of the field, without its tab.
const LINE: usize = 72;
/// Of one field.
const MOST_ADDRESSES: usize = 1_000;
/// Octets.
const LARGEST_HEADER: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_of_one_organization_may_align() {
        let rows = [
            ("me.test", "me.test", true),
            ("ME.test.", "me.test", true),
            ("a.me.test", "lists.me.test", true),
            ("me.test", "lists.me.test", true),
            ("you.test", "me.test", false),
            ("me.test.evil.example", "me.test", false),
            ("test", "me.test", false),
            ("mé.test", "xn--m-bja.test", true),
        ];
        for (author, signer, want) in rows {
            assert_eq!(may_align(author, signer), want, "{author} {signer}");
        }
    }

    #[test]
    fn every_author_of_every_field_counts() {
        let rows: [(&str, Option<&[&str]>); 5] = [
            ("Subject: x\r\n\r\n", Some(&[])),
            ("From: a <a@one.test>, b@two.test\r\n\r\n", Some(&["one.test", "two.test"])),
            ("From: a@one.test\r\nfrom : b@two.test\r\n\r\n", Some(&["one.test", "two.test"])),
            ("From: nobody\r\n\r\n", None),
            ("From: <<<\r\n\r\n", None),
        ];
        for (header, want) in rows {
            let found = author_domains(header.as_bytes());
            let found = found.as_ref().map(|all| all.iter().map(|its| &**its).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), want, "{header}");
        }
    }
}
