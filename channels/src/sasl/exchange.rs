//! One exchange, from the mechanism's name to a claim that can be checked.

use super::{
    Mechanism,
    fault::{SaslFault, name},
    scram::{First, ScramKeys, Waiting},
};

/// An exchange that has begun.
#[derive(Debug)]
pub struct SaslExchange(State);

#[derive(Debug)]
enum State {
    Plain,
    LoginUser,
    LoginPassword(String),
    External,
    Scram {
        plus: bool,
        binding: Option<[u8; 32]>,
    },
    ScramKeys(First),
    ScramProof(Box<Waiting>),
    /// Our own proof was sent; the client has nothing more to say.
    ScramEnd(String),
    Over,
}

/// The next step.
#[derive(Debug, Eq, PartialEq)]
pub enum Step {
    /// Send this, and come back with the response.
    Challenge(Vec<u8>),
    /// The client claims to be this user, and names the password. The exchange is over.
    Password {
        /// Not empty.
        user: String,
        /// Not empty.
        password: Vec<u8>,
    },
    /// The client claims to be this user by its certificate; empty: whoever the certificate says.
    /// The exchange is over.
    Certificate(String),
    /// Ask for the keys of this user, and tell [`SaslExchange::keys`].
    Keys(String),
    /// The client has proved to be this user. The exchange is over.
    Proven(String),
    /// The exchange is over, and nobody is let in.
    Failed(SaslFault),
}

impl Step {
    /// The user that the client claims to be; empty where it claims nothing.
    pub fn user(&self) -> &str {
        match self {
            Self::Password { user, .. }
            | Self::Certificate(user)
            | Self::Keys(user)
            | Self::Proven(user) => user,
            Self::Challenge(_) | Self::Failed(_) => "",
        }
    }
}

impl SaslExchange {
    /// Begins one; `initial` is what the client said together with the mechanism. A proof can be
    /// bound to `binding`.
    pub fn begin(
        mechanism: Mechanism,
        initial: Option<Vec<u8>>,
        binding: Option<[u8; 32]>,
    ) -> (Self, Step) {
        let (state, question): (_, &[u8]) = match mechanism {
            Mechanism::Login => (State::LoginUser, b"Username:"),
            Mechanism::External => (State::External, b""),
            Mechanism::ScramSha256 => (State::Scram { plus: false, binding }, b""),
            Mechanism::ScramSha256Plus => (State::Scram { plus: true, binding }, b""),
            Mechanism::Plain => (State::Plain, b""),
            // Its names are not looked for: whoever begins it fails.
            Mechanism::CramMd5 | Mechanism::OauthBearer | Mechanism::Xoauth2 => (State::Over, b""),
        };
        let mut exchange = Self(state);
        let step = match initial {
            Some(initial) => exchange.step(initial),
            None => Step::Challenge(question.to_owned()),
        };
        (exchange, step)
    }

    /// Takes a response to a challenge.
    pub fn step(&mut self, response: Vec<u8>) -> Step {
        let said = match std::mem::replace(&mut self.0, State::Over) {
            State::Plain => plain(&response),
            State::LoginUser => name(&response).map(|user| {
                self.0 = State::LoginPassword(user);
                Step::Challenge(b"Password:".to_vec())
            }),
            State::LoginPassword(user) => password(user, response),
            State::External if response.is_empty() => Ok(Step::Certificate(String::new())),
            State::External => name(&response).map(Step::Certificate),
            State::Scram { plus, binding } => {
                let first =
                    First::parse(&response, plus, binding.as_ref().map(<[u8; 32]>::as_slice));
                first.map(|first| {
                    let user = first.user.clone();
                    self.0 = State::ScramKeys(first);
                    Step::Keys(user)
                })
            }
            State::ScramProof(waiting) => waiting.finish(&response).map(|(user, said)| {
                self.0 = State::ScramEnd(user);
                Step::Challenge(said)
            }),
            State::ScramEnd(user) if response.is_empty() => Ok(Step::Proven(user)),
            State::ScramEnd(_) | State::ScramKeys(_) | State::Over => Err(SaslFault::Malformed),
        };
        said.unwrap_or_else(Step::Failed)
    }
}

