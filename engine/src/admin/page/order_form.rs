//! Forms, read as orders.

use std::{fmt, str::FromStr, time::Duration};

use relais_actors::{
    front::control::ControlOrder,
    metrics::QueueState,
    standing::{OrderRate, RerouteTarget, StandingKind},
    timestamp::Timestamp,
};
use relais_config::units;

use crate::api::{
    HostResume, HostSuspend, LimitValue, MAX_REASON, NewOrder, OrderKind, PartOrder, QueueFilter,
    QueueOrder, SetLimit, is_plain,
};

/// The fields of a form, as they came.
#[derive(Clone, Debug, Default)]
pub(super) struct FormFields(pub(super) Vec<(String, String)>);

/// An order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum PageOrder {
    Queue(Box<QueueOrder>),
    Suspend(HostSuspend),
    Resume(HostResume),
    Channel {
        name: String,
        stop: bool,
    },
    Part(PartOrder),
    Limit(SetLimit),
    /// An order that is to stand.
    Stand(Box<NewOrder>),
    /// An order that stands is removed.
    Remove {
        id: u64,
        release: bool,
    },
}

impl FormFields {
    /// The first value of a field, unless it is empty.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(its, _)| its == name).map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty())
    }

    fn needed(&self, name: &str) -> Result<String, String> {
        self.one(name).map(str::to_owned).ok_or_else(|| format!("{name} is missing"))
    }

    /// The same of a field that is more than text.
    fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<Option<T>, String> {
        let value = self.one(name).map(str::parse).transpose();
        value.map_err(|error| format!("{name}: {error}"))
    }

    fn time(&self) -> Result<Option<Duration>, String> {
        let time = self.one("time").map(units::parse_duration).transpose();
        time.map_err(|_| format!("how long? {}", units::DURATION_FORMS))
    }

    fn ids(&self) -> Vec<String> {
        let ids = self.0.iter().filter(|(name, _)| name == "id");
        ids.map(|(_, id)| id.clone()).collect()
    }

    fn filter(&self) -> Result<QueueFilter, String> {
        let is_filter = |(name, value): &&(String, String)| {
            FILTERS.contains(&&**name) && !value.trim().is_empty()
        };
        let fields: Vec<_> = self.0.iter().filter(is_filter).collect();
        let text = serde_urlencoded::to_string(fields).map_err(|error| error.to_string())?;
        serde_urlencoded::from_str(&text).map_err(|error| error.to_string())
    }
}

impl PageOrder {
    /// The order of a form, given by `by`.
    pub(super) fn read(fields: &FormFields, by: &str) -> Result<Self, String> {
        let reason = fields.one("reason").unwrap_or_default().to_owned();
        if !is_plain(&reason) {
            return Err(format!("a reason is one line of at most {MAX_REASON} characters"));
        }
        let by = by.to_owned();
        match fields.needed("order")?.as_str() {
            "suspend" => {
                let time = fields.time()?.ok_or_else(|| "time is missing".to_owned())?;
                let channel = fields.one("channel").map(str::to_owned);
                let host = fields.needed("host")?;
                let order = HostSuspend { host, channel, seconds: time.as_secs(), reason, by };
                order.check().map_err(|error| error.to_string())?;
                Ok(Self::Suspend(order))
            }
            "resume" => {
                let channel = fields.one("channel").map(str::to_owned);
                Ok(Self::Resume(HostResume { host: fields.needed("host")?, channel }))
            }
            "channel_stop" => Ok(Self::Channel { name: fields.needed("channel")?, stop: true }),
            "channel_start" => Ok(Self::Channel { name: fields.needed("channel")?, stop: false }),
            "part_stop" => part(fields, ControlOrder::Stop),
            "part_start" => part(fields, ControlOrder::Start),
            "part_restart" => part(fields, ControlOrder::Restart),
            "set" => {
                let value = fields.needed("value")?;
                let value = value.parse().map_or(LimitValue::Text(value), LimitValue::Number);
                let save = fields.one("save") == Some("yes");
                Ok(Self::Limit(SetLimit { key: fields.needed("key")?, value, save }))
            }
            "order_add" => stand(fields, (by, reason)),
            "order_remove" => {
                let id = fields.parsed("id")?.ok_or_else(|| "id is missing".to_owned())?;
                Ok(Self::Remove { id, release: fields.one("release") == Some("yes") })
            }
            other => queue(fields, other, (by, reason)),
        }
    }

    /// Whether the operator is asked once more before it is carried out.
    pub(super) fn asks_first(&self) -> bool {
        match self {
            Self::Queue(_) | Self::Suspend(_) | Self::Stand(_) | Self::Remove { .. } => true,
            Self::Channel { stop, .. } => *stop,
            Self::Part(order) => order.order != ControlOrder::Start,
            Self::Resume(_) | Self::Limit(_) => false,
        }
    }

