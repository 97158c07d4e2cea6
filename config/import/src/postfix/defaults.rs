//! Defaults of Postfix 3.7 that matter where a file does not say otherwise, as `postconf -d` has them.

pub(super) fn of(name: &str) -> Option<&'static str> {
    TABLE.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

const TABLE: &[(&str, &str)] = &[
    ("alias_maps", "hash:/etc/aliases"),
    ("bounce_queue_lifetime", "5d"),
    ("compatibility_level", "0"),
    ("default_destination_concurrency_limit", "20"),
    ("default_destination_recipient_limit", "50"),
    ("default_transport", "smtp"),
    ("delay_warning_time", "0h"),
    ("inet_interfaces", "all"),
    ("local_recipient_maps", "proxy:unix:passwd.byname $alias_maps"),
    ("local_transport", "local:$myhostname"),
    ("mail_spool_directory", "/var/mail"),
    ("maximal_backoff_time", "4000s"),
    ("maximal_queue_lifetime", "5d"),
    ("message_size_limit", "10240000"),
    ("minimal_backoff_time", "300s"),
    ("mydestination", "$myhostname, localhost.$mydomain, localhost"),
    ("myhostname", "localhost.localdomain"),
    ("mynetworks", "127.0.0.0/8 [::1]/128"),
    ("myorigin", "$myhostname"),
    (
        "parent_domain_matches_subdomains",
        "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,relay_domains,smtpd_access_maps",
    ),
    ("queue_directory", "/var/spool/postfix"),
    ("relay_domains", "${{$compatibility_level} <level {2} ? {$mydestination} : {}}"),
    ("relay_transport", "relay"),
    ("smtp_tcp_port", "smtp"),
    ("smtpd_tls_key_file", "$smtpd_tls_cert_file"),
    ("virtual_alias_domains", "$virtual_alias_maps"),
    ("virtual_alias_maps", "$virtual_maps"),
    ("virtual_transport", "virtual"),
];
