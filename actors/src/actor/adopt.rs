//! Adoption: another configuration takes the place of the one in force while the engine runs.

use actix::Message;

/// Puts another configuration in force, as far as it is this actor's. Whatever can fail has been done
/// before it is sent.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Adopt<T: 'static>(pub T);
