//! Certificates for people.

use std::fmt::Write;

use relais_actors::events::Printable;

use super::{Look, Table};
use crate::api::CertificateShown;

/// `relais cert`.
pub fn certificates(shown: &[CertificateShown], of: &str, look: Look) -> String {
    if shown.is_empty() {
        return format!("{of} has no certificate: TLS is not offered\n");
    }
    let mut table = Table::new(&["FILE", "NAMES", "KEY", "ISSUER", "UNTIL", ">DAYS"]);
    for one in shown {
        let text = |text: &str| Printable(text).to_string();
        let until = one.not_after.to_string();
        let until = until.split('T').next().unwrap_or_default().to_owned();
        let (file, names, issuer) =
            (text(&one.file), text(&one.names.join(" ")), text(&one.issuer));
        table.row([&file, &names, &one.key, &issuer, &until, &one.days_left]);
    }
    let mut page = table.fit(look);
    for one in shown {
        for remark in &one.remarks {
            // Writing to a string cannot fail.
            let _ = writeln!(page, "{}: {remark}", Printable(&one.file));
        }
    }
    page
}
