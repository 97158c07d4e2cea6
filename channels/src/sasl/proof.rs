//! One exchange as a client speaks it, from the mechanism to the server's word that we are let in.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use super::{
    Login, Mechanism,
    proof_fault::ProofFault,
    scram_proof::{ScramOpened, ScramProven},
};

/// An exchange that has begun.
#[derive(Debug)]
pub struct Proof {
    login: Login,
    state: ProofState,
    /// Challenges that may still come.
    left: usize,
}

#[derive(Debug)]
enum ProofState {
    LoginUser,
    LoginPassword,
    CramMd5,
    ScramOpened(ScramOpened),
    ScramProven(ScramProven),
    /// A token was shown; a challenge says what is wrong with it, and this is the answer to it.
    Bearer(&'static [u8]),
    /// It was not wanted.
    BearerRefused,
    /// We have said everything, and the server has proved what it had to.
    Over,
}

impl Proof {
    /// Begins one, and returns what we say first, if it is we who begin. A proof can be bound to
    /// `binding`.
    pub fn begin(
        mechanism: Mechanism,
        login: Login,
        binding: Option<[u8; 32]>,
    ) -> Result<(Self, Option<Vec<u8>>), ProofFault> {
        let (state, first) = match mechanism {
            Mechanism::Plain => {
                let first = [b"\0", login.user.as_bytes(), b"\0", login.password().as_bytes()];
                (ProofState::Over, Some(first.concat()))
            }
            Mechanism::External => (ProofState::Over, Some(login.user.clone().into_bytes())),
            Mechanism::OauthBearer => {
                // RFC 5801 section 4: the two characters that the header of GSS-API gives a meaning.
                let user = login.user.replace('=', "=3D").replace(',', "=2C");
                let first = format!("n,a={user},\x01auth=Bearer {}\x01\x01", login.token());
                (ProofState::Bearer(b"\x01"), Some(first.into_bytes()))
            }
            Mechanism::Xoauth2 => {
                let first = format!("user={}\x01auth=Bearer {}\x01\x01", login.user, login.token());
                (ProofState::Bearer(b""), Some(first.into_bytes()))
            }
            Mechanism::Login => (ProofState::LoginUser, None),
            Mechanism::CramMd5 => (ProofState::CramMd5, None),
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                let plus = mechanism == Mechanism::ScramSha256Plus;
                let binding = binding.as_ref().map(<[u8; 32]>::as_slice);
                let (opened, first) = ScramOpened::begin(&login, plus, binding)?;
                (ProofState::ScramOpened(opened), Some(first))
            }
        };
        Ok((Self { login, state, left: MOST_CHALLENGES }, first))
    }

    /// The response to a challenge. Takes a while for SCRAM.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ProofFault> {
        self.left = self.left.checked_sub(1).ok_or(ProofFault::Endless)?;
        let (state, response) = match std::mem::replace(&mut self.state, ProofState::Over) {
            ProofState::LoginUser => {
                (ProofState::LoginPassword, self.login.user.clone().into_bytes())
            }
            ProofState::LoginPassword => {
                (ProofState::Over, self.login.password().as_bytes().to_vec())
            }
            ProofState::CramMd5 => (ProofState::Over, cram_md5(&self.login, challenge)),
            ProofState::ScramOpened(opened) => {
                let (proven, response) = opened.prove(&self.login, challenge)?;
                (ProofState::ScramProven(proven), response)
            }
            ProofState::ScramProven(proven) => {
                proven.judge(challenge)?;
                (ProofState::Over, Vec::new())
            }
            ProofState::Bearer(answer) => (ProofState::BearerRefused, answer.to_vec()),
            ProofState::BearerRefused | ProofState::Over => return Err(ProofFault::Malformed),
        };
        self.state = state;
        Ok(response)
    }

    /// The server lets us in: whether it may be believed.
    pub fn end(&self) -> Result<(), ProofFault> {
        match self.state {
            ProofState::Over | ProofState::Bearer(_) => Ok(()),
            ProofState::ScramOpened(_) | ProofState::ScramProven(_) => Err(ProofFault::Server),
            ProofState::LoginUser
            | ProofState::LoginPassword
            | ProofState::CramMd5
            | ProofState::BearerRefused => Err(ProofFault::Malformed),
        }
    }
}

/// RFC 2195 section 2: the user, and the challenge signed by the password.
fn cram_md5(login: &Login, challenge: &[u8]) -> Vec<u8> {
    let mut mac =
        Hmac::<Md5>::new_from_slice(login.password().as_bytes()).expect("a key of any length");
    mac.update(challenge);
    let mut response = login.user.clone().into_bytes();
    response.push(b' ');
    for octet in mac.finalize().into_bytes() {
        response.extend(format!("{octet:02x}").bytes());
    }
    response
}

