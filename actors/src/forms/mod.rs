//! The forms in which one message is stored: its recipients may leave by channels that want addresses
//! of its header otherwise. Nearly all mail has one form, and that as it came.
//!
//! A form differs from the message in those addresses, and in the lines and texts that a list adds and
//! takes away; every other octet is the same. Forms are made where mail comes in, and where it is routed
//! again.

mod bound;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use memchr::memmem;
use relais_channels::{
    mail::{
        Address, FirstText, HeaderAddress, InnerHeaders, Passing, Reply, has_field,
        header_addresses, is_signed, replaced, without_fields,
    },
    milter::{EditedHeader, FilterChange},
};
use tracing::{info, warn};

pub use bound::EditedForms;

use crate::{
    directory::{FieldEdit, ListHeaders, field_name},
    router::{HeaderForm, HeaderTreatment, RewriteHeader, Route, RouterHandle, Routes},
};

/// The message that forms are made of.
#[derive(Clone, Debug)]
pub struct FormedMail<'a> {
    /// The router, which rewrites addresses.
    pub router: &'a RouterHandle,
    /// The channel it came in by.
    pub source_channel: &'a Arc<str>,
    /// The domain of addresses that have none.
    pub default_host: Option<Arc<str>>,
    /// The channel it lies in, for which its addresses have been treated; `None`: it comes in.
    pub lies_in: Option<&'a str>,
}

/// Makes the forms of one message.
pub struct HeaderForms {
    router: RouterHandle,
    source_channel: Arc<str>,
    default_host: Option<Arc<str>>,
    /// The ones that its recipients were found by.
    routes: Arc<Routes>,
    /// The treatment that it has had.
    had: Option<HeaderTreatment>,
    /// Each once.
    treatments: Arc<[HeaderTreatment]>,
    /// The kind of each form.
    kinds: Vec<FormKind>,
    /// The form of each kind.
    by_kind: HashMap<FormKind, usize>,
    /// The place of its treatment among them, for each form.
    treated: Vec<usize>,
    inner: Option<InnerHeaders>,
    /// Texts that are put into each form.
    texts: Vec<Option<FirstText>>,
    /// Headers of messages within that were treated.
    inner_headers: usize,
    /// Addresses that may still be treated: each of them may be a look-up.
    left: usize,
}

/// The kind of a form: a treatment of its addresses, and the changes that a list or a script makes to its
/// header.
type FormKind = (HeaderTreatment, Option<Arc<ListHeaders>>);

/// The ways of one form, by the places of their recipients; of those who have any.
pub type WaysOfForm = Vec<(usize, Vec<Route>)>;

/// The beginning of one form.
pub struct BegunForm {
    /// The sender of its envelope; `None`: as the client gave it.
    pub sender: Option<Address>,
    /// The octets of content that it begins with.
    pub octets: Vec<u8>,
}

