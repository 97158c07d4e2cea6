//! Figures beside their budgets.

/// The findings, in the order in which they were made.
pub(crate) struct Report {
    title: String,
    rows: Vec<[String; 4]>,
}

/// The limits of a figure, and its unit.
#[derive(Clone, Copy)]
pub(crate) enum Budget {
    Below(f64, &'static str),
    Above(f64, &'static str),
}

impl Report {
    pub(crate) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), rows: Vec::new() }
    }

    /// A figure that has a budget.
    pub(crate) fn enter(&mut self, what: &str, value: f64, budget: Budget) {
        let (within, unit, allowed) = match budget {
            Budget::Below(limit, unit) => (value <= limit, unit, format!("at most {limit} {unit}")),
            Budget::Above(limit, unit) => {
                (value >= limit, unit, format!("at least {limit} {unit}"))
            }
        };
        let value = format!("{value:.*} {unit}", usize::from(unit == "s") * 2);
        self.row([what.to_owned(), value, allowed, if within { "" } else { "missed" }.to_owned()]);
    }

    /// One that has none.
    pub(crate) fn note(&mut self, what: &str, value: &str) {
        self.row([what.to_owned(), value.to_owned(), String::new(), String::new()]);
    }

    /// Told at once, so that a long run shows that it lives.
    fn row(&mut self, row: [String; 4]) {
        eprintln!("{}: {} {}", row[0], row[1], row[3]);
        self.rows.push(row);
    }

    pub(crate) fn print(&self) {
        println!("\n{}\n", self.title);
        println!("| what | measured | budget | |");
        println!("| --- | ---: | ---: | --- |");
        for [what, value, budget, verdict] in &self.rows {
            println!("| {what} | {value} | {budget} | {verdict} |");
        }
    }
}
