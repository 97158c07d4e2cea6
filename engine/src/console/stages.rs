//! Stages of routing that an operator tries one at a time.

use relais_actors::router::{AddressKind, Probed, RouterHandle, Sought};
use relais_channels::mail::Address;
use relais_config::Config;

use super::steps::{channel_asked, taken};
use crate::{
    admin::{Nonsense, Stage, StageQuestion},
    api::{StageExplained, StageFact},
};

/// Probes one stage as this router does now.
pub(super) async fn probe_stage(
    config: &Config,
    router: &RouterHandle,
    question: &StageQuestion,
) -> Result<StageExplained, Nonsense> {
    let StageQuestion { stage, input, channel, header, sender } = question;
    let channel = channel_asked(config, channel.as_deref())?;
    let bare = input.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(input);
    let address = || {
        let wrong = |error| Nonsense(format!("{input:?} is no address: {error}"));
        Address::parse(bare).map_err(wrong)
    };
    let (header, sender) = (*header, *sender);
    let probed = match stage {
        Stage::Rewrite => {
            router.rewrite_by_hand(address()?, AddressKind { header, sender }, &channel).await
        }
        Stage::Alias => {
            let probed = router.alias_by_hand(&address()?, &channel).await;
            let none =
                || Nonsense("no channel is of program Local: nothing is an alias".to_owned());
            probed.ok_or_else(none)?
        }
        Stage::Option => router.options_by_hand(&address()?).await,
        Stage::Ldap => {
            if config.directory.is_none() {
                return Err(Nonsense("no directory is configured".to_owned()));
            }
            let sought = if bare.starts_with("ldap:") {
                Sought::url(bare).map_err(|error| Nonsense(error.to_string()))?
            } else {
                Sought::Address(address()?)
            };
            router.look_up_by_hand(&sought).await
        }
    };
    let Probed { steps, facts, passed } = probed;
    let fact = |(name, value): (&str, String)| StageFact { name: name.to_owned(), value };
    Ok(StageExplained {
        stage: stage.name().to_owned(),
        input: input.clone(),
        passed,
        steps: steps.iter().map(taken).collect(),
        facts: facts.into_iter().map(fact).collect(),
        asked: String::new(),
    })
}
