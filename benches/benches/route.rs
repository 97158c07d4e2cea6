//! Rewriting: a recipient in, channel and next hop out, with the built-in configuration and
//! directory, and by 100,000 rules; uncached, as the router does it once for each address.

use criterion::{Criterion, criterion_group, criterion_main};
use relais_actors::{
    directory::Source,
    metrics::ServerMeters,
    router::{PostProof, Poster, Question, Resolver, Routes},
};
use relais_channels::mail::Address;
use relais_config::{Config, RewriteRule, STANDALONE};

fn built_in() -> Config {
    Config::parse("standalone.ron", STANDALONE).expect("the default is right").0
}

/// One recipient's domain among this many that have a rule each.
fn many_rules(criterion: &mut Criterion) {
    const RULES: usize = 100_000;
    let mut config = built_in();
    let rule = |n| RewriteRule::parse(&format!("d{n}.example"), "$U%$D@tcp-daemon");
    config.rewrite_rules = (0..RULES).map(|n| rule(n).expect("a rule")).collect();
    let any = |template| RewriteRule::parse(".", template).expect("a rule");
    config.rewrite_rules.push(any("$U%$H@tcp-daemon"));
    let routes = Routes::new(&config).expect("rules to route by");
    let directory =
        Source::open(&config, &ServerMeters::unregistered()).expect("the built-in directory");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let rows = [
        ("an exact domain of 100,000", "user@D77777.example"),
        ("none of 100,000", "user@some.host.elsewhere.example"),
    ];
    let mut group = criterion.benchmark_group("route");
    for (name, recipient) in rows {
        let address = Address::parse(recipient).expect("an address");
        let resolver = || Resolver::new(&routes, &directory, question(&address));
        let ways = runtime.block_on(resolver().resolve()).routes;
        assert_eq!(ways.map(|ways| ways.len()), Ok(1), "{recipient}");
        group.bench_function(name, |bench| {
            bench.iter(|| runtime.block_on(resolver().resolve()));
        });
    }
    group.finish();
}

fn question(address: &Address) -> Question<'_> {
    Question {
        address,
        sender: "a@sender.example",
        source_channel: "tcp_local",
        may_relay: false,
        header: false,
        released: false,
        submission: None,
        poster: Poster::Unsaid,
        earlier: None,
        proof: PostProof::default(),
    }
}

fn routes(criterion: &mut Criterion) {
    let config = built_in();
    let routes = Routes::new(&config).expect("the default can be routed by");
    let directory =
        Source::open(&config, &ServerMeters::unregistered()).expect("the built-in directory");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let rows = [
        ("a user", "alice@relais.example"),
        ("a list of two", "team@relais.example"),
        ("somebody else's domain", "user@some.host.elsewhere.example"),
    ];
    let mut group = criterion.benchmark_group("route");
    for (name, recipient) in rows {
        let address = Address::parse(recipient).expect("an address");
        group.bench_function(name, |bench| {
            let resolver = || Resolver::new(&routes, &directory, question(&address));
            bench.iter(|| runtime.block_on(resolver().route()));
        });
    }
    group.finish();
}

criterion_group!(benches, routes, many_rules);
criterion_main!(benches);
