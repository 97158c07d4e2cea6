//! Alert rules for what an operator wants to be told of, with the command to ask then.

use std::fmt::Write;

/// One rule.
struct AlertRule {
    name: &'static str,
    expr: &'static str,
    /// It must be so for this long.
    lasts: &'static str,
    severity: &'static str,
    summary: &'static str,
    description: &'static str,
}

/// A rule file of Prometheus: one group, in YAML.
pub fn alert_rules() -> String {
    let mut file = "groups:\n  - name: relais\n    rules:\n".to_owned();
    for AlertRule { name, expr, lasts, severity, summary, description } in RULES {
        // Writing to a string cannot fail.
        let _ = write!(
            file,
            "      - alert: {name}\n        expr: '{}'\n        for: {lasts}\n        labels:\n          \
             severity: {severity}\n        annotations:\n          summary: '{}'\n          description: '{}'\n",
            quoted(expr),
            quoted(summary),
            quoted(description)
        );
    }
    file
}

/// Inside single quotes of YAML.
fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

/// Every rule, the worst first.
const RULES: &[AlertRule] = &[
    AlertRule {
        name: "RelaisDown",
        expr: "up == 0 and on (job, instance) present_over_time(relais_build_info[7d])",
        lasts: "2m",
        severity: "critical",
        summary: "relais on {{ $labels.instance }} does not answer",
        description: "No mail comes or goes there, or nobody can tell. Ask `systemctl status relais` and its log.",
    },
    AlertRule {
        name: "RelaisNotReady",
        expr: "max by (instance, cause) (relais_not_ready) > 0",
        lasts: "1m",
        severity: "critical",
        summary: "{{ $labels.instance }} takes or delivers no mail: {{ $labels.cause }}",
        description: "room: a disk is full or broken; partition: a store is not mounted; journal: a store cannot be written; service: a service does not listen. Ask `relais status` or /readyz for the reason.",
    },
    AlertRule {
        name: "RelaisQueuePaused",
        expr: "max by (instance, why) (relais_queue_paused{why!=\"draining\"}) > 0",
        lasts: "2m",
        severity: "critical",
        summary: "Nothing leaves the queue of {{ $labels.instance }}: {{ $labels.why }}",
        description: "disk: outcomes of deliveries cannot be written down; notary: too many senders are yet to be told. Ask `relais why`.",
    },
    AlertRule {
        name: "RelaisDirectoryFails",
        expr: "sum by (instance) (rate(relais_directory_lookups_total{result=\"failed\"}[5m])) > 0",
        lasts: "5m",
        severity: "critical",
        summary: "Look-ups of {{ $labels.instance }} in the directory fail",
        description: "Mail for its users waits (451 4.4.3), and none is lost. Ask `relais status`, and `relais test ldap ADDRESS`.",
    },
    AlertRule {
        name: "RelaisCertificateExpired",
        expr: "relais_tls_certificate_expires_timestamp_seconds <= time()",
        lasts: "0m",
        severity: "critical",
        summary: "The certificate {{ $labels.file }} of {{ $labels.instance }} has expired",
        description: "Clients that look refuse to talk. Ask `relais cert`; new files are taken within 10 s.",
    },
    AlertRule {
        name: "RelaisCertificateExpires",
        expr: "relais_tls_certificate_expires_timestamp_seconds - time() < 14 * 86400",
        lasts: "1h",
        severity: "warning",
        summary: "The certificate {{ $labels.file }} of {{ $labels.instance }} is good for less than 14 days",
        description: "Whatever renews it has not. Ask `relais cert`; new files are taken within 10 s.",
    },
    AlertRule {
        name: "RelaisSpoolRoomShort",
        expr: "relais_spool_free_bytes < 2 * relais_spool_min_free_bytes",
        lasts: "5m",
        severity: "warning",
        summary: "The disk of the spool of {{ $labels.instance }} is nearly full",
        description: "Below spool.min_free mail is refused (452 4.3.1). Make room; ask `relais queue summary` what fills the queue.",
    },
    AlertRule {
        name: "RelaisRoomRunsOut",
        expr: "predict_linear(relais_spool_free_bytes[6h], 86400) < 0 or predict_linear(relais_store_free_bytes[6h], 86400) < 0",
        lasts: "1h",
        severity: "warning",
        summary: "At this pace a disk of {{ $labels.instance }} is full within a day",
        description: "The spool's or the store's. Ask `df`, `relais queue summary` and `relais mailbox list`.",
    },
    AlertRule {
        name: "RelaisChannelStalled",
        expr: "sum by (instance, channel) (relais_channel_queue_messages{state!=\"held\"}) > 20 and on (instance, channel) sum by (instance, channel) (increase(relais_delivery_results_total{class=\"delivered\"}[30m])) == 0",
        lasts: "10m",
        severity: "warning",
        summary: "Mail waits in channel {{ $labels.channel }} of {{ $labels.instance }}, and none was delivered for half an hour",
        description: "Its hosts are away, the channel is stopped, or something else is in the way. Ask `relais why`, and `relais queue why ID` for one message.",
    },
    AlertRule {
        name: "RelaisQueueOld",
        expr: "relais_channel_oldest_seconds > 4 * 3600 and on (instance, channel) relais_channel_stored_messages > 100",
        lasts: "15m",
        severity: "warning",
        summary: "Over 100 messages wait in channel {{ $labels.channel }} of {{ $labels.instance }}, some of them for hours",
        description: "Ask `relais queue summary` by which host, and `relais queue list --older-than 4h`.",
    },
    AlertRule {
        name: "RelaisBacklogGrows",
        expr: "relais_queue_stored > 1000 and deriv(relais_queue_stored[30m]) > 0.5",
        lasts: "15m",
        severity: "warning",
        summary: "The queue of {{ $labels.instance }} has over 1,000 messages and grows",
        description: "More comes than leaves: a message in two seconds, or faster. Ask `relais why` what limits it and what would help.",
    },
    AlertRule {
        name: "RelaisHostsUnreachable",
        expr: "relais_channel_hosts_suspended > 50",
        lasts: "15m",
        severity: "warning",
        summary: "Over 50 hosts of channel {{ $labels.channel }} of {{ $labels.instance }} are out of reach",
        description: "So many at once speak for this side: name server, network, firewall. Ask `relais top`, `relais route --dns ADDRESS`.",
    },
    AlertRule {
        name: "RelaisDeliveriesFail",
        expr: "sum by (instance, channel) (increase(relais_delivery_results_total{class=\"failed\"}[30m])) > 50 and sum by (instance, channel) (increase(relais_delivery_results_total{class=\"failed\"}[30m])) > 0.5 * sum by (instance, channel) (increase(relais_delivery_results_total[30m]))",
        lasts: "5m",
        severity: "warning",
        summary: "More than half of what channel {{ $labels.channel }} of {{ $labels.instance }} tries is refused for good",
        description: "Senders get it back. A block list, a wrong rule, a list of dead addresses? The log has the replies; ask `relais trace ADDRESS` for one of them.",
    },
    AlertRule {
        name: "RelaisMailWithoutChannel",
        expr: "relais_queue_lost > 0",
        lasts: "10m",
        severity: "warning",
        summary: "Mail of {{ $labels.instance }} is in channels that its configuration has lost",
        description: "Ask `relais status` which; bring them back, or `relais reload --reroute`.",
    },
    AlertRule {
        name: "RelaisDirectoryServerDown",
        expr: "relais_directory_server_up == 0",
        lasts: "5m",
        severity: "warning",
        summary: "The directory server {{ $labels.server }} does not answer {{ $labels.instance }}",
        description: "The next one is asked, where there is one. Ask `relais status` why it is away.",
    },
    AlertRule {
        name: "RelaisFilterDown",
        expr: "relais_milter_up == 0",
        lasts: "5m",
        severity: "warning",
        summary: "The filter {{ $labels.milter }} does not answer {{ $labels.instance }}",
        description: "Mail meets its on_error. Ask `relais status` why it is away.",
    },
    AlertRule {
        name: "RelaisServiceFull",
        expr: "relais_dispatcher_stress > 0",
        lasts: "15m",
        severity: "warning",
        summary: "Service {{ $labels.service }} of {{ $labels.instance }} is short of workers, open files or memory",
        description: "Clients are kept shorter, and soon they wait. Ask `relais why` and `relais status --workers`.",
    },
    AlertRule {
        name: "RelaisActorRestarts",
        expr: "sum by (instance, actor, cause) (increase(relais_actor_restarts_total[15m])) > 0",
        lasts: "0m",
        severity: "warning",
        summary: "{{ $labels.actor }} of {{ $labels.instance }} ended ({{ $labels.cause }}) and was started again",
        description: "A panic is a bug to report, with the lines of the log.",
    },
    AlertRule {
        name: "RelaisRestartsOften",
        expr: "changes(relais_process_start_time_seconds[1h]) > 2",
        lasts: "0m",
        severity: "warning",
        summary: "relais on {{ $labels.instance }} starts again and again",
        description: "Ask `systemctl status relais` and its log what ends it.",
    },
    AlertRule {
        name: "RelaisWebhookBehind",
        expr: "relais_webhook_behind_seconds > 900",
        lasts: "5m",
        severity: "warning",
        summary: "The webhook {{ $labels.webhook }} of {{ $labels.instance }} has not taken events for a quarter of an hour",
        description: "They wait on disk, and mail does not wait for it. Ask `relais status` what it said last.",
    },
    AlertRule {
        name: "RelaisEventsLost",
        expr: "sum by (instance, to, why) (increase(relais_events_lost_total[15m])) > 0",
        lasts: "0m",
        severity: "warning",
        summary: "{{ $labels.instance }} loses events on the way to {{ $labels.to }}: {{ $labels.why }}",
        description: "memory, disk: the disk is too slow, full or broken; size, age: the webhook was away for too long; refused: it does not like an event; damaged: what waited cannot be read; removed: it was taken out of the configuration. The log names the event, or how many.",
    },
    AlertRule {
        name: "RelaisLogLinesLost",
        expr: "increase(relais_log_lines_lost_total[15m]) > 0",
        lasts: "0m",
        severity: "warning",
        summary: "{{ $labels.instance }} loses log lines",
        description: "Whatever reads its standard error is too slow, and mail does not wait for it.",
    },
    AlertRule {
        name: "RelaisHistoryStopped",
        expr: "relais_history_stopped > 0",
        lasts: "5m",
        severity: "warning",
        summary: "The delivery history of {{ $labels.instance }} is not written",
        description: "Its disk is full or broken; `relais trace` knows nothing from now on. Mail goes on.",
    },
    AlertRule {
        name: "RelaisHistoryLost",
        expr: "increase(relais_history_lost_total[15m]) > 0",
        lasts: "0m",
        severity: "warning",
        summary: "The delivery history of {{ $labels.instance }} loses records",
        description: "Its disk is too slow, or it is not written at all. `relais trace` says what is missing.",
    },
    AlertRule {
        name: "RelaisMailDayOld",
        expr: "relais_channel_oldest_seconds > 86400",
        lasts: "1h",
        severity: "info",
        summary: "Mail waits in channel {{ $labels.channel }} of {{ $labels.instance }} for more than a day",
        description: "A few messages for dead hosts, or held ones that nobody looks at. Ask `relais queue list --older-than 1d`.",
    },
    AlertRule {
        name: "RelaisOrderStands",
        expr: "min_over_time(relais_standing_orders[1h]) > 0",
        lasts: "23h",
        severity: "info",
        summary: "On {{ $labels.instance }} orders of kind {{ $labels.kind }} have stood for a day",
        description: "Somebody may have forgotten one. Ask `relais order list`.",
    },
];

