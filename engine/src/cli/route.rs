//! `relais route`: the running engine is asked when there is one, else the files.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::Path,
};

use relais_config::Config;

use super::{
    arguments::Route,
    asked::{Explained, Whom},
    exchange::{json, wait},
    refusal::Refusal,
    route_dns::RouteSites,
    route_sieve::SievedMessage,
    source::Source,
};
use crate::{
    admin::{
        RouteQuestion,
        client::{Client, with_query},
    },
    api::RouteExplained,
    show::{self, Look, Routes},
};

/// Reads what the configuration names, to explain routes without a running engine.
type Explain = fn(&Config) -> Result<Explained, String>;

/// Shows how each address is routed. One is told step by step, many a line each.
pub(super) fn route(
    source: &Source,
    route: &Route,
    explain: Explain,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    // Decisions of scripts are told in full, however many addresses there are.
    let is_listing =
        (route.file.is_some() || route.addresses.len() != 1) && route.message.is_none();
    if route.addresses.is_empty() && route.file.is_none() {
        return Err(Refusal::WrongUse("an address, or --file LIST, is expected".to_owned()));
    }
    let mut asked = RouteSource::find(source, route, explain)?;
    let sites = if route.dns { Some(RouteSites::of(source.load()?.0)?) } else { None };
    let message = match &route.message {
        Some(file) => {
            let config = (source.load()?.0, &*source.name());
            Some(SievedMessage::load(file, (route.from.as_deref(), route.client), config)?)
        }
        None => None,
    };
    let mut listing = Routes::new(Look::of_stdout());
    let (mut count, mut refused) = (0u64, 0u64);
    each_address(route, |address| {
        let mut question = route.question(address);
        if let Some(message) = &message {
            question.from = Some(message.sender().to_owned());
        }
        let mut explained = asked.ask(&question)?;
        if let Some(sites) = &sites {
            sites.add_to(&mut explained)?;
        }
        if let Some(message) = &message {
            message.add_to(&mut explained, &mut |question| asked.ask(question))?;
        }
        (count, refused) = (count + 1, refused + u64::from(!explained.accepted));
        if route.json {
            json(&explained, out)?;
        } else if is_listing {
            listing.add(explained);
            out.write_all(listing.full_page().as_bytes())?;
        } else {
            out.write_all(show::route(&explained, Look::of_stdout()).as_bytes())?;
        }
        Ok(())
    })?;
    if is_listing && !route.json {
        out.write_all(listing.last_page().as_bytes())?;
        let s = if count == 1 { "" } else { "es" };
        let sums = format!("{count} address{s}, {refused} refused; asked: {}\n", asked.name);
        out.write_all(Look::of_stdout().fit(&sums).as_bytes())?;
    }
    if refused == 0 { Ok(()) } else { Err(Refusal::No) }
}

/// The source of answers: the running engine, or the files.
struct RouteSource {
    who: Answerer,
    name: String,
}

enum Answerer {
    Engine(Client),
    Files(Explained),
}

impl RouteSource {
    fn find(source: &Source, route: &Route, explain: Explain) -> Result<Self, Refusal> {
        let (whom, name) = Whom::find(source, route.offline)?;
        let who = match whom {
            Whom::Engine(client) => Answerer::Engine(client),
            Whom::Files(config) => Answerer::Files(explain(&config).map_err(Refusal::Because)?),
        };
        Ok(Self { who, name })
    }

    fn ask(&mut self, question: &RouteQuestion) -> Result<RouteExplained, Refusal> {
        match &mut self.who {
            Answerer::Engine(client) => {
                Ok(wait(client.get(&with_query("/api/v1/route", question)))??)
            }
            Answerer::Files(files) => {
                let mut explained = files(question).map_err(Refusal::WrongUse)?;
                explained.asked.clone_from(&self.name);
                Ok(explained)
            }
        }
    }
}

/// Addresses that were typed, then those of the list, a line each; blank lines are none, and neither are
/// those that begin with `# `.
pub(super) fn each_address(
    route: &Route,
    mut each: impl FnMut(&str) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    route.addresses.iter().try_for_each(|address| each(address))?;
    match &route.file {
        Some(list) => each_listed(list, each),
        None => Ok(()),
    }
}

/// The addresses of a list, a line each; `-` is standard input.
pub(super) fn each_listed(
    list: &Path,
    mut each: impl FnMut(&str) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let unreadable = |error: io::Error| {
        Refusal::Because(format!("cannot read the list of addresses {}: {error}", list.display()))
    };
    let reader: Box<dyn BufRead> = if list.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(list).map_err(unreadable)?))
    };
    for line in reader.split(b'\n') {
        let line = line.map_err(unreadable)?;
        let line = String::from_utf8_lossy(&line);
        let address = line.trim();
        let address =
            address.strip_prefix('<').and_then(|a| a.strip_suffix('>')).unwrap_or(address);
        match line.trim() {
            "" | "#" => {}
            // A local part may begin with the sign, and none has a blank behind it.
            comment if comment.starts_with("# ") => {}
            // It is answered like any other that is no recipient.
            "<>" => each("<>")?,
            _ => each(address)?,
        }
    }
    Ok(())
}
