//! `ORIGIN_ACCESS`: whether mail of this origin is taken, as far as the checks of it have found out.

use relais_channels::authenticity::{AuthResult, SpfFound, Verified};
use relais_config::{facts::Facts, mapping::Tables};

use super::{
    super::{
        routes::Routes,
        submission::{ORIGIN_ACCESS, address_field, one_field},
    },
    Ruling,
};

/// The word of the table about a message whose origin was checked. `None`: there is no such table.
/// What was not checked is empty.
pub fn origin_access(routes: &Routes, channel: &str, verified: &Verified) -> Option<Ruling> {
    let facts = verified.spf.as_ref().map_or_else(Facts::default, SpfFound::facts);
    let tables = Tables { facts, ..routes.tables() };
    let ruling = Ruling::of(ORIGIN_ACCESS, (routes, &tables), || probe(channel, verified))?;
    ruling.write_note();
    Some(ruling)
}

fn probe(channel: &str, verified: &Verified) -> String {
    let name = |result: Option<AuthResult>| result.map_or("", AuthResult::name);
    let Verified { spf, dmarc, .. } = verified;
    let sender = address_field(&verified.sender);
    let author = one_field(dmarc.as_ref().map_or("", |its| &its.domain));
    let spf = name(spf.as_ref().map(|its| its.verdict));
    let dkim = name(verified.dkim_result());
    let policy = dmarc.as_ref().map_or("", |its| its.policy.name());
    let dmarc = name(dmarc.as_ref().map(|its| its.verdict));
    format!("{channel}|{sender}|{author}|{spf}|{dkim}|{dmarc}|{policy}")
}

#[cfg(test)]
mod tests {
    use relais_channels::authenticity::{DmarcFound, DmarcPolicy};

    use super::*;

    #[test]
    fn a_probe_holds_what_was_found_out_and_nothing_else() {
        let dmarc = DmarcFound {
            verdict: AuthResult::Fail,
            domain: "a|b.test".into(),
            policy: DmarcPolicy::Quarantine,
        };
        let sender = "x@c.test".into();
        let verified =
            Verified { sender, dkim: Some(Vec::new()), dmarc: Some(dmarc), ..Verified::default() };
        assert_eq!(probe("tcp", &verified), "tcp|x@c.test|a%7Cb.test||none|fail|quarantine");
        assert_eq!(probe("tcp", &Verified::default()), "tcp||||||");
    }
}
