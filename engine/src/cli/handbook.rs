//! `relais help`: commands as the command line explains them, and topics, which are the sections of the
//! README. A topic is named by its heading: `### Ten problems` is `ten-problems`.

use std::{fmt::Write as _, io::Write};

use clap::CommandFactory;

use super::{arguments::Arguments, refusal::Refusal};
use crate::show::Look;

/// Shows the topic or command of these words; without any, the commands and topics that there are.
pub(super) fn help(words: &[String], out: &mut dyn Write) -> Result<(), Refusal> {
    let text = match words {
        [] => overview(),
        [topic] if section(topic).is_some() => section(topic).unwrap_or_default().to_owned(),
        words => of_command(words)?,
    };
    Ok(out.write_all(Look::of_stdout().fit(&text).as_bytes())?)
}

/// All commands, and what may stand behind `help` beside them.
fn overview() -> String {
    let mut text = Arguments::command().render_long_help().to_string();
    text.push_str("\nTopics of the handbook: relais help TOPIC\n");
    for (_, title) in headings() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:<34}{title}", slug(title));
    }
    text
}

fn of_command(words: &[String]) -> Result<String, Refusal> {
    let mut command = Arguments::command();
    command.build();
    let mut found = &mut command;
    for word in words {
        let path = found.get_name().to_owned();
        found = found.find_subcommand_mut(word).ok_or_else(|| {
            Refusal::WrongUse(format!(
                "{path} has no command {word:?}, and the handbook no such topic: `relais help` lists both"
            ))
        })?;
    }
    Ok(found.render_long_help().to_string())
}

/// The text below a heading, up to the next one of its level or above.
fn section(topic: &str) -> Option<&'static str> {
    let (start, title) = headings().find(|(_, title)| slug(title) == topic)?;
    let level = level_of(title_line(start));
    let ends = |(at, _): &(usize, &str)| *at > start && level_of(title_line(*at)) <= level;
    let end = all_headings().find(ends).map_or(README.len(), |(at, _)| at);
    debug_assert!(README[start..end].contains(title), "a heading is within its section");
    Some(&README[start..end])
}

/// Sections, by where they begin.
fn headings() -> impl Iterator<Item = (usize, &'static str)> {
    all_headings().filter(|(at, _)| level_of(title_line(*at)) > 1)
}

fn all_headings() -> impl Iterator<Item = (usize, &'static str)> {
    let mut is_code = false;
    let mut at = 0;
    README.split_inclusive('\n').filter_map(move |line| {
        let start = at;
        at += line.len();
        is_code ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#').trim();
        (!is_code && line.starts_with('#')).then_some((start, title))
    })
}

fn title_line(start: usize) -> &'static str {
    README[start..].lines().next().unwrap_or_default()
}

fn level_of(line: &str) -> usize {
    line.bytes().take_while(|octet| *octet == b'#').count()
}

/// As a link to the heading has it.
fn slug(title: &str) -> String {
    let kept = title.chars().filter(|letter| letter.is_alphanumeric() || " -".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

const README: &str = include_str!("../../../README.md");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_of_the_list_has_a_text_and_no_two_have_one_name() {
        let mut seen = std::collections::HashSet::new();
        for (_, title) in headings() {
            let topic = slug(title);
            let text = section(&topic).unwrap();
            assert!(text.contains(title) && text.lines().count() > 1, "{topic}");
            assert!(seen.insert(topic), "{title} stands twice");
        }
        for topic in
            ["first-hour", "two-tiers", "behind-postfix", "in-front-of-dovecot", "ldap-trees"]
        {
            assert!(seen.contains(topic), "{topic}");
        }
        let problems = section("ten-problems").unwrap();
        assert_eq!(problems.lines().filter(|line| line.starts_with("| ")).count(), 12);
        assert!(!problems.contains("## Operating it"));
    }

    #[test]
    fn commands_are_explained_by_their_names() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(of_command(&words("queue list")).unwrap().contains("--channel"));
        assert!(of_command(&words("queue nothing")).is_err());
        assert!(overview().contains("ten-problems"));
    }

    /// Commands of the handbook are commands of the program.
    #[test]
    fn the_handbook_names_no_command_that_is_not_there() {
        let handbook = section("handbook").unwrap();
        let quoted = handbook.split('`').skip(1).step_by(2);
        let commands = quoted.filter_map(|text| text.strip_prefix("relais "));
        let mut count = 0;
        for text in commands.filter(|text| !text.starts_with("help ")) {
            let words =
                text.split(' ').take_while(|word| word.bytes().all(|b| b.is_ascii_lowercase()));
            let words: Vec<_> = words.map(str::to_owned).collect();
            let known = (1..=words.len()).rev().any(|some| of_command(&words[..some]).is_ok());
            assert!(known, "relais {text}");
            count += 1;
        }
        assert!(count > 30, "{count}");
    }
}