impl SaslExchange {
    /// The answer to [`Step::Keys`].
    pub fn keys(&mut self, keys: ScramKeys) -> Step {
        let State::ScramKeys(first) = std::mem::replace(&mut self.0, State::Over) else {
            return Step::Failed(SaslFault::Malformed);
        };
        match first.answer(keys) {
            Ok((waiting, said)) => {
                self.0 = State::ScramProof(Box::new(waiting));
                Step::Challenge(said)
            }
            Err(fault) => Step::Failed(fault),
        }
    }
}

/// `[authzid] NUL authcid NUL password`.
fn plain(response: &[u8]) -> Result<Step, SaslFault> {
    let parts: Vec<_> = response.split(|c| *c == 0).collect();
    let [other, user, secret] = parts[..] else { return Err(SaslFault::Malformed) };
    let user = name(user)?;
    if !other.is_empty() && !name(other)?.eq_ignore_ascii_case(&user) {
        return Err(SaslFault::OtherIdentity);
    }
    password(user, secret.to_owned())
}

fn password(user: String, password: Vec<u8>) -> Result<Step, SaslFault> {
    match password.len() {
        0 => Err(SaslFault::NoPassword),
        // The cost of hashing grows with it.
        1..=LONGEST_PASSWORD => Ok(Step::Password { user, password }),
        _ => Err(SaslFault::Malformed),
    }
}

/// Octets.
const LONGEST_PASSWORD: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claims(user: &str, password: &[u8]) -> Step {
        Step::Password { user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn plain_takes_the_three_parts() {
        let rows: [(&[u8], Step); 9] = [
            (b"\0alice\0secret", claims("alice", b"secret")),
            (b"Alice\0alice\0a b", claims("alice", b"a b")),
            (b"\0alice\0\xff", claims("alice", b"\xff")),
            (b"bob\0alice\0secret", Step::Failed(SaslFault::OtherIdentity)),
            (b"\0alice\0", Step::Failed(SaslFault::NoPassword)),
            (b"\0\0secret", Step::Failed(SaslFault::Malformed)),
            (b"\0alice\0a\0b", Step::Failed(SaslFault::Malformed)),
            (b"alice", Step::Failed(SaslFault::Malformed)),
            (b"\0al\nice\0secret", Step::Failed(SaslFault::Malformed)),
        ];
        for (said, want) in rows {
            assert_eq!(
                SaslExchange::begin(Mechanism::Plain, Some(said.to_vec()), None).1,
                want,
                "{said:?}"
            );
        }
        let (mut exchange, step) = SaslExchange::begin(Mechanism::Plain, None, None);
        assert_eq!(step, Step::Challenge(Vec::new()));
        assert_eq!(exchange.step(b"\0alice\0secret".to_vec()), claims("alice", b"secret"));
        assert_eq!(exchange.step(b"\0alice\0secret".to_vec()), Step::Failed(SaslFault::Malformed));
    }

    #[test]
    fn login_asks_for_name_and_password() {
        for initial in [None, Some(b"alice".to_vec())] {
            let (mut exchange, mut step) =
                SaslExchange::begin(Mechanism::Login, initial.clone(), None);
            if initial.is_none() {
                assert_eq!(step, Step::Challenge(b"Username:".to_vec()));
                step = exchange.step(b"alice".to_vec());
            }
            assert_eq!(step, Step::Challenge(b"Password:".to_vec()));
            assert_eq!(exchange.step(b"secret".to_vec()), claims("alice", b"secret"));
        }
        let (mut exchange, _) =
            SaslExchange::begin(Mechanism::Login, Some(b"alice".to_vec()), None);
        assert_eq!(exchange.step(vec![b'x'; 513]), Step::Failed(SaslFault::Malformed));
    }

    #[test]
    fn external_may_name_the_user() {
        for (said, want) in [("", ""), ("alice@a.test", "alice@a.test")] {
            let (_, step) = SaslExchange::begin(Mechanism::External, Some(said.into()), None);
            assert_eq!(step, Step::Certificate(want.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn no_message_panics(which in 0..5_usize, said in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..40), 1..5)
        ) {
            let (mut exchange, _) = SaslExchange::begin(Mechanism::ALL[which], None, None);
            for message in said {
                exchange.step(message);
            }
        }
    }
}