    /// The view that it is about.
    pub(super) fn place(&self) -> &'static str {
        match self {
            Self::Queue(_) => "/queue",
            Self::Suspend(_) | Self::Resume(_) => "/hosts",
            Self::Channel { .. } | Self::Limit(_) => "/channels",
            Self::Part(_) => "/services",
            Self::Stand(_) | Self::Remove { .. } => "/orders",
        }
    }

    /// The entries of the queue that it would keep back, for a preview.
    pub(super) fn keeps_back(&self) -> Option<QueueFilter> {
        let named = |channel: Option<&String>, host: Option<&String>| {
            Some(QueueFilter {
                channel: channel.map(|name| name.parse()).transpose().ok()?,
                host: host.map(|name| name.parse()).transpose().ok()?,
                ..QueueFilter::default()
            })
        };
        match self {
            Self::Suspend(order) => named(order.channel.as_ref(), Some(&order.host)),
            Self::Channel { name, stop: true } => named(Some(name), None),
            _ => None,
        }
    }
}

fn part(fields: &FormFields, order: ControlOrder) -> Result<PageOrder, String> {
    Ok(PageOrder::Part(PartOrder { order, part: Some(fields.needed("part")?) }))
}

fn stand(fields: &FormFields, (by, reason): (String, String)) -> Result<PageOrder, String> {
    let kind = fields.needed("kind")?;
    let kind = StandingKind::ALL.into_iter().find(|its| its.name() == kind);
    let kind = kind.ok_or_else(|| "there is no such kind of order".to_owned())?;
    let text = |name| fields.one(name).map(str::to_owned);
    let target = RerouteTarget {
        channel: text("new_channel"),
        host: text("new_host"),
        address: text("new_address"),
    };
    let new = NewOrder {
        kind,
        from: fields.parsed("from")?,
        to: fields.parsed("to")?,
        host: fields.parsed("host")?,
        channel: fields.parsed("channel")?,
        target: (target != RerouteTarget::default()).then_some(target),
        rate: fields.parsed("rate")?.map(OrderRate),
        release: fields.one("release") == Some("yes"),
        seconds: fields.time()?.map(|time| time.as_secs()),
        until: None,
        reason,
        by,
        dry_run: false,
    };
    new.check(Timestamp::now()).map_err(|error| error.to_string())?;
    Ok(PageOrder::Stand(Box::new(new)))
}

fn queue(
    fields: &FormFields,
    order: &str,
    (by, reason): (String, String),
) -> Result<PageOrder, String> {
    let kind = KINDS.into_iter().find(|kind| kind.name() == order);
    let kind = kind.ok_or_else(|| "there is no such order".to_owned())?;
    let is_for_all = fields.one("scope") == Some("all");
    let (mut filter, ids) = if is_for_all {
        (fields.filter()?, Vec::new())
    } else {
        (QueueFilter::default(), fields.ids())
    };
    if !is_for_all && ids.is_empty() {
        return Err("nothing is chosen".to_owned());
    }
    if kind == OrderKind::Release && is_for_all {
        filter.state = filter.state.or(Some(QueueState::Held));
    }
    let up_to = fields.one("up_to").map(str::to_owned);
    let (dry_run, standing) = (false, None);
    let order = QueueOrder { kind, ids, filter, dry_run, by, reason, up_to, standing };
    Ok(PageOrder::Queue(Box::new(order)))
}

/// For the log.
impl fmt::Display for PageOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(order) if order.ids.is_empty() => {
                let filter = serde_urlencoded::to_string(&order.filter).unwrap_or_default();
                write!(f, "{} all with {filter:?}", order.kind.name())
            }
            Self::Queue(order) => write!(f, "{} {}", order.kind.name(), order.ids.join(" ")),
            Self::Suspend(order) => write!(f, "suspend {} for {} s", order.host, order.seconds),
            Self::Resume(order) => write!(f, "resume {}", order.host),
            Self::Channel { name, stop: true } => write!(f, "stop channel {name}"),
            Self::Channel { name, stop: false } => write!(f, "start channel {name}"),
            Self::Part(PartOrder { order, part }) => {
                write!(f, "{} {}", order.name(), part.as_deref().unwrap_or_default())
            }
            Self::Limit(order) => write!(f, "set {} {}", order.key, order.value),
            Self::Stand(new) => in_words(new, f),
            Self::Remove { id, release: false } => write!(f, "remove order {id}"),
            Self::Remove { id, release: true } => write!(f, "remove order {id} and release"),
        }
    }
}

fn in_words(new: &NewOrder, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{} mail {}", new.kind.name(), new.criteria())?;
    if let Some(target) = &new.target {
        write!(f, ", to go to {target},")?;
    }
    if let Some(rate) = &new.rate {
        write!(f, " at {}", rate.0)?;
    }
    match new.seconds {
        Some(seconds) => write!(f, " for {seconds} s"),
        None => f.write_str(" until it is removed"),
    }
}

