//! Passwords as a directory keeps them: `userPassword` with its scheme (RFC 2307 section 5.3).
//!
//! A stored value says how much work and memory checking a password against it takes, so nothing is
//! believed that asks for more than the bounds below. No value panics, and none is compared in a time
//! that tells how much of it was right.

use std::{fmt, sync::Arc};

use argon2::{Argon2, PasswordVerifier};
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_STANDARD_NO_PAD};
use relais_channels::sasl::ScramKeys;
use ring::{digest, hmac};

use super::Entry;

/// A stored password whose scheme is known and whose cost is bearable.
#[derive(Clone, Eq, PartialEq)]
pub enum StoredPassword {
    /// `{SSHA}`, `{SSHA256}`, `{SSHA512}`, and the same without salt.
    Salted {
        /// The hash function.
        hash: Hash,
        /// Its value for password and salt.
        value: Vec<u8>,
        /// The salt.
        salt: Vec<u8>,
    },
    /// `{CRYPT}$5$` and `{CRYPT}$6$`.
    ShaCrypt(String),
    /// `{CRYPT}$y$`.
    Yescrypt(String),
    /// `{ARGON2}`.
    Argon2(String),
    /// `{SCRAM-SHA-256}iterations,salt,stored key,server key`.
    Scram(ScramKeys),
}

/// A hash function of a salted value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hash {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// A password that a list wants of those who post to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListPassword {
    /// As it is, which is how the original keeps it.
    Plain(GivenPassword),
    /// As those of users are kept.
    Stored(StoredPassword),
}

/// A password that somebody gives.
#[derive(Clone, Eq)]
pub struct GivenPassword(Arc<[u8]>);

/// Why a stored password cannot be used. The administrator must act.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing in braces: the password itself, which belongs into no file.
    #[error("userPassword holds no hash: a scheme such as {{SSHA512}} is expected in front of it")]
    InClear,
    /// A scheme that is not known.
    #[error(
        "the scheme {0} of userPassword is not supported: {{SSHA}}, {{SSHA256}}, {{SSHA512}}, \
         {{CRYPT}} with $5$, $6$ or $y$, {{ARGON2}} and {{SCRAM-SHA-256}} are"
    )]
    Unsupported(String),
    /// It asks for more work or memory than an attempt may cost.
    #[error("userPassword asks for too much work: {0}")]
    Costly(&'static str),
    /// The value does not fit the scheme.
    #[error("userPassword is malformed: it is no value of the scheme {0}")]
    Malformed(&'static str),
}

impl StoredPassword {
    /// The passwords of an entry, in its order.
    pub fn of(entry: &Entry) -> impl Iterator<Item = Result<Self, PasswordError>> {
        entry.all("userpassword").iter().take(MOST_PASSWORDS).map(|value| Self::parse(value))
    }

    /// Reads a value.
    pub fn parse(value: &str) -> Result<Self, PasswordError> {
        let parts = value.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (scheme, rest) = parts.ok_or(PasswordError::InClear)?;
        match scheme.to_ascii_uppercase().as_str() {
            "SSHA" | "SHA" => salted(Hash::Sha1, rest, "{SSHA}"),
            "SSHA256" | "SHA256" => salted(Hash::Sha256, rest, "{SSHA256}"),
            "SSHA512" | "SHA512" => salted(Hash::Sha512, rest, "{SSHA512}"),
            "CRYPT" | "SHA256-CRYPT" | "SHA512-CRYPT" => crypt(rest),
            "ARGON2" | "ARGON2I" | "ARGON2ID" => argon2(rest),
            "SCRAM-SHA-256" => scram(rest),
            _ => Err(PasswordError::Unsupported(format!("{{{}}}", shown(scheme)))),
        }
    }

    /// Whether this is the password. Takes as long as the stored value says: not for a thread that
    /// has something else to do.
    pub fn is(&self, password: &[u8]) -> bool {
        match self {
            Self::Salted { hash, value, salt } => {
                let mut context = digest::Context::new(hash.algorithm());
                context.update(password);
                context.update(salt);
                same(context.finish().as_ref(), value)
            }
            Self::ShaCrypt(value) => {
                use sha_crypt::PasswordVerifier;
                sha_crypt::ShaCrypt::default().verify_password(password, value.as_str()).is_ok()
            }
            Self::Yescrypt(value) => {
                use yescrypt::PasswordVerifier;
                yescrypt::Yescrypt::default().verify_password(password, value.as_str()).is_ok()
            }
            Self::Argon2(value) => {
                Argon2::default().verify_password(password, value.as_str()).is_ok()
            }
            Self::Scram(keys) => same(&stored_key_of(keys, password), &keys.stored_key),
        }
    }
}

impl ListPassword {
    /// Reads a value: one that begins with no scheme is the password itself.
    pub fn parse(value: &str) -> Result<Self, PasswordError> {
        match StoredPassword::parse(value) {
            Ok(stored) => Ok(Self::Stored(stored)),
            Err(PasswordError::InClear) => Ok(Self::Plain(GivenPassword::new(value.as_bytes()))),
            Err(error) => Err(error),
        }
    }

    /// Whether this is the password. Waits elsewhere for one that takes long.
    pub async fn is(&self, given: &GivenPassword) -> bool {
        match self {
            Self::Plain(own) => own == given,
            Self::Stored(stored) => {
                let (stored, given) = (stored.clone(), given.clone());
                let checked = tokio::task::spawn_blocking(move || stored.is(&given.0)).await;
                checked.unwrap_or(false)
            }
        }
    }
}

impl GivenPassword {
    /// One of these octets.
    pub fn new(octets: &[u8]) -> Self {
        Self(octets.into())
    }
}

/// Compares in a time that depends on nothing: not on the lengths, either.
impl PartialEq for GivenPassword {
    fn eq(&self, other: &Self) -> bool {
        let digest = |octets: &[u8]| digest::digest(&digest::SHA256, octets);
        same(digest(&self.0).as_ref(), digest(&other.0).as_ref())
    }
}

/// A secret is shown to nobody.
impl fmt::Debug for GivenPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenPassword(..)")
    }
}

