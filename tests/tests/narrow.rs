//! `check`, `route` and `config` on a narrow terminal: nothing wraps, and nothing is left out.

use std::fs;

use relais_tests::{Instance, Settings};

const DOMAIN: &str = "mailing-lists-of-a-company-with-a-long-name.subdomain.example.org";
const CHANNEL: &str = "tcp_to_the_far_away_stores_of_xy";

/// Names that are longer than most, and two mistakes at the end of long lines.
fn instance(mistakes: bool) -> Instance {
    let rule = format!("(\"{DOMAIN}\", \"$U%{DOMAIN}@far-daemon\"),");
    let channel = format!(
        "(name: \"{CHANNEL}\", tag: \"far-daemon\", program: Lmtp, port: 2424, maxjobs: 3, \
         threaddepth: 17, pool: \"{}\"),",
        if mistakes { "NOWHERE" } else { "SMTP_POOL" }
    );
    let settings = Settings::standalone()
        .edit("rewrite_rules: [", &format!("rewrite_rules: [\n        {rule}"))
        .edit("program: Local),", &format!("program: Local),\n        {channel}"));
    Instance::new(settings)
}

/// Without what only the layout brings: blanks, and the comma behind the last field of a section
/// that takes several lines.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<String>().replace(",)", ")")
}

/// The output on a terminal, no line of it too long.
#[track_caller]
fn seen(instance: &Instance, columns: usize, words: &str) -> String {
    let (_, text) = instance.on_terminal("TERM=xterm NO_COLOR=1", columns, words, "");
    // The terminal shows what is typed, too.
    let text = text.replace('\r', "").trim_start_matches('\n').to_owned();
    for line in text.lines() {
        // A text of the file stays in one piece, so that it can be copied.
        let is_text = words == "config" && line.trim_start().starts_with('"');
        assert!(is_text || line.chars().count() <= columns, "{columns}, {words}: {line}");
    }
    text
}

const WIDTHS: [usize; 3] = [60, 80, 132];

#[test]
fn a_route_is_shown_whole_and_does_not_wrap() {
    let instance = instance(false);
    let address = format!("someone.with.a.name.as.long.as.this@{DOMAIN}");
    let list = format!("{address}\nnobody@relais.example\nteam@relais.example\n");
    fs::write(instance.path("list"), list).unwrap();
    let commands = [
        format!("route {address} --client 127.0.0.1"),
        format!("route {address}"),
        "route team@relais.example".to_owned(),
        format!("route --file {}", instance.path("list").display()),
    ];
    for command in &commands {
        let words: Vec<_> = command.split(' ').collect();
        let pipe = String::from_utf8(instance.relais("route", &words[1..]).stdout).unwrap();
        for columns in WIDTHS {
            let seen = squeezed(&seen(&instance, columns, command));
            for word in pipe.split_whitespace() {
                // A title, or a column's filling.
                let title = word.chars().all(|c| c.is_ascii_uppercase() || c == '-');
                assert!(
                    title || seen.contains(word),
                    "{columns}, {command}: {word} is not in {seen}"
                );
            }
        }
    }
    // Rest of a step stands below its beginning, further in.
    let seen = seen(&instance, 80, &commands[2]);
    let entries = "  directory: alice@relais.example:";
    let line = seen.lines().position(|line| line == entries);
    let line = line.unwrap_or_else(|| panic!("{entries}: {seen}"));
    let below = seen.lines().nth(line + 1).unwrap();
    assert!(below.starts_with("    uid=alice,"), "{seen}");
}

#[test]
fn a_check_is_shown_whole_with_what_is_marked_and_does_not_wrap() {
    let instance = instance(true);
    let found = instance.relais("check", &["--json"]);
    let found: Vec<serde_json::Value> = serde_json::from_slice(&found.stdout).unwrap();
    for columns in WIDTHS {
        let seen = seen(&instance, columns, "check");
        let all = squeezed(&seen);
        for finding in &found {
            let message = finding["message"].as_str().unwrap();
            assert!(all.contains(&squeezed(message)), "{columns}: {message}: {seen}");
        }
        // Below the excerpt the mark is where the mistake is.
        let mistake = "NOWHERE";
        let excerpt = seen.lines().position(|line| line.contains(" | ") && line.contains(mistake));
        let excerpt = excerpt.unwrap_or_else(|| panic!("{columns}: {seen}"));
        let lines: Vec<_> = seen.lines().collect();
        let at = lines[excerpt].chars().count()
            - lines[excerpt].split(mistake).last().unwrap().chars().count();
        let mark = lines[excerpt + 1].find('^').unwrap();
        assert_eq!(mark + 1 + mistake.len(), at, "{columns}: {seen}");
        // A line that goes on stands further in.
        for line in lines.iter().filter(|line| !line.contains(" | ")) {
            let begins = line.contains("relais.ron") || line.starts_with("  ");
            assert!(begins, "{columns}: {line:?} in {seen}");
        }
    }
    // A mistake that forbids to run is shown in the same way.
    let run = seen(&instance, 60, "run");
    assert!(run.contains("1 mistake in") && run.contains("NOWHERE"), "{run}");
}

#[test]
fn a_configuration_is_laid_out_for_the_terminal_and_says_the_same() {
    let instance = instance(false);
    for command in [format!("config {CHANNEL}"), "config tcp_local.mx".to_owned()] {
        let words: Vec<_> = command.split(' ').collect();
        let pipe = String::from_utf8(instance.relais("config", &words[1..]).stdout).unwrap();
        for columns in [80, 132] {
            let seen = squeezed(&seen(&instance, columns, &command));
            for word in pipe.split_whitespace().filter(|word| *word != "//") {
                let word = word.trim_end_matches(',');
                assert!(seen.contains(word), "{columns}, {command}: {word} is not in {seen}");
            }
        }
    }
    let all = seen(&instance, 80, "config");
    let values: String = all.lines().filter(|line| !line.starts_with("//")).collect();
    let pipe = String::from_utf8(instance.relais("config", &[]).stdout).unwrap();
    let wide: String = pipe.lines().filter(|line| !line.starts_with("//")).collect();
    // A comma behind the last part comes with a line of its own.
    let bare = |text: &str| squeezed(text).replace(",)", ")").replace(",]", "]").replace(",}", "}");
    assert_eq!(bare(&values), bare(&wide));
    assert!(all.starts_with("// ") && all.contains("\n//   "), "{all}");
}
