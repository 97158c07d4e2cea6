//! The program on a terminal.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::Instance;

impl Instance {
    /// Runs `relais WORDS` with these variables on a terminal of so many columns, and types an
    /// answer. Its exit status, and all that was to be seen.
    pub fn on_terminal(
        &self,
        variables: &str,
        columns: usize,
        words: &str,
        answer: &str,
    ) -> (Option<i32>, String) {
        let program = format!(
            "stty cols {columns} rows 24; {variables} {} {words} --config {} --data {}",
            crate::program().display(),
            self.path("relais.ron").display(),
            self.data().display()
        );
        let mut child = Command::new("script")
            .args(["-qec", &program, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of bsdutils");
        // Closed after the end: script dawdles when it is before.
        let mut input = child.stdin.take().expect("a pipe");
        writeln!(input, "{answer}").expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        drop(input);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
