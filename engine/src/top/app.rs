//! The doings of keys, and the questions to the engine. Pure.

use std::cmp::Ordering;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::api::{
    ChannelOverview, HostTrouble, Overview, QueueFilter, QueuedEntry, QueuedMessage, Why,
};

/// Everything that is shown, and how it is looked at.
#[derive(Debug, Default)]
pub(super) struct App {
    pub(super) overview: Option<Box<Overview>>,
    pub(super) entries: Vec<QueuedEntry>,
    pub(super) message: Option<QueuedMessage>,
    pub(super) why: Vec<Why>,
    /// Why the engine did not answer the last time.
    pub(super) error: Option<String>,
    /// The views that led here; the last one is shown.
    views: Vec<TopView>,
    pub(super) help: bool,
    /// A filter that is being typed.
    pub(super) typing: Option<String>,
    pub(super) filter: QueueFilter,
    /// Lines of the view that are above the screen.
    pub(super) scroll: usize,
    /// Rows that the screen has for the view, as it was drawn last.
    pub(super) page: usize,
    sort: [Sort; 3],
    selected: [Option<String>; 3],
    asked: Vec<TopQuestion>,
    ended: bool,
}

/// One view.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum TopView {
    #[default]
    Overview,
    Hosts,
    Channels,
    Queue,
    Message(String),
    Why(String),
}

/// A question to the engine.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TopQuestion {
    Overview,
    Queue(QueueFilter),
    Message(String),
    Why(String),
}

/// Its answer.
#[derive(Debug)]
pub(super) enum TopAnswer {
    Overview(Box<Overview>),
    Queue(Vec<QueuedEntry>),
    Message(QueuedMessage),
    Why(Vec<Why>),
}

/// The order of rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sort {
    /// A column of those that [`TopView::orders`] names.
    pub(super) by: usize,
    pub(super) reversed: bool,
}

impl TopView {
    /// The orders of its rows, by name; the first is the usual one.
    pub(super) fn orders(&self) -> &'static [&'static str] {
        match self {
            Self::Hosts => &["MESSAGES", "OLDEST", "FAILED", "HOST"],
            Self::Channels => &["file", "READY", "DELAYED", "HELD", "OLDEST", "CHANNEL"],
            Self::Queue => &["RECEIVED", "SIZE", "TRIES", "HOST", "SENDER"],
            Self::Overview | Self::Message(_) | Self::Why(_) => &[],
        }
    }

    /// Its place among views with rows to choose from.
    fn listed(&self) -> Option<usize> {
        match self {
            Self::Hosts => Some(0),
            Self::Channels => Some(1),
            Self::Queue => Some(2),
            Self::Overview | Self::Message(_) | Self::Why(_) => None,
        }
    }
}

impl App {
    /// The view that is shown.
    pub(super) fn view(&self) -> &TopView {
        self.views.last().unwrap_or(&TopView::Overview)
    }

    /// Whether the operator has seen enough.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// It is time to ask again.
    pub(super) fn refresh(&mut self) {
        self.asked.push(TopQuestion::Overview);
        self.ask_for_view();
    }

    /// The questions since this was last called.
    pub(super) fn take_asked(&mut self) -> Vec<TopQuestion> {
        std::mem::take(&mut self.asked)
    }

    fn ask_for_view(&mut self) {
        let asked = match self.view() {
            TopView::Overview | TopView::Hosts | TopView::Channels => return,
            TopView::Queue => {
                TopQuestion::Queue(QueueFilter { limit: Some(LISTED), ..self.filter.clone() })
            }
            TopView::Message(id) => TopQuestion::Message(id.clone()),
            TopView::Why(id) => TopQuestion::Why(id.clone()),
        };
        self.asked.push(asked);
    }

