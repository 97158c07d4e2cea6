//! Arrows between files and rooms: files that know each other in a circle, rooms that know what is
//! not drawn.
//!
//! A room is what lies right below the root of a crate: a folder, or a file. The drawing is a table
//! in the head of the crate, from the top of the house down, with a column `knows`: a room knows
//! rooms below it only.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Crate;

/// By file: the files that it names.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Files that know each other in a circle: each with those that it names in its circle.
pub(crate) fn circles(of: &Crate) -> BTreeMap<String, Vec<String>> {
    let graph = graph(of);
    let reached: BTreeMap<_, _> =
        graph.keys().map(|file| (file.clone(), reach(&graph, file))).collect();
    let circle = |file: &String| {
        let back = graph[file].iter().filter(|to| reached[*to].contains(file)).cloned();
        (file.clone(), back.collect())
    };
    graph.keys().filter(|file| reached[*file].contains(*file)).map(circle).collect()
}

/// Differences between what a crate's head draws and what its sources know, each in words.
pub(crate) fn rooms(of: &Crate) -> Vec<String> {
    let actual = arrows(of);
    let Some(drawn) = drawn(&of.head()) else {
        return vec![format!("{}: there is no drawing in its head", of.folder)];
    };
    let order: Vec<_> = drawn.iter().map(|(room, _)| room.as_str()).collect();
    let place = |room: &str| order.iter().position(|other| *other == room);
    let mut complaints = Vec::new();
    for (room, known) in &actual {
        let Some((_, knows)) = drawn.iter().find(|(drawn, _)| drawn == room) else {
            complaints.push(format!("{}: {room} is not drawn", of.folder));
            continue;
        };
        for (to, file) in known.iter().filter(|(to, _)| !knows.contains(*to)) {
            complaints.push(format!("{}: {room} -> {to} is not drawn ({file})", of.folder));
        }
    }
    for (room, knows) in &drawn {
        let Some(known) = actual.get(room) else {
            complaints.push(format!("{}: {room} is drawn and is not there", of.folder));
            continue;
        };
        for to in knows {
            if !known.contains_key(to) {
                complaints.push(format!("{}: {room} -> {to} is drawn and is not so", of.folder));
            } else if place(to) <= place(room) {
                complaints.push(format!("{}: {room} -> {to} leads upward", of.folder));
            }
        }
    }
    complaints
}

/// Tests in a room that know a room above it: they belong there, or script their neighbours.
pub(crate) fn tests_upward(of: &Crate) -> Vec<String> {
    let order: Vec<_> =
        drawn(&of.head()).unwrap_or_default().into_iter().map(|row| row.0).collect();
    let place = |room: &String| order.iter().position(|other| other == room);
    let mut complaints = Vec::new();
    for (path, file) in &of.files {
        let Some(from) = file.module.first().and_then(place) else { continue };
        let known: BTreeSet<_> = file.test_paths.iter().filter_map(|named| named.first()).collect();
        let upward = known.into_iter().filter(|to| place(to).is_some_and(|to| to < from));
        complaints.extend(upward.map(|to| format!("{path}: its tests know {to}")));
    }
    complaints
}

/// The drawing as it would have to be: rows for the table, lowest rooms last.
pub(crate) fn drawing(of: &Crate) -> String {
    let actual = arrows(of);
    let mut left: BTreeSet<_> = actual.keys().cloned().collect();
    let mut rows = Vec::new();
    while !left.is_empty() {
        // Nobody above knows it any more; in a circle, anybody.
        let is_top = |room: &&String| {
            !left.iter().any(|other| other != *room && actual[other].contains_key(*room))
        };
        let top = left.iter().find(is_top).or(left.iter().next()).cloned();
        let Some(top) = top else { break };
        let knows: Vec<_> = actual[&top].keys().map(String::as_str).collect();
        rows.push(format!("| {top} | {} |", knows.join(", ")));
        left.remove(&top);
    }
    rows.join("\n")
}

/// By room: the rooms that it knows, each with a file that does.
fn arrows(of: &Crate) -> BTreeMap<String, BTreeMap<String, String>> {
    let room = |file: &str| of.files[file].module.first().cloned();
    let mut arrows: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (file, known) in &graph(of) {
        let Some(from) = room(file) else { continue };
        let arrow = arrows.entry(from.clone()).or_default();
        for to in known.iter().filter_map(|known| room(known)).filter(|to| *to != from) {
            arrow.entry(to).or_insert_with(|| file.clone());
        }
    }
    arrows
}

/// The rows of the table whose first column is `room` and whose last is `knows`.
fn drawn(head: &str) -> Option<Vec<(String, BTreeSet<String>)>> {
    let lines = head.lines().map(str::trim);
    let rows =
        lines.skip_while(|line| !(line.starts_with("| room |") && line.ends_with("knows |")));
    let rows: Vec<_> = rows.take_while(|line| line.starts_with('|')).skip(2).collect();
    let plain = |cell: &str| cell.trim().trim_matches(['[', ']', '`']).to_owned();
    let row = |line: &&str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').collect();
        let knows = cells.last().map_or("", |last| last.trim()).split(',').map(plain);
        let knows = knows.filter(|room| !room.is_empty() && room != "—").collect();
        (plain(cells[0]), knows)
    };
    (!rows.is_empty()).then(|| rows.iter().map(row).collect())
}

fn graph(of: &Crate) -> Graph {
    let known = |(path, file): (&String, &super::source::SourceFile)| {
        let to = file.paths.iter().filter_map(|named| resolve(of, named, 0));
        (path.clone(), to.filter(|to| to != path).collect())
    };
    of.sources().map(known).collect()
}

/// The file that defines what a path names, seen through what other modules let be used.
fn resolve(of: &Crate, path: &[String], depth: usize) -> Option<String> {
    let mut end = path.len();
    while !of.modules.contains_key(&path[..end]) {
        end = end.checked_sub(1)?;
    }
    let file = &of.modules[&path[..end]];
    let Some(name) = path.get(end) else { return Some(file.clone()) };
    let source = &of.files[file];
    if depth > MAX_REEXPORTS {
        return Some(file.clone());
    }
    if let Some(target) = source.reexports.get(name) {
        let target: Vec<_> = target.iter().chain(&path[end + 1..]).cloned().collect();
        return resolve(of, &target, depth + 1);
    }
    let defined = |glob: &Vec<String>| {
        let file = of.modules.get(glob).map(|file| &of.files[file]);
        file.is_some_and(|file| file.types.contains(name) || file.functions.contains(name))
    };
    match source.globs.iter().find(|glob| defined(glob)) {
        Some(glob) => of.modules.get(glob).cloned(),
        None => Some(file.clone()),
    }
}

fn reach(graph: &Graph, from: &String) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<_> = graph[from].iter().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file.clone()) {
            next.extend(graph.get(file).into_iter().flatten());
        }
    }
    reached
}

/// A name that is handed on from module to module more often than this goes in a circle.
const MAX_REEXPORTS: usize = 8;
