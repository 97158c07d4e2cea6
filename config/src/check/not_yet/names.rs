//! Settings of how hosts are found that do nothing where no host is looked for.

use super::{Reader, Role, Roles};
use crate::sections::channel::{Channel, Mx};

/// Warns of them.
pub(super) fn warn(roles: &Roles<'_>, reader: &mut Reader<'_>) {
    for (i, channel) in roles.config.channels.iter().enumerate() {
        let lacks = |role| roles.lacks(i, role).is_some();
        let idle = [
            ("nameservers", Role::Delivering, asks_nobody(channel)),
            ("private_addresses", Role::SmtpDelivering, refuses_none(channel)),
        ];
        for (field, role, why) in idle {
            let path = format!("channels[{i}].{field}");
            if let Some(why) = why.filter(|_| reader.is_given_itself(&path) && !lacks(role)) {
                reader.warning_at(&path, &format!("{why}: nothing comes of {field}"), false);
            }
        }
    }
}

fn asks_nobody(channel: &Channel) -> Option<&'static str> {
    (channel.mx == Mx::NoDns).then_some("mx is NoDns here: no name server is asked")
}

fn refuses_none(channel: &Channel) -> Option<&'static str> {
    let is_named = channel.fixed_hosts().is_some();
    let named = "daemon says where to connect to, which is never refused";
    asks_nobody(channel).or(is_named.then_some(named))
}
