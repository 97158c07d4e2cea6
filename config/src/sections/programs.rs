//! Programs that mail may be handed to.

use std::{path::PathBuf, time::Duration};

use crate::{
    file::{
        collections::{Few, List, Maybe, Named},
        form::Section,
        kinds::{Count, Flag, PATIENCE, Path},
        names::ACCOUNT,
    },
    language::{
        argument::{Argument, ArgumentPiece},
        kinds::ProgramArgument,
    },
};

section! {
    /// A program that channels of program `Pipe` may hand mail to. Its label is what
    /// `mailProgramDeliveryInfo`, and `|label` of an alias, name it by.
    pub struct ListedProgram {
        /// The key in the file: `"procmail"`.
        name: String = String::new();
        /// The program by its absolute path, and its arguments. No shell is asked: each text is one
        /// argument, whatever stands in it. `$user`, `$subaddress`, `$domain`, `$address`, `$sender`
        /// and `$id` (`${user}` before a letter, `$$` for a dollar) stand for values of the message;
        /// `MAILER-DAEMON` is the null sender. Mail is returned (550 5.1.3) when a value has a control
        /// character or is longer than 512 octets, when `$user` or `$domain` has a `/` or begins with a
        /// dot, and when an argument that begins with a value would begin with `-`, unless an argument
        /// `--` stands before it. A `$subaddress` with a `/` or with a dot at its beginning is left out.
        /// No value may stand in the text of a script (`sh -c`), which would take it for commands.
        command: Vec<Argument> = Vec::new(), command(),
            example(r#"["/usr/bin/procmail", "-d", "$user"]"#);
        /// The account that it runs as, by name or number; never root. It must be given when the engine
        /// runs as root. Otherwise programs run as the engine's own user, whom it may name.
        user: Option<String> = None, Maybe(ACCOUNT);
        /// The group that it runs as; without it, that of the account. It has no other groups.
        group: Option<String> = None, Maybe(ACCOUNT);
        /// The folder that it begins in.
        directory: PathBuf = PathBuf::from("/"), Path;
        /// A program that takes longer is killed, with all that it has started, and the mail is
        /// tried again.
        timeout: Duration = Duration::from_secs(300), PATIENCE;
        /// Octets of its output that notices and the log may show; the rest is read and dropped.
        output: usize = 4_096, Count(0..=65_536), unit("octets");
        /// Whether its input begins with a line `From sender date`, as mail folders have it.
        from_line: bool = false, Flag;
        /// Whether its input has a `Return-Path` with the sender.
        return_path: bool = true, Flag;
        /// Whether its input has a `Delivered-To` with the recipient.
        delivered_to: bool = true, Flag;
        /// Whether lines of its input end in CRLF, as on the wire, and not in LF.
        crlf: bool = false, Flag;
    }
}

impl ListedProgram {
    /// The file that is run.
    pub fn file(&self) -> &str {
        self.command.first().map_or("", |first| &first.text)
    }

    /// Whether a command of an alias, without its bar, is this one: by its label, or by the same words
    /// that the list has.
    pub fn is_meant_by(&self, command: &str) -> bool {
        let words = command.split_ascii_whitespace();
        command.trim() == self.name || words.eq(self.command.iter().map(|its| &*its.text))
    }
}

/// `{"procmail": (...)}`.
pub(crate) fn programs() -> Named<ListedProgram, impl Fn(String) -> ListedProgram> {
    let blank = |name| ListedProgram { name, ..ListedProgram::blank() };
    Named::new(blank, |program| &program.name)
}

fn command() -> Few<ProgramArgument> {
    Few(List(ProgramArgument), 64)
}

/// Whether the first argument is a file that can be run, whatever the message.
pub(crate) fn names_file(command: &[Argument]) -> bool {
    let is_fixed = |first: &Argument| {
        first.text.starts_with('/')
            && first.pieces.iter().all(|piece| matches!(piece, ArgumentPiece::Text(_)))
    };
    command.first().is_some_and(is_fixed)
}