/// SCRAM has three with the empty one; some servers ask for LOGIN's user twice in no dialect known.
const MOST_CHALLENGES: usize = 8;

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use proptest::prelude::*;

    use super::*;
    use crate::sasl::{SaslExchange, ScramKeys, Step};

    fn login() -> Login {
        Login::new("tim", "tanstaaftanstaaf")
    }

    /// The mechanism, our first words, challenges and responses.
    type Row<'a> = (Mechanism, Option<&'a str>, &'a [(&'a str, &'a str)]);

    #[test]
    fn each_mechanism_says_what_its_rfc_has() {
        let cram = "<1896.697170952@postoffice.reston.mci.net>";
        let rows: [Row<'_>; 4] = [
            (Mechanism::Plain, Some("\0tim\0tanstaaftanstaaf"), &[]),
            (Mechanism::External, Some("tim"), &[]),
            (Mechanism::Login, None, &[("User Name\0", "tim"), ("Password\0", "tanstaaftanstaaf")]),
            (Mechanism::CramMd5, None, &[(cram, "tim b913a602c7eda7a495b4e6e7334d3890")]),
        ];
        for (mechanism, first, dialogue) in rows {
            let (mut proof, said) = Proof::begin(mechanism, login(), None).unwrap();
            assert_eq!(said.as_deref(), first.map(str::as_bytes), "{mechanism:?}");
            for (challenge, want) in dialogue {
                let said = proof.answer(challenge.as_bytes()).unwrap();
                assert_eq!(String::from_utf8(said).unwrap(), *want, "{mechanism:?}");
            }
            assert_eq!(proof.end(), Ok(()));
            assert_eq!(proof.answer(b"more"), Err(ProofFault::Malformed));
        }
    }

    #[test]
    fn a_token_is_shown_in_the_form_of_either_mechanism() {
        // RFC 7628 section 4.1 and what Google documents; the answers to a refusal.
        let rows = [
            (Mechanism::OauthBearer, "n,a=tim=2Ca=3Db,\x01auth=Bearer t-1\x01\x01", "\x01"),
            (Mechanism::Xoauth2, "user=tim,a=b\x01auth=Bearer t-1\x01\x01", ""),
        ];
        for (mechanism, want, answer) in rows {
            let login = Login::new("tim,a=b", "").with_token("t-1".to_owned().into());
            let (mut proof, first) = Proof::begin(mechanism, login, None).unwrap();
            assert_eq!(first.as_deref(), Some(want.as_bytes()));
            assert_eq!(proof.end(), Ok(()));
            assert_eq!(proof.answer(b"{\"status\":\"401\"}").unwrap(), answer.as_bytes());
            assert_eq!(proof.end(), Err(ProofFault::Malformed), "it did not want it");
            assert_eq!(proof.answer(b""), Err(ProofFault::Malformed));
            assert!(!format!("{proof:?}").contains("t-1"));
        }
    }

    #[test]
    fn our_own_server_lets_our_client_in_and_no_other() {
        let salt = b"salt of sixteen.".to_vec();
        let keys = |password: &str| {
            let mut salted = [0; 32];
            let rounds = std::num::NonZeroU32::new(4_096).unwrap();
            let algorithm = ring::pbkdf2::PBKDF2_HMAC_SHA256;
            ring::pbkdf2::derive(algorithm, rounds, &salt, password.as_bytes(), &mut salted);
            let sign = |text: &[u8]| {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &salted);
                ring::hmac::sign(&key, text)
            };
            let stored = ring::digest::digest(&ring::digest::SHA256, sign(b"Client Key").as_ref());
            ScramKeys {
                iterations: 4_096,
                salt: salt.clone(),
                stored_key: stored.as_ref().to_vec(),
                server_key: sign(b"Server Key").as_ref().to_vec(),
            }
        };
        let rows = [
            (Mechanism::ScramSha256, None, "tanstaaftanstaaf", true),
            (Mechanism::ScramSha256, None, "another", false),
            (Mechanism::ScramSha256Plus, Some([7; 32]), "tanstaaftanstaaf", true),
            (Mechanism::ScramSha256Plus, Some([7; 32]), "another", false),
        ];
        for (mechanism, binding, password, want) in rows {
            let (mut proof, first) = Proof::begin(mechanism, login(), binding).unwrap();
            let (mut server, step) = SaslExchange::begin(mechanism, first, binding);
            assert_eq!(step, Step::Keys("tim".to_owned()));
            let Step::Challenge(challenge) = server.keys(keys(password)) else { panic!("keys") };
            assert_eq!(proof.end(), Err(ProofFault::Server), "it must prove itself");
            let said = server.step(proof.answer(&challenge).unwrap());
            let Step::Challenge(challenge) = said else {
                assert!(!want, "{mechanism:?} {said:?}");
                continue;
            };
            assert!(want && proof.answer(&challenge).unwrap().is_empty());
            assert_eq!(proof.end(), Ok(()));
            assert_eq!(server.step(Vec::new()), Step::Proven("tim".to_owned()));
        }
    }

    #[test]
    fn a_password_is_shown_to_nobody() {
        let (mut proof, _) = Proof::begin(Mechanism::ScramSha256, login(), None).unwrap();
        let shown = format!("{:?} {proof:?}", login());
        assert!(shown.contains("tim") && !shown.contains("tanstaaf"), "{shown}");
        let _ = proof.answer(b"x");
        let (proof, _) = Proof::begin(Mechanism::Plain, login(), None).unwrap();
        assert!(!format!("{proof:?}").contains("tanstaaf"));
        assert!(!format!("{proof:?}").contains(&BASE64_STANDARD.encode("tanstaaftanstaaf")));
    }

    proptest! {
        #[test]
        fn no_challenge_panics(which in 0..5_usize, said in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..60), 1..12)
        ) {
            let mechanism = Mechanism::WITH_PASSWORD[which];
            let (mut proof, _) = Proof::begin(mechanism, login(), Some([1; 32])).unwrap();
            for challenge in said {
                let _ = proof.answer(&challenge);
            }
        }
    }
}
