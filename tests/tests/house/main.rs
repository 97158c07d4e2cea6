//! The house is as it is drawn: what `tests/run` keeps by machine, over the sources of the workspace.
//!
//! The drawings lie in the heads of the crates, as tables; every check compares one with what is
//! there. Sources are parsed, not compiled, so that all checks together take seconds. Not seen:
//! what is reached through a method or a field alone, without the name of its type.
//!
//! The lists here are what is not as it should be yet. They may only shrink: what is on a list and
//! is not so any more has to be struck off. Each check is tried on made-up sources, too.

mod actors;
mod arrows;
mod dependencies;
mod names;
mod source;
mod words;

use std::{fs, path::Path, sync::LazyLock};

use actors::{actor_table, unsent_messages};
use arrows::{circles, drawing, rooms, tests_upward};
use dependencies::unused_dependencies;
use names::{called_by_tests_only, types_defined_twice};
use source::{Crate, workspace};
use words::{citations, named_paths, pronouns};

#[test]
fn no_files_know_each_other_in_a_circle() {
    let found = all().iter().flat_map(circles);
    let (files, told): (Vec<_>, Vec<_>) =
        found.map(|(file, back)| (file.clone(), format!("{file} -> {}", back.join(" ")))).unzip();
    let complaints = beyond(&files, &[]);
    let new = |line: &&String| {
        complaints.iter().any(|it| it.ends_with(line.split(' ').next().unwrap_or_default()))
    };
    let told: Vec<_> = told.iter().filter(new).map(String::as_str).collect();
    assert!(complaints.is_empty(), "{}\n{}", complaints.join("\n"), told.join("\n"));
}

#[test]
fn rooms_know_what_their_crate_draws() {
    for of in all().iter().filter(|of| DRAWN.contains(&&*of.folder)) {
        let complaints = rooms(of);
        let rows = drawing(of);
        assert!(complaints.is_empty(), "{}\nas it is now:\n{rows}", complaints.join("\n"));
    }
}

#[test]
fn tests_of_a_room_know_no_room_above_it() {
    // Commands are tried with the console that answers them, which lies above.
    let below = all().iter().filter(|of| of.folder != "engine");
    none_beyond(&below.flat_map(tests_upward).collect::<Vec<_>>(), &[]);
}

#[test]
fn the_table_of_actors_is_what_they_handle() {
    let actors = all().iter().find(|of| of.folder == "actors").unwrap();
    let complaints = actor_table(actors);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    none_beyond(&unsent_messages(actors, all()), UNSENT);
}

#[test]
fn no_type_is_defined_twice_in_a_crate() {
    none_beyond(&all().iter().flat_map(types_defined_twice).collect::<Vec<_>>(), &[]);
}

#[test]
fn no_public_function_is_for_tests_alone() {
    let product = all().iter().filter(|of| !["tests", "benches"].contains(&&*of.folder));
    none_beyond(&called_by_tests_only(product), &[]);
}

#[test]
fn every_dependency_is_used() {
    none_beyond(&all().iter().flat_map(unused_dependencies).collect::<Vec<_>>(), &[]);
}

#[test]
fn nothing_below_the_actors_knows_actix() {
    let below = all().iter().filter(|of| {
        ["config", "config/import", "config/sieve", "channels", "actors/storage", "actors/spool"]
            .contains(&&*of.folder)
    });
    let knowing: Vec<_> = below.filter(|of| of.manifest.contains("actix")).collect();
    assert!(knowing.is_empty(), "{:?}", knowing.iter().map(|of| &of.folder).collect::<Vec<_>>());
}

#[test]
fn no_citation_leads_outside_the_repository() {
    let files = all().iter().flat_map(|of| &of.files);
    let mut found: Vec<_> = files.flat_map(|(path, file)| citations(path, &file.text)).collect();
    for path in ["README.md", "Cargo.toml", "tests/run"] {
        found.extend(citations(path, &fs::read_to_string(top().join(path)).unwrap()));
    }
    none_beyond(&found, &[]);
}

