//! SCRAM-SHA-256 as a client speaks it (RFC 5802, RFC 7677): we prove that we know the password, and
//! the server that it has its keys.

use std::num::NonZeroU32;

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::{
    digest, hmac, pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use zeroize::Zeroizing;

use super::{Login, proof_fault::ProofFault};

/// Our first message was sent.
#[derive(Debug)]
pub(super) struct ScramOpened {
    header: String,
    binding: Vec<u8>,
    bare: String,
    nonce: String,
}

/// Our proof was sent; the server owes us its own.
#[derive(Debug)]
pub(super) struct ScramProven {
    signature: Vec<u8>,
}

impl ScramOpened {
    /// Our first message. `plus`: the proof is bound to `binding`, octets that only this TLS session
    /// has. Where we could bind and the server offered nothing of the kind, it is told so, and hears
    /// if somebody has taken its offer away.
    pub(super) fn begin(
        login: &Login,
        plus: bool,
        binding: Option<&[u8]>,
    ) -> Result<(Self, Vec<u8>), ProofFault> {
        let mut random = [0; 18];
        SystemRandom::new().fill(&mut random).map_err(|_| ProofFault::Random)?;
        Ok(Self::begin_with(login, plus, binding, BASE64_STANDARD.encode(random)))
    }

    fn begin_with(
        login: &Login,
        plus: bool,
        binding: Option<&[u8]>,
        nonce: String,
    ) -> (Self, Vec<u8>) {
        let header = match (plus, binding) {
            (true, _) => "p=tls-exporter,,",
            (false, Some(_)) => "y,,",
            (false, None) => "n,,",
        };
        let user = prepared(&login.user).replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        let message = format!("{header}{bare}").into_bytes();
        let binding = binding.filter(|_| plus).unwrap_or_default().to_vec();
        (Self { header: header.to_owned(), binding, bare, nonce }, message)
    }

    /// Our proof, in reply to the server's first message. Takes a while.
    pub(super) fn prove(
        self,
        login: &Login,
        challenge: &[u8],
    ) -> Result<(ScramProven, Vec<u8>), ProofFault> {
        let said = str::from_utf8(challenge).map_err(|_| ProofFault::Malformed)?;
        let mut fields = said.split(',');
        let mut field = |name| fields.next().and_then(|field| field.strip_prefix(name));
        let (Some(nonce), Some(salt), Some(iterations)) = (field("r="), field("s="), field("i="))
        else {
            return Err(ProofFault::Malformed);
        };
        // Its own part is there, too.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ProofFault::Nonce);
        }
        let salt = BASE64_STANDARD.decode(salt).map_err(|_| ProofFault::Malformed)?;
        let iterations: NonZeroU32 = iterations.parse().map_err(|_| ProofFault::Malformed)?;
        if !(FEWEST..=MOST).contains(&iterations.get()) {
            return Err(ProofFault::Iterations(iterations.get()));
        }
        let mut salted = Zeroizing::new([0; digest::SHA256_OUTPUT_LEN]);
        let password = Zeroizing::new(prepared(login.password()));
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            &salt,
            password.as_bytes(),
            salted.as_mut(),
        );
        let repeated = [self.header.as_bytes(), &self.binding].concat();
        let without_proof = format!("c={},r={nonce}", BASE64_STANDARD.encode(repeated));
        let exchanged = format!("{},{said},{without_proof}", self.bare);
        let client_key = signed(salted.as_ref(), b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature = signed(stored_key.as_ref(), exchanged.as_bytes());
        let proof = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b);
        let proof = BASE64_STANDARD.encode(proof.collect::<Vec<u8>>());
        let server_key = signed(salted.as_ref(), b"Server Key");
        let signature = signed(server_key.as_ref(), exchanged.as_bytes()).as_ref().to_vec();
        Ok((ScramProven { signature }, format!("{without_proof},p={proof}").into_bytes()))
    }
}

impl ScramProven {
    /// Whether the server has the keys of the password.
    pub(super) fn judge(&self, challenge: &[u8]) -> Result<(), ProofFault> {
        let said = str::from_utf8(challenge).map_err(|_| ProofFault::Malformed)?;
        let proof = said.split(',').next().and_then(|field| field.strip_prefix("v="));
        let proof = proof.and_then(|proof| BASE64_STANDARD.decode(proof).ok());
        if proof.as_deref() == Some(&self.signature) { Ok(()) } else { Err(ProofFault::Server) }
    }
}

fn signed(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

/// Text as both sides hash it (RFC 4013); one that has no such form stays as it is.
fn prepared(text: &str) -> String {
    stringprep::saslprep(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

/// RFC 7677 section 4: whoever asks for less wants to guess the password from the proof.
const FEWEST: u32 = 4_096;
/// Half a second of this machine.
const MOST: u32 = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SAID: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn begun(plus: bool, binding: Option<&[u8]>) -> (ScramOpened, String) {
        let login = Login::new("user", "pencil");
        let (opened, said) = ScramOpened::begin_with(&login, plus, binding, NONCE.to_owned());
        (opened, String::from_utf8(said).unwrap())
    }

    #[test]
    fn the_exchange_of_the_rfc() {
        let (opened, said) = begun(false, None);
        assert_eq!(said, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let login = Login::new("user", "pencil");
        let (proven, said) = opened.prove(&login, SAID.as_bytes()).unwrap();
        let want = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(String::from_utf8(said).unwrap(), want);
        assert_eq!(proven.judge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        for other in ["v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "v=", "e=other-error", ""] {
            assert_eq!(proven.judge(other.as_bytes()), Err(ProofFault::Server), "{other}");
        }
    }

    #[test]
    fn a_server_of_another_mind_is_not_believed() {
        let rows = [
            ("r=other,s=W22Z,i=4096", ProofFault::Nonce),
            ("r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096", ProofFault::Nonce),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=1", ProofFault::Iterations(1)),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=99999999", ProofFault::Iterations(99_999_999)),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=0", ProofFault::Malformed),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=*,i=4096", ProofFault::Malformed),
            ("m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4096", ProofFault::Malformed),
            ("", ProofFault::Malformed),
        ];
        for (said, want) in rows {
            let (opened, _) = begun(false, None);
            let login = Login::new("user", "pencil");
            assert_eq!(opened.prove(&login, said.as_bytes()).unwrap_err(), want, "{said}");
        }
    }

    #[test]
    fn the_header_says_whether_we_are_bound() {
        let binding = Some(&[7; 32][..]);
        for (plus, binding, want) in [
            (true, binding, "p=tls-exporter,,n=user,r="),
            (false, binding, "y,,n=user,r="),
            (false, None, "n,,n=user,r="),
        ] {
            assert!(begun(plus, binding).1.starts_with(want), "{want}");
        }
    }
}
