//! Rules, mapping tables and options as kinds of values: each is parsed where it is read, so that a
//! mistake in it is told at its place.

use crate::{
    file::{
        collections::{List, Pair},
        document::Document,
        form::Kind,
        kinds::Text,
        notation::Notation,
        pieces,
        reader::{Node, Reader},
    },
    language::{
        argument::Argument,
        delivery_option::{DeliveryOption, FolderAddress},
        ldap_search::{SearchFilter, SearchUrl},
        mapping::MappingTable,
        rewrite::RewriteRule,
        template::TemplateError,
        user_file::UserFile,
    },
};

/// A rewrite rule.
pub(crate) struct Rule;

impl Kind<RewriteRule> for Rule {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<RewriteRule> {
        let (pattern, template) = Pair.read(node, reader)?;
        let rule = RewriteRule::parse(&pattern, &template);
        let rule = rule.map(|rule| RewriteRule { line: Some(reader.line_at(node)), ..rule });
        let pattern_is_wrong = || RewriteRule::parse(&pattern, "$U%$H@tag").is_err();
        rule.map_err(|error| {
            wrong(&half(node, pattern_is_wrong()), &error, reader);
        })
        .ok()
    }

    fn print(&self, value: &RewriteRule) -> Document {
        Pair.print(&(value.pattern.clone(), value.template.clone()))
    }

    fn notation(&self) -> Notation {
        Notation { many: "pairs (pattern, template)".to_owned(), ..Pair.notation() }
    }
}

/// A mapping table.
pub(crate) struct Mapping;

impl Kind<MappingTable> for Mapping {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<MappingTable> {
        let entries = List(MappingEntry).read(node, reader)?;
        MappingTable::parse(entries).ok()
    }

    fn print(&self, value: &MappingTable) -> Document {
        let entries = value
            .entries
            .iter()
            .map(|(pattern, template)| Pair.print(&(pattern.clone(), template.clone())));
        Document::List(entries.collect())
    }

    fn notation(&self) -> Notation {
        let many = "lists of pairs (pattern, template)".to_owned();
        Notation { many, ..Notation::of("list of pairs (pattern, template)") }
    }
}

/// An entry of a mapping table, tried by itself so that each one that is wrong is named.
struct MappingEntry;

impl Kind<(String, String)> for MappingEntry {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<(String, String)> {
        let entry = Pair.read(node, reader)?;
        if let Err((_, error)) = MappingTable::parse(vec![entry.clone()]) {
            let pattern_alone = vec![(entry.0, "$Y".to_owned())];
            let pattern_is_wrong = MappingTable::parse(pattern_alone).is_err();
            wrong(&half(node, pattern_is_wrong), &error, reader);
            return None;
        }
        Some(entry)
    }

    fn print(&self, value: &(String, String)) -> Document {
        Pair.print(value)
    }

    fn notation(&self) -> Notation {
        Pair.notation()
    }
}

/// A delivery option.
pub(crate) struct Delivery;

impl Kind<DeliveryOption> for Delivery {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<DeliveryOption> {
        let text = Text.read(node, reader)?;
        let option = DeliveryOption::parse(&text);
        option.map_err(|error| wrong(node, &error, reader)).ok()
    }

    fn print(&self, value: &DeliveryOption) -> Document {
        Document::text(&value.text)
    }

    fn notation(&self) -> Notation {
        Notation::of("text")
    }
}

/// A search in LDAP.
pub(crate) struct Search;

impl Kind<SearchUrl> for Search {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<SearchUrl> {
        let text = Text.read(node, reader)?;
        SearchUrl::parse(&text).map_err(|error| wrong(node, &error, reader)).ok()
    }

    fn print(&self, value: &SearchUrl) -> Document {
        Document::text(&value.text)
    }

    fn notation(&self) -> Notation {
        Notation { many: "searches".to_owned(), ..Notation::of("`ldap:///BASE??SCOPE?FILTER`") }
    }
}

/// A filter of LDAP.
pub(crate) struct Filter;

impl Kind<SearchFilter> for Filter {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<SearchFilter> {
        let text = Text.read(node, reader)?;
        SearchFilter::parse(&text).map_err(|error| wrong(node, &error, reader)).ok()
    }

    fn print(&self, value: &SearchFilter) -> Document {
        Document::text(&value.text)
    }

    fn notation(&self) -> Notation {
        Notation::formed("text", "an LDAP filter with `$A`, `$U` or `$D`")
    }
}

/// An argument of a program.
pub(crate) struct ProgramArgument;

impl Kind<Argument> for ProgramArgument {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Argument> {
        let text = Text.read(node, reader)?;
        Argument::parse(&text).map_err(|error| wrong(node, &error, reader)).ok()
    }

    fn print(&self, value: &Argument) -> Document {
        Document::text(&value.text)
    }

    fn notation(&self) -> Notation {
        Notation { many: "texts".to_owned(), ..Notation::of("text") }
    }
}

/// The pattern or the template of a pair, wherever the error counts from.
fn half<'a>(node: &Node<'a>, pattern: bool) -> Node<'a> {
    let halves = pieces::pair(node.text);
    let text = halves.map_or(node.text, |(first, second)| if pattern { first } else { second });
    Node { text, path: node.path.clone() }
}

/// The address form of a Sieve `fileinto`.
pub(crate) struct FileInto;

impl Kind<FolderAddress> for FileInto {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<FolderAddress> {
        let text = Text.read(node, reader)?;
        match FolderAddress::parse(&text) {
            Ok(address) => Some(address),
            Err(error) => {
                wrong(node, &error, reader);
                None
            }
        }
    }

    fn print(&self, value: &FolderAddress) -> Document {
        Document::text(&value.text)
    }

    fn notation(&self) -> Notation {
        Notation::formed("text", "an address with `$U`, `$S`, `$D` and the like")
    }
}

/// The path of a file that each user has.
pub(crate) struct UserPath;

impl Kind<UserFile> for UserPath {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<UserFile> {
        let text = Text.read(node, reader)?;
        UserFile::parse(&text).map_err(|error| wrong(node, &error, reader)).ok()
    }

    fn print(&self, value: &UserFile) -> Document {
        Document::text(&value.text)
    }

    fn notation(&self) -> Notation {
        Notation::formed("path", "absolute or below `data`, with `$U` or `$M`, and `$D`")
    }
}

/// Notes what is wrong with the template in `node`.
fn wrong<'a>(node: &Node<'a>, error: &TemplateError, reader: &mut Reader<'a>) {
    let accepted = format!("accepted: {}", error.accepted);
    reader.mistake_inside(node, error.offset, &error.message, &accepted);
}
