//! Parameters of Postfix, and the counterpart of each.

use relais_config::units;

use crate::ron::{Value, quoted};

/// The counterpart of a parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counterpart {
    /// Read where the part of the new file is made that it is about.
    Read,
    /// A setting of the channels of SMTP services.
    Source(&'static str, ValueForm),
    /// A setting of channels that mail leaves by; the name without `smtp_` or `lmtp_`.
    Client(&'static str, ValueForm),
    /// A setting at the top of the file, or in the section before the dot.
    Top(&'static str, ValueForm),
    /// As here without a word.
    Same,
    /// About what is not there here.
    NotNeeded(&'static str),
    /// Without a counterpart.
    Missing(&'static str),
}

/// How a value is written in the new file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ValueForm {
    Number,
    Flag,
    Text,
    /// A time; a number alone is seconds.
    Time,
    /// A list of one text.
    One,
}

impl ValueForm {
    /// The value in the new file; `None`: it has another form.
    pub(super) fn of(self, value: &str) -> Option<Value> {
        let value = value.trim();
        match self {
            Self::Number => value.parse::<u64>().ok().map(|n| Value::Word(n.to_string())),
            Self::Flag => match value {
                "yes" => Some(Value::Word("true".to_owned())),
                "no" => Some(Value::Word("false".to_owned())),
                _ => None,
            },
            Self::Text => (!value.is_empty()).then(|| Value::text(value)),
            Self::Time => time(value, 's').map(|its| Value::Word(quoted(&its))),
            Self::One => (!value.is_empty()).then(|| Value::texts([value])),
        }
    }
}

/// A time as the new file has it; a number alone has this unit.
pub(super) fn time(value: &str, unit: char) -> Option<String> {
    let value = value.trim();
    let is_bare = !value.is_empty() && value.bytes().all(|c| c.is_ascii_digit());
    let text = if is_bare { format!("{value}{unit}") } else { value.to_owned() };
    units::parse_duration(&text).ok().map(units::format_duration)
}

/// The counterpart of a parameter; `None`: it is not known here.
pub(super) fn find(name: &str) -> Option<Counterpart> {
    let exact = TABLE.iter().find(|(names, _)| names.split(' ').any(|known| known == name));
    if let Some((_, counterpart)) = exact {
        return Some(*counterpart);
    }
    let client = ["smtp_", "lmtp_"].iter().find_map(|prefix| name.strip_prefix(prefix));
    let of_client = |rest: &str| {
        CLIENT
            .iter()
            .find(|(names, _)| names.split(' ').any(|known| known == rest))
            .map(|its| its.1)
    };
    let prefixed = || {
        let row = PREFIXES
            .iter()
            .find(|(prefixes, _)| prefixes.split(' ').any(|prefix| name.starts_with(prefix)));
        row.map(|(_, counterpart)| *counterpart)
    };
    if LIMITS.iter().any(|end| name.ends_with(end)) {
        return Some(Read);
    }
    if SCHEDULING.iter().any(|end| name.ends_with(end)) {
        return Some(NotNeeded(FILES));
    }
    if name.ends_with("_reject_code") || name.ends_with("_defer_code") {
        return Some(Missing(CODES));
    }
    client.and_then(of_client).or_else(prefixed)
}

use Counterpart::{Client, Missing, NotNeeded, Read, Same, Source, Top};
use ValueForm::{Flag, Number, One, Text, Time};

const FILES: &str = "files and processes of Postfix itself";
const CACHES: &str = "relais has its own way with connections and look-ups";
const SENDERS: &str = "relais does not look senders up; verify (spf, dkim, dmarc) judges them";
const RATES: &str = "client_messages_per_hour and client_recipients_per_hour count by the hour";
const ADDRESSES: &str =
    "addresses are rewritten by reverse.database, header_rules and the mapping REVERSE";
const CHECKS: &str =
    "no header or body is looked at by patterns: a Sieve script (sourcefilter) or a milter does";
const HEADERS: &str = "headers are left as they came, but for those of users' mail (submit: true)";
const PARSER: &str = "bounds of Postfix's own parsers";
const BCC: &str =
    "a Sieve script (sieve.before) sends copies, one for each recipient: `redirect :copy ADDRESS;`";
const SASLD: &str =
    "users log in against the directory (sasl.server), by PLAIN, LOGIN, EXTERNAL and SCRAM";
const TLS: &str = "TLS 1.2 and 1.3 with the ciphers of rustls, nothing older";
const SCREEN: &str = "there is no postscreen: dns_verify_domain, limits of clients and forbid_unauth_pipelining stand before the first command";
const SENDER_WAYS: &str = "the way of mail does not depend on its sender, but `relais order add reroute --from` moves such mail to a channel";
const CODES: &str = "replies have codes of their own: relais help replies";
const BOUNCES: &str = "notices are of one form (notary.templates)";

const TABLE: &[(&str, Counterpart)] = &[
    (
        "myhostname mydomain myorigin mydestination mynetworks relayhost relay_domains relay_transport default_transport local_transport virtual_transport transport_maps virtual_maps virtual_alias_maps virtual_alias_domains virtual_mailbox_domains virtual_mailbox_maps relay_recipient_maps alias_maps mailbox_transport fallback_transport recipient_delimiter mail_spool_directory inet_interfaces message_size_limit maximal_queue_lifetime delay_warning_time minimal_backoff_time maximal_backoff_time smtpd_tls_cert_file smtpd_tls_key_file smtpd_tls_chain_files smtpd_tls_security_level smtpd_use_tls smtpd_enforce_tls smtpd_milters smtpd_authorized_xclient_hosts smtpd_tls_wrappermode milter_connect_timeout milter_command_timeout milter_content_timeout milter_default_action default_destination_concurrency_limit default_destination_recipient_limit smtp_tls_security_level lmtp_tls_security_level smtp_use_tls smtp_enforce_tls smtp_sasl_auth_enable lmtp_sasl_auth_enable smtp_sasl_password_maps lmtp_sasl_password_maps smtp_sasl_security_options lmtp_sasl_security_options smtp_sasl_tls_security_options lmtp_sasl_tls_security_options canonical_maps sender_canonical_maps recipient_canonical_maps canonical_classes sender_canonical_classes recipient_canonical_classes masquerade_domains masquerade_exceptions masquerade_classes relocated_maps smtp_tls_policy_maps default_process_limit compatibility_level queue_directory parent_domain_matches_subdomains",
        Read,
    ),
    (
        "smtpd_recipient_restrictions smtpd_relay_restrictions smtpd_client_restrictions smtpd_helo_restrictions smtpd_sender_restrictions smtpd_data_restrictions smtpd_end_of_data_restrictions smtpd_etrn_restrictions",
        Read,
    ),
    (
        "local_recipient_maps",
        Missing(
            "names that are neither accounts nor aliases are refused, or offered to the transport of the local channel",
        ),
    ),
    ("bounce_queue_lifetime", Missing("the last of notices is one for all mail")),
    ("luser_relay", Missing("aliaswild: true of the local channel, and an alias `*@example.org`")),
    (
        "home_mailbox mailbox_command",
        Missing(
            "accounts have mbox files of `native`, or the mailboxes of a transport: without either mail for them waits (451)",
        ),
    ),
    ("smtpd_recipient_limit", Source("recipientlimit", Number)),
    ("smtpd_hard_error_limit", Source("disconnectbadcommandlimit", Number)),
    ("smtpd_timeout", Source("command_receive_time", Time)),
    ("header_size_limit", Source("headersizelimit", Number)),
    ("strict_rfc821_envelopes", Source("strict_envelopes", Flag)),
    ("smtpd_client_connection_count_limit", Source("client_conns", Number)),
    (
        "smtpd_upstream_proxy_protocol postscreen_upstream_proxy_protocol",
        Missing("proxy_protocol of a service lists the networks of proxies"),
    ),
    ("hopcount_limit", Top("max_received_lines", Number)),
    ("bounce_size_limit", Top("notary.content_return_limit", Number)),
    (
        "error_notice_recipient 2bounce_notice_recipient bounce_notice_recipient delay_notice_recipient empty_address_recipient",
        Missing("notary.postmaster is one for all"),
    ),
    (
        "notify_classes",
        Missing("sendpost and warnpost of channels send copies of notices to the postmaster"),
    ),
    (
        "append_dot_mydomain append_at_myorigin swap_bangpath allow_percent_hack",
        Missing("a name without a dot stays as it is; a bare user gets default_domain"),
    ),
    ("smtpd_banner smtp_helo_name lmtp_lhlo_name", Missing("banner and EHLO have `host`")),
    (
        "mynetworks_style",
        Missing("mynetworks names the networks: without it this machine alone may relay"),
    ),
    ("biff comsat", NotNeeded("no user is told on a terminal")),
    (
        "disable_vrfy_command disable_mime_input_processing smtpd_helo_required smtpd_delay_reject unknown_local_recipient_reject_code",
        Same,
    ),
    (
        "smtpd_sasl_auth_enable smtpd_sasl_type smtpd_sasl_path smtpd_sasl_local_domain smtpd_sasl_security_options smtpd_sasl_tls_security_options broken_sasl_auth_clients smtpd_sasl_authenticated_header cyrus_sasl_config_path",
        Missing(SASLD),
    ),
    ("smtpd_tls_auth_only", Same),
    (
        "smtpd_sender_login_maps",
        Missing("submit: true with sender_must_match holds users to addresses of their own"),
    ),
    ("non_smtpd_milters", Missing("filters see what comes by SMTP alone")),
    (
        "milter_protocol milter_mail_macros milter_macro_daemon_name",
        Missing("each entry of milters has macros of its own; versions 2 to 6 are spoken"),
    ),
    (
        "content_filter receive_override_options",
        Missing("filters are milters; no mail comes back by another port"),
    ),
    ("smtp_generic_maps lmtp_generic_maps", Missing(ADDRESSES)),
    (
        "header_checks body_checks mime_header_checks nested_header_checks milter_header_checks smtp_header_checks smtp_body_checks smtp_mime_header_checks smtp_nested_header_checks",
        Missing(CHECKS),
    ),
    ("always_bcc sender_bcc_maps recipient_bcc_maps", Missing(BCC)),
    (
        "sender_dependent_relayhost_maps sender_dependent_default_transport_maps smtp_sender_dependent_authentication",
        Missing(SENDER_WAYS),
    ),
    (
        "alias_database newaliases_path sendmail_path mailq_path setgid_group mail_owner command_directory daemon_directory data_directory meta_directory shlib_directory manpage_directory sample_directory readme_directory html_directory config_directory process_id_directory default_privs import_environment export_environment mail_name mail_version alternate_config_directories multi_instance_enable multi_instance_name multi_instance_group multi_instance_directories maillog_file maillog_file_prefixes syslog_facility syslog_name debug_peer_level debug_peer_list debugger_command default_database_type inet_protocols smtputf8_enable enable_long_queue_ids delay_logging_resolution_limit owner_request_special hash_queue_names hash_queue_depth daemon_timeout ipc_timeout max_idle max_use qmgr_message_active_limit qmgr_message_recipient_limit lmtp_tcp_port default_delivery_slot_cost default_destination_concurrency_negative_feedback default_destination_concurrency_positive_feedback initial_destination_concurrency trigger_timeout",
        NotNeeded(FILES),
    ),
    (
        "tls_random_source tls_ssl_options tls_preempt_cipherlist tls_high_cipherlist tls_medium_cipherlist smtpd_tls_protocols smtpd_tls_mandatory_protocols smtpd_tls_ciphers smtpd_tls_mandatory_ciphers smtpd_tls_exclude_ciphers smtpd_tls_mandatory_exclude_ciphers smtpd_tls_dh1024_param_file smtpd_tls_dh512_param_file smtpd_tls_eecdh_grade smtpd_tls_loglevel smtpd_tls_received_header smtpd_tls_session_cache_database smtpd_tls_session_cache_timeout smtpd_tls_dcert_file smtpd_tls_dkey_file smtpd_tls_eccert_file smtpd_tls_eckey_file smtpd_tls_fingerprint_digest",
        NotNeeded(TLS),
    ),
    (
        "smtpd_tls_CAfile smtpd_tls_CApath smtpd_tls_ask_ccert smtpd_tls_req_ccert",
        Missing("tls.client_ca lets users in by certificates"),
    ),
    (
        "virtual_mailbox_base virtual_uid_maps virtual_gid_maps virtual_minimum_uid virtual_mailbox_limit virtual_mailbox_lock mailbox_size_limit mailbox_delivery_lock mail_spool_directory_lock",
        Missing("mailboxes are those of `store` or `native`, with quotas of their own"),
    ),
    ("forward_path", Missing(".forward and .forward+detail in homes are read")),
    (
        "allow_mail_to_commands allow_mail_to_files local_command_shell command_execution_directory command_time_limit",
        Missing(
            "each entry of programs has its account, folder and timeout; files are native.files",
        ),
    ),
    (
        "smtpd_soft_error_limit smtpd_error_sleep_time smtpd_junk_command_limit anvil_rate_time_unit anvil_status_update_time smtpd_client_message_rate_limit smtpd_client_recipient_rate_limit smtpd_client_connection_rate_limit smtpd_client_auth_rate_limit smtpd_client_new_tls_session_rate_limit smtpd_client_event_limit_exceptions",
        Missing(RATES),
    ),
    (
        "smtpd_discard_ehlo_keywords smtpd_discard_ehlo_keyword_address_maps smtpd_command_filter smtpd_noop_commands smtpd_forbidden_commands smtpd_reject_footer smtpd_proxy_filter",
        Missing("what a service offers is fixed"),
    ),
    ("bounce_template_file", Missing(BOUNCES)),
    (
        "recipient_canonical_maps_rbl_domains maps_rbl_domains rbl_reply_maps",
        Missing("dns_verify_domain names block lists, with a reply of its own"),
    ),
    (
        "propagate_unmatched_extensions virtual_alias_recursion_limit virtual_alias_expansion_limit expand_owner_alias reset_owner_alias alias_case",
        Missing("extensions follow virtual aliases; circles and depths have bounds of their own"),
    ),
    ("line_length_limit", Missing("max_line of a channel")),
    (
        "proxy_interfaces",
        Missing("user@[address] is ours for no address: a rule for each, or mail for it leaves"),
    ),
    (
        "permit_mx_backup_networks best_mx_transport",
        Missing("no MX record makes a domain ours: name it in relay_domains"),
    ),
    (
        "mailbox_transport_maps fallback_transport_maps mailbox_command_maps",
        Missing("one transport is for all accounts; `transport` has ways of single addresses"),
    ),
    ("defer_transports", Missing("relais channel stop NAME keeps mail of a channel")),
    (
        "header_from_format enable_original_recipient undisclosed_recipients_header",
        Missing(HEADERS),
    ),
    (
        "always_add_missing_headers local_header_rewrite_clients remote_header_rewrite_domain",
        Missing(HEADERS),
    ),
    (
        "smtpd_reject_unlisted_recipient smtpd_reject_unlisted_sender",
        Missing("unknown recipients are refused at RCPT; senders are not looked up"),
    ),
    ("mime_nesting_limit mime_boundary_length_limit header_address_token_limit", NotNeeded(PARSER)),
    ("body_checks_size_limit duplicate_filter_limit default_verp_delimiters", NotNeeded(PARSER)),
    (
        "authorized_submit_users authorized_mailq_users authorized_flush_users",
        Missing("the modes of the socket of admin say who may ask and order"),
    ),
    ("default_rbl_reply", Missing("a reply of dns_verify_domain is of one form")),
    ("disable_dns_lookups", Missing("mx: NoDns of a channel")),
    ("confirm_delay_cleared", Missing("nobody is told that delayed mail was delivered")),
    ("smtp_address_verify_target", Missing(SENDERS)),
    ("smtpd_restriction_classes smtpd_null_access_lookup_key address_verify_map", Missing(SENDERS)),
    ("transport_retry_time queue_run_delay", NotNeeded("what is due is tried at its time")),
];

/// Ends of the names of limits of a transport.
const LIMITS: [&str; 3] =
    ["_destination_concurrency_limit", "_destination_recipient_limit", "_destination_rate_delay"];

/// Ends of the names of settings of Postfix's own schedule and processes.
const SCHEDULING: [&str; 13] = [
    "_delivery_slot_cost",
    "_delivery_slot_discount",
    "_delivery_slot_loan",
    "_minimum_delivery_slots",
    "_extra_recipient_limit",
    "_recipient_refill_delay",
    "_recipient_refill_limit",
    "_initial_destination_concurrency",
    "_concurrency_failed_cohort_limit",
    "_concurrency_negative_feedback",
    "_concurrency_positive_feedback",
    "_service_name",
    "_watchdog_timeout",
];

/// Settings of clients, without `smtp_` or `lmtp_`.
const CLIENT: &[(&str, Counterpart)] = &[
    ("connect_timeout", Client("connect_time", Time)),
    ("helo_timeout lhlo_timeout", Client("greeting_time", Time)),
    ("mail_timeout rcpt_timeout data_init_timeout", Client("command_transmit_time", Time)),
    ("data_xfer_timeout", Client("data_transmit_time", Time)),
    ("data_done_timeout", Client("status_data_receive_time", Time)),
    ("bind_address", Client("interface_address", One)),
    ("fallback_relay", Client("lastresort", Text)),
    ("tls_CAfile", Client("tls.ca", Text)),
    ("tls_cert_file", Client("tls.certificate", Text)),
    ("tls_key_file", Client("tls.key", Text)),
    ("tls_wrappermode", Client("tls.implicit", Flag)),
    (
        "tls_policy_maps tls_per_site",
        Missing("tls.policies of the channel has levels by destination"),
    ),
    (
        "tls_CApath tls_verify_cert_match tls_secure_cert_match tls_fingerprint_cert_match",
        Missing(
            "certificates are judged by tls.ca or the system's authorities, for the host's name or tls.names",
        ),
    ),
    ("dns_support_level", Missing("dane of the channel's tls asks for DNSSEC by itself")),
    (
        "sasl_mechanism_filter sasl_type sasl_path",
        Missing("the best mechanism that is offered is used"),
    ),
    ("bind_address6", Missing("interface_address takes one of each family")),
    ("tcp_port", Missing("port of the channel")),
    (
        "host_lookup address_preference randomize_addresses mx_address_limit mx_session_limit skip_5xx_greeting pix_workarounds always_send_ehlo never_send_ehlo quit_timeout rset_timeout xforward_timeout connection_cache_on_demand connection_cache_destinations connection_cache_time_limit connection_reuse_time_limit connection_reuse_count_limit tls_session_cache_database tls_session_cache_timeout tls_loglevel tls_note_starttls_offer tls_connection_reuse cname_overrides_servername defer_if_no_mx_address_found destination_concurrency_failed_cohort_limit line_length_limit send_xforward_command assume_final sasl_auth_cache_name sasl_auth_soft_bounce",
        NotNeeded(CACHES),
    ),
    (
        "tls_protocols tls_mandatory_protocols tls_ciphers tls_mandatory_ciphers tls_exclude_ciphers tls_mandatory_exclude_ciphers tls_eccert_file tls_eckey_file",
        NotNeeded(TLS),
    ),
    (
        "discard_ehlo_keywords discard_lhlo_keywords reply_filter delivery_status_filter dns_reply_filter dns_resolver_options generic_maps",
        Missing(
            "replies and announcements of servers are taken as they are (destinations.replies)",
        ),
    ),
];

const PREFIXES: &[(&str, Counterpart)] = &[
    ("postscreen_ dnsblog_ tlsproxy_", Missing(SCREEN)),
    ("address_verify_ reject_unverified", Missing(SENDERS)),
    (
        "postalias_ postmulti_ postlog_ berkeley_db_ lmdb_ connection_cache_ qmqpd_ fast_flush_ in_flow_ process_ service_ trigger_ stale_lock_ fork_ rewrite_service showq_ flush_service",
        NotNeeded(FILES),
    ),
    ("tls_ tlsmgr_", NotNeeded(TLS)),
];
