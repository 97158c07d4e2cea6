//! Questions that files can answer, too, when no engine runs.

use relais_config::Config;

use super::{exchange::wait, refusal::Refusal, source::Source};
use crate::{
    admin::{
        AccessQuestion, MappingQuestion, RouteQuestion, StageQuestion,
        client::{Client, ClientError},
    },
    api::{AccessExplained, MappingExplained, RouteExplained, StageExplained},
};

/// Explains a route by what was read.
pub type Explained = Box<dyn FnMut(&RouteQuestion) -> Result<RouteExplained, String>>;

/// Explains many routes by what was read, without steps.
pub type ExplainedMany = Box<dyn FnMut(&[RouteQuestion]) -> Result<Vec<RouteExplained>, String>>;

/// Probes stages of routing by what was read.
pub type StagesExplained = Box<dyn FnMut(&StageQuestion) -> Result<StageExplained, String>>;

/// Answers by what a configuration names, without a running engine.
#[derive(Clone, Copy)]
pub struct Files {
    /// Reads what routing goes by.
    pub route: fn(&Config) -> Result<Explained, String>,
    /// The same for many addresses.
    pub routes: fn(&Config) -> Result<ExplainedMany, String>,
    /// Asks access tables about a client.
    pub access: fn(&Config, &AccessQuestion) -> Result<AccessExplained, String>,
    /// Reads what stages of routing are probed by.
    pub stages: fn(&Config) -> Result<StagesExplained, String>,
    /// Probes a mapping table.
    pub mapping: fn(&Config, &MappingQuestion) -> Result<MappingExplained, String>,
}

/// The running engine, or a configuration.
pub(super) enum Whom {
    Engine(Client),
    Files(Box<Config>),
}

impl Whom {
    /// The engine if one runs and may be asked, unless it is not to be; and what to call it.
    pub(super) fn find(source: &Source, offline: bool) -> Result<(Self, String), Refusal> {
        let why_not = if offline {
            "as --offline says".to_owned()
        } else {
            let client = Client::new(&source.data()?);
            match wait(client.get::<crate::api::Status>("/api/v1/status"))? {
                Ok(status) => {
                    let name = format!("the running engine, process {}", status.pid);
                    return Ok((Self::Engine(client), name));
                }
                Err(ClientError::NotRunning { .. }) => "no engine is running".to_owned(),
                // It starts or ends.
                Err(ClientError::Refused { code: 503, error }) => error,
                Err(error @ ClientError::NotAllowed { .. }) => error.to_string(),
                Err(error) => return Err(error.into()),
            }
        };
        let (config, _) = source.load()?;
        let name = format!("the files of {} ({why_not})", source.name());
        Ok((Self::Files(Box::new(config)), name))
    }
}