impl HeaderForms {
    /// The forms of mail that leaves by these ways; `None`: it stays as it comes.
    pub fn of<'a>(mail: FormedMail<'_>, ways: impl Iterator<Item = &'a Route>) -> Option<Self> {
        let FormedMail { router, source_channel, default_host, lies_in } = mail;
        let routes = router.cache.routes();
        let completes = default_host.is_some();
        let is_plain = !completes && !routes.treats_headers();
        let had = lies_in.map(|channel| routes.header_treatment(channel, completes));
        let mut kinds = Kinds::default();
        let mut last: Option<&Route> = None;
        for way in ways {
            let is_same = |last: &Route| last.channel == way.channel && last.headers == way.headers;
            let changes_nothing = is_plain && way.headers.is_none() && kinds.all.is_empty();
            if last.is_some_and(is_same) || changes_nothing {
                continue;
            }
            last = Some(way);
            let treatment = treatment(&routes, had, &way.channel, completes);
            kinds.add((treatment, way.headers.clone()));
        }
        if kinds.all.iter().all(|(treatment, of_list)| treatment.is_nothing() && of_list.is_none())
        {
            return None;
        }
        if is_plain {
            // Ways before the first list that changes something have the form of none.
            kinds.add((HeaderTreatment::default(), None));
        }
        let Kinds { all: kinds, by_kind, treatments, treated } = kinds;
        Some(Self {
            router: router.clone(),
            source_channel: Arc::clone(source_channel),
            default_host,
            routes,
            had,
            treatments: treatments.into(),
            kinds,
            by_kind,
            treated,
            inner: None,
            texts: Vec::new(),
            inner_headers: 0,
            left: MOST_ADDRESSES,
        })
    }

    /// The ways of the recipients by each form. Of ways to one place the first counts: a user who is
    /// named and in a list, too, gets one copy.
    pub fn divided<'a>(&self, recipients: impl Iterator<Item = &'a [Route]>) -> Vec<WaysOfForm> {
        let mut forms: Vec<WaysOfForm> = vec![Vec::new(); self.count()];
        let mut seen = HashSet::new();
        for (recipient, ways) in recipients.enumerate() {
            for way in ways {
                if !seen.insert((&way.channel, &way.host, &way.address)) {
                    continue;
                }
                // A way that became another one since (to whoever tells of a failure) goes with the first
                // form.
                let form = &mut forms[self.form_of(way).unwrap_or(0)];
                match form.last_mut() {
                    Some((last, its)) if *last == recipient => its.push(way.clone()),
                    _ => form.push((recipient, vec![way.clone()])),
                }
            }
        }
        forms
    }

    /// Whether one of them is the form for this way.
    pub fn suit(&self, way: &Route) -> bool {
        self.form_of(way).is_some()
    }

    fn form_of(&self, way: &Route) -> Option<usize> {
        let completes = self.default_host.is_some();
        let treatment = treatment(&self.routes, self.had, &way.channel, completes);
        self.by_kind.get(&(treatment, way.headers.clone())).copied()
    }

    /// The number of forms.
    pub fn count(&self) -> usize {
        self.kinds.len()
    }

    /// Treats the header that `message` begins with, and what has come behind it. Each form begins
    /// with `head`, our own lines.
    pub async fn begin(
        &mut self,
        head: &[u8],
        (message, header_end): (&[u8], usize),
        sender: Option<&Address>,
    ) -> Result<Vec<BegunForm>, Reply> {
        let (header, content) = message.split_at(header_end);
        let signed = is_signed(header);
        let (addresses, forms) = self.ask(header, signed, sender.cloned()).await?;
        let is_free = |treatment: &HeaderTreatment| !signed || treatment.signed_too;
        let treated: Vec<_> = forms.iter().map(|form| put(header, form, &addresses)).collect();
        let mut begun: Vec<_> = self
            .kinds
            .iter()
            .zip(&self.treated)
            .map(|((treatment, of_list), n)| {
                let mut header = treated[*n].clone();
                let mut octets = head.to_vec();
                if let Some(changes) = of_list {
                    header = edited(header, &changes.edits);
                    if is_free(treatment) {
                        header = without_fields(&header, &changes.removed);
                    }
                    if !changes.replaced.is_empty() {
                        header = without_fields(&header, &changes.replaced_names());
                    }
                    if changes.hides_password {
                        header = without_fields(&header, &[PASSWORD.into()]);
                    }
                    // A field that was taken away is absent.
                    octets.extend_from_slice(&added(changes, &header));
                }
                octets.extend_from_slice(&header);
                BegunForm { sender: forms[*n].sender.clone(), octets }
            })
            .collect();
        if !signed && self.treatments.iter().any(|treatment| treatment.inner) {
            self.inner = Some(InnerHeaders::behind(header));
        }
        self.texts = self
            .kinds
            .iter()
            .map(|(treatment, of_list)| {
                let changes = of_list.as_deref().filter(|changes| changes.has_text())?;
                if !is_free(treatment) {
                    tell_of_text("it is signed");
                    return None;
                }
                Some(FirstText::behind(header, &changes.prefix, &changes.suffix))
            })
            .collect();
        if self.looks_within() {
            for (begun, octets) in begun.iter_mut().zip(self.go_on(content).await?) {
                begun.octets.extend_from_slice(&octets);
            }
        } else {
            for begun in &mut begun {
                begun.octets.extend_from_slice(content);
            }
        }
        Ok(begun)
    }

    /// Whether content is changed; else it is the same in every form.
    pub fn looks_within(&self) -> bool {
        self.inner.is_some() || self.texts.iter().any(Option::is_some)
    }

    /// Whether content may be changed, as far as that is known before its header.
    pub fn may_look_within(&self) -> bool {
        let mut changes = self.kinds.iter().filter_map(|(_, of_list)| of_list.as_ref());
        changes.any(|changes| changes.has_text()) || self.treatments.iter().any(|its| its.inner)
    }

    /// Takes the next piece of content: the octets that each form goes on with.
    pub async fn go_on(&mut self, piece: &[u8]) -> Result<Vec<Vec<u8>>, Reply> {
        let mut all = match &mut self.inner {
            None => vec![piece.to_vec(); self.count()],
            Some(inner) => {
                let mut passing = Vec::new();
                inner.feed(piece, &mut passing);
                self.pass(passing).await?
            }
        };
        for (octets, text) in all.iter_mut().zip(&mut self.texts) {
            if let Some(text) = text {
                let piece = std::mem::take(octets);
                text.feed(&piece, octets);
            }
        }
        Ok(all)
    }

    /// The octets that each form ends with.
    pub async fn finish(&mut self) -> Result<Vec<Vec<u8>>, Reply> {
        let mut passing = Vec::new();
        if let Some(inner) = self.inner.take() {
            inner.finish(&mut passing);
        }
        let mut all = self.pass(passing).await?;
        for (octets, text) in all.iter_mut().zip(std::mem::take(&mut self.texts)) {
            if let Some(mut text) = text {
                let piece = std::mem::take(octets);
                text.feed(&piece, octets);
                if let Some(why) = text.finish(octets) {
                    tell_of_text(why);
                }
            }
        }
        Ok(all)
    }

    async fn pass(&mut self, passing: Vec<Passing>) -> Result<Vec<Vec<u8>>, Reply> {
        let mut octets = vec![Vec::new(); self.count()];
        for passing in passing {
            match passing {
                Passing::Header(header) if self.inner_headers < MOST_INNER => {
                    self.inner_headers += 1;
                    let signed = is_signed(&header);
                    let (addresses, forms) = self.ask(&header, signed, None).await?;
                    let treated: Vec<_> = forms
                        .iter()
                        .zip(self.treatments.iter())
                        .map(|(form, treatment)| {
                            let nothing = HeaderForm::default();
                            let form = if treatment.inner { form } else { &nothing };
                            put(&header, form, &addresses)
                        })
                        .collect();
                    for (octets, n) in octets.iter_mut().zip(&self.treated) {
                        octets.extend_from_slice(&treated[*n]);
                    }
                }
                Passing::Header(same) | Passing::Octets(same) => {
                    for octets in &mut octets {
                        octets.extend_from_slice(&same);
                    }
                }
            }
        }
        Ok(octets)
    }

    /// The addresses of one header, and what becomes of them by each treatment. The sender of the envelope is reversed whatever is signed.
    async fn ask(
        &mut self,
        header: &[u8],
        signed: bool,
        sender: Option<Address>,
    ) -> Result<(Arc<[HeaderAddress]>, Vec<HeaderForm>), Reply> {
        let found = header_addresses(header, self.left);
        if found.is_none() {
            warn!("a message has more than {MOST_ADDRESSES} addresses: a header stays as it is");
        }
        let addresses: Arc<[HeaderAddress]> = found.unwrap_or_default().into();
        self.left -= addresses.len();
        let asked = RewriteHeader {
            addresses: Arc::clone(&addresses),
            sender,
            source_channel: Arc::clone(&self.source_channel),
            default_host: self.default_host.clone(),
            treatments: Arc::clone(&self.treatments),
        };
        let mut forms = self.router.header(asked).await?;
        for (form, treatment) in forms.iter_mut().zip(self.treatments.iter()) {
            if signed && !treatment.signed_too {
                form.addresses.clear();
            }
        }
        Ok((addresses, forms))
    }
}

