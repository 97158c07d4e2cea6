//! An exchange of AUTH: the mechanism and whether there is a channel binding by the first octet, then
//! what the client says, a response each line. One line, `=`, is the answer with keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relais_channels::sasl::{Mechanism, SaslExchange, ScramKeys, Step};

fuzz_target!(|octets: &[u8]| {
    let Some((kind, said)) = octets.split_first() else { return };
    let mechanisms = Mechanism::ALL;
    let mechanism = mechanisms[usize::from(*kind) % mechanisms.len()];
    let binding = (*kind >= 128).then_some([7; 32]);
    let mut said = said.split(|c| *c == b'\n').map(<[u8]>::to_vec);
    let first = said.next().filter(|first| !first.is_empty());
    let (mut exchange, mut step) = SaslExchange::begin(mechanism, first, binding);
    for response in said {
        step = match step {
            Step::Keys(_) => exchange.keys(ScramKeys {
                iterations: 4_096,
                salt: vec![1; 16],
                stored_key: vec![2; 32],
                server_key: vec![3; 32],
            }),
            _ => exchange.step(response),
        };
        assert!(!matches!(step, Step::Proven(_)), "nobody knows a password of these keys");
    }
});
