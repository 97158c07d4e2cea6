//! An LDAP directory: whether it can be asked at all.

use crate::{
    file::reader::Reader,
    sections::{
        config::Config,
        directory::{Directory, Ldap, Schema},
    },
};

pub(crate) fn check(config: &Config, reader: &mut Reader<'_>) {
    let Some(Directory::Ldap(ldap)) = &config.directory else { return };
    let needed = [
        ("directory.servers", ldap.servers.is_empty(), "[\"ldap://host:389\"] is expected"),
        ("directory.user_base", ldap.user_base.is_empty(), "\"dc=example,dc=org\" is expected"),
        (
            "directory.alias_urls",
            ldap.alias_urls.is_empty(),
            "[\"ldap:///$V??sub?$R\"] is expected",
        ),
        (
            "directory.address_attributes",
            ldap.address_attributes.is_empty(),
            "[\"mail\"] is expected",
        ),
        ("directory.user_classes", ldap.user_classes.is_empty(), "[\"inetOrgPerson\"] is expected"),
    ];
    for (field, is_empty, accepted) in needed {
        if is_empty && reader.is_sound(field) {
            reader.mistake_at(field, "without it no entry is found", accepted);
        }
    }
    if !ldap.bind_dn.is_empty() && ldap.bind_password_file.is_none() {
        let accepted = "bind_password_file: \"FILE\" is expected beside it";
        let message =
            "an empty password is refused by some servers, and taken for nobody's by others";
        reader.mistake_at("directory.bind_dn", message, accepted);
    }
    warn(ldap, reader);
}

fn warn(ldap: &Ldap, reader: &mut Reader<'_>) {
    let mut tell = |field: &str, applies: bool, message: &str| {
        if applies {
            reader.warning_at(&format!("directory.{field}"), message, false);
        }
    };
    let starts = |scheme: &str| ldap.servers.iter().any(|server| server.starts_with(scheme));
    let in_clear = starts("ldap://") && !ldap.starttls;
    tell("starttls", ldap.starttls && !starts("ldap://"), "no server is asked over ldap://");
    tell(
        "ca",
        ldap.ca.is_some() && !starts("ldaps://") && !ldap.starttls,
        "no server is asked over TLS",
    );
    let anonymous = ldap.bind_dn.is_empty();
    tell(
        "bind_password_file",
        ldap.bind_password_file.is_some() && anonymous,
        "without bind_dn nobody is logged in as: the password is not used",
    );
    let others = |server: &String| !is_this_machine(server);
    tell(
        "servers",
        in_clear && !anonymous && ldap.servers.iter().any(others),
        "the password and every entry pass the network in clear: starttls: true or ldaps:// hides them",
    );
    let is_mail = ldap.schema == Schema::Mail;
    tell(
        "domains",
        !ldap.domains.is_empty() && !is_mail,
        "domains are found by the schema: a list of them needs schema: Mail",
    );
    tell(
        "schema",
        is_mail && ldap.domains.is_empty() && ldap.domain_filter.is_none(),
        "without domains and without domain_filter no domain is ours: nobody is found",
    );
}

fn is_this_machine(server: &str) -> bool {
    let host = server.strip_prefix("ldap://").unwrap_or_default();
    ["localhost", "127.", "[::1]"].iter().any(|name| host.starts_with(name))
        || !server.starts_with("ldap://")
}
