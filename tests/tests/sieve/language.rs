//! Pigeonhole's language of tests, read: Sieve's grammar, whatever the names are.

/// A command.
#[derive(Debug)]
pub(crate) struct Command<'t> {
    pub(crate) name: &'t str,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) tests: Vec<Test<'t>>,
    pub(crate) block: Vec<Command<'t>>,
    /// From its name to its end.
    pub(crate) source: &'t str,
}

/// A test.
#[derive(Debug)]
pub(crate) struct Test<'t> {
    pub(crate) name: &'t str,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) tests: Vec<Self>,
    pub(crate) source: &'t str,
}

#[derive(Debug)]
pub(crate) enum Argument {
    Tag,
    /// A string, a number, or a list.
    Texts(Vec<String>),
}

impl Command<'_> {
    /// The strings of an argument that is no tag, by its number.
    pub(crate) fn texts(&self, number: usize) -> &[String] {
        texts(&self.arguments, number)
    }
}

impl Test<'_> {
    pub(crate) fn text(&self) -> &str {
        texts(&self.arguments, 0).first().map_or("", String::as_str)
    }
}

fn texts(arguments: &[Argument], number: usize) -> &[String] {
    let mut texts = arguments.iter().filter_map(|its| match its {
        Argument::Texts(texts) => Some(&texts[..]),
        Argument::Tag => None,
    });
    texts.nth(number).unwrap_or_default()
}

/// All commands of a file; `None` where it is beyond this reader.
pub(crate) fn parse(text: &str) -> Option<Vec<Command<'_>>> {
    let mut reader = Reader { text, at: 0 };
    let commands = reader.commands()?;
    (reader.at == text.len()).then_some(commands)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            let comment = match &rest[blank..] {
                its if its.starts_with('#') => its.find('\n').map_or(its.len(), |end| end + 1),
                its if its.starts_with("/*") => its.find("*/").map_or(its.len(), |end| end + 2),
                _ => 0,
            };
            self.at += blank + comment;
            if blank + comment == 0 {
                return;
            }
        }
    }

    fn take(&mut self, mark: char) -> Option<()> {
        self.skip_blanks();
        self.rest().starts_with(mark).then(|| self.at += 1)
    }

    fn name(&mut self) -> Option<&'t str> {
        self.skip_blanks();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..end];
        name.starts_with(|c: char| !c.is_ascii_digit()).then(|| self.at += end)?;
        Some(name)
    }

    fn commands(&mut self) -> Option<Vec<Command<'t>>> {
        let mut commands = Vec::new();
        loop {
            self.skip_blanks();
            let start = self.at;
            let Some(name) = self.name() else { return Some(commands) };
            let (arguments, tests) = self.arguments()?;
            let block = if self.take('{').is_some() {
                let block = self.commands()?;
                self.take('}')?;
                block
            } else {
                self.take(';')?;
                Vec::new()
            };
            let source = &self.text[start..self.at];
            commands.push(Command { name, arguments, tests, block, source });
        }
    }

    fn test(&mut self) -> Option<Test<'t>> {
        self.skip_blanks();
        let start = self.at;
        let name = self.name()?;
        let (arguments, tests) = self.arguments()?;
        Some(Test { name, arguments, tests, source: self.text[start..self.at].trim_end() })
    }

    fn arguments(&mut self) -> Option<(Vec<Argument>, Vec<Test<'t>>)> {
        let (mut arguments, mut tests) = (Vec::new(), Vec::new());
        loop {
            self.skip_blanks();
            match self.rest().chars().next()? {
                ':' => {
                    self.at += 1;
                    self.name()?;
                    arguments.push(Argument::Tag);
                }
                '[' => {
                    self.at += 1;
                    let mut list = vec![self.string()?];
                    while self.take(',').is_some() {
                        list.push(self.string()?);
                    }
                    self.take(']')?;
                    arguments.push(Argument::Texts(list));
                }
                '(' => {
                    self.at += 1;
                    tests.push(self.test()?);
                    while self.take(',').is_some() {
                        tests.push(self.test()?);
                    }
                    self.take(')')?;
                    return Some((arguments, tests));
                }
                '0'..='9' => {
                    let rest = self.rest();
                    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
                    self.at += end;
                    arguments.push(Argument::Texts(vec![rest[..end].to_owned()]));
                }
                '"' => arguments.push(Argument::Texts(vec![self.string()?])),
                _ if self.rest().starts_with("text:") => {
                    arguments.push(Argument::Texts(vec![self.string()?]));
                }
                c if c.is_ascii_alphabetic() => {
                    tests.push(self.test()?);
                    return Some((arguments, tests));
                }
                _ => return Some((arguments, tests)),
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.skip_blanks();
        if self.rest().starts_with("text:") {
            return self.text_lines();
        }
        self.take('"')?;
        let mut value = String::new();
        let mut characters = self.rest().char_indices();
        while let Some((offset, c)) = characters.next() {
            match c {
                '"' => {
                    self.at += offset + 1;
                    return Some(value);
                }
                '\\' => value.extend(characters.next().map(|(_, c)| c)),
                c => value.push(c),
            }
        }
        None
    }

    /// The lines behind `text:`, each with CR LF.
    fn text_lines(&mut self) -> Option<String> {
        self.at += self.rest().find('\n')? + 1;
        let mut value = String::new();
        loop {
            let rest = self.rest();
            let end = rest.find('\n')?;
            let line = rest[..end].trim_end_matches('\r');
            self.at += end + 1;
            if line == "." {
                return Some(value);
            }
            value.push_str(if line.starts_with("..") { &line[1..] } else { line });
            value.push_str("\r\n");
        }
    }
}
