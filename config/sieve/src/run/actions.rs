//! Actions, as they run.

use std::borrow::Cow;

use super::{
    delivery::RunErrorKind,
    state::{Comparison, State},
    vacation::{Answer, one_line},
};
use crate::{
    address::{is_field_name, only_address},
    limits::Bound,
    matching::Kind,
    message::Field,
    program::{DeleteHeader, FileInto, FlagChange, Modifier, Vacation},
    text::Text,
    verdict::{Filed, HeaderEdit, Redirect, Refusal, RefusalKind},
};

/// Words of an action about itself, for those who look on.
pub(super) type Told = Result<String, RunErrorKind>;

/// Octets of a folder's name.
const FOLDER: usize = 1_024;
/// Octets of a value that `addheader` sets.
const HEADER_VALUE: usize = 8_192;

impl State<'_, '_> {
    fn act(&mut self, action: &'static str) -> Result<(), RunErrorKind> {
        self.actions += 1;
        if self.actions > self.limits.actions {
            return Err(Bound::Actions.into());
        }
        match &self.verdict.refusal {
            Some(refusal) => Err(RunErrorKind::Conflict(refusal_name(refusal.kind), action)),
            None => Ok(()),
        }
    }

    /// Flags of a copy: those of its action, else those of the internal variable.
    fn flags_of(&mut self, flags: Option<&[Text]>) -> Result<Vec<String>, RunErrorKind> {
        let Some(flags) = flags else { return Ok(self.flags.clone()) };
        let mut found = Vec::new();
        for flag in flags {
            let text = self.expand(flag)?;
            self.add_flags(&mut found, &text)?;
        }
        Ok(found)
    }

    pub(super) fn keep(&mut self, flags: Option<&[Text]>) -> Told {
        self.act("keep")?;
        let flags = self.flags_of(flags)?;
        self.has_explicit_keep = true;
        self.has_implicit_keep = false;
        let told = told_flags("INBOX", &flags);
        self.keep_with(flags);
        Ok(told)
    }

    /// Keeps the message in the INBOX.
    pub(super) fn keep_with(&mut self, flags: Vec<String>) {
        let edits = self.verdict.header_edits.len();
        let keep = Filed { folder: "INBOX".to_owned(), flags, create: false, edits };
        self.verdict.keep = Some(keep);
    }

    pub(super) fn file_into(&mut self, file: &FileInto) -> Told {
        self.act("fileinto")?;
        let folder = self.expand(&file.folder)?.into_owned();
        let is_name = !folder.is_empty() && folder.len() <= FOLDER;
        if !is_name || folder.contains(|c: char| c.is_control()) {
            return Err(RunErrorKind::Value { value: folder, what: "name of a folder" });
        }
        let flags = self.flags_of(file.flags.as_deref())?;
        self.has_implicit_keep &= file.is_copy;
        let told = told_flags(&folder, &flags);
        if folder.eq_ignore_ascii_case("INBOX") {
            self.has_explicit_keep |= !file.is_copy;
            self.keep_with(flags);
            return Ok(told);
        }
        let edits = self.verdict.header_edits.len();
        let create = file.create;
        match self.verdict.files.iter_mut().find(|it| it.folder == folder) {
            Some(same) => {
                same.create |= create;
                same.flags = flags;
            }
            None => self.verdict.files.push(Filed { folder, flags, create, edits }),
        }
        Ok(told)
    }

    pub(super) fn redirect(&mut self, to: &Text, is_copy: bool) -> Told {
        self.act("redirect")?;
        let to = self.expand(to)?.into_owned();
        let Some(to) = only_address(&to) else {
            return Err(RunErrorKind::Value { value: to, what: "address with a domain" });
        };
        self.has_implicit_keep &= is_copy;
        let told = to.clone();
        if !self.verdict.redirects.iter().any(|it| it.to.eq_ignore_ascii_case(&to)) {
            if self.verdict.redirects.len() >= self.limits.redirects {
                return Err(Bound::Redirects.into());
            }
            let edits = self.verdict.header_edits.len();
            self.verdict.redirects.push(Redirect { to, edits });
        }
        Ok(told)
    }