const KINDS: [OrderKind; 6] = [
    OrderKind::Hold,
    OrderKind::Release,
    OrderKind::Retry,
    OrderKind::Return,
    OrderKind::Delete,
    OrderKind::Reroute,
];

const FILTERS: [&str; 8] =
    ["channel", "host", "from", "to", "older_than", "larger_than", "reply", "state"];

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> FormFields {
        FormFields(serde_urlencoded::from_str(text).unwrap())
    }

    #[test]
    fn forms_are_read_as_orders() {
        // the form, the order in words, whether it is asked about
        let rows = [
            ("order=hold&id=A&id=B&reason=x&host=y", "hold A B", true),
            (
                "order=delete&scope=all&host=a.test&from=&state=held",
                "delete all with \"host=a.test&state=held\"",
                true,
            ),
            ("order=release&scope=all", "release all with \"state=held\"", true),
            ("order=retry&scope=all", "retry all with \"\"", true),
            ("order=suspend&host=a.test&time=1h&reason=x", "suspend a.test for 3600 s", true),
            ("order=resume&host=a.test&channel=", "resume a.test", false),
            ("order=channel_stop&channel=c", "stop channel c", true),
            ("order=channel_start&channel=c", "start channel c", false),
            ("order=part_restart&part=SMTP", "restart SMTP", true),
            ("order=part_start&part=SMTP", "start SMTP", false),
            ("order=set&key=a.maxjobs&value=7", "set a.maxjobs 7", false),
            ("order=set&key=a&value=5m&save=yes", "set a 5m", false),
            (
                "order=order_add&kind=hold&from=@a.test&time=1h&reason=x&rate=&release=yes",
                "hold mail from @a.test for 3600 s",
                true,
            ),
            (
                "order=order_add&kind=slow&host=.b.test&channel=c&rate=10/1m&reason=x",
                "slow mail host .b.test, channel c at 10/1m until it is removed",
                true,
            ),
            (
                "order=order_add&kind=reroute&to=~x&new_host=h.test&new_channel=c&reason=x",
                "reroute mail to ~x, to go to channel c, host h.test, until it is removed",
                true,
            ),
            ("order=order_remove&id=7", "remove order 7", true),
            ("order=order_remove&id=7&release=yes", "remove order 7 and release", true),
        ];
        for (form, words, asks_first) in rows {
            let asked = PageOrder::read(&fields(form), "uid 0").unwrap();
            assert_eq!(
                (asked.to_string().as_str(), asked.asks_first()),
                (words, asks_first),
                "{form}"
            );
        }
    }

    #[test]
    fn forms_that_mean_nothing_are_refused() {
        for (form, words) in [
            ("", "order is missing"),
            ("order=hold", "nothing is chosen"),
            ("order=hold&scope=chosen&host=a.test", "nothing is chosen"),
            ("order=explode&scope=all", "there is no such order"),
            ("order=hold&scope=all&older_than=soon", "a time with its unit"),
            ("order=hold&scope=all&reason=a%0Ab", "one line"),
            ("order=suspend&host=a.test&time=1s&reason=x", "1m to 30d"),
            ("order=suspend&host=a.test&time=1h", "a reason"),
            ("order=suspend&host=a.test&reason=x", "time is missing"),
            ("order=set&key=a", "value is missing"),
            ("order=part_stop", "part is missing"),
            ("order=order_remove", "id is missing"),
            ("order=order_remove&id=x", "id: "),
            ("order=order_add&kind=stop&from=a&reason=x", "no such kind"),
            ("order=order_add&kind=hold&reason=x", "which mail"),
            ("order=order_add&kind=hold&from=@&reason=x", "from: a domain"),
            ("order=order_add&kind=hold&from=a", "a reason"),
            ("order=order_add&kind=hold&from=a&reason=x&time=soon", "how long?"),
            ("order=order_add&kind=slow&from=a&reason=x", "a rate such as"),
            ("order=order_add&kind=slow&from=a&reason=x&rate=fast", "rate: "),
            ("order=order_add&kind=suspend&from=a&reason=x&new_host=h", "nothing else takes one"),
        ] {
            let error = PageOrder::read(&fields(form), "uid 0").unwrap_err();
            assert!(error.contains(words), "{form}: {error}");
        }
    }

    #[test]
    fn who_and_why_go_with_the_order() {
        let Ok(PageOrder::Queue(order)) =
            PageOrder::read(&fields("order=return&id=A&reason=too+old&up_to=B"), "uid 7")
        else {
            panic!("an order for the queue");
        };
        let words = (order.by.as_str(), order.reason.as_str(), order.up_to.as_deref());
        assert_eq!(words, ("uid 7", "too old", Some("B")));
        let stop = PageOrder::Channel { name: "c".to_owned(), stop: true };
        assert!(stop.keeps_back().is_some_and(|filter| filter.names_channel("c")));
    }
}