#[cfg(test)]
mod tests {
    use relais_actors::metrics::Metrics;

    use super::*;
    use crate::prometheus::expression::Asked;

    #[test]
    fn rules_ask_for_what_there_is_and_tell_what_they_got() {
        let families = Metrics::families();
        for AlertRule { name, expr, summary, description, .. } in RULES {
            let asked = Asked::of(expr, &families);
            assert_eq!(asked.unknown, [""; 0], "{name}");
            assert!(expr.contains("relais_"), "{name}");
            let text = format!("{summary} {description}");
            for label in text.split("{{ $labels.").skip(1).filter_map(|its| its.split(" }}").next())
            {
                assert!(asked.labels.iter().any(|its| its == label), "{name}: {label}");
            }
            assert!(summary.contains("{{ $labels.instance }}"), "{name}");
        }
    }

    #[test]
    fn the_worst_come_first_and_the_handbook_has_each() {
        let ranks = RULES.iter().map(|rule| match rule.severity {
            "critical" => 0,
            "warning" => 1,
            "info" => 2,
            other => panic!("{}: {other}", rule.name),
        });
        assert!(ranks.is_sorted());
        let readme = include_str!("../../../README.md");
        for AlertRule { name, severity, .. } in RULES {
            let row = format!("\n| `{name}` | {severity} |");
            assert!(readme.contains(&row), "{name} is not in the README");
        }
        let rows = readme.matches("\n| `Relais").count();
        assert_eq!(rows, RULES.len(), "the README has alerts that are none");
    }

    #[test]
    fn quotes_of_a_rule_stay_inside_its_quotes() {
        assert_eq!(quoted("it's \"so\""), "it''s \"so\"");
        let lines = alert_rules();
        let texts = lines.lines().filter_map(|line| line.split_once(": '")?.1.strip_suffix('\''));
        assert_eq!(texts.clone().count(), 3 * RULES.len());
        assert!(texts.clone().all(|text| !text.replace("''", "").contains('\'')));
    }
}