/// Kinds of forms as they are found, each once.
#[derive(Default)]
struct Kinds {
    all: Vec<FormKind>,
    by_kind: HashMap<FormKind, usize>,
    treatments: Vec<HeaderTreatment>,
    /// The place of its treatment, for each.
    treated: Vec<usize>,
}

impl Kinds {
    fn add(&mut self, kind: FormKind) {
        let Entry::Vacant(place) = self.by_kind.entry(kind) else { return };
        let kind = place.key().clone();
        place.insert(self.all.len());
        // There are as many as channels, at most.
        let known = self.treatments.iter().position(|treatment| *treatment == kind.0);
        self.treated.push(known.unwrap_or(self.treatments.len()));
        if known.is_none() {
            self.treatments.push(kind.0);
        }
        self.all.push(kind);
    }
}

/// A message, as far as it is there, with these changes of its header.
pub fn edited_message(octets: &[u8], edits: &[FieldEdit]) -> Vec<u8> {
    let (header, body) = octets.split_at(header_octets(octets, 0).unwrap_or(octets.len()));
    let mut edited = edited(header.to_vec(), edits);
    edited.extend_from_slice(body);
    edited
}

/// A header with its blank line behind these changes.
fn edited(header: Vec<u8>, edits: &[FieldEdit]) -> Vec<u8> {
    if edits.is_empty() {
        return header;
    }
    let mut edited = EditedHeader::new(&[], &header);
    for edit in edits {
        let change = match edit {
            FieldEdit::Add { line, is_last: true } => {
                FilterChange::AddHeader(format!("{line}\r\n").into())
            }
            FieldEdit::Add { line, is_last: false } => {
                FilterChange::InsertHeader(0, format!("{line}\r\n").into())
            }
            FieldEdit::Delete { name, nth } => FilterChange::ChangeHeader {
                name: name.as_bytes().to_vec(),
                nth: *nth,
                field: None,
            },
        };
        // A header beyond its bound stays as it is from there.
        if edited.apply(change).is_err() {
            break;
        }
    }
    let (mut octets, behind) = edited.parts();
    octets.extend_from_slice(&behind);
    octets.extend_from_slice(b"\r\n");
    octets
}

