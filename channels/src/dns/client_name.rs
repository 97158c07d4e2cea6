//! The name of a client, as its address leads to it and back.

use std::{net::IpAddr, time::Duration};

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use relais_config::grammar::is_domain_name;
use tokio::time::timeout;

use super::{Dns, NoAnswer, answer, undotted};

/// The names of a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientName {
    /// The name whose addresses have the client's among them.
    pub verified: Option<String>,
    /// The name that the address has, whatever that one says.
    pub claimed: Option<String>,
    /// How the look-up ended, in sendmail's words: `OK`, `FORGED`, `FAIL` or `TEMP`.
    pub outcome: &'static str,
}

impl Dns {
    /// The first name of an address, and whether it leads back there. It takes five seconds at most.
    pub async fn client_name(&self, address: IpAddr) -> ClientName {
        let address = address.to_canonical();
        let mut found = ClientName { verified: None, claimed: None, outcome: "TEMP" };
        let asked = async {
            let claimed = match self.name_of(address).await {
                Ok(Some(claimed)) => claimed,
                Ok(None) => return "FAIL",
                Err(_) => return "TEMP",
            };
            found.claimed = Some(claimed.clone());
            match self.addresses(&claimed).await {
                Ok(its) if its.records.contains(&address) => {
                    found.verified = Some(claimed);
                    "OK"
                }
                Ok(_) => "FORGED",
                Err(none) if none.is_final() => "FORGED",
                Err(_) => "TEMP",
            }
        };
        if let Ok(outcome) = timeout(PATIENCE, asked).await {
            found.outcome = outcome;
        }
        found
    }

    /// The first name of an address that is one.
    async fn name_of(&self, address: IpAddr) -> Result<Option<String>, NoAnswer> {
        let reverse = Name::from(address).to_ascii();
        let name = |data: &RData| match data {
            RData::PTR(name) => Some(undotted(name)),
            _ => None,
        };
        match self.look_up(&reverse, RecordType::PTR).await {
            Ok(found) => {
                let is_host =
                    |name: &String| is_domain_name(name) && name.parse::<IpAddr>().is_err();
                Ok(answer(&found, name).records.into_iter().find(is_host))
            }
            Err(none) if none.is_final() => Ok(None),
            Err(none) => Err(none),
        }
    }
}

/// A client waits for its greeting meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