/// The key that a client with this password has.
fn stored_key_of(keys: &ScramKeys, password: &[u8]) -> Vec<u8> {
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    if let Some(iterations) = std::num::NonZeroU32::new(keys.iterations) {
        let algorithm = ring::pbkdf2::PBKDF2_HMAC_SHA256;
        ring::pbkdf2::derive(algorithm, iterations, &keys.salt, password, &mut salted);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client_key = hmac::sign(&key, b"Client Key");
    digest::digest(&digest::SHA256, client_key.as_ref()).as_ref().to_vec()
}

impl Hash {
    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// A secret is shown to nobody.
impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredPassword(..)")
    }
}

fn salted(hash: Hash, value: &str, scheme: &'static str) -> Result<StoredPassword, PasswordError> {
    let octets = BASE64_STANDARD.decode(value).map_err(|_| PasswordError::Malformed(scheme))?;
    let length = hash.algorithm().output_len();
    if octets.len() < length || octets.len() > length + LONGEST_SALT {
        return Err(PasswordError::Malformed(scheme));
    }
    let (value, salt) = octets.split_at(length);
    Ok(StoredPassword::Salted { hash, value: value.to_vec(), salt: salt.to_vec() })
}

fn crypt(value: &str) -> Result<StoredPassword, PasswordError> {
    let fields: Vec<_> = value.split('$').collect();
    match fields[..] {
        ["", "5" | "6", rounds, _, _] => {
            let rounds = rounds.strip_prefix("rounds=").and_then(|n| n.parse::<u32>().ok());
            match rounds.ok_or(PasswordError::Malformed("{CRYPT}"))? {
                ..=MOST_ROUNDS => Ok(StoredPassword::ShaCrypt(value.to_owned())),
                _ => Err(PasswordError::Costly("more than 1,000,000 rounds of sha-crypt")),
            }
        }
        ["", "5" | "6", _, _] => Ok(StoredPassword::ShaCrypt(value.to_owned())),
        ["", "y", costs, _, _] => yescrypt_of(value, costs),
        ["", scheme, ..] => {
            Err(PasswordError::Unsupported(format!("{{CRYPT}}${}$", shown(scheme))))
        }
        _ => Err(PasswordError::Unsupported("{CRYPT} of DES".to_owned())),
    }
}

