//! Traces of messages for OpenTelemetry: events as spans, in OTLP 1.x over HTTP, as JSON.
//!
//! A message is a trace. Its first span says that it was accepted; each attempt is a child of that one, with a
//! child for each stage of the connection; what else happens to it are spans without length. The ids of
//! traces and spans come of the engine's name and the queue id, so that they are the same after a restart and
//! when they are posted again; a store that is handed the message by another relais joins the trace there.

use std::fmt::Write as _;

use relais_channels::mail::{MessageId, Timings};
use relais_config::EventKind;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::batch::millis;

/// The parts of an event that spans are made of, as its line has them.
#[derive(Deserialize)]
struct Happened<'a> {
    event: &'a str,
    kind: &'a str,
    time: &'a str,
    #[serde(default)]
    node: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    recipients: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    more_recipients: u64,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    source_channel: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    peer: String,
    #[serde(default)]
    protection: String,
    reply: Option<Replied>,
    attempts: Option<u64>,
    size: Option<u64>,
    delay: Option<f64>,
    #[serde(default)]
    peer_id: String,
    #[serde(default)]
    message_id: String,
    #[serde(default)]
    client: String,
    timings: Option<Timings>,
    #[serde(default)]
    cause: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Replied {
    code: u64,
    #[serde(default)]
    enhanced: Option<String>,
    #[serde(default)]
    text: String,
}

/// An `ExportTraceServiceRequest`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    resource_spans: [ResourceSpans; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    resource: Resource,
    scope_spans: [ScopeSpans; 1],
}

#[derive(Serialize)]
struct Resource {
    attributes: Vec<Attribute>,
}

