//! Addresses of ours that stand for a sender, as a session takes them back.

use std::time::SystemTime;

use relais_channels::{authenticity::Srs, mail::Address};
use relais_config::{Config, grammar::undotted};

/// The sender that an address of ours stands for, or why it is not believed. `None`: it is no such
/// address. The secrets are read where it may be one.
pub(super) fn restored(config: &Config, to: &Address) -> Option<Result<Address, String>> {
    let own = config.srs.as_ref()?;
    if !to.domain().is_some_and(|domain| undotted(domain).eq_ignore_ascii_case(&own.domain)) {
        return None;
    }
    let srs = match Srs::load(config) {
        Ok(srs) => srs?,
        Err(fault) => return Some(Err(fault.to_string())),
    };
    let sender = srs.unwrapped(to.as_str(), SystemTime::now())?;
    let sender = sender.map_err(|fault| fault.to_string());
    Some(sender.and_then(|sender| Address::parse(&sender).map_err(|error| error.to_string())))
}
