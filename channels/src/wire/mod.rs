//! Octets on the wire, without sockets: command lines, the content of a message with its dots,
//! and replies. Every limit on what a peer may send is enforced here or in [`crate::server`].

pub mod content;
pub mod dot;
pub mod line;
pub mod proxy;
pub mod replies;
pub mod reply;
pub mod stuff;
pub mod text;
