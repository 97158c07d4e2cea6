//! Proofs that a post is ours: a token, and signatures as Standard Webhooks 1.0.0 has them.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::hmac;

/// Why a token or a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Every user of the machine may read it.
    #[error("every user of this machine may read it; chmod o-rwx closes it")]
    Open,
    /// No word, or several.
    #[error("one word of 1 to {LONGEST} visible ASCII characters is expected")]
    Token,
    /// No line, or too many.
    #[error("1 to {MOST_SECRETS} lines with a secret each are expected")]
    Count,
    /// Another form, or another length.
    #[error(
        "line {0} is no secret: 24 to 64 octets in Base64 are expected, \"whsec_\" in front or not; `openssl rand -base64 32` makes one"
    )]
    Secret(usize),
}

/// The token in a file.
pub fn read_token(file: &Path) -> Result<String, SecretError> {
    let text = read(file)?;
    let word = text.trim();
    let is_word = !word.is_empty() && word.bytes().all(|c| c.is_ascii_graphic());
    if is_word && word.len() <= LONGEST { Ok(word.to_owned()) } else { Err(SecretError::Token) }
}

/// The secrets in a file.
pub fn read_secrets(file: &Path) -> Result<Vec<hmac::Key>, SecretError> {
    let text = read(file)?;
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    let key = |(number, line): (usize, &str)| {
        let secret = BASE64_STANDARD.decode(line.strip_prefix("whsec_").unwrap_or(line));
        let secret = secret.ok().filter(|its| (24..=64).contains(&its.len()));
        let secret = secret.ok_or(SecretError::Secret(number + 1))?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &secret))
    };
    let keys: Vec<_> = lines.map(key).collect::<Result<_, SecretError>>()?;
    if (1..=MOST_SECRETS).contains(&keys.len()) { Ok(keys) } else { Err(SecretError::Count) }
}

/// The header `webhook-signature` of a post.
pub(crate) fn signature(keys: &[hmac::Key], id: &str, timestamp: u64, body: &[u8]) -> String {
    let sign = |key: &hmac::Key| {
        let mut context = hmac::Context::with_key(key);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(context.sign()))
    };
    keys.iter().map(sign).collect::<Vec<_>>().join(" ")
}

fn read(file: &Path) -> Result<String, SecretError> {
    if fs::metadata(file)?.permissions().mode() & 0o004 != 0 {
        return Err(SecretError::Open);
    }
    let mut text = String::new();
    File::open(file)?.take(2 * LONGEST as u64).read_to_string(&mut text)?;
    Ok(text)
}

/// Characters of a token.
const LONGEST: usize = 4_096;
const MOST_SECRETS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// With the vector of the specification's own libraries.
    #[test]
    fn a_post_is_signed_as_the_specification_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let put = |text: &str, mode| {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        };
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        put(&format!("{secret}\n\n{}\n", &secret[6..]), 0o600);
        let keys = read_secrets(&file).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let got = signature(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(got, format!("{one} {one}"));
        for (text, mode, want) in [
            ("", 0o600, "1 to 4 lines"),
            ("x", 0o600, "line 1 is no secret"),
            (secret, 0o604, "every user"),
            (secret, 0o640, ""),
            (&"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n".repeat(5), 0o600, "1 to 4 lines"),
        ] {
            put(text, mode);
            let why = read_secrets(&file).err().map(|why| why.to_string()).unwrap_or_default();
            assert!(why.starts_with(want) && why.is_empty() == want.is_empty(), "{text}: {why}");
        }
        put("two words", 0o600);
        assert!(matches!(read_token(&file), Err(SecretError::Token)));
        put(" word\n", 0o600);
        assert_eq!(read_token(&file).unwrap(), "word");
    }
}
