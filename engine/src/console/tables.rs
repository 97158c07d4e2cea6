//! Mapping tables that an operator tries.

use std::net::{IpAddr, UdpSocket};

use relais_actors::router::{RouterHandle, TcpEnds};
use relais_config::{
    Service,
    facts::{Facts, SPF_RESULTS},
    mapping::{MappingFlags, Tables},
    suggest,
};

use crate::{
    admin::{MappingQuestion, Nonsense},
    api::{MappingExplained, MappingStepTold},
};

/// Both ends of a connection of this client to a service; `None`: it listens on no port.
pub(super) fn ends_at(service: &Service, client: IpAddr) -> Option<TcpEnds> {
    let port = *service.ports.iter().chain(&service.tls_ports).next()?;
    let server = match service.interface_address {
        Some(own) if !own.is_unspecified() => own,
        // From which address of ours packets to the client would go; none is sent.
        _ => toward(client).unwrap_or(client),
    };
    Some(TcpEnds { server: (server, port).into(), client: (client, SOME_PORT).into() })
}

fn toward(client: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if client.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((client, SOME_PORT)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Results of SPF that an operator names; none are known otherwise.
pub(super) fn facts_asked(spf: Option<&str>, spf_helo: Option<&str>) -> Result<Facts, Nonsense> {
    let facts = Facts::of_words(spf.unwrap_or_default(), spf_helo.unwrap_or_default());
    facts.ok_or_else(|| Nonsense(format!("results of SPF are {}", SPF_RESULTS.join(", "))))
}

/// Probes one table. No number of a sequence is drawn.
pub(super) async fn explain_mapping(
    router: &RouterHandle,
    question: &MappingQuestion,
) -> Result<MappingExplained, Nonsense> {
    let explained = router.look_into_tables(|tables| explain_by(tables, question)).await;
    explained.map_err(|error| Nonsense(error.to_string()))?
}

fn explain_by(
    tables: Tables<'_>,
    question: &MappingQuestion,
) -> Result<MappingExplained, Nonsense> {
    let Some((name, table)) = tables.named(&question.table) else {
        let known: Vec<_> = tables.mappings.keys().map(String::as_str).collect();
        let known = suggest(&question.table, &known, "there are:");
        return Err(Nonsense(format!("there is no mapping table {:?}; {known}", question.table)));
    };
    let flags = question.flags.as_deref().unwrap_or_default().replace('$', "");
    let flags = MappingFlags::parse(&flags)
        .ok_or_else(|| Nonsense(format!("{flags:?} are no flags; letters are expected")))?;
    let facts = facts_asked(question.spf.as_deref(), question.spf_helo.as_deref())?;
    let tables = Tables { facts, ..tables };
    let (mapped, steps) = table.explain(&question.input, flags, &tables);
    let told = |step: relais_config::mapping::MappingStep| MappingStepTold {
        step: step.step.to_owned(),
        depth: step.depth,
        detail: step.detail,
    };
    let matched = mapped.is_some();
    let entry = mapped.as_ref().map(|mapped| mapped.entry + 1);
    let mapped = mapped.unwrap_or_default();
    Ok(MappingExplained {
        table: name.to_owned(),
        input: question.input.clone(),
        matched,
        flags: mapped.flags.to_string(),
        text: mapped.text,
        entry,
        steps: steps.into_iter().map(told).collect(),
        asked: String::new(),
    })
}

/// A port of a client's own: any will do.
const SOME_PORT: u16 = 40_000;
