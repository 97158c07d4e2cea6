//! The views, as lines for a terminal of any size.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::Line,
    widgets::Paragraph,
};
use relais_actors::{events::Printable, timestamp::Timestamp};

use super::app::{App, LISTED, TopView};
use crate::{
    api::{Overview, QueuedEntry},
    show::{self, Look, Relative, Size, Table},
};

/// Draws what there is. Text of strangers is made fit for it by [`Table`] and [`Printable`].
pub(super) fn draw(app: &mut App, frame: &mut Frame<'_>) {
    let rows = [Constraint::Length(2), Constraint::Fill(1), Constraint::Length(1)];
    let [head, body, foot] = Layout::vertical(rows).areas(frame.area());
    app.page = usize::from(body.height).saturating_sub(1);
    line(frame, head, 0, Style::new(), &top_line(app));
    line(frame, head, 1, Style::new().add_modifier(Modifier::REVERSED), &tabs(app, head.width));
    let look = Look { width: Some(usize::from(body.width)), colour: false };
    if app.help {
        text(frame, body, HELP, app.scroll);
    } else if let (Some(error), None) = (&app.error, &app.overview) {
        text(frame, body, &look.fit(&format!("{}\n", Printable(error))), 0);
    } else {
        body_of(app, frame, body, look);
    }
    let (style, words) = foot_of(app);
    line(frame, foot, 0, style, &words);
}

fn body_of(app: &mut App, frame: &mut Frame<'_>, body: Rect, look: Look) {
    let Some(overview) = &app.overview else {
        return text(frame, body, "asking the engine ...", 0);
    };
    match app.view().clone() {
        TopView::Overview => overview_body(overview, frame, body, look),
        TopView::Hosts => {
            let table = show::hosts_at_a_glance(overview, app.hosts());
            listing(app, frame, body, (&table, look), "no host is in trouble");
        }
        TopView::Channels => {
            let mut table = Table::new(&show::CHANNEL_TITLES);
            for channel in app.channels() {
                show::add_channel(&mut table, channel, show::flow_of(overview, &channel.name));
            }
            listing(app, frame, body, (&table, look), "no channel delivers anything");
        }
        TopView::Queue => {
            let table = queue_table(&app.queue(), overview.at);
            listing(app, frame, body, (&table, look), "no entry in the queue passes the filter");
        }
        TopView::Message(_) => {
            let page = app.message.as_ref().map(|message| show::message(message, look));
            scrolled(app, frame, body, &page.unwrap_or_default());
        }
        TopView::Why(_) => {
            let page = look.fit(&show::why(&app.why));
            scrolled(app, frame, body, &page);
        }
    }
}

/// Queue, limits, channels, hosts: as much of each as there is room.
fn overview_body(overview: &Overview, frame: &mut Frame<'_>, body: Rect, look: Look) {
    let lines = usize::from(body.height);
    let mut page = vec![show::queue_line(&overview.queue), show::age_line(&overview.queue)];
    if let Some(its) = &overview.history {
        page.extend(look.fit(&format!("{}\n", Printable(its))).lines().map(str::to_owned));
    }
    page.extend(show::orders_line(overview));
    let add = |page: &mut Vec<String>, table: &Table, most: usize| {
        let rows: Vec<String> = table.fit(look).lines().map(str::to_owned).collect();
        let left = rows.len().saturating_sub(most);
        page.push(String::new());
        page.extend(rows.into_iter().take(most));
        if left > 0 {
            page.push(format!("... and {left} more"));
        }
    };
    if overview.limiting.is_empty() {
        page.extend(look.fit(&format!("{}\n", overview.waits)).lines().map(str::to_owned));
    } else {
        add(&mut page, &show::limits_at_a_glance(overview), (lines / 4).max(2));
    }
    if !overview.channels.is_empty() {
        add(&mut page, &show::channels_at_a_glance(overview), (lines / 3).max(2));
    }
    if !overview.hosts.is_empty() {
        let room = lines.saturating_sub(page.len() + 2).max(2);
        add(&mut page, &show::hosts_at_a_glance(overview, &overview.hosts), room);
    }
    if page.len() + overview.services.len() + 2 <= lines {
        add(&mut page, &show::services_at_a_glance(overview), lines);
    }
    for (row, words) in page.iter().enumerate().take(lines) {
        let is_title = row > 0 && page[row - 1].is_empty();
        line(frame, body, row, if is_title { BOLD } else { Style::new() }, words);
    }
}

fn queue_table(entries: &[&QueuedEntry], now: Timestamp) -> Table {
    let titles = ["ID", "STATE", ">AGE", "2>SIZE", ">TRIES", "1NEXT", "=HOST", "3=SENDER"];
    let mut table = Table::new(&titles);
    for entry in entries {
        let age = show::Span(entry.received.until(now));
        let next = Relative { time: entry.due, now };
        let sender = format!("<{}>", entry.sender);
        table.row([
            &entry.id,
            &entry.state.name(),
            &age,
            &Size(entry.size),
            &entry.attempts,
            &next.next(),
            &entry.host,
            &sender,
        ]);
    }
    table
}