#[test]
fn comments_begin_with_a_name_and_no_pronoun() {
    let checked = all().iter().filter(|of| !WITH_PRONOUNS.contains(&&*of.folder));
    none_beyond(&checked.flat_map(pronouns).collect::<Vec<_>>(), &[]);
}

#[test]
fn the_files_and_tests_that_the_texts_name_are_there() {
    let readme = fs::read_to_string(top().join("README.md")).unwrap();
    let heads = all().iter().map(Crate::head);
    let missing = heads.chain([readme]).flat_map(|text| named_paths(top(), &text, all()));
    none_beyond(&missing.collect::<Vec<_>>(), &[]);
}

const HEAD: &str =
    "//! | room | knows |\n//! | --- | --- |\n//! | [`upper`] | lower |\n//! | `lower` | — |\n";

fn made(upper: &str, lower: &str) -> Crate {
    let root = format!("{HEAD}mod lower;\nmod upper;\n");
    Crate::made_of(&[("lib.rs", &root), ("upper.rs", upper), ("lower.rs", lower)])
}

#[test]
fn an_arrow_upward_is_found_wherever_it_stands() {
    let down = "use crate::lower::Low; pub struct High(Low);";
    assert_eq!(rooms(&made(down, "pub struct Low;")), [""; 0]);
    assert!(circles(&made(down, "pub struct Low;")).is_empty());
    for up in [
        "use crate::upper::High; pub struct Low;",
        "use super::{upper::{self, High}}; pub struct Low;",
        "pub struct Low; fn make() { let _ = crate::upper::High; }",
        "pub struct Low; fn make() { println!(\"{}\", crate::upper::NAME); }",
        "mod inside { use super::super::upper; } pub struct Low;",
    ] {
        let found = rooms(&made(down, up));
        assert_eq!(found, ["made: lower -> upper is not drawn (made/src/lower.rs)"], "{up}");
        assert_eq!(circles(&made(down, up)).len(), 2, "{up}");
    }
    for tests in [
        "pub struct Low; #[cfg(test)] mod tests { use crate::upper::High; }",
        "pub enum Low { #[cfg(test)] Made(crate::upper::High) }",
        "pub struct Low; fn f() { #[cfg(test)] if true { return crate::upper::f(); } }",
    ] {
        assert_eq!(rooms(&made(down, tests)), [""; 0], "{tests}");
        assert_eq!(tests_upward(&made(down, tests)), ["made/src/lower.rs: its tests know upper"]);
        assert!(circles(&made(down, tests)).is_empty(), "{tests}");
    }
    let gone = rooms(&made("", "pub struct Low;"));
    assert_eq!(gone, ["made: upper -> lower is drawn and is not so"]);
}

#[test]
fn a_name_is_followed_to_where_it_is_defined() {
    let of = Crate::made_of(&[
        ("lib.rs", "mod hall;"),
        ("hall/mod.rs", "mod left; mod right; pub use self::left::Left; use right::Right;"),
        ("hall/left.rs", "pub(super) struct Left;"),
        ("hall/right.rs", "use super::Left; pub struct Right(Left);"),
    ]);
    assert!(circles(&of).is_empty(), "a hall that hands names on knows nobody");
}

