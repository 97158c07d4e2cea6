//! Pigeonhole's tests, carried out: its own commands here, Sieve's by relais.

use std::{collections::BTreeMap, fs, path::Path};

use relais_sieve::Verdict;

use crate::{
    language::{Command, Test, parse},
    ours::{Asked, compile, run},
};

/// How a test ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    Passed,
    /// In words.
    Failed(String),
    /// A part of Pigeonhole's test language, or an extension, that is not here.
    LeftOut(String),
}

/// Every test of a file, by its name.
pub(crate) fn perform(file: &Path) -> Vec<(String, Ended)> {
    let text = fs::read(file).expect("a file");
    let text = String::from_utf8_lossy(&text).replace("\r\n", "\n");
    let whole = "(the whole file)".to_owned();
    let Some(commands) = parse(&text) else {
        return vec![(whole, Ended::LeftOut("its text".to_owned()))];
    };
    let mut stage = Stage::new(file.parent().expect("a folder"));
    let mut ends = Vec::new();
    for command in &commands {
        let done = match command.name {
            "test" => {
                let name = command.texts(0).first().cloned().unwrap_or_default();
                let ended = match stage.test(&command.block) {
                    Ok(()) => Ended::Passed,
                    Err(ended) => ended,
                };
                stage.segment.clear();
                ends.push((name, ended));
                continue;
            }
            "require" => {
                stage.require(command.texts(0));
                continue;
            }
            name if is_native(name) => stage.native(command),
            _ if has_native(command) => Err(left_out("commands around tests")),
            name => {
                if name == "set" {
                    let name = format!("${{{}}}", command.texts(0).concat());
                    stage.named.insert(name, command.texts(1).concat());
                }
                stage.prelude.push_str(command.source);
                continue;
            }
        };
        if let Err(ended) = done {
            stage.blocked = Some(ended);
        }
    }
    ends
}

/// The state in which a test begins.
struct Stage<'t> {
    folder: &'t Path,
    /// Names for `require`.
    required: Vec<String>,
    /// Commands of Sieve that stand before all tests.
    prelude: String,
    /// Variables that they set, as they are written.
    named: BTreeMap<String, String>,
    /// Commands of Sieve in the test so far.
    segment: String,
    asked: Asked,
    /// The script that was compiled last.
    script: Option<Vec<u8>>,
    verdict: Option<Verdict>,
    /// Something that the whole file needs, and that is not here.
    blocked: Option<Ended>,
}

type Step = Result<(), Ended>;

fn left_out(what: &str) -> Ended {
    Ended::LeftOut(what.to_owned())
}

impl<'t> Stage<'t> {
    fn new(folder: &'t Path) -> Self {
        Self {
            folder,
            required: Vec::new(),
            prelude: String::new(),
            named: BTreeMap::new(),
            segment: String::new(),
            asked: Asked::default(),
            script: None,
            verdict: None,
            blocked: None,
        }
    }

    fn require(&mut self, names: &[String]) {
        let ours = names.iter().filter(|name| *name != "vnd.dovecot.testsuite");
        self.required.extend(ours.cloned());
    }

    fn test(&mut self, block: &[Command]) -> Step {
        if let Some(blocked) = &self.blocked {
            return Err(blocked.clone());
        }
        (self.script, self.verdict) = (None, None);
        self.segment.clear();
        self.commands(block)?;
        self.flush()
    }

    fn commands(&mut self, commands: &[Command]) -> Step {
        // Whether a branch of the `if` at hand was taken already.
        let mut is_decided = false;
        for command in commands {
            let is_branch = matches!(command.name, "if" | "elsif" | "else");
            if !is_branch {
                // `test_fail` has words in Sieve, and may stand behind a `stop`.
                let is_native = is_native(command.name) && command.name != "test_fail";
                if is_native {
                    self.native(command)?;
                } else {
                    self.add(command);
                }
                continue;
            }
            if !Self::is_chain_native(commands, command) {
                self.add(command);
                continue;
            }
            // Words and number of mistakes are each program's own; that there are some is asked before.
            if command.tests.iter().any(|test| test.source.contains("test_error")) {
                continue;
            }
            if command.name == "if" {
                is_decided = false;
            }
            let holds = match command.tests.first() {
                _ if is_decided => false,
                Some(test) => self.holds(test)?,
                None => true,
            };
            if holds {
                is_decided = true;
                self.commands(&command.block)?;
            }
        }
        Ok(())
    }

    /// Whether a branch of the `if` that this one belongs to has something of the test language.
    fn is_chain_native(all: &[Command], one: &Command) -> bool {
        let at = all.iter().position(|its| std::ptr::eq(its, one)).expect("one of them");
        let start = all[..=at].iter().rposition(|its| its.name == "if").unwrap_or(at);
        let rest = all[start + 1..].iter().take_while(|its| its.name.starts_with("els"));
        std::iter::once(&all[start]).chain(rest).any(|branch| {
            branch.tests.iter().any(is_native_test) || branch.block.iter().any(has_native)
        })
    }

    /// A command of Sieve, for the script that runs before the next one of the test language.
    fn add(&mut self, command: &Command) {
        let mut source = command.source.to_owned();
        for fail in fails(command) {
            source = source.replacen(fail, FAIL, 1);
        }
        self.segment.push_str(&source);
        self.segment.push('\n');
    }

