//! Rates and costs, and what they are in terms of the first row.

use relais_benches::Measured;

/// The rounds of each server under one load.
pub(crate) struct Table {
    title: String,
    rows: Vec<(String, Vec<Measured>)>,
}

impl Table {
    pub(crate) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), rows: Vec::new() }
    }

    /// One more round; told at once, so that a long run shows that it lives.
    pub(crate) fn enter(&mut self, server: &str, measured: Measured) {
        eprintln!("{server}: {:.0}/s, {:.0} us", measured.rate(), measured.cost());
        match self.rows.iter_mut().find(|(name, _)| name == server) {
            Some((_, rounds)) => rounds.push(measured),
            None => self.rows.push((server.to_owned(), vec![measured])),
        }
    }

    /// The median round of each, the span of all, and the ratio to the first.
    pub(crate) fn print(&self) {
        println!("\n{}\n", self.title);
        println!(
            "| server | messages/s | lowest - highest | CPU us/message | rate of the first | CPU of the first |"
        );
        println!("| --- | ---: | ---: | ---: | ---: | ---: |");
        let of_first = |value| self.rows.first().map_or(1.0, |(_, rounds)| median(rounds, value));
        let (first, cost) = (of_first(Measured::rate), of_first(Measured::cost));
        for (server, rounds) in &self.rows {
            let rates = sorted(rounds, Measured::rate);
            println!(
                "| {server} | {:.0} | {:.0} - {:.0} | {:.0} | {:.2} x | {:.2} x |",
                median(rounds, Measured::rate),
                rates[0],
                rates[rates.len() - 1],
                median(rounds, Measured::cost),
                first / median(rounds, Measured::rate),
                cost / median(rounds, Measured::cost),
            );
        }
        println!();
    }
}

fn median(rounds: &[Measured], value: fn(&Measured) -> f64) -> f64 {
    let values = sorted(rounds, value);
    values[values.len() / 2]
}

fn sorted(rounds: &[Measured], value: fn(&Measured) -> f64) -> Vec<f64> {
    let mut values: Vec<_> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values
}
