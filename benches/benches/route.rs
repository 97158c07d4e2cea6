//! Rewriting: a recipient in, channel and next hop out, with the built-in configuration and
//! directory; uncached, as the router does it once for each address.

use criterion::{Criterion, criterion_group, criterion_main};
use relais_actors::{
    directory::Source,
    metrics::ServerMeters,
    router::{Question, Resolver, Routes},
};
use relais_channels::mail::Address;
use relais_config::{Config, STANDALONE};

fn routes(criterion: &mut Criterion) {
    let (config, _) = Config::parse("standalone.ron", STANDALONE).expect("the default is right");
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
        let question = Question {
            address: &address,
            sender: "a@sender.example",
            source_channel: "tcp_local",
            may_relay: false,
            header: false,
            released: false,
            submission: None,
        };
        group.bench_function(name, |bench| {
            bench.iter(|| runtime.block_on(Resolver::new(&routes, &directory, question).route()));
        });
    }
    group.finish();
}

criterion_group!(benches, routes);
criterion_main!(benches);
