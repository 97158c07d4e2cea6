//! Commands and tests of a script: RFC 5228 8.2.

use super::{
    lexer::{Lexer, Token},
    tree::{Argument, Node, Strings},
};
use crate::{
    limits::Limits,
    mistake::{MOST_MISTAKES, Mistake, MistakeKind, Place},
};

/// Parses a script. Behind a mistake it goes on with the next command, so that it tells all.
pub(crate) fn parse<'t>(
    text: &'t str,
    limits: &Limits,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Node<'t>> {
    let lexer = Lexer::new(text);
    let mut parser = Parser { lexer, token: Token::End, place: Place::default(), limits, mistakes };
    parser.step();
    let mut commands = Vec::new();
    loop {
        parser.commands(&mut commands, 0);
        if parser.token == Token::End || parser.is_full() {
            return commands;
        }
        // A brace that closes nothing.
        parser.expected("a command");
        parser.step();
    }
}

struct Parser<'t, 'p> {
    lexer: Lexer<'t>,
    token: Token<'t>,
    place: Place,
    limits: &'p Limits,
    mistakes: &'p mut Vec<Mistake>,
}

/// A mistake has been told.
struct Wrong;

impl<'t> Parser<'t, '_> {
    /// Goes to the next token; tells mistakes of the lexer, and skips them.
    fn step(&mut self) {
        loop {
            let (place, token) = self.lexer.next();
            self.place = place;
            match token {
                Ok(token) => {
                    self.token = token;
                    return;
                }
                Err(kind) => self.tell(place, kind),
            }
        }
    }

    fn tell(&mut self, place: Place, kind: MistakeKind) {
        if !self.is_full() {
            self.mistakes.push(Mistake { line: place.line, column: place.column, kind });
        }
    }

    fn is_full(&self) -> bool {
        self.mistakes.len() >= MOST_MISTAKES
    }

    fn expected(&mut self, wanted: &'static str) -> Wrong {
        let found = match &self.token {
            Token::Identifier(name) => format!("{name:?}"),
            Token::Tag(name) => format!("\":{name}\""),
            Token::Number(number) => number.to_string(),
            Token::Text(_) => "a string".to_owned(),
            Token::Mark(mark) => format!("\"{mark}\""),
            Token::End => "the end".to_owned(),
        };
        self.tell(self.place, MistakeKind::Expected { wanted, found });
        Wrong
    }

    fn is(&self, mark: char) -> bool {
        self.token == Token::Mark(mark)
    }

    /// Commands up to a closing brace or the end, neither of which it takes.
    fn commands(&mut self, into: &mut Vec<Node<'t>>, depth: usize) {
        while self.token != Token::End && !self.is('}') && !self.is_full() {
            match self.command(depth) {
                Ok(command) => into.push(command),
                Err(Wrong) => self.recover(),
            }
        }
    }

    /// Skips up to the next command: behind a semicolon or behind a block.
    fn recover(&mut self) {
        let mut braces = 0_usize;
        loop {
            let mark = match self.token {
                Token::Mark(mark) => mark,
                Token::End => return,
                _ => ' ',
            };
            match mark {
                '{' => braces += 1,
                '}' if braces == 0 => return,
                '}' => braces -= 1,
                _ => {}
            }
            self.step();
            if braces == 0 && matches!(mark, ';' | '}') {
                return;
            }
        }
    }

    fn command(&mut self, depth: usize) -> Result<Node<'t>, Wrong> {
        let mut command = self.head("a command", depth)?;
        if self.is(';') {
            self.step();
            return Ok(command);
        }
        if !self.is('{') {
            return Err(self.expected("\";\""));
        }
        self.deeper(depth)?;
        self.step();
        let mut block = Vec::new();
        self.commands(&mut block, depth + 1);
        if self.is('}') {
            self.step();
        } else {
            self.expected("\"}\"");
        }
        command.block = Some(block);
        Ok(command)
    }

    fn deeper(&mut self, depth: usize) -> Result<(), Wrong> {
        if depth < self.limits.nesting {
            return Ok(());
        }
        self.tell(self.place, MistakeKind::Nesting(self.limits.nesting));
        Err(Wrong)
    }

    /// A name, its arguments and its tests.
    fn head(&mut self, wanted: &'static str, depth: usize) -> Result<Node<'t>, Wrong> {
        let place = self.place;
        let Token::Identifier(name) = &mut self.token else { return Err(self.expected(wanted)) };
        let name = std::mem::take(name);
        self.step();
        let mut arguments = Vec::new();
        while let Some(argument) = self.argument()? {
            arguments.push(argument);
        }
        let mut tests = Vec::new();
        let has_test_list = self.is('(');
        if has_test_list {
            self.deeper(depth)?;
            self.step();
            loop {
                tests.push(self.head("a test", depth + 1)?);
                if self.is(')') {
                    self.step();
                    break;
                }
                if !self.is(',') {
                    return Err(self.expected("\",\" or \")\""));
                }
                self.step();
            }
        } else if matches!(self.token, Token::Identifier(_)) {
            self.deeper(depth)?;
            tests.push(self.head("a test", depth + 1)?);
        }
        Ok(Node { name, place, arguments, tests, has_test_list, block: None })
    }

    fn argument(&mut self) -> Result<Option<(Place, Argument<'t>)>, Wrong> {
        let place = self.place;
        let argument = match &mut self.token {
            Token::Tag(name) => Argument::Tag(std::mem::take(name)),
            Token::Number(number) => Argument::Number(*number),
            Token::Text(text) => {
                let all = vec![(place, std::mem::take(text))];
                Argument::Strings(Strings { all, is_list: false })
            }
            Token::Mark('[') => return self.list().map(|list| Some((place, list))),
            _ => return Ok(None),
        };
        self.step();
        Ok(Some((place, argument)))
    }

    fn list(&mut self) -> Result<Argument<'t>, Wrong> {
        let start = self.place;
        let mut all = Vec::new();
        loop {
            self.step();
            let place = self.place;
            let Token::Text(text) = &mut self.token else { return Err(self.expected("a string")) };
            if all.len() == self.limits.list {
                self.tell(start, MistakeKind::List(self.limits.list));
                return Err(Wrong);
            }
            all.push((place, std::mem::take(text)));
            self.step();
            if self.is(']') {
                self.step();
                return Ok(Argument::Strings(Strings { all, is_list: true }));
            }
            if !self.is(',') {
                return Err(self.expected("\",\" or \"]\""));
            }
        }
    }
}