/// The costs of `crypt(5)`: `j`, a character for the logarithm of N, one for r. Nothing makes others.
fn yescrypt_of(value: &str, costs: &str) -> Result<StoredPassword, PasswordError> {
    let place = |c: u8| CRYPT_DIGITS.iter().position(|digit| *digit == c);
    let places = match costs.as_bytes() {
        [b'j', n, r] => place(*n).zip(place(*r)),
        _ => return Err(PasswordError::Unsupported("{CRYPT}$y$ with other parameters".to_owned())),
    };
    let (n, r) = places.ok_or(PasswordError::Malformed("{CRYPT}$y$"))?;
    let (log_n, r) = (n + 1, r as u64 + 1);
    if log_n > 24 || (128 << log_n) * r > MOST_MEMORY {
        return Err(PasswordError::Costly("more than 128 MiB of yescrypt"));
    }
    Ok(StoredPassword::Yescrypt(value.to_owned()))
}

fn argon2(value: &str) -> Result<StoredPassword, PasswordError> {
    let malformed = PasswordError::Malformed("{ARGON2}");
    let costs = value.split('$').find(|field| field.starts_with("m=")).ok_or(malformed.clone())?;
    let cost = |name: &str| {
        let of = |part: &str| part.strip_prefix(name)?.parse::<u64>().ok();
        costs.split(',').find_map(of).ok_or(malformed.clone())
    };
    let (memory, passes, lanes) = (cost("m=")? << 10, cost("t=")?, cost("p=")?);
    if memory > MOST_MEMORY || passes.saturating_mul(memory) > MOST_WORK || lanes > 64 {
        return Err(PasswordError::Costly("more than 128 MiB, or 1 GiB in all passes, of argon2"));
    }
    argon2::password_hash::phc::PasswordHash::new(value).map_err(|_| malformed)?;
    Ok(StoredPassword::Argon2(value.to_owned()))
}

fn scram(value: &str) -> Result<StoredPassword, PasswordError> {
    let malformed = PasswordError::Malformed("{SCRAM-SHA-256}");
    let fields: Vec<_> = value.split(',').collect();
    let [iterations, salt, stored, server] = fields[..] else { return Err(malformed) };
    let decode = |text: &str| {
        let text = text.trim_end_matches('=');
        BASE64_STANDARD_NO_PAD.decode(text).map_err(|_| malformed.clone())
    };
    let keys = ScramKeys {
        iterations: iterations.parse().map_err(|_| malformed.clone())?,
        salt: decode(salt)?,
        stored_key: decode(stored)?,
        server_key: decode(server)?,
    };
    match keys.iterations {
        0 => Err(malformed),
        1..=MOST_ROUNDS => Ok(StoredPassword::Scram(keys)),
        _ => Err(PasswordError::Costly("more than 1,000,000 iterations of SCRAM")),
    }
}

/// Compares in a time that depends on the lengths alone.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differences) == 0
}

/// A scheme as it may stand in a log.
fn shown(scheme: &str) -> String {
    scheme.chars().take(20).filter(char::is_ascii_graphic).collect()
}

