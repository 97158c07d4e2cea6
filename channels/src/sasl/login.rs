//! A user of another server, with the password there.

use std::fmt;

use zeroize::Zeroizing;

/// Our user at a server. The password is shown to nobody, and wiped when it is not needed any more.
#[derive(Clone, Eq, PartialEq)]
pub struct Login {
    /// May be empty where there is no password: the server knows from the certificate.
    pub user: String,
    password: Zeroizing<String>,
    /// Of OAuth 2.0.
    token: Option<Zeroizing<String>>,
}

impl Login {
    /// With a password, or an empty one where none is needed.
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: Zeroizing::new(password.to_owned()), token: None }
    }

    /// The same user with an access token.
    #[must_use]
    pub fn with_token(self, token: Zeroizing<String>) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The access token, for the wire, and for nothing else.
    pub(super) fn token(&self) -> &str {
        self.token.as_ref().map_or("", |token| token)
    }

    /// Whether there is a password.
    pub fn has_password(&self) -> bool {
        !self.password.is_empty()
    }

    /// For the wire, and for nothing else.
    pub(super) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}