    /// Runs the commands of Sieve so far; actions of theirs are what `test_result_execute` would carry out.
    fn flush(&mut self) -> Step {
        if self.segment.is_empty() {
            return Ok(());
        }
        let script = self.whole(&self.segment);
        match run(script.as_bytes(), &self.asked) {
            Ok(verdict) if verdict.redirects.iter().any(|its| its.to == FAILED) => {
                Err(Ended::Failed(format!("test_fail: {script}")))
            }
            Ok(verdict) => {
                self.verdict = Some(verdict);
                Ok(())
            }
            Err(why) => Err(unknown_extension(&why).unwrap_or(Ended::Failed(why))),
        }
    }

    fn whole(&self, commands: &str) -> String {
        let names: Vec<_> = self.required.iter().map(|name| format!("{name:?}")).collect();
        let require = match &names[..] {
            [] => String::new(),
            names => format!("require [{}];\n", names.join(", ")),
        };
        format!("{require}{}\n{commands}", self.prelude)
    }

    fn native(&mut self, command: &Command) -> Step {
        match command.name {
            "test_set" => {
                self.flush()?;
                // Variables of the commands before it are kept, and their tests hold for the message before.
                self.segment.clear();
                self.set(&command.texts(0).concat(), command.texts(1).concat())
            }
            "test_result_reset" => {
                self.verdict = None;
                Ok(())
            }
            "test_mailbox_create" => {
                self.asked.folders.extend(command.texts(0).iter().cloned());
                Ok(())
            }
            "test_binary_save" | "test_binary_load" | "test_result_print" => Ok(()),
            name => Err(left_out(name)),
        }
    }

    fn set(&mut self, name: &str, value: String) -> Step {
        match name {
            _ if self.named.contains_key(&value) => {
                let value = self.named[&value].clone();
                return self.set(name, value);
            }
            _ if value.contains("${") => return Err(left_out("variables in a message")),
            "message" => self.asked.message = value.into_bytes(),
            "envelope.from" => value.trim_matches(['<', '>']).clone_into(&mut self.asked.from),
            "envelope.to" | "envelope.orig_to" => {
                value.trim_matches(['<', '>']).clone_into(&mut self.asked.to);
            }
            name => return Err(left_out(name)),
        }
        Ok(())
    }

    fn holds(&mut self, test: &Test) -> Result<bool, Ended> {
        match test.name {
            "not" => Ok(!self.holds(&test.tests[0])?),
            "allof" => {
                let mut holds = true;
                for one in &test.tests {
                    holds = holds && self.holds(one)?;
                }
                Ok(holds)
            }
            "anyof" => {
                let mut holds = false;
                for one in &test.tests {
                    holds = holds || self.holds(one)?;
                }
                Ok(holds)
            }
            "test_script_compile" => {
                self.flush()?;
                let file = self.folder.join(test.text());
                let Ok(script) = fs::read(file) else { return Err(left_out("a script elsewhere")) };
                match compile(&script) {
                    Ok(_) => self.script = Some(script),
                    Err(why) => {
                        self.script = None;
                        return unknown_extension(&why).map_or(Ok(false), Err);
                    }
                }
                Ok(true)
            }
            "test_script_run" => {
                let Some(script) = &self.script else { return Ok(false) };
                match run(script, &self.asked) {
                    Ok(verdict) => self.verdict = Some(verdict),
                    Err(_) => return Ok(false),
                }
                Ok(true)
            }
            "test_result_execute" => {
                self.flush()?;
                Ok(self.verdict.is_some())
            }
            name if is_native(name) => Err(left_out(name)),
            _ => {
                let script =
                    self.whole(&format!("{}\nif {} {{ {FAIL} }}", self.segment, test.source));
                match run(script.as_bytes(), &self.asked) {
                    Ok(verdict) => Ok(verdict.redirects.iter().any(|its| its.to == FAILED)),
                    Err(why) => Err(unknown_extension(&why).unwrap_or(Ended::Failed(why))),
                }
            }
        }
    }
}

/// A script that needs what is not here says nothing of what is.
fn unknown_extension(why: &str) -> Option<Ended> {
    let name = why.split("there is no extension \"").nth(1)?.split('"').next()?;
    Some(left_out(name))
}

fn is_native(name: &str) -> bool {
    name.starts_with("test_")
}

fn is_native_test(test: &Test) -> bool {
    is_native(test.name) || test.tests.iter().any(is_native_test)
}

/// `test_fail` has words in Sieve.
fn has_native(command: &Command) -> bool {
    (is_native(command.name) && command.name != "test_fail")
        || command.tests.iter().any(is_native_test)
        || command.block.iter().any(has_native)
}

/// The sources of its `test_fail`.
fn fails<'t>(command: &Command<'t>) -> Vec<&'t str> {
    if command.name == "test_fail" {
        return vec![command.source];
    }
    command.block.iter().flat_map(fails).collect()
}

/// `test_fail` in Sieve.
const FAIL: &str = "redirect \"failed@test.example\"; stop;";
const FAILED: &str = "failed@test.example";
