//! Signatures of one message.

use std::{
    io,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use mail_auth::{common::crypto::SigningKey, dkim::Signature};
use ring::digest::{Digest, SHA256};

use super::{
    body::BodyHash,
    signers::{Signer, Signers},
};
use crate::mail::{fields, header_addresses, named};

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
    body: Option<Body>,
}

struct Body {
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
        self.sender.as_deref().map(|domain| keys.of(domain)).unwrap_or_default()
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
        let Some(Body { hash, signers }) = self.body.take() else { return Ok(Vec::new()) };
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
            self.body = Some(Body { hash: BodyHash::new(form, &SHA256), signers });
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
                names.push(signed.name.to_string());
                fields.push(*field);
            }
            if signed.over {
                names.push(signed.name.to_string());
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut signature = Signature {
            v: 1,
            a: self.key.algorithm(),
            d: self.domain.to_string(),
            s: self.selector.to_string(),
            bh: body.as_ref().to_vec(),
            h: names,
            t: now,
            x: self.manner.expire.map_or(0, |expire| now + expire.as_secs()),
            ch: self.manner.header_form,
            cb: self.manner.body_form,
            ..Signature::default()
        };
        let mut signed = Vec::with_capacity(header.len() + 512);
        self.manner.header_form.canonicalize_headers(fields.into_iter(), &mut signed);
        signature.write(&mut signed, false);
        signature.b = self.key.sign(&signed[..])?;
        signature.write(out, true);
        Ok(())
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

/// Of one field.
const MOST_ADDRESSES: usize = 1_000;
/// Octets.
const LARGEST_HEADER: usize = 32 << 20;
