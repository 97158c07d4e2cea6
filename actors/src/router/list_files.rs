//! Files that aliases name: members of lists, those who may post to one, lines of headers.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use relais_config::text_table::addresses;

/// The members of a list in a file.
pub(super) fn members_of(file: &Path) -> io::Result<Vec<String>> {
    Ok(members_in(&read_list(file)?))
}

/// The members of a list: addresses in lines, `#` before a comment.
pub(super) fn members_in(text: &str) -> Vec<String> {
    entry_lines(text).flat_map(|(_, line)| addresses(line)).collect()
}

/// Lines that are no comments, with their numbers.
pub(super) fn entry_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', '!']))
}

/// The text of a file with a list.
pub(super) fn read_list(file: &Path) -> io::Result<String> {
    read_text(file, MAX_LIST)
}

pub(super) fn read_text(file: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    open_file(file)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {most} octets")));
    }
    Ok(text)
}

/// A pipe would have nobody read on.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let meta = fs::metadata(path)?;
    if meta.is_file() { File::open(path) } else { Err(io::Error::other("it is no file")) }
}

/// The beginning of a target that is a list in a file.
pub(super) const INCLUDE: &str = ":include:";
/// Octets of a list.
const MAX_LIST: u64 = 16 << 20;