/// Octets of a message's header and of the blank line behind it; the end is looked for from `from` on.
/// `None`: it has not ended yet.
pub fn header_octets(message: &[u8], from: usize) -> Option<usize> {
    if message.starts_with(b"\r\n") {
        return Some(b"\r\n".len());
    }
    let end = b"\r\n\r\n";
    let start = from.saturating_sub(end.len() - 1).min(message.len());
    memmem::find(&message[start..], end).map(|at| start + at + end.len())
}

/// A message as far as its header and so many octets of its body.
pub fn beginning(message: &[u8], most_body: usize) -> &[u8] {
    let header = header_octets(message, 0).unwrap_or(message.len());
    &message[..header.saturating_add(most_body).min(message.len())]
}

/// The treatment for a channel, if it has not been given before.
fn treatment(
    routes: &Routes,
    had: Option<HeaderTreatment>,
    channel: &str,
    completes: bool,
) -> HeaderTreatment {
    let treatment = routes.header_treatment(channel, completes);
    if had == Some(treatment) { HeaderTreatment::default() } else { treatment }
}

fn tell_of_text(why: &'static str) {
    info!(why, "the text of a list is not put into a message");
}

/// The lines that a list puts in front of this header.
fn added(changes: &ListHeaders, header: &[u8]) -> Vec<u8> {
    let completed = changes.completed.iter();
    let completed = completed.filter(|line| !has_field(header, &field_name(line)));
    let lines = changes.added.iter().chain(&changes.replaced).chain(completed);
    lines.flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect()
}

/// The header with the texts of a form in the places of its addresses.
fn put(header: &[u8], form: &HeaderForm, addresses: &[HeaderAddress]) -> Vec<u8> {
    let new = addresses.iter().zip(&form.addresses);
    replaced(header, new.filter_map(|(place, new)| Some((&place.at, new.as_deref()?))))
}

/// The field in which a list's password stands, in lower case.
pub const PASSWORD: &str = "approved";
/// Addresses in all headers of one message that are treated; none of a header that has more than are
/// left.
const MOST_ADDRESSES: usize = 2_000;
/// Headers of messages within one message that are treated.
const MOST_INNER: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_begins_with_all_of_its_header() {
        let rows = [
            ("", 3, ""),
            ("A: b\r\n", 3, "A: b\r\n"),
            ("A: b\r\n\r\nbody", 0, "A: b\r\n\r\n"),
            ("A: b\r\n\r\nbody", 3, "A: b\r\n\r\nbod"),
            ("A: b\r\n\r\nbody", 4, "A: b\r\n\r\nbody"),
            ("A: b\r\n\r\nbody", usize::MAX, "A: b\r\n\r\nbody"),
        ];
        for (message, most, want) in rows {
            assert_eq!(beginning(message.as_bytes(), most), want.as_bytes(), "{message:?}, {most}");
        }
    }

    #[test]
    fn a_header_is_found_however_it_comes() {
        let rows = [
            ("", None),
            ("\r", None),
            ("\r\n", Some(2)),
            ("\r\n\r\nbody", Some(2)),
            ("A: b\r\n", None),
            ("A: b\r\n\r", None),
            ("A: b\r\n\r\n", Some(8)),
            ("A: b\r\n\r\nbody\r\n\r\n", Some(8)),
            ("A: b\r\n c\r\n\r\n", Some(12)),
        ];
        for (message, want) in rows {
            let octets = message.as_bytes();
            assert_eq!(header_octets(octets, 0), want, "{message:?}");
            // Octet by octet the end is found as soon as it is there, and looked for once.
            let found = (1..=octets.len()).find_map(|n| header_octets(&octets[..n], n - 1));
            assert_eq!(found, want, "{message:?}");
        }
    }
}
