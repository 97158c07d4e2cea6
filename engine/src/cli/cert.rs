//! `relais cert`: the certificates that the running engine shows, else those of the files.

use std::io::Write;

use relais_channels::tls::ServerTls;

use super::{
    exchange::{json, wait},
    refusal::Refusal,
    source::Source,
};
use crate::{
    admin::client::{Client, ClientError},
    api::CertificateShown,
    show::{self, Look},
};

/// Shows the certificates; "no" when clients will dislike one.
pub(super) fn cert(source: &Source, as_json: bool, out: &mut dyn Write) -> Result<(), Refusal> {
    let (mut shown, of) = in_force(source)?;
    let on_disk = of_files(source).unwrap_or_default();
    for one in &mut shown {
        // A file that was changed since is not in force before it is read again.
        let newer = on_disk.iter().find(|its| its.file == one.file && its.serial != one.serial);
        if let Some(newer) = newer {
            let words = format!(
                "the file holds another one, good until {}: `relais reload` puts it in force",
                newer.not_after
            );
            one.remarks.push(words);
        }
    }
    if as_json {
        json(&shown, out)?;
    } else {
        let look = Look::of_stdout();
        out.write_all(look.fit(&show::certificates(&shown, &of, look)).as_bytes())?;
    }
    if shown.iter().all(|one| one.days_left >= 0) { Ok(()) } else { Err(Refusal::No) }
}

/// Of the engine that runs, or of the files where none runs; and which of them it was, in words.
fn in_force(source: &Source) -> Result<(Vec<CertificateShown>, String), Refusal> {
    let client = Client::new(&source.data()?);
    match wait(client.get("/api/v1/certificates"))? {
        Ok(shown) => Ok((shown, "the running engine".to_owned())),
        Err(ClientError::NotRunning { .. }) => Ok((of_files(source)?, source.name())),
        Err(error) => Err(error.into()),
    }
}

fn of_files(source: &Source) -> Result<Vec<CertificateShown>, Refusal> {
    let (config, _) = source.load()?;
    let tls = ServerTls::load(config.tls.as_ref(), &config.data);
    let tls = tls.map_err(|error| Refusal::Because(format!("{}: {error}", error.field)))?;
    Ok(tls.certificates().iter().map(CertificateShown::of).collect())
}