    /// The engine has answered, or not.
    pub(super) fn take(&mut self, asked: &TopQuestion, loaded: Result<TopAnswer, String>) {
        let is_past = match asked {
            TopQuestion::Overview | TopQuestion::Queue(_) => false,
            TopQuestion::Message(id) => {
                !matches!(self.view(), TopView::Message(seen) if seen == id)
            }
            TopQuestion::Why(id) => !matches!(self.view(), TopView::Why(seen) if seen == id),
        };
        // The operator has gone on meanwhile, perhaps to another message.
        if is_past {
            return;
        }
        match loaded {
            Ok(loaded) => {
                // A question that succeeds does not speak for another one that failed behind it.
                if matches!(asked, TopQuestion::Overview) {
                    self.error = None;
                }
                match loaded {
                    TopAnswer::Overview(overview) => self.overview = Some(overview),
                    TopAnswer::Queue(entries) => self.entries = entries,
                    TopAnswer::Message(message) => self.message = Some(message),
                    TopAnswer::Why(why) => self.why = why,
                }
            }
            Err(error) => {
                self.error = Some(error);
                match asked {
                    // It may be an engine that is started next: nothing is said of one that is gone.
                    TopQuestion::Overview => self.overview = None,
                    TopQuestion::Queue(_) => self.entries.clear(),
                    TopQuestion::Message(_) => self.message = None,
                    TopQuestion::Why(_) => self.why.clear(),
                }
            }
        }
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: KeyEvent) {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            self.ended |= matches!(key.code, KeyCode::Char('c' | 'd'));
            return;
        }
        if self.typing.is_some() {
            return self.type_on(key.code);
        }
        if self.help {
            self.help = false;
            self.ended |= key.code == KeyCode::Char('q');
            return;
        }
        match key.code {
            KeyCode::Char('q') => self.ended = true,
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char('1') => self.begin(TopView::Overview),
            KeyCode::Char('2') => self.begin(TopView::Hosts),
            KeyCode::Char('3') => self.begin(TopView::Channels),
            KeyCode::Char('4') => {
                self.filter = QueueFilter::default();
                self.begin(TopView::Queue);
            }
            KeyCode::Char('/') => {
                self.typing = Some(String::new());
                if *self.view() != TopView::Queue {
                    self.filter = QueueFilter::default();
                    self.enter(TopView::Queue);
                }
            }
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => self.back(),
            KeyCode::Enter | KeyCode::Right => self.go_in(),
            KeyCode::Char('w') => self.why(),
            KeyCode::Char('s') => self.sort_on(),
            KeyCode::Char('r') => {
                if let Some(which) = self.view().listed() {
                    self.sort[which].reversed ^= true;
                }
            }
            code => self.move_by(code),
        }
    }

    fn begin(&mut self, view: TopView) {
        self.views.clear();
        self.enter(view);
    }

    fn enter(&mut self, view: TopView) {
        match &view {
            TopView::Message(_) => self.message = None,
            TopView::Why(_) => self.why.clear(),
            TopView::Queue => self.entries.clear(),
            TopView::Overview | TopView::Hosts | TopView::Channels => {}
        }
        self.views.push(view);
        self.scroll = 0;
        self.ask_for_view();
    }

    fn back(&mut self) {
        self.views.pop();
        self.scroll = 0;
        self.ask_for_view();
    }

    /// From a host or channel to its messages, from a message to why it waits.
    fn go_in(&mut self) {
        match self.view().clone() {
            TopView::Overview => self.enter(TopView::Hosts),
            TopView::Hosts => {
                let Some(host) = self.chosen_host() else { return };
                let (channel, host) = (host.channel.clone(), host.host.clone());
                self.filter = QueueFilter {
                    channel: channel.parse().ok(),
                    host: host.parse().ok(),
                    ..QueueFilter::default()
                };
                self.enter(TopView::Queue);
            }
            TopView::Channels => {
                let Some(channel) = self.chosen_channel() else { return };
                let channel = channel.name.parse().ok();
                self.filter = QueueFilter { channel, ..QueueFilter::default() };
                self.enter(TopView::Queue);
            }
            TopView::Queue => {
                if let Some(id) = self.chosen_entry().map(|entry| entry.id.clone()) {
                    self.enter(TopView::Message(id));
                }
            }
            TopView::Message(id) => self.enter(TopView::Why(id)),
            TopView::Why(_) => {}
        }
    }

    fn why(&mut self) {
        let id = match self.view() {
            TopView::Queue => self.chosen_entry().map(|entry| entry.id.clone()),
            TopView::Message(id) => Some(id.clone()),
            _ => None,
        };
        if let Some(id) = id {
            self.enter(TopView::Why(id));
        }
    }

    fn sort_on(&mut self) {
        let orders = self.view().orders().len();
        if let Some(which) = self.view().listed() {
            let by = (self.sort[which].by + 1) % orders;
            self.sort[which] = Sort { by, reversed: false };
        }
    }

    /// The order of the rows of the view.
    pub(super) fn sort(&self) -> Option<Sort> {
        self.view().listed().map(|which| self.sort[which])
    }

    fn move_by(&mut self, code: KeyCode) {
        let page = self.page.max(1);
        let Some(which) = self.view().listed() else {
            self.scroll = match code {
                KeyCode::Up | KeyCode::Char('k') => self.scroll.saturating_sub(1),
                KeyCode::Down | KeyCode::Char('j') => self.scroll + 1,
                KeyCode::PageUp => self.scroll.saturating_sub(page),
                KeyCode::PageDown | KeyCode::Char(' ') => self.scroll + page,
                KeyCode::Home => 0,
                _ => self.scroll,
            };
            return;
        };
        let keys = self.keys();
        let Some(last) = keys.len().checked_sub(1) else { return };
        let at = self.chosen(&keys);
        let to = match code {
            KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => at + 1,
            KeyCode::PageUp => at.saturating_sub(page),
            KeyCode::PageDown | KeyCode::Char(' ') => at + page,
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => return,
        };
        self.selected[which] = Some(keys[to.min(last)].clone());
    }

    fn keys(&self) -> Vec<String> {
        match self.view() {
            TopView::Hosts => self.hosts().iter().map(|host| key_of_host(host)).collect(),
            TopView::Channels => self.channels().iter().map(|its| its.name.clone()).collect(),
            TopView::Queue => self.queue().iter().map(|entry| key_of_entry(entry)).collect(),
            TopView::Overview | TopView::Message(_) | TopView::Why(_) => Vec::new(),
        }
    }

    fn chosen(&self, keys: &[String]) -> usize {
        let selected = self.view().listed().and_then(|which| self.selected[which].as_ref());
        selected.and_then(|key| keys.iter().position(|one| one == key)).unwrap_or(0)
    }

    /// The row that is chosen, of a view with rows.
    pub(super) fn row(&self) -> Option<usize> {
        let keys = self.keys();
        (!keys.is_empty()).then(|| self.chosen(&keys))
    }

    fn chosen_host(&self) -> Option<&HostTrouble> {
        self.hosts().get(self.row()?).copied()
    }

    fn chosen_channel(&self) -> Option<&ChannelOverview> {
        self.channels().get(self.row()?).copied()
    }

    fn chosen_entry(&self) -> Option<&QueuedEntry> {
        self.queue().get(self.row()?).copied()
    }

    /// Hosts in trouble, in order.
    pub(super) fn hosts(&self) -> Vec<&HostTrouble> {
        let hosts = self.overview.iter().flat_map(|its| &its.hosts).collect();
        sorted(hosts, self.sort[0], |by, a: &&HostTrouble, b| match by {
            1 => b.oldest_seconds.cmp(&a.oldest_seconds),
            2 => b.failures.cmp(&a.failures),
            3 => a.host.cmp(&b.host),
            _ => b.messages.cmp(&a.messages),
        })
    }

    /// Channels, in order.
    pub(super) fn channels(&self) -> Vec<&ChannelOverview> {
        let channels = self.overview.iter().flat_map(|its| &its.channels).collect();
        sorted(channels, self.sort[1], |by, a: &&ChannelOverview, b| match by {
            1 => b.ready.cmp(&a.ready),
            2 => b.delayed.cmp(&a.delayed),
            3 => b.held.cmp(&a.held),
            4 => b.oldest_seconds.cmp(&a.oldest_seconds),
            5 => a.name.cmp(&b.name),
            _ => Ordering::Equal,
        })
    }

    /// Entries of the queue, in order.
    pub(super) fn queue(&self) -> Vec<&QueuedEntry> {
        sorted(self.entries.iter().collect(), self.sort[2], |by, a: &&QueuedEntry, b| match by {
            1 => b.size.cmp(&a.size),
            2 => b.attempts.cmp(&a.attempts),
            3 => a.host.cmp(&b.host),
            4 => a.sender.cmp(&b.sender),
            _ => a.received.cmp(&b.received),
        })
    }

    fn type_on(&mut self, code: KeyCode) {
        let Some(text) = &mut self.typing else { return };
        match code {
            KeyCode::Esc => self.typing = None,
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(c) if text.chars().count() < LONGEST_FILTER => text.push(c),
            KeyCode::Enter => {
                let text = std::mem::take(text);
                self.typing = None;
                match filter_of(&text) {
                    Ok(filter) => {
                        self.filter = filter;
                        self.entries.clear();
                        self.ask_for_view();
                    }
                    Err(why) => self.error = Some(why),
                }
            }
            _ => {}
        }
    }
}

