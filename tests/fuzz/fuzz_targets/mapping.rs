//! A mapping table of one entry, and an input to it: pattern, template and input, a line each.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use relais_config::{MappingTable, mapping::Tables};

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n').map(str::to_owned);
    let (Some(pattern), Some(template), Some(input)) = (lines.next(), lines.next(), lines.next())
    else {
        return;
    };
    if let Ok(table) = MappingTable::parse(vec![(pattern, template)]) {
        let tables = BTreeMap::from([("T".to_owned(), table)]);
        let general = BTreeMap::new();
        let _ = Tables::new(&tables, &general).lookup("T", &input);
    }
});
