//! Which certificate a client is shown: the one for the name that it asks for.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::certificate::Certificate;

/// Certificates by the names that they are for.
#[derive(Debug)]
pub(super) struct ByName {
    keys: Vec<Arc<CertifiedKey>>,
    /// Places in `keys`, by the exact name or `*.domain`.
    names: HashMap<String, Vec<usize>>,
}

impl ByName {
    /// The first of them stands in for every name that none is for.
    pub(super) fn of(certificates: &[Certificate], keys: Vec<Arc<CertifiedKey>>) -> Self {
        let mut names: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, certificate) in certificates.iter().enumerate() {
            for name in &certificate.names {
                names.entry(name.clone()).or_default().push(place);
            }
        }
        Self { keys, names }
    }

    /// Places of the certificates for a name; none for a name of others.
    fn named(&self, name: &str) -> &[usize] {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let wildcard = || {
            let (_, above) = name.split_once('.')?;
            self.names.get(&format!("*.{above}"))
        };
        self.names.get(&name).or_else(wildcard).map_or(&[], Vec::as_slice)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let fits = |place: &usize| self.keys[*place].key.choose_scheme(schemes).is_some();
        let named = hello.server_name().map_or(&[][..], |name| self.named(name));
        // With a name that is not ours the first is shown: most clients do not look at it, and
        // without one they would get nothing at all.
        let place = named.iter().copied().find(fits).or_else(|| (0..self.keys.len()).find(fits));
        self.keys.get(place.unwrap_or(0)).map(Arc::clone)
    }
}