#[test]
fn the_table_of_actors_has_every_message_and_invents_none() {
    let head = "//! | actor | lives on | owns | is sent | sends to |\n//! | --- | --- | --- | --- | --- |\n";
    let with = |row: &str| {
        let text = format!(
            "{head}//! | {row} |\nstruct Queue; struct Pull; struct Settle;\n\
             impl Handle<Pull> for Queue {{}} impl Handle<Settle> for Queue {{}}\n\
             fn sent(queue: Queue) {{ queue.send(Pull); }}"
        );
        Crate::made_of(&[("lib.rs", &text)])
    };
    let right = with("`Queue` | system | entries | `Pull`, `Settle` | `Queue`");
    assert_eq!(actor_table(&right), [""; 0]);
    assert_eq!(unsent_messages(&right, std::slice::from_ref(&right)), ["Settle"]);
    let quiet = "`Queue` | system | entries | `Pull`, `Settle` | — |\nstruct Pool; impl Actor for Pool {}\n//";
    assert_eq!(actor_table(&with(quiet)), ["actor Pool has no row; it is sent "]);
    let missing = with("`Queue` | system | entries | `Pull` | — ");
    assert_eq!(actor_table(&missing), ["Queue is sent Settle: not in its row"]);
    let invented = with("`Queue` | system | entries | `Pull`, `Settle`, `Ask` | `Pool`");
    assert_eq!(actor_table(&invented), ["Queue is not sent Ask", "Queue sends to Pool: no actor"]);
}

#[test]
fn a_second_name_an_idle_function_and_an_unused_dependency_are_found() {
    let of = made(
        "pub struct Same; pub fn idle() {} pub fn busy() {}",
        "enum Same {} fn f() { busy() }",
    );
    assert_eq!(types_defined_twice(&of), ["made: Same"]);
    assert_eq!(called_by_tests_only([of].iter()), ["made/src/upper.rs: idle"]);
    let of = made("use serde::Serialize;", "#[cfg(test)] mod tests { use tokio::time; }");
    let of = of.with_manifest(
        "[dependencies]\nserde = \"1\"\ntokio.workspace = true\n[dev-dependencies]\ntokio = \"1\"\n",
    );
    assert_eq!(unused_dependencies(&of), ["made: tokio in [dependencies]"]);
}

#[test]
fn a_citation_a_pronoun_and_a_name_of_nothing_are_found() {
    let outside = ["see ..", "shared", "design.md"].join("/");
    assert_eq!(citations("a.rs", &outside).len(), 1);
    let of = made(
        "/// Who asks.\n/// These wait.\nfn f() {}\n// That is so.\n",
        "/// Octets that wait.\nstruct Octets;",
    );
    assert_eq!(pronouns(&of).len(), 2);
    let text =
        "In `engine/src/nowhere.rs`, held by the test `no_such_test_there`, and `engine/src/`.";
    let missing = named_paths(top(), text, all());
    assert_eq!(
        missing,
        ["there is no engine/src/nowhere.rs", "there is no test no_such_test_there"]
    );
}

#[test]
fn a_list_of_exceptions_only_shrinks() {
    let found = ["old".to_owned(), "new".to_owned()];
    let complaints = beyond(&found, &["old", "gone"]);
    assert_eq!(
        complaints,
        ["not allowed: new", "not there any more, strike it off the list: gone"]
    );
}

fn none_beyond(found: &[String], allowed: &[&str]) {
    let complaints = beyond(found, allowed);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn all() -> &'static [Crate] {
    static ALL: LazyLock<Vec<Crate>> = LazyLock::new(|| workspace(top()));
    &ALL
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

// Lists.

/// Messages that wait for their sender.
const UNSENT: &[&str] = &[];

/// Crates whose comments may begin with a pronoun for now.
const WITH_PRONOUNS: &[&str] = &[];

/// Crates whose heads draw their rooms.
const DRAWN: &[&str] = &[
    "config",
    "config/import",
    "config/sieve",
    "channels",
    "actors/storage",
    "actors/spool",
    "actors",
    "engine",
];

/// Compares what was found with what is allowed for now: a list that may only shrink. What is
/// allowed and is not there any more is a complaint, too.
fn beyond(found: &[String], allowed: &[&str]) -> Vec<String> {
    let new = found.iter().filter(|found| !allowed.contains(&found.as_str()));
    let new = new.map(|found| format!("not allowed: {found}"));
    let gone = allowed.iter().filter(|allowed| !found.iter().any(|found| found == *allowed));
    let gone = gone.map(|gone| format!("not there any more, strike it off the list: {gone}"));
    new.chain(gone).collect()
}
