//! SCRAM-SHA-256 (RFC 5802, RFC 7677): a client proves that it knows a password, of which we keep
//! keys only, and we prove that we have them.
//!
//! Our own and no library's: the one there is tells unknown users from known ones, ends a failed
//! exchange without an error, and leaves names undecoded.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::{
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
};

use super::fault::{SaslFault, name};

/// Keys by which a client proves a password that it does not send.
#[derive(Clone, Eq, PartialEq)]
pub struct ScramKeys {
    /// How often the password was hashed.
    pub iterations: u32,
    /// The salt.
    pub salt: Vec<u8>,
    /// The hash of the client's key.
    pub stored_key: Vec<u8>,
    /// Our own key.
    pub server_key: Vec<u8>,
}

/// The first message of a client, understood.
#[derive(Debug)]
pub(super) struct First {
    pub(super) user: String,
    /// The base64 of what the last message has to repeat: header, and channel binding.
    repeated: String,
    bare: String,
    nonce: String,
}

/// Between our first message and the client's last.
#[derive(Debug)]
pub(super) struct Waiting {
    first: First,
    said: String,
    keys: ScramKeys,
}

impl ScramKeys {
    /// Keys that no password fits, always the same for one name: for users that are not there.
    pub fn decoy(secret: &hmac::Key, user: &str) -> Self {
        let part = |what: &str| {
            let tag = hmac::sign(secret, format!("{what} {user}").as_bytes());
            tag.as_ref().to_vec()
        };
        let mut salt = part("salt");
        salt.truncate(16);
        Self { iterations: 4_096, salt, stored_key: part("stored"), server_key: part("server") }
    }
}

/// A secret is shown to nobody.
impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramKeys(..)")
    }
}

impl First {
    /// `plus`: the mechanism's name ends so. `binding`: what a proof can be bound to.
    pub(super) fn parse(
        message: &[u8],
        plus: bool,
        binding: Option<&[u8]>,
    ) -> Result<Self, SaslFault> {
        let text = str::from_utf8(message).map_err(|_| SaslFault::Malformed)?;
        let mut parts = text.splitn(3, ',');
        let mut part = || parts.next().ok_or(SaslFault::Malformed);
        let (flag, other, bare) = (part()?, part()?, part()?);
        let bound = match (flag, plus, binding) {
            ("p=tls-exporter", true, Some(binding)) => binding,
            ("n", false, _) | ("y", false, None) => &[],
            // Behind `y` the client could, too, and somebody has told it that we cannot.
            _ => return Err(SaslFault::Binding),
        };
        let mut fields = bare.split(',');
        let user = fields.next().and_then(|field| field.strip_prefix("n="));
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        let (Some(user), Some(nonce)) = (user, nonce) else { return Err(SaslFault::Malformed) };
        let user = decoded(user)?;
        if !is_nonce(nonce) {
            return Err(SaslFault::Malformed);
        }
        match other.strip_prefix("a=") {
            None if other.is_empty() => {}
            Some(other) if decoded(other)?.eq_ignore_ascii_case(&user) => {}
            _ => return Err(SaslFault::OtherIdentity),
        }
        let repeated = [flag.as_bytes(), b",", other.as_bytes(), b",", bound].concat();
        Ok(Self {
            user,
            repeated: BASE64_STANDARD.encode(repeated),
            bare: bare.to_owned(),
            nonce: nonce.to_owned(),
        })
    }

    /// Our first message.
    pub(super) fn answer(self, keys: ScramKeys) -> Result<(Waiting, Vec<u8>), SaslFault> {
        let mut random = [0; 18];
        SystemRandom::new().fill(&mut random).map_err(|_| SaslFault::Malformed)?;
        Ok(self.answer_with(keys, &BASE64_STANDARD.encode(random)))
    }

    fn answer_with(mut self, keys: ScramKeys, nonce: &str) -> (Waiting, Vec<u8>) {
        self.nonce.push_str(nonce);
        let salt = BASE64_STANDARD.encode(&keys.salt);
        let said = format!("r={},s={salt},i={}", self.nonce, keys.iterations);
        let message = said.clone().into_bytes();
        (Waiting { first: self, said, keys }, message)
    }
}

impl Waiting {
    /// The client's last message; the user, and our last message.
    pub(super) fn finish(self, message: &[u8]) -> Result<(String, Vec<u8>), SaslFault> {
        let Self { first, said, keys } = self;
        let text = str::from_utf8(message).map_err(|_| SaslFault::Malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(SaslFault::Malformed)?;
        let mut fields = without_proof.split(',');
        let repeated = fields.next().and_then(|field| field.strip_prefix("c="));
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        if repeated != Some(&first.repeated) {
            return Err(SaslFault::Binding);
        }
        if nonce != Some(&first.nonce) {
            return Err(SaslFault::Malformed);
        }
        let proof = BASE64_STANDARD.decode(proof).map_err(|_| SaslFault::Malformed)?;
        let exchanged = format!("{},{said},{without_proof}", first.bare);
        let sign =
            |key: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), exchanged.as_bytes());
        let signature = sign(&keys.stored_key);
        let client_key: Vec<_> = proof.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let hashed = digest::digest(&digest::SHA256, &client_key);
        let differences = hashed.as_ref().iter().zip(&keys.stored_key);
        let differences = differences.fold(0, |all, (a, b)| all | (a ^ b));
        let fits = proof.len() == hashed.as_ref().len()
            && keys.stored_key.len() == hashed.as_ref().len()
            && std::hint::black_box(differences) == 0;
        if !fits {
            return Err(SaslFault::Proof);
        }
        let own = BASE64_STANDARD.encode(sign(&keys.server_key));
        Ok((first.user, format!("v={own}").into_bytes()))
    }
}

