//! One script of several pieces.

use crate::syntax;

/// The script that pieces make which are kept apart, in their order: each is valid by itself, and what
/// they require comes first.
pub fn join(pieces: &[&str]) -> String {
    let (mut required, mut rest) = (String::new(), String::new());
    for piece in pieces {
        let piece = piece.trim_start_matches('\u{feff}');
        let (head, commands) = piece.split_at(syntax::end_of_requires(piece));
        for (whole, part) in [(&mut required, head), (&mut rest, commands)] {
            if !part.trim().is_empty() {
                whole.push_str(part);
                // A comment may be the last of it.
                whole.push('\n');
            }
        }
    }
    required + &rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Script};

    #[test]
    fn pieces_that_are_valid_make_a_script_that_is() {
        // pieces, the script
        let rows: [(&[&str], &str); 5] = [
            (&["keep;"], "keep;\n"),
            (
                &["require \"fileinto\"; fileinto \"A\"; # one", "# two\nkeep;"],
                "require \"fileinto\";\n fileinto \"A\"; # one\n# two\nkeep;\n",
            ),
            (
                &[
                    "keep;",
                    "/* a */ REQUIRE [\"copy\", \"fileinto\"];\r\nrequire \"body\";\r\nstop;",
                ],
                "/* a */ REQUIRE [\"copy\", \"fileinto\"];\r\nrequire \"body\";\nkeep;\n\r\nstop;\n",
            ),
            (&["require \"copy\";", ""], "require \"copy\";\n"),
            (&["\u{feff}keep;", "\u{feff}require \"copy\";"], "require \"copy\";\nkeep;\n"),
        ];
        for (pieces, want) in rows {
            let script = join(pieces);
            assert_eq!(script, want, "{pieces:?}");
            Script::compile(script.as_bytes(), &Limits::default()).expect(want);
        }
    }

    #[test]
    fn a_broken_piece_breaks_the_script() {
        for broken in ["require \"fileinto", "require fileinto;", "require;", "keep", "/* keep;"] {
            for pieces in [&["keep;", broken][..], &[broken, "keep;"]] {
                let script = join(pieces);
                let compiled = Script::compile(script.as_bytes(), &Limits::default());
                assert!(compiled.is_err(), "{script}");
            }
        }
    }
}