    pub(super) fn discard(&mut self) -> Told {
        self.actions += 1;
        if self.actions > self.limits.actions {
            return Err(Bound::Actions.into());
        }
        self.has_implicit_keep = false;
        self.discarded = true;
        Ok(String::new())
    }

    pub(super) fn refuse(&mut self, kind: RefusalKind, reason: &Text) -> Told {
        let name = refusal_name(kind);
        self.act(name)?;
        let verdict = &self.verdict;
        let others = [
            (verdict.keep.is_some(), "keep"),
            (!verdict.files.is_empty(), "fileinto"),
            (!verdict.redirects.is_empty(), "redirect"),
            (verdict.vacation.is_some() && !self.is_answered(), "vacation"),
        ];
        if let Some((_, other)) = others.iter().find(|(is_there, _)| *is_there) {
            return Err(RunErrorKind::Conflict(name, other));
        }
        let reason: String = self.expand(reason)?.into_owned();
        self.has_implicit_keep = false;
        // The reply of an earlier script would say that the message has arrived.
        self.verdict.vacation = None;
        let told = one_line(&reason, 200);
        self.verdict.refusal = Some(Refusal { kind, reason });
        Ok(told)
    }

    pub(super) fn vacation(&mut self, vacation: &Vacation) -> Told {
        self.act("vacation")?;
        if self.is_answered() {
            return Ok("no reply: an earlier script answers".to_owned());
        }
        if self.verdict.vacation.is_some() {
            return Err(RunErrorKind::Conflict("vacation", "vacation"));
        }
        Ok(match self.answer(vacation)? {
            Answer::Reply(reply) => {
                let told = format!("replies {:?}", reply.subject);
                self.verdict.vacation = Some(reply);
                self.answered_by = Some(self.script);
                told
            }
            Answer::None(reason) => format!("no reply: {reason}"),
        })
    }

    pub(super) fn set(&mut self, variable: u16, value: &Text, modifiers: &[Modifier]) -> Told {
        let mut value = self.expand(value)?.into_owned();
        for modifier in modifiers {
            self.fuel.hold(value.len())?;
            value = modified(&value, *modifier);
        }
        let most = self.limits.variable_octets;
        if value.len() > most {
            let end = (0..=most).rev().find(|at| value.is_char_boundary(*at));
            value.truncate(end.unwrap_or(0));
        }
        let told = if self.shows() { one_line(&value, 200) } else { String::new() };
        self.store(variable, value)?;
        Ok(told)
    }

    fn store(&mut self, variable: u16, value: String) -> Result<(), Bound> {
        self.fuel.hold(value.len())?;
        if let Some(place) = self.variables.get_mut(usize::from(variable)) {
            *place = value;
        }
        Ok(())
    }

    pub(super) fn change_flags(
        &mut self,
        change: FlagChange,
        variable: Option<u16>,
        flags: &[Text],
    ) -> Told {
        let given = self.flags_of(Some(flags))?;
        let mut now = Vec::new();
        match variable {
            _ if change == FlagChange::Set => {}
            None => now = std::mem::take(&mut self.flags),
            Some(number) => {
                let value = self.variables.get(usize::from(number)).cloned();
                self.add_flags(&mut now, &value.unwrap_or_default())?;
            }
        }
        self.fuel.spend(1 + (given.len() * now.len()) as u64 / 16)?;
        if change == FlagChange::Remove {
            now.retain(|flag| !given.iter().any(|it| it.eq_ignore_ascii_case(flag)));
        } else {
            for flag in &given {
                self.add_flags(&mut now, flag)?;
            }
        }
        let mut told = now.join(" ");
        let Some(number) = variable else {
            self.flags = now;
            return Ok(told);
        };
        // Beyond the bound of a variable no flag is cut in two.
        let most = self.limits.variable_octets;
        if told.len() > most {
            let end = told.bytes().take(most + 1).rposition(|c| c == b' ');
            told.truncate(end.unwrap_or(0));
        }
        self.store(number, told.clone())?;
        Ok(told)
    }