fn sorted<T>(mut all: Vec<T>, sort: Sort, order: impl Fn(usize, &T, &T) -> Ordering) -> Vec<T> {
    all.sort_by(|a, b| order(sort.by, a, b));
    if sort.reversed {
        all.reverse();
    }
    all
}

fn key_of_host(host: &HostTrouble) -> String {
    format!("{}@{}", host.channel, host.host)
}

fn key_of_entry(entry: &QueuedEntry) -> String {
    format!("{} {} {}", entry.id, entry.channel, entry.host)
}

/// A filter as it is typed: `host=mx.test state=held from=~ann`. A word alone is part of a host.
pub(super) fn filter_of(text: &str) -> Result<QueueFilter, String> {
    let mut fields = serde_json::Map::new();
    for word in text.split_whitespace() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => ("host".to_owned(), format!("~{}", word.trim_start_matches('~'))),
        };
        if fields.insert(name.clone(), value.into()).is_some() {
            return Err(format!("{name} stands there twice"));
        }
    }
    serde_json::from_value(fields.into()).map_err(|error| error.to_string())
}

/// Entries that are listed at most.
pub(super) const LISTED: u64 = 200;
/// Characters of a filter.
const LONGEST_FILTER: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{fake::entry, fake_overview::overview};

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    fn press(app: &mut App, keys: &str) {
        for c in keys.chars() {
            app.press(key(match c {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                'v' => KeyCode::Down,
                c => KeyCode::Char(c),
            }));
        }
    }

    fn looking() -> App {
        let mut app = App::default();
        app.take(&TopQuestion::Overview, Ok(TopAnswer::Overview(Box::new(overview()))));
        app
    }

    #[test]
    fn keys_lead_from_a_host_to_its_messages_to_why_and_back() {
        let mut app = looking();
        press(&mut app, "2\n");
        let filter = QueueFilter {
            channel: "tcp_lmtpcs".parse().ok(),
            host: "store1.example".parse().ok(),
            limit: Some(LISTED),
            ..QueueFilter::default()
        };
        assert_eq!(app.take_asked(), [TopQuestion::Queue(filter.clone())]);
        app.take(&TopQuestion::Queue(filter), Ok(TopAnswer::Queue(vec![entry(1), entry(2)])));
        press(&mut app, "v\n");
        let id = entry(2).id;
        assert_eq!(app.take_asked(), [TopQuestion::Message(id.clone())]);
        press(&mut app, "\n");
        assert_eq!(app.take_asked(), [TopQuestion::Why(id.clone())]);
        press(&mut app, "\n\u{1b}");
        assert_eq!(*app.view(), TopView::Message(id.clone()));
        press(&mut app, "\u{1b}w");
        assert_eq!(*app.view(), TopView::Why(id));
        press(&mut app, "\u{1b}\u{1b}");
        assert_eq!(*app.view(), TopView::Hosts);
        press(&mut app, "\u{1b}\u{1b}\u{1b}");
        assert_eq!(*app.view(), TopView::Overview, "there is nothing before it");
        assert!(!app.has_ended());
        press(&mut app, "?q");
        assert!(app.has_ended());
    }

    #[test]
    fn a_choice_stays_with_its_row_when_the_order_changes() {
        let mut app = looking();
        press(&mut app, "4");
        let (mut large, mut small) = (entry(1), entry(2));
        (large.size, small.size) = (10, 20);
        let queue = TopQuestion::Queue(QueueFilter::default());
        app.take(&queue, Ok(TopAnswer::Queue(vec![small.clone(), large.clone()])));
        press(&mut app, "v");
        assert_eq!((app.row(), app.queue()[1].id == large.id), (Some(1), true));
        press(&mut app, "s");
        assert_eq!(app.view().orders()[app.sort().unwrap().by], "SIZE");
        assert_eq!(app.queue()[app.row().unwrap()].id, large.id);
        press(&mut app, "r");
        assert_eq!((app.queue()[0].id == large.id, app.row()), (true, Some(0)));
        app.press(key(KeyCode::End));
        assert_eq!(app.row(), Some(1));
        app.press(key(KeyCode::Home));
        assert_eq!(app.row(), Some(0));
    }

    #[test]
    fn a_filter_is_typed() {
        let mut app = looking();
        press(&mut app, "/state=held mx2");
        app.press(key(KeyCode::Backspace));
        app.take_asked();
        press(&mut app, "\n");
        let [TopQuestion::Queue(filter)] = &app.take_asked()[..] else { panic!("no question") };
        assert_eq!(filter.state, Some(relais_actors::metrics::QueueState::Held));
        assert_eq!(filter.host, "~mx".parse().ok());
        for (text, wrong) in [
            ("colour=red", "unknown field `colour`"),
            ("state=lost", "unknown variant `lost`"),
            ("host=a host=b", "host stands there twice"),
            ("to=", "must not be empty"),
        ] {
            let error = filter_of(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
        }
        assert_eq!(filter_of(""), Ok(QueueFilter::default()));
    }

    #[test]
    fn an_answer_about_a_message_that_is_left_is_not_shown_for_the_next() {
        let mut app = looking();
        for (view, is_shown) in
            [(TopView::Why("1".to_owned()), true), (TopView::Why("2".to_owned()), false)]
        {
            app.error = None;
            app.views = vec![view];
            app.take(&TopQuestion::Why("1".to_owned()), Err("it is late".to_owned()));
            assert_eq!(app.error.is_some(), is_shown);
        }
    }

    #[test]
    fn an_engine_that_is_gone_leaves_nothing_that_looks_alive() {
        let mut app = looking();
        app.take(&TopQuestion::Overview, Err("no engine is running".to_owned()));
        assert!(app.overview.is_none());
        assert_eq!(app.error.as_deref(), Some("no engine is running"));
        app.take(&TopQuestion::Overview, Ok(TopAnswer::Overview(Box::new(overview()))));
        assert!(app.overview.is_some() && app.error.is_none());
    }
}
