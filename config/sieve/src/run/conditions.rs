//! The tests of the language, as they run.

use super::{
    delivery::RunErrorKind,
    state::{Comparison, State},
    trace::Traced,
};
use crate::{
    matching::{Kind, Value},
    message::{Field, Mailbox, Moment, parse_date, split_address},
    program::{
        BodyPart, Condition, DateTest, DuplicateId, DuplicateTest, Index, Keys, Part, Test, Zone,
    },
    text::Text,
    verdict::DuplicateQuery,
};

type Outcome = Result<bool, RunErrorKind>;

impl<'d> State<'_, 'd> {
    /// Whether a test holds. Tests lie in each other no deeper than [`crate::Limits::nesting`].
    pub(super) fn test(&mut self, test: &Test) -> Outcome {
        self.line = test.line;
        self.fuel.spend(1)?;
        let holds = self.condition(&test.what)?;
        if self.shows() {
            self.show(test.line, Traced::Test { name: name(&test.what), holds });
        }
        Ok(holds)
    }

    fn condition(&mut self, condition: &Condition) -> Outcome {
        match condition {
            Condition::True => Ok(true),
            Condition::False => Ok(false),
            Condition::Not(test) => Ok(!self.test(test)?),
            Condition::AllOf(tests) => self.any(tests, false).map(|found| !found),
            Condition::AnyOf(tests) => self.any(tests, true),
            Condition::Exists(names) => self.exists(names),
            Condition::Size { is_over, limit } => {
                Ok(if *is_over { self.size > *limit } else { self.size < *limit })
            }
            Condition::Header { names, index, keys } => {
                self.of_fields(names, *index, keys, |field, take| take(field.value()))
            }
            Condition::Address { names, part, index, keys } => {
                if self.delivery.message.has_large_header {
                    for name in self.expand_all(names)? {
                        self.read_addresses(&name)?;
                    }
                }
                let delimiter = self.delivery.recipient_delimiter;
                self.of_fields(names, *index, keys, |field, take| {
                    for mailbox in field.mailboxes() {
                        if part_of(mailbox, *part, delimiter, take)? {
                            return Ok(true);
                        }
                    }
                    Ok(false)
                })
            }
            Condition::Envelope { names, part, keys } => self.envelope(names, *part, keys),
            Condition::Text { source, keys } => self.string(source, keys),
            Condition::HasFlag { variables, keys } => self.has_flag(variables.as_deref(), keys),
            Condition::Body { of, keys } => self.body(of, keys),
            Condition::Environment { name, keys } => {
                let name = self.expand(name)?;
                // An item that is not there makes the test false, whatever is compared: RFC 5183 4.
                let Some(item) = self.delivery.environment.item(&name) else { return Ok(false) };
                let value = Value::new(item.to_owned());
                self.compare(keys, std::iter::once(&value))
            }
            Condition::Date(test) => self.date(test),
            Condition::Duplicate(test) => self.duplicate(test),
            Condition::MailboxExists(names) => {
                for name in names {
                    let name = self.expand(name)?;
                    self.fuel.spend(100)?;
                    if !name.eq_ignore_ascii_case("INBOX") && !(self.delivery.has_folder)(&name) {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Condition::Ihave(has) => Ok(*has),
            Condition::Absent(name) => Err(RunErrorKind::Absent(name.to_string())),
        }
    }

    /// Whether one of the tests comes out as `wanted`; those behind it do not run.
    fn any(&mut self, tests: &[Test], wanted: bool) -> Outcome {
        for test in tests {
            if self.test(test)? == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn exists(&mut self, names: &[Text]) -> Outcome {
        for name in names {
            let name = self.expand(name)?;
            self.look_through_fields()?;
            if !self.fields().iter().any(|field| field.name.eq_ignore_ascii_case(&name)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Compares values, or their number, with keys.
    fn compare<'v, 's: 'v>(
        &mut self,
        keys: &Keys,
        values: impl Iterator<Item = &'v Value<'s>>,
    ) -> Outcome {
        let comparison = Comparison::new(keys, self)?;
        if let Kind::Count(_) = keys.matcher.kind {
            let count = Value::new(values.count().to_string());
            return Ok(comparison.matches(&count, &mut self.fuel, &mut self.captures)?);
        }
        for value in values {
            if comparison.matches(value, &mut self.fuel, &mut self.captures)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Compares what `each` gives of the fields of these names.
    fn of_fields(
        &mut self,
        names: &[Text],
        index: Index,
        keys: &Keys,
        each: impl Fn(&Field<'d>, &mut dyn FnMut(&Value<'_>) -> Outcome) -> Outcome,
    ) -> Outcome {
        let comparison = Comparison::new(keys, self)?;
        let is_count = matches!(keys.matcher.kind, Kind::Count(_));
        let mut count = 0_usize;
        let names = self.expand_all(names)?;
        for _ in &names {
            self.look_through_fields()?;
        }
        let Self { delivery, edited, fuel, captures, .. } = self;
        let fields = edited.as_deref().unwrap_or(&delivery.message.fields);
        let mut compare = |value: &Value<'_>| -> Outcome {
            if is_count {
                count += 1;
                return Ok(false);
            }
            Ok(comparison.matches(value, fuel, captures)?)
        };
        // The fields of all names are counted together, in the order of the names: RFC 5260 6.
        let mut wanted = names.iter().flat_map(|name| {
            let is_it = |field: &&Field<'_>| {
                field.name.len() == name.len() && field.name.eq_ignore_ascii_case(name)
            };
            fields.iter().filter(is_it)
        });
        if index.number > 0 {
            if let Some(field) = nth(wanted, index)
                && each(field, &mut compare)?
            {
                return Ok(true);
            }
        } else {
            for field in wanted.by_ref() {
                if each(field, &mut compare)? {
                    return Ok(true);
                }
            }
        }
        if !is_count {
            return Ok(false);
        }
        let count = Value::new(count.to_string());
        Ok(comparison.matches(&count, &mut self.fuel, &mut self.captures)?)
    }

    fn envelope(&mut self, names: &[Text], part: Part, keys: &Keys) -> Outcome {
        let mut values: Vec<Value<'static>> = Vec::new();
        for name in names {
            let name = self.expand(name)?;
            let address = match name.to_ascii_lowercase().as_str() {
                "from" => self.delivery.from,
                "to" => self.delivery.to,
                _ => {
                    let (value, what) = (name.into_owned(), "part of the envelope");
                    return Err(RunErrorKind::Value { value, what });
                }
            };
            // The null path is empty, whichever part is asked for: RFC 5228 5.4.
            if address.is_empty() {
                values.push(Value::new(""));
                continue;
            }
            let delimiter = self.delivery.recipient_delimiter;
            part_of(&split_address(address), part, delimiter, &mut |value| {
                values.push(Value::new(value.text().to_owned()));
                Ok(false)
            })?;
        }
        self.compare(keys, values.iter())
    }

    fn string(&mut self, source: &[Text], keys: &Keys) -> Outcome {
        let values: Vec<_> = self.expand_all(source)?.into_iter().map(Value::new).collect();
        // An empty string does not count: RFC 5229 5.
        let is_count = matches!(keys.matcher.kind, Kind::Count(_));
        self.compare(keys, values.iter().filter(|it| !is_count || !it.text().is_empty()))
    }

    fn has_flag(&mut self, variables: Option<&[u16]>, keys: &Keys) -> Outcome {
        let mut flags = Vec::new();
        match variables {
            None => flags.clone_from(&self.flags),
            Some(variables) => {
                for number in variables {
                    let value = self.variables.get(usize::from(*number)).cloned();
                    self.add_flags(&mut flags, &value.unwrap_or_default())?;
                }
            }
        }
        let values: Vec<_> = flags.into_iter().map(Value::new).collect();
        self.compare(keys, values.iter())
    }

    fn body(&mut self, of: &BodyPart, keys: &Keys) -> Outcome {
        let message = self.delivery.message;
        self.fuel.spend(1 + message.body_octets() as u64 / 128)?;
        match of {
            BodyPart::Raw => self.compare(keys, message.raw_body().into_iter()),
            BodyPart::Text => self.compare(keys, message.texts()),
            BodyPart::Content(types) => {
                let types = self.expand_all(types)?;
                self.compare(keys, message.parts_of(&types))
            }
        }
    }

    fn date(&mut self, test: &DateTest) -> Outcome {
        let part = self.expand(&test.part)?.to_ascii_lowercase();
        let zone = match &test.zone {
            Zone::Offset(offset) => Some(self.expand(offset)?),
            _ => None,
        };
        let moment = match &test.header {
            None => Some(Moment(self.delivery.now.clone())),
            Some(name) => {
                let name = self.expand(name)?;
                self.look_through_fields()?;
                let named = |field: &&Field<'_>| field.name.eq_ignore_ascii_case(&name);
                let date = |field: &Field<'_>| parse_date(field.value().text()).map(Moment);
                // Without an index the first field is meant: RFC 5260 4.
                let index = Index { number: test.index.number.max(1), ..test.index };
                nth(self.fields().iter().filter(named), index).and_then(date)
            }
        };
        self.fuel.spend(32)?;
        let Some(moment) = moment else { return self.compare(&test.keys, std::iter::empty()) };
        let moment = match (&test.zone, &zone) {
            (_, Some(offset)) => {
                let bad = || RunErrorKind::Value { value: offset.to_string(), what: "zone" };
                moment.at_offset(offset).ok_or_else(bad)?
            }
            (Zone::Original, _) => moment,
            _ => moment.in_zone_of(&self.delivery.now),
        };
        let Some(value) = moment.part(&part) else {
            return Err(RunErrorKind::Value { value: part, what: "part of a date" });
        };
        self.compare(&test.keys, std::iter::once(&Value::new(value)))
    }

    fn duplicate(&mut self, test: &DuplicateTest) -> Outcome {
        let by_header = |state: &Self, name: &str| {
            let named = |field: &&Field<'_>| field.name.eq_ignore_ascii_case(name);
            state.fields().iter().find(named).map(|field| field.value().text().to_owned())
        };
        let id = match &test.id {
            DuplicateId::MessageId => by_header(self, "message-id"),
            DuplicateId::Header(name) => {
                let name = self.expand(name)?;
                by_header(self, &name)
            }
            DuplicateId::Unique(id) => Some(self.expand(id)?.into_owned()),
        };
        // A message without the field is no duplicate: RFC 7352 3.1.
        let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(false) };
        self.fuel.spend(100)?;
        let handle = match &test.handle {
            Some(handle) => self.expand(handle)?.into_owned(),
            None => String::new(),
        };
        let query = DuplicateQuery { handle, id, seconds: test.seconds, is_last: test.is_last };
        let is_seen = (self.delivery.seen)(&query);
        if !self.verdict.duplicates.contains(&query) {
            self.fuel.hold(query.id.len() + query.handle.len())?;
            self.verdict.duplicates.push(query);
        }
        Ok(is_seen)
    }
}

/// The field that an index names.
fn nth<'f, 'a: 'f>(
    mut fields: impl DoubleEndedIterator<Item = &'f Field<'a>>,
    index: Index,
) -> Option<&'f Field<'a>> {
    let at = usize::try_from(index.number.checked_sub(1)?).ok()?;
    if index.is_last { fields.rev().nth(at) } else { fields.nth(at) }
}

/// Gives a part of an address to `take`, if the address has it.
fn part_of(
    mailbox: &Mailbox,
    part: Part,
    delimiter: &str,
    take: &mut dyn FnMut(&Value<'_>) -> Outcome,
) -> Outcome {
    if part == Part::All {
        return take(&mailbox.all);
    }
    let Some(local_part) = &mailbox.local else { return Ok(false) };
    let local = local_part.text();
    let split = local.split_once(delimiter).filter(|_| !delimiter.is_empty());
    match part {
        Part::All => take(&mailbox.all),
        Part::Local => take(local_part),
        Part::Domain => mailbox.domain.as_ref().map_or(Ok(false), take),
        Part::User => take(&Value::new(split.map_or(local, |(user, _)| user))),
        // RFC 5233 4: without a delimiter there is no detail, and an empty one behind it.
        Part::Detail => split.map_or(Ok(false), |(_, detail)| take(&Value::new(detail))),
    }
}

fn name(condition: &Condition) -> &'static str {
    match condition {
        Condition::True => "true",
        Condition::False => "false",
        Condition::Not(_) => "not",
        Condition::AllOf(_) => "allof",
        Condition::AnyOf(_) => "anyof",
        Condition::Exists(_) => "exists",
        Condition::Size { .. } => "size",
        Condition::Header { .. } => "header",
        Condition::Address { .. } => "address",
        Condition::Envelope { .. } => "envelope",
        Condition::Text { .. } => "string",
        Condition::HasFlag { .. } => "hasflag",
        Condition::Body { .. } => "body",
        Condition::Environment { .. } => "environment",
        Condition::Date(test) if test.header.is_none() => "currentdate",
        Condition::Date(_) => "date",
        Condition::Duplicate(_) => "duplicate",
        Condition::MailboxExists(_) => "mailboxexists",
        Condition::Ihave(_) | Condition::Absent(_) => "ihave",
    }
}
