//! Mailboxes for people.

use std::fmt::Write;

use relais_actors::events::Printable;

use super::units::Size;
use crate::api::{MailboxAnswer, MailboxLimit, MailboxOrderKind, MailboxUsage};

// Writing to a string cannot fail; the results are dropped for that reason in this file.

/// The outcome of an order about a mailbox.
pub fn mailbox(kind: MailboxOrderKind, answer: &MailboxAnswer) -> String {
    let MailboxAnswer { mailbox, changed, .. } = answer;
    let mut text = String::new();
    match kind {
        MailboxOrderKind::Create if *changed => drop(writeln!(text, "{mailbox}: made")),
        MailboxOrderKind::Create => drop(writeln!(text, "{mailbox}: was there already")),
        MailboxOrderKind::Rename => {
            let to = answer.to.as_deref().unwrap_or_default();
            let _ = writeln!(text, "{mailbox}: is {to} now");
        }
        MailboxOrderKind::Delete => drop(writeln!(text, "{mailbox}: deleted")),
        MailboxOrderKind::Quota => quota(answer, &mut text),
        MailboxOrderKind::Check | MailboxOrderKind::Repair => check(answer, &mut text),
    }
    text
}

fn quota(answer: &MailboxAnswer, text: &mut String) {
    let usage = answer.usage.unwrap_or_default();
    let _ = writeln!(text, "{}: {}", answer.mailbox, of(usage));
    if let Some(sum) = answer.quota_file.filter(|sum| *sum != usage) {
        let _ = writeln!(text, "  maildirsize says {}", of(sum));
    }
    let limits = answer.limits.as_deref().unwrap_or_default();
    if limits.is_empty() {
        let _ = writeln!(text, "  no limit");
    }
    for (place, limit) in limits.iter().enumerate() {
        let what = if place == 0 { "limit" } else { "not in force" };
        let _ = writeln!(text, "  {what}: {} ({})", limit_of(limit), limit.by);
        if place == 0
            && let Some(percent) = percent(usage, limit)
        {
            let _ = writeln!(text, "  full: {percent} %");
        }
    }
}

fn check(answer: &MailboxAnswer, text: &mut String) {
    let usage = of(answer.usage.unwrap_or_default());
    if answer.findings.is_empty() {
        let _ = writeln!(text, "{}: {usage}: well", answer.mailbox);
        return;
    }
    let _ = writeln!(text, "{}: {usage}", answer.mailbox);
    for finding in &answer.findings {
        let mended = if finding.mended { " (mended)" } else { "" };
        let _ = writeln!(text, "  {}: {}{mended}", Printable(&finding.place), finding.text);
    }
    if answer.more > 0 {
        let _ = writeln!(text, "  and {} more", answer.more);
    }
}

fn of(usage: MailboxUsage) -> String {
    let size = Size(usage.size.max(0).cast_unsigned());
    match usage.messages {
        1 => format!("1 message, {size}"),
        messages => format!("{messages} messages, {size}"),
    }
}

fn limit_of(limit: &MailboxLimit) -> String {
    let size = limit.size.map(|size| Size(size).to_string());
    let messages = limit.messages.map(|messages| format!("{messages} messages"));
    let both: Vec<_> = [size, messages].into_iter().flatten().collect();
    if both.is_empty() { "none".to_owned() } else { both.join(", ") }
}

/// The fuller of the two limits.
fn percent(usage: MailboxUsage, limit: &MailboxLimit) -> Option<u64> {
    let share = |used: i64, limit: Option<u64>| {
        let (used, limit) = (used.max(0).cast_unsigned(), limit.filter(|limit| *limit > 0)?);
        Some(used.saturating_mul(100) / limit)
    };
    share(usage.size, limit.size).max(share(usage.messages, limit.messages))
}