    pub(super) fn add_header(&mut self, name: &Text, value: &Text, is_last: bool) -> Told {
        self.act("addheader")?;
        let name = self.expand(name)?.into_owned();
        if !is_field_name(&name) {
            return Err(RunErrorKind::Value { value: name, what: "name of a header field" });
        }
        let value = one_line(&self.expand(value)?, HEADER_VALUE);
        self.fuel.hold(name.len() + value.len())?;
        let field = Field::new(name.clone(), format!(" {value}\r\n").into_bytes());
        self.size += field.octets();
        let fields = self.fields_mut()?;
        if is_last {
            fields.push(field);
        } else {
            fields.insert(0, field);
        }
        let told = format!("{name}: {value}");
        self.verdict.header_edits.push(HeaderEdit::Add { name, value, is_last });
        Ok(told)
    }

    pub(super) fn delete_header(&mut self, delete: &DeleteHeader) -> Told {
        self.act("deleteheader")?;
        let name = self.expand(&delete.name)?.to_ascii_lowercase();
        // RFC 5293 6: traces stay.
        if ["received", "auto-submitted"].contains(&name.as_str()) {
            return Ok(format!("{name} stays: it is a trace"));
        }
        self.look_through_fields()?;
        let total = self.fields().iter().filter(|it| it.name.eq_ignore_ascii_case(&name)).count();
        let wanted = |occurrence: usize| {
            let from = if delete.index.is_last { total - occurrence + 1 } else { occurrence };
            delete.index.number == 0 || delete.index.number == from as u64
        };
        let mut doomed = Vec::new();
        let keys =
            delete.values.as_ref().filter(|keys| !matches!(keys.matcher.kind, Kind::Count(_)));
        let comparison = keys.map(|keys| Comparison::new(keys, self)).transpose()?;
        let Self { delivery, edited, fuel, captures, .. } = self;
        let fields = edited.as_deref().unwrap_or(&delivery.message.fields);
        let named = fields.iter().filter(|it| it.name.eq_ignore_ascii_case(&name));
        for (occurrence, field) in (1..).zip(named).filter(|(occurrence, _)| wanted(*occurrence)) {
            fuel.spend(1 + field.octets() / 128)?;
            let is_doomed = match &comparison {
                None => true,
                Some(comparison) => comparison.matches(field.value(), fuel, captures)?,
            };
            if is_doomed {
                doomed.push(occurrence);
            }
        }
        if !doomed.is_empty() {
            let (mut occurrence, mut octets) = (0, 0);
            self.fields_mut()?.retain(|field| {
                let is_named = field.name.eq_ignore_ascii_case(&name);
                occurrence += usize::from(is_named);
                let stays = !is_named || doomed.binary_search(&occurrence).is_err();
                octets += if stays { 0 } else { field.octets() };
                stays
            });
            self.size = self.size.saturating_sub(octets);
        }
        // From the last to the first, so that no number moves.
        for occurrence in doomed.iter().rev() {
            let edit = HeaderEdit::Delete { name: name.clone(), occurrence: *occurrence };
            self.verdict.header_edits.push(edit);
        }
        Ok(format!("{name}: {} of {total}", doomed.len()))
    }
}

pub(super) fn refusal_name(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::Reject => "reject",
        RefusalKind::Ereject => "ereject",
    }
}

fn told_flags(folder: &str, flags: &[String]) -> String {
    if flags.is_empty() {
        return format!("{folder:?}");
    }
    format!("{folder:?} with {}", flags.join(" "))
}

fn modified(value: &str, modifier: Modifier) -> String {
    let first = |change: fn(&char) -> char| {
        let mut rest = value.chars();
        let first: String = rest.next().iter().map(change).collect();
        Cow::<str>::Owned(first + rest.as_str()).into_owned()
    };
    match modifier {
        Modifier::Lower => value.to_ascii_lowercase(),
        Modifier::Upper => value.to_ascii_uppercase(),
        Modifier::LowerFirst => first(char::to_ascii_lowercase),
        Modifier::UpperFirst => first(char::to_ascii_uppercase),
        Modifier::QuoteWildcard => quoted(value, "*?\\"),
        Modifier::QuoteRegex => quoted(value, ".^$*+?()[]{}|\\"),
        Modifier::Length => value.chars().count().to_string(),
    }
}

fn quoted(value: &str, special: &str) -> String {
    let mut quoted = String::with_capacity(value.len());
    for c in value.chars() {
        if special.contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}