/// A name, of which `=2C` is a comma and `=3D` an equals sign.
fn decoded(text: &str) -> Result<String, SaslFault> {
    let mut pieces = text.split('=');
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (sign, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(SaslFault::Malformed),
        };
        whole.push(sign);
        whole.push_str(rest);
    }
    name(whole.as_bytes())
}

fn is_nonce(nonce: &str) -> bool {
    (1..=128).contains(&nonce.len()) && nonce.bytes().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 section 3.
    fn keys() -> ScramKeys {
        let decode = |text| BASE64_STANDARD.decode(text).unwrap();
        let salt = decode("W22ZaJ0SNY7soEsUEjb6gQ==");
        let mut salted = [0; 32];
        let iterations = std::num::NonZeroU32::new(4_096).unwrap();
        let algorithm = ring::pbkdf2::PBKDF2_HMAC_SHA256;
        ring::pbkdf2::derive(algorithm, iterations, &salt, b"pencil", &mut salted);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
        let client_key = hmac::sign(&key, b"Client Key");
        ScramKeys {
            iterations: 4_096,
            salt,
            stored_key: digest::digest(&digest::SHA256, client_key.as_ref()).as_ref().to_vec(),
            server_key: hmac::sign(&key, b"Server Key").as_ref().to_vec(),
        }
    }

    const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    #[test]
    fn the_exchange_of_the_rfc() {
        let first = First::parse(FIRST, false, None).unwrap();
        assert_eq!(first.user, "user");
        let (waiting, said) = first.answer_with(keys(), NONCE);
        let want = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(String::from_utf8(said).unwrap(), want);
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let (user, said) = waiting.finish(last).unwrap();
        assert_eq!(user, "user");
        assert_eq!(said, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn another_proof_nonce_or_binding_is_refused() {
        let rows = [
            ("c=biws,r=NONCE,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVU=", SaslFault::Proof),
            ("c=biws,r=NONCE,p=", SaslFault::Proof),
            ("c=biws,r=NONCE,p=dHzb", SaslFault::Proof),
            ("c=biws,r=NONCEx,p=dHzb", SaslFault::Malformed),
            ("c=eSws,r=NONCE,p=dHzb", SaslFault::Binding),
            ("c=biws,r=NONCE", SaslFault::Malformed),
        ];
        for (last, want) in rows {
            let first = First::parse(FIRST, false, None).unwrap();
            let (waiting, _) = first.answer_with(keys(), NONCE);
            let last = last.replace("NONCE", &format!("rOprNGfwEbeRWgbNEkqO{NONCE}"));
            assert_eq!(waiting.finish(last.as_bytes()).unwrap_err(), want, "{last}");
        }
    }

    #[test]
    fn bindings_are_used_where_both_sides_can() {
        let binding = Some(&[7; 32][..]);
        for (said, plus, binding, want) in [
            ("n,,n=a,r=b", false, None, Ok(())),
            ("n,,n=a,r=b", false, binding, Ok(())),
            ("y,,n=a,r=b", false, None, Ok(())),
            ("y,,n=a,r=b", false, binding, Err(SaslFault::Binding)),
            ("p=tls-exporter,,n=a,r=b", true, binding, Ok(())),
            ("p=tls-unique,,n=a,r=b", true, binding, Err(SaslFault::Binding)),
            ("p=tls-exporter,,n=a,r=b", false, binding, Err(SaslFault::Binding)),
            ("n,,n=a,r=b", true, binding, Err(SaslFault::Binding)),
            ("n,a=A,n=a,r=b", false, None, Ok(())),
            ("n,a=c,n=a,r=b", false, None, Err(SaslFault::OtherIdentity)),
            ("n,,m=x,n=a,r=b", false, None, Err(SaslFault::Malformed)),
            ("n,,n=,r=b", false, None, Err(SaslFault::Malformed)),
            ("n,,n=a=b,r=b", false, None, Err(SaslFault::Malformed)),
            ("n,,n=a,r=", false, None, Err(SaslFault::Malformed)),
            ("n", false, None, Err(SaslFault::Malformed)),
        ] {
            let parsed = First::parse(said.as_bytes(), plus, binding);
            assert_eq!(parsed.map(|_| ()), want, "{said} {plus}");
        }
        let parsed = First::parse(b"n,,n=a=2Cb=3Dc,r=b", false, None).unwrap();
        assert_eq!(parsed.user, "a,b=c");
    }

    #[test]
    fn a_user_that_is_not_there_has_one_salt_and_no_password() {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let decoy = ScramKeys::decoy(&secret, "nobody");
        assert_eq!(decoy, ScramKeys::decoy(&secret, "nobody"));
        assert_ne!(decoy.salt, ScramKeys::decoy(&secret, "somebody").salt);
    }
}