#[derive(Serialize)]
struct ScopeSpans {
    scope: Scope,
    spans: Vec<Span>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    #[serde(rename = "traceId")]
    trace: String,
    #[serde(rename = "spanId")]
    id: String,
    #[serde(rename = "parentSpanId", skip_serializing_if = "String::is_empty")]
    parent: String,
    name: &'static str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Attribute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Status {
    code: u8,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

#[derive(Serialize)]
struct Attribute {
    key: &'static str,
    value: Value,
}

#[derive(Serialize)]
enum Value {
    #[serde(rename = "stringValue")]
    Text(String),
    /// 64 bits are text in JSON.
    #[serde(rename = "intValue")]
    Whole(String),
    #[serde(rename = "doubleValue")]
    Real(f64),
}

/// The request that tells a collector of these events, a list of JSON as [`Batch`](crate::batch::Batch) has it.
pub(crate) fn request(events: &[u8]) -> Vec<u8> {
    // A list that this program has written: what cannot be read of it would be a mistake of ours.
    let happened: Vec<Happened<'_>> = serde_json::from_slice(events).unwrap_or_default();
    let node = happened.first().map_or_else(String::new, |its| its.node.clone());
    let resource = Resource {
        attributes: vec![
            text("service.name", SERVICE),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("host.name", &node),
        ],
    };
    let scope = Scope { name: SERVICE, version: env!("CARGO_PKG_VERSION") };
    let spans = happened.iter().flat_map(spans).collect();
    let spans = [ResourceSpans { resource, scope_spans: [ScopeSpans { scope, spans }] }];
    serde_json::to_vec(&Request { resource_spans: spans }).unwrap_or_default()
}

/// The spans of an event; none where it is of no message.
fn spans(happened: &Happened<'_>) -> Vec<Span> {
    let Some(end) = millis(happened.time) else { return Vec::new() };
    if happened.id.is_empty() {
        return Vec::new();
    }
    let message = Message::of(happened);
    let is = |kind: EventKind| happened.kind == kind.name();
    let name = EventKind::ALL.into_iter().find(|kind| is(*kind)).map_or("other", EventKind::name);
    let is_end = [EventKind::Delivered, EventKind::Deferred, EventKind::Failed].into_iter().any(is);
    // Mail that is given up without an attempt has tried nothing.
    let is_attempt = is_end && !matches!(&*happened.cause, "expired" | "returned");
    let is_first = is(EventKind::Accepted);
    let stages = happened.timings.map(Timings::stages).unwrap_or_default();
    // The stage `queue` lies before the attempt.
    let stages = stages.into_iter().skip(1).filter(|(_, took)| *took > 0);
    let took = stages.clone().map(|(_, took)| u64::from(took)).sum::<u64>();
    let start = end.saturating_sub(took);
    let span_id = if is_first { message.root() } else { hex::<8>(&["span", happened.event]) };
    let span = |name, id, parent, kind, (start, end)| Span {
        trace: message.trace(),
        id,
        parent,
        name,
        kind,
        start_time_unix_nano: nanos(start),
        end_time_unix_nano: nanos(end),
        attributes: Vec::new(),
        status: None,
    };
    let (name, parent, kind) = match () {
        () if is_first => (name, String::new(), SERVER),
        () if is_attempt => ("attempt", message.root(), CLIENT),
        () => (name, message.root(), INTERNAL),
    };
    let mut first = span(name, span_id.clone(), parent, kind, (start, end));
    first.attributes = attributes(happened);
    first.status = (is_end && !is(EventKind::Delivered)).then(|| Status {
        code: ERROR,
        message: happened.reply.as_ref().map_or_else(String::new, Replied::words),
    });
    let mut spans = vec![first];
    let mut at = start;
    for (stage, took) in stages {
        let until = at + u64::from(took);
        let id = hex::<8>(&["stage", stage, happened.event]);
        spans.push(span(stage, id, span_id.clone(), INTERNAL, (at, until)));
        at = until;
    }
    spans
}

/// The message whose trace it is, by our name for it and by that of the relais before us.
struct Message<'h> {
    own: [&'h str; 2],
    before: Option<[&'h str; 2]>,
}

impl<'h> Message<'h> {
    fn of(happened: &'h Happened<'_>) -> Self {
        // Of the store `peer_id` is what the client calls it; of others, the server. A store has no queue.
        let is_store = happened.channel == happened.source_channel;
        let name = happened.client.split(' ').next().unwrap_or_default();
        let is_ours = is_store && happened.peer_id.parse::<MessageId>().is_ok();
        let before = (is_ours && !name.is_empty()).then_some([name, &*happened.peer_id]);
        Self { own: [&happened.node, &happened.id], before }
    }

    fn trace(&self) -> String {
        let [node, id] = self.before.unwrap_or(self.own);
        hex::<16>(&["trace", node, id])
    }

    /// The span of its acceptance.
    fn root(&self) -> String {
        let [node, id] = self.before.unwrap_or(self.own);
        hex::<8>(&["root", node, id])
    }
}

fn attributes(happened: &Happened<'_>) -> Vec<Attribute> {
    let texts = [
        ("relais.queue_id", &*happened.id),
        ("relais.outcome", happened.kind),
        ("relais.channel", &happened.channel),
        ("relais.source_channel", &happened.source_channel),
        ("server.address", &happened.host),
        ("network.peer.address", &happened.peer),
        ("relais.protection", &happened.protection),
        ("relais.peer_id", &happened.peer_id),
        ("relais.message_id", &happened.message_id),
        ("relais.client", &happened.client),
        ("relais.cause", &happened.cause),
        ("relais.reason", &happened.reason),
    ];
    let texts = texts.into_iter().filter(|(_, value)| !value.is_empty());
    let mut attributes: Vec<_> = texts.map(|(key, value)| text(key, value)).collect();
    let reply = happened.reply.as_ref();
    let recipients = happened.recipients.len() as u64 + happened.more_recipients;
    let numbers = [
        ("relais.recipients", Some(recipients).filter(|its| *its > 0)),
        ("relais.attempts", happened.attempts),
        ("relais.size", happened.size),
        ("smtp.response.status_code", reply.map(|reply| reply.code)),
    ];
    let number = |(key, number): (_, Option<u64>)| {
        Some(Attribute { key, value: Value::Whole(number?.to_string()) })
    };
    attributes.extend(numbers.into_iter().filter_map(number));
    let delay = |seconds| Attribute { key: "relais.delay", value: Value::Real(seconds) };
    attributes.extend(happened.delay.map(delay));
    attributes
}

impl Replied {
    fn words(&self) -> String {
        let enhanced = self.enhanced.as_deref().unwrap_or_default();
        let all = [&*self.code.to_string(), enhanced, &self.text];
        all.into_iter().filter(|its| !its.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

fn text(key: &'static str, value: &str) -> Attribute {
    Attribute { key, value: Value::Text(value.to_owned()) }
}

fn nanos(millis: u64) -> String {
    (u128::from(millis) * 1_000_000).to_string()
}

/// An id of so many octets in hexadecimal digits, as good as random and always the same of the same words.
fn hex<const N: usize>(words: &[&str]) -> String {
    let sum = digest(&SHA256, words.join("\0").as_bytes());
    sum.as_ref()[..N].iter().fold(String::new(), |mut all, octet| {
        // Writing to a string cannot fail.
        let _ = write!(all, "{octet:02x}");
        all
    })
}

const SERVICE: &str = "relais";
/// Kinds of spans, and the status of those that came to nothing, as OTLP numbers them.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const ERROR: u8 = 2;

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn spans_of(events: &Json) -> Vec<Json> {
        let request = request(events.to_string().as_bytes());
        let request: Json = serde_json::from_slice(&request).unwrap();
        let [resource] = &request["resourceSpans"].as_array().unwrap()[..] else { panic!() };
        let names: Vec<_> = resource["resource"]["attributes"].as_array().unwrap().clone();
        assert!(names.contains(&json!({"key": "host.name", "value": {"stringValue": "mx.test"}})));
        resource["scopeSpans"][0]["spans"].as_array().unwrap().clone()
    }

    fn event(kind: &str, more: Json) -> Json {
        let mut event = json!({
            "event": format!("1-{kind}"), "kind": kind, "time": "2026-12-01T00:00:10.500Z",
            "node": "mx.test", "id": "1K8NH5O2S0000", "from": "ann@a.test", "channel": "tcp_out",
            "source_channel": "tcp_local", "client": "a.test [192.0.2.1]",
            "recipients": [{"address": "bob@b.test"}],
        });
        let Json::Object(more) = more else { panic!("{more}") };
        event.as_object_mut().unwrap().extend(more);
        event
    }

    #[test]
    fn a_message_is_a_trace_and_an_attempt_has_a_span_for_each_stage() {
        let attempt = json!({
            "attempts": 1, "host": "b.test", "peer": "b.test[192.0.2.2]:25", "delay": 0.4,
            "reply": {"code": 451, "enhanced": "4.7.1", "text": "later"},
            "timings": {"queue": 60, "dns": 10, "connect": 20, "tls": 0, "greeting": 30, "dialogue": 40},
        });
        let events = json!([
            event("accepted", json!({"size": 900})),
            event("deferred", attempt),
            event("held", json!({"reason": "held by ann"})),
            event("failed", json!({"cause": "expired", "attempts": 9})),
            {"event": "1-5", "kind": "tls_failure", "time": "2026-12-01T00:00:10.500Z", "node": "mx.test"},
        ]);
        let spans = spans_of(&events);
        let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
        let want =
            ["accepted", "attempt", "dns", "connect", "greeting", "dialogue", "held", "failed"];
        assert_eq!(names, want);
        let end = 1_796_083_210_500_000_000_u64;
        let root = &spans[0];
        assert!(root["parentSpanId"].is_null());
        assert_eq!((&root["kind"], &root["endTimeUnixNano"]), (&json!(2), &json!(end.to_string())));
        let attempt = &spans[1];
        assert_eq!(attempt["parentSpanId"], root["spanId"]);
        assert_eq!(attempt["kind"], 3);
        assert_eq!(attempt["startTimeUnixNano"], (end - 100_000_000).to_string());
        assert_eq!(attempt["status"], json!({"code": 2, "message": "451 4.7.1 later"}));
        let has = |key: &str, value: Json| {
            let wanted = json!({"key": key, "value": value});
            assert!(attempt["attributes"].as_array().unwrap().contains(&wanted), "{attempt}");
        };
        has("smtp.response.status_code", json!({"intValue": "451"}));
        has("server.address", json!({"stringValue": "b.test"}));
        has("relais.delay", json!({"doubleValue": 0.4}));
        let mut at = attempt["startTimeUnixNano"].clone();
        for stage in &spans[2..6] {
            assert_eq!(
                (&stage["parentSpanId"], &stage["startTimeUnixNano"]),
                (&attempt["spanId"], &at)
            );
            at = stage["endTimeUnixNano"].clone();
        }
        assert_eq!(at, attempt["endTimeUnixNano"]);
        assert_eq!(spans[6]["parentSpanId"], root["spanId"]);
        assert_eq!((&spans[7]["kind"], &spans[7]["status"]["code"]), (&json!(1), &json!(2)));
        let mut ids: Vec<_> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), spans.len());
        for span in &spans {
            assert_eq!(span["traceId"], root["traceId"]);
            let digits = |field: &str| span[field].as_str().unwrap().len();
            assert_eq!((digits("traceId"), digits("spanId")), (32, 16));
        }
        let text = serde_json::to_string(&spans).unwrap();
        assert!(!text.contains("bob@b.test") && !text.contains("ann@a.test"), "{text}");
        // Posted again, they are the same.
        assert_eq!(spans_of(&events), spans);
    }

    #[test]
    fn a_store_joins_the_trace_of_the_relay_before_it() {
        let relay = event("accepted", json!({}));
        let stored = json!({
            "id": "1K8NH5O350000", "node": "mx.test", "channel": "tcp_lmtpss",
            "source_channel": "tcp_lmtpss", "client": "mx.test [192.0.2.9]",
            "peer_id": "1K8NH5O2S0000", "attempts": 1,
        });
        let [relay, store] = &spans_of(&json!([relay, event("delivered", stored)]))[..] else {
            panic!()
        };
        assert_eq!(
            (&store["traceId"], &store["parentSpanId"]),
            (&relay["traceId"], &relay["spanId"])
        );
        assert!(store["status"].is_null());
    }
}