/// A table of which a row is chosen, and stays on the screen.
fn listing(
    app: &mut App,
    frame: &mut Frame<'_>,
    body: Rect,
    (table, look): (&Table, Look),
    nothing: &str,
) {
    if table.is_empty() {
        return text(frame, body, nothing, 0);
    }
    let fitted = table.fit(look);
    let mut lines = fitted.lines();
    line(frame, body, 0, BOLD, lines.next().unwrap_or_default());
    let chosen = app.row().unwrap_or(0);
    let room = app.page.max(1);
    app.scroll = app.scroll.clamp((chosen + 1).saturating_sub(room), chosen);
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    for (row, words) in lines.enumerate().skip(app.scroll).take(room) {
        let style = if row == chosen { reversed } else { Style::new() };
        let padded = format!("{words:<width$}", width = usize::from(body.width));
        line(frame, body, row - app.scroll + 1, style, if row == chosen { &padded } else { words });
    }
}

/// Lines that are longer than the screen, from where the operator is.
fn scrolled(app: &mut App, frame: &mut Frame<'_>, body: Rect, page: &str) {
    let lines = page.lines().count();
    app.scroll = app.scroll.min(lines.saturating_sub(usize::from(body.height)));
    let words = if page.is_empty() { "there is no such message any more" } else { page };
    text(frame, body, words, app.scroll);
}

fn top_line(app: &App) -> String {
    let Some(overview) = &app.overview else { return "relais top".to_owned() };
    let time = overview.at.to_string();
    // Of `2026-08-30T23:45:01.123Z`.
    let clock = time.get(11..19).unwrap_or_default();
    format!("{}  {clock} UTC", show::first_line(overview))
}

/// The views, the one that is shown in brackets.
fn tabs(app: &App, width: u16) -> String {
    let tab = |name: &str, key: char, is_it: bool| {
        if is_it { format!("[{key} {name}]") } else { format!(" {key} {name} ") }
    };
    let view = app.view();
    let mut tabs = vec![
        tab("overview", '1', *view == TopView::Overview),
        tab("hosts", '2', *view == TopView::Hosts),
        tab("channels", '3', *view == TopView::Channels),
        tab("queue", '4', *view == TopView::Queue),
    ];
    match view {
        TopView::Message(id) => tabs.push(format!("[message {id}]")),
        TopView::Why(id) => tabs.push(format!("[why {id}]")),
        _ => {}
    }
    format!("{:<width$}", tabs.join(" "), width = usize::from(width))
}

/// A mistake, the filter that is typed, or the keys that help here.
fn foot_of(app: &App) -> (Style, String) {
    if let Some(typed) = &app.typing {
        return (BOLD, format!("filter (host=, channel=, from=, to=, state=): {typed}_"));
    }
    if let Some(error) = &app.error {
        return (BOLD, Printable(error).to_string());
    }
    let sorted = app.sort().and_then(|sort| {
        let name = app.view().orders().get(sort.by)?;
        Some(format!("by {name}{}  s order  r turn  ", if sort.reversed { " turned" } else { "" }))
    });
    let sorted = sorted.unwrap_or_default();
    let words = match app.view() {
        TopView::Overview => "Enter hosts  / filter  ? help  q quit".to_owned(),
        TopView::Hosts | TopView::Channels => {
            format!("{sorted}Enter messages  Esc back  ? help  q quit")
        }
        TopView::Queue => {
            let first = if app.entries.len() as u64 == LISTED { "the first 200  " } else { "" };
            format!("{first}{sorted}/ filter  Enter message  w why  Esc back  q quit")
        }
        TopView::Message(_) => "Enter why  arrows scroll  Esc back  ? help  q quit".to_owned(),
        TopView::Why(_) => "arrows scroll  Esc back  ? help  q quit".to_owned(),
    };
    (Style::new(), words)
}

fn line(frame: &mut Frame<'_>, area: Rect, row: usize, style: Style, words: &str) {
    let Ok(row) = u16::try_from(row) else { return };
    if row < area.height {
        let place = Rect { y: area.y + row, height: 1, ..area };
        frame.render_widget(Line::styled(words, style), place);
    }
}

