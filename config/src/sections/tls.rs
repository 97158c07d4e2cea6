//! Certificates.

use std::path::PathBuf;

use crate::file::{
    collections::Maybe,
    document::Document,
    form::{Form, Kind, Section, print_section, read_into},
    kinds::{Choice, Path},
    reader::{Node, Reader},
};

/// The certificate that every service shows.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// Whether TLS or SASL is refused, offered or insisted upon.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Insist {
    /// Not offered, not tried.
    #[default]
    No,
    /// Offered, or tried when the peer offers it.
    May,
    /// Nothing moves without it.
    Must,
}

/// One [`Insist`] for each direction of a channel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sides {
    /// When we are the server.
    pub server: Insist,
    /// When we are the client.
    pub client: Insist,
    /// SASL client only: the file with `host user password` lines.
    pub credentials: Option<PathBuf>,
}

impl Tls {
    pub(crate) fn blank() -> Self {
        Self { certificate: PathBuf::new(), key: PathBuf::new() }
    }
}

impl Section for Tls {
    fn fields(&mut self, form: &mut impl Form) {
        form.required("certificate", r#""/etc/relais/host.crt""#, Path, &mut self.certificate);
        form.required("key", r#""/etc/relais/host.key""#, Path, &mut self.key);
    }
}

/// [`Sides`] of TLS, which knows no credentials.
pub(crate) struct TlsSides;

/// [`Sides`] of SASL.
pub(crate) struct SaslSides;

#[derive(Clone)]
struct WithoutCredentials(Sides);

impl Section for WithoutCredentials {
    fn fields(&mut self, form: &mut impl Form) {
        form.field("server", Choice(INSIST), &mut self.0.server);
        form.field("client", Choice(INSIST), &mut self.0.client);
    }
}

impl Section for Sides {
    fn fields(&mut self, form: &mut impl Form) {
        form.field("server", Choice(INSIST), &mut self.server);
        form.field("client", Choice(INSIST), &mut self.client);
        form.field("credentials", Maybe(Path), &mut self.credentials);
    }
}

impl Kind<Sides> for TlsSides {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Sides> {
        let mut sides = WithoutCredentials(Sides::default());
        read_into(node, reader, &mut sides)?;
        Some(sides.0)
    }

    fn print(&self, value: &Sides) -> Document {
        print_section(&WithoutCredentials(value.clone()))
    }
}

impl Kind<Sides> for SaslSides {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Sides> {
        let mut sides = Sides::default();
        read_into(node, reader, &mut sides)?;
        Some(sides)
    }

    fn print(&self, value: &Sides) -> Document {
        print_section(value)
    }
}

const INSIST: &[(&str, Insist)] =
    &[("No", Insist::No), ("May", Insist::May), ("Must", Insist::Must)];
