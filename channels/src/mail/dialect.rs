//! The protocol of a connection.

/// One of the two protocols that carry mail. The differences for a server are in
/// [`crate::server::dialect`], for a client in `crate::client::dialect`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// RFC 5321.
    Smtp,
    /// RFC 2033, with the parameters XQUOTA and XDFLG of the original.
    Lmtp,
}