const CRYPT_DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Octets.
const LONGEST_SALT: usize = 64;
const MOST_ROUNDS: u32 = 1_000_000;
/// Octets of memory of one attempt.
const MOST_MEMORY: u64 = 128 << 20;
/// Octets of memory that one attempt goes over.
const MOST_WORK: u64 = 1 << 30;
/// Of one entry.
const MOST_PASSWORDS: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Made by Python's hashlib, libxcrypt and Dovecot; the password of all is `secret`.
    const MADE_BY_OTHERS: [&str; 7] = [
        "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0",
        "{SSHA512}E491yrR9AdCoE7rbOPYS3EZgSuZpVE65AD9xko08s6floNesY/Zpe9zMVvLix4S2FiQSJ99RIkNvhHomNO9uL3NhbHQ=",
        "{CRYPT}$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
        "{crypt}$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
        "{CRYPT}$y$j9T$F5Jx5fExrKuPp53xLKQ..1$GmcwIgvdUC9qLWcKCi6gklUa1dM3ziD43YxYNURLKy0",
        "{ARGON2}$argon2id$v=19$m=65536,t=3,p=1$E9OjzMau4nMjaxPWtXGU4Q$nzmQjjHSikPpAbWRksMAogtbt08hUfrfzb8r9AhQpcI",
        "{SCRAM-SHA-256}4096,aB0TBpOWDMxf9K5RTGnc6w==,NTjqxbAd+aOMYOEfvDF6TwRYG4mni2bJy0KDRR7If44=,dTNgqhYziuwYSQcNEy4jKqmSUenarO2k+lr6NCO4CeM=",
    ];

    #[test]
    fn hashes_of_others_are_known() {
        for value in MADE_BY_OTHERS {
            let stored = StoredPassword::parse(value).unwrap_or_else(|error| panic!("{error}"));
            assert!(stored.is(b"secret"), "{value}");
            assert!(!stored.is(b"Secret"), "{value}");
            assert!(!stored.is(b""), "{value}");
        }
    }

    #[test]
    fn what_costs_too_much_or_is_not_known_is_refused_before_it_is_tried() {
        let rows = [
            ("secret", "holds no hash"),
            ("{BLF-CRYPT}$2y$05$woj", "{BLF-CRYPT} of userPassword is not supported"),
            ("{CRYPT}$2y$05$woj", "{CRYPT}$2y$ of userPassword is not supported"),
            ("{CRYPT}$gy$j9T$x$y", "{CRYPT}$gy$ of"),
            ("{CRYPT}abJnggxhB/yWI", "{CRYPT} of DES"),
            ("{CRYPT}$6$rounds=5000000$salt$x", "rounds of sha-crypt"),
            ("{CRYPT}$y$jZz$salt$x", "128 MiB of yescrypt"),
            ("{CRYPT}$y$j9T.$salt$x", "other parameters"),
            ("{ARGON2}$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHQ$aGFzaA", "of argon2"),
            ("{ARGON2}$argon2id$v=19$m=65536,t=300,p=1$c2FsdHNhbHQ$aGFzaA", "of argon2"),
            ("{ARGON2}x", "malformed"),
            ("{SSHA}c2hvcnQ=", "malformed"),
            ("{SSHA}*", "malformed"),
            ("{SCRAM-SHA-256}99999999,YQ==,YQ==,YQ==", "iterations of SCRAM"),
            ("{SCRAM-SHA-256}4096,YQ==", "malformed"),
        ];
        for (value, want) in rows {
            let error = StoredPassword::parse(value).unwrap_err().to_string();
            assert!(error.contains(want), "{value}: {error}");
        }
    }

    #[tokio::test]
    async fn a_list_keeps_its_password_as_it_is_or_as_users_do() {
        let mut rows = vec![("sesame", "sesame", true), ("sesame", "Sesame", false)];
        rows.extend([("sesame", "", false), ("se{same}", "se{same}", true)]);
        rows.extend(MADE_BY_OTHERS.iter().flat_map(|value| {
            [(*value, "secret", true), (*value, *value, false), (*value, "x", false)]
        }));
        for (value, given, want) in rows {
            let own = ListPassword::parse(value).unwrap_or_else(|error| panic!("{error}"));
            let given = GivenPassword::new(given.as_bytes());
            assert_eq!(own.is(&given).await, want, "{value}");
            let shown = format!("{given:?} {own:?}");
            assert!(!shown.contains("sesame") && !shown.contains("secret"), "{shown}");
        }
        for value in ["{BLF-CRYPT}$2y$05$woj", "{SSHA}*"] {
            assert!(ListPassword::parse(value).is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_value_panics(
            scheme in "SSHA|SSHA512|CRYPT|ARGON2|SCRAM-SHA-256",
            rest in r"(\$[56y]\$|\$argon2id\$v=19\$m=8,t=1,p=1\$)?[a-zA-Z0-9./$,=]{0,60}",
        ) {
            if let Ok(stored) = StoredPassword::parse(&format!("{{{scheme}}}{rest}")) {
                stored.is(b"secret");
            }
        }
    }
}