fn text(frame: &mut Frame<'_>, area: Rect, words: &str, scroll: usize) {
    let lines: Vec<Line<'_>> = words.lines().skip(scroll).map(Line::raw).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// The keys.
const HELP: &str = "\
  1 2 3 4        overview, hosts in trouble, channels, queue
  Up Down j k    choose a row, or scroll; PgUp PgDn Home End
  Enter          from a host or a channel to its messages, to one message, to why
                 it waits; Esc goes back
  w              why the chosen message waits
  /              filter the queue: words such as host=mx.example state=held
                 from=~ann to=@example.org channel=NAME older_than=1h
                 larger_than=1MiB reply=busy; a word alone is part of a host
  s              the next order of rows; r turns it round
  ?              this
  q Ctrl-C       end

  Rates are messages a second over the last 10 s. IN: put into the queue to leave
  by the channel, OUT: delivered, NOT: deferred or failed. The screen follows the
  engine every 2 s.";

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend, crossterm::event::KeyCode};

    use super::{
        super::app::{TopAnswer, TopQuestion},
        *,
    };
    use crate::admin::{fake::entry, fake_overview::overview};

    fn screen(app: &mut App, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(app, frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let row = |y| {
            let cells = (0..width).map(|x| buffer[(x, y)].symbol().to_owned());
            cells.collect::<String>().trim_end().to_owned()
        };
        (0..height).map(row).collect()
    }

    fn looking(keys: &str) -> App {
        let mut app = App::default();
        app.take(&TopQuestion::Overview, Ok(TopAnswer::Overview(Box::new(overview()))));
        for c in keys.chars() {
            let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
            app.press(code.into());
        }
        app
    }

    #[test]
    fn the_overview_fits_a_small_screen() {
        let want = "\
localhost  running, up 1m  CPU 0.2 of 2  23:45:01 UTC
[1 overview]  2 hosts   3 channels   4 queue
queue 3: 0 ready, 0 active, 3 delayed, 0 held  oldest 1m
age: <10m 3

LIMITS NOW   WHERE                    WAIT  UNTIL  HELPS
unreachable  tcp_lmtpcs@…re1.example     3  in 8s  none: the destination is dead

CHANNEL     IN/s  OUT/s  NOT/s  READY  ACTIVE  DELAYED  HELD  OLDEST  JOBS
tcp_lmtpcs  12.5   11.0    0.5      0       0        3     0      1m   1/7

HOST            CHANNEL     MESSAGES  OLDEST  FAILED  NEXT TRY  WHY
store1.example  tcp_lmtpcs         3      1m       4  in 8s     451 4.4.1 conne…

SERVICE  STATE    WORKERS  SESSIONS  ACCEPTED  REFUSED
SMTP     running     1/10     3/500        10        1







Enter hosts  / filter  ? help  q quit";
        let shown = screen(&mut looking(""), 80, 24).join("\n");
        assert_eq!(shown, want, "\n{shown}");
    }

    #[test]
    fn every_view_fits_every_screen_and_shows_nothing_as_it_came() {
        for (width, height) in [(80, 24), (40, 10), (132, 50), (10, 3), (1, 1)] {
            for keys in ["", "2", "3", "4", "4\n", "4w", "?", "/", "4s"] {
                let mut app = looking("");
                let mut odd = overview();
                odd.hosts[0].last_reply = Some(format!("451 \u{1b}[2J{}", "x".repeat(500)));
                odd.host = "a\u{202e}b".to_owned();
                app.take(&TopQuestion::Overview, Ok(TopAnswer::Overview(Box::new(odd))));
                for c in keys.chars() {
                    let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
                    if app.view() == &TopView::Queue && app.entries.is_empty() {
                        let mut entry = entry(1);
                        entry.sender = "\u{1b}]0;x\u{7}@example.org".to_owned();
                        let all = vec![entry; 60];
                        app.take(
                            &TopQuestion::Queue(app.filter.clone()),
                            Ok(TopAnswer::Queue(all)),
                        );
                    }
                    app.press(code.into());
                }
                let shown = screen(&mut app, width, height).join("\n");
                assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{keys}: {shown}");
            }
        }
    }

    #[test]
    fn the_chosen_row_stays_on_the_screen() {
        let mut app = looking("4");
        let entries: Vec<_> = (0..100).map(entry).collect();
        let last = entries[99].id.clone();
        app.take(&TopQuestion::Queue(app.filter.clone()), Ok(TopAnswer::Queue(entries)));
        screen(&mut app, 80, 24);
        app.press(KeyCode::End.into());
        let shown = screen(&mut app, 80, 24).join("\n");
        assert!(shown.contains(&last), "{shown}");
        app.press(KeyCode::Home.into());
        let shown = screen(&mut app, 80, 24).join("\n");
        assert!(!shown.contains(&last) && shown.contains(&entry(0).id), "{shown}");
    }

    #[test]
    fn without_an_engine_it_says_so() {
        let mut app = looking("");
        app.take(&TopQuestion::Overview, Err("no engine is running on data".to_owned()));
        let shown = screen(&mut app, 80, 24);
        assert_eq!(shown[2], "no engine is running on data");
    }
}
