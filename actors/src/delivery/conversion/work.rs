//! Wanted parts, one after the other: given to programs, and what becomes of each.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use relais_channels::{
    mail::{Enhanced, Reply},
    mime::parts::{
        BodyDecoder, Charset, MimePart, PartEdit, PartPiece, PartSplitter, Recoder, edit_of,
        relabelled,
    },
    program::{ConvertedPart, PartForProgram, Runner, Unconverted},
};
use relais_config::{ConversionAction, ConversionEntry};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt, BufWriter},
};

use super::{
    entry::{Fate, NotNow, ToConvert},
    look::{Look, Recoding, Wanted},
    options::{Forced, Options},
    pieces::Pieces,
    room::PartsFolder,
};
use crate::metrics::ConversionResult;

/// The changes of a message, and the folder where new bodies lie.
pub(super) struct Changes {
    pub(super) parts: BTreeMap<usize, Change>,
    pub(super) room: PartsFolder,
}

/// The change of one part.
pub(super) struct Change {
    pub(super) edit: PartEdit,
    pub(super) body: ChangedBody,
}

/// The body in the place of another one.
pub(super) enum ChangedBody {
    /// It stays.
    Same,
    /// A text in UTF-8.
    Text(String),
    /// In a file; it is encoded as a body of this type is.
    File { path: PathBuf, kind: String },
}

/// A message at work.
pub(super) struct PartsWork<'w> {
    its: &'w ToConvert<'w>,
    wanted: BTreeMap<usize, (MimePart, Wanted)>,
    changes: Changes,
    /// The time that programs have taken over the parts so far.
    spent: Duration,
}

/// A part whose body is being taken out.
struct TakenPart {
    entity: usize,
    decoder: BodyDecoder,
    /// Line ends of texts are LF for programs.
    lines: Option<Lines>,
    file: BufWriter<File>,
    path: PathBuf,
}

/// CRLF becomes LF.
#[derive(Default)]
struct Lines {
    cr: bool,
}

/// The answer of an entry about a part.
enum StepAnswer {
    /// The next one is asked.
    GoOn,
    Changed(Change),
    Fate(Fate),
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

impl<'w> PartsWork<'w> {
    /// The changes of a message, or its fate if a part has decided it.
    pub(super) async fn on(
        its: &'w ToConvert<'w>,
        look: Look,
    ) -> Result<Result<Changes, Fate>, NotNow> {
        let room = PartsFolder::new(its.parts.programs.work_folder())?;
        let changes = Changes { parts: BTreeMap::new(), room };
        let mut work = Self { its, wanted: look.wanted, changes, spent: Duration::ZERO };
        let needed = work.bodies();
        let mut splitter = PartSplitter::new(|entity| needed.contains(&entity));
        if let Some(fate) = work.decide_without_bodies(&needed).await? {
            return Ok(Err(fate));
        }
        if needed.is_empty() {
            return Ok(Ok(work.changes));
        }
        let (mut pieces, mut taken) = (Pieces::of(its.content).await?, None);
        while let Some(piece) = pieces.next().await? {
            for piece in splitter.feed(&piece) {
                if let Some(fate) = work.take(piece, &mut taken).await? {
                    return Ok(Err(fate));
                }
            }
        }
        for piece in splitter.finish() {
            if let Some(fate) = work.take(piece, &mut taken).await? {
                return Ok(Err(fate));
            }
        }
        Ok(Ok(work.changes))
    }

    /// The parts whose bodies somebody reads.
    fn bodies(&self) -> Vec<usize> {
        let conversions = self.its.parts.channels.conversions();
        let reads = |place: &usize| conversions.entry(*place).is_some_and(ConversionEntry::runs);
        let recodes =
            |wanted: &Wanted| wanted.charset.as_ref().is_some_and(|its| !its.to.relabels_only);
        let needs = |(_, (_, wanted)): &(&usize, &(MimePart, Wanted))| {
            wanted.chosen.steps.iter().any(reads) || recodes(wanted)
        };
        self.wanted.iter().filter(needs).map(|(entity, _)| *entity).collect()
    }

    async fn decide_without_bodies(&mut self, needed: &[usize]) -> Result<Option<Fate>, NotNow> {
        let others: Vec<usize> =
            self.wanted.keys().filter(|entity| !needed.contains(entity)).copied().collect();
        for entity in others {
            if let Some(fate) = self.decide(entity, None).await? {
                return Ok(Some(fate));
            }
        }
        Ok(None)
    }

    async fn take(
        &mut self,
        piece: PartPiece,
        taken: &mut Option<TakenPart>,
    ) -> Result<Option<Fate>, NotNow> {
        match piece {
            PartPiece::Rest(_) => {}
            PartPiece::Begin { entity, .. } => *taken = self.begin(entity).await?,
            PartPiece::Body(octets) => {
                if let Some(taken) = taken {
                    taken.write(&octets).await?;
                }
            }
            PartPiece::End { .. } => {
                if let Some(taken) = taken.take() {
                    let entity = taken.entity;
                    let path = taken.end().await?;
                    let fate = self.decide(entity, Some(&path)).await?;
                    tokio::fs::remove_file(&path).await?;
                    return Ok(fate);
                }
            }
        }
        Ok(None)
    }

    async fn begin(&self, entity: usize) -> Result<Option<TakenPart>, NotNow> {
        let Some((part, wanted)) = self.wanted.get(&entity) else { return Ok(None) };
        let crlf = wanted.chosen.steps.iter().any(|place| {
            let entry = self.its.parts.channels.conversions().entry(*place);
            let label = entry.and_then(|entry| entry.program.as_deref());
            let runner = label.and_then(|label| self.its.parts.programs.runner(label));
            runner.is_some_and(|runner| runner.program.crlf)
        });
        let lines = (part.kind == "text" && !crlf).then(Lines::default);
        let path = self.changes.room.file(&format!("{entity}.in"));
        let file = BufWriter::new(File::create(&path).await?);
        Ok(Some(TakenPart { entity, decoder: BodyDecoder::of(part.encoding), lines, file, path }))
    }

    /// Asks the entries about a part whose body lies in `input`, if somebody reads it.
    async fn decide(
        &mut self,
        entity: usize,
        input: Option<&PathBuf>,
    ) -> Result<Option<Fate>, NotNow> {
        let Some((part, wanted)) = self.wanted.remove(&entity) else { return Ok(None) };
        let now = wanted.chosen.part.clone().unwrap_or_else(|| part.clone());
        let mut change = None;
        let its = self.its;
        for place in &wanted.chosen.steps {
            let entry = its.parts.channels.conversions().entry(*place);
            let entry = entry.ok_or(NotNow::Changed)?;
            match self.step(entry, (&part, &now), input).await? {
                StepAnswer::GoOn => {}
                StepAnswer::Changed(new) => change = Some(new),
                StepAnswer::Fate(fate) => return Ok(Some(fate)),
            }
            if change.is_some() {
                break;
            }
        }
        let change = match (change, &wanted.charset) {
            (Some(change), _) => Some(change),
            (None, Some(recoding)) => Some(self.recode((&part, &now), recoding, input).await?),
            (None, None) if wanted.chosen.is_relabelled => {
                self.note(&part, "relabelled", ConversionResult::Relabelled);
                Some(Change { edit: edit_of(&part, &now), body: ChangedBody::Same })
            }
            (None, None) => None,
        };
        self.changes.parts.extend(change.map(|change| (entity, change)));
        Ok(None)
    }

    async fn step(
        &mut self,
        entry: &ConversionEntry,
        (part, now): (&MimePart, &MimePart),
        input: Option<&PathBuf>,
    ) -> Result<StepAnswer, NotNow> {
        Ok(match entry.action {
            ConversionAction::Leave => StepAnswer::GoOn,
            ConversionAction::Delete => self.deleted(part, &entry.text),
            ConversionAction::Bounce => self.returned(part, &entry.text),
            ConversionAction::Hold => self.held(part, &entry.text),
            ConversionAction::Scan | ConversionAction::Run => {
                let input = input.ok_or(NotNow::Changed)?;
                self.run(entry, (part, now), input).await?
            }
        })
    }

    async fn run(
        &mut self,
        entry: &ConversionEntry,
        (part, now): (&MimePart, &MimePart),
        input: &PathBuf,
    ) -> Result<StepAnswer, NotNow> {
        let its = self.its;
        let label = entry.program.as_deref().unwrap_or_default();
        let failed = |why: String| NotNow::Program { program: label.to_owned(), why };
        let runner = its.parts.programs.runner(label);
        let runner = runner.ok_or_else(|| failed("it is not listed any more".to_owned()))?;
        let limit = runner.program.timeout;
        if self.spent > limit * MOST_RUNS {
            let why = format!("its parts take programs longer than {MOST_RUNS} times {limit:?}");
            its.meter().count(ConversionResult::Held);
            return Ok(StepAnswer::Fate(Fate::Held(why)));
        }
        let path = self.changes.room.file(&format!("{}.out", part.entity));
        let mut out = BufWriter::new(File::create(&path).await?);
        let given = PartForProgram {
            input: File::open(input).await?.into_std().await,
            sender: &its.envelope.sender,
            id: its.envelope.id,
            environment: environment(part),
            output: if entry.action == ConversionAction::Run {
                entry.output_size
            } else {
                MOST_HEARD
            },
            memory: entry.memory,
        };
        let ran = self.in_time((label, runner), given, &mut out).await;
        let ConvertedPart { status, said, printed } = ran.map_err(failed)?;
        out.flush().await?;
        let options = if entry.options { Options::of(&said) } else { Options::none(&said) };
        let (id, said_now) = (self.its.envelope.id, &options.said);
        if !entry.options && Options::of(&said).has_any() {
            tracing::info!(%id, program = label, said = said_now, "a program speaks; lines of options count for entries with options: true");
        } else if !said_now.is_empty() {
            tracing::info!(%id, program = label, said = said_now, "a program speaks");
        }
        let forced = fate_of(entry, status, &options);
        let Some(forced) = forced.or((status == 0).then_some(Forced::NoChange)) else {
            return Err(failed(format!("it ended with status {status}. {}", options.said)));
        };
        let text = options.diagnostic.as_deref().unwrap_or(&entry.text);
        let is_new =
            status == 0 && entry.action == ConversionAction::Run && options.status.is_none();
        Ok(match forced {
            Forced::NoChange if is_new => {
                let new = options.applied(relabelled(entry, now));
                self.note_made(part, label, ConversionResult::Replaced, Some(printed));
                let body = ChangedBody::File { path, kind: new.kind.clone() };
                StepAnswer::Changed(Change { edit: edit_of(part, &new), body })
            }
            Forced::NoChange => {
                self.note(part, label, ConversionResult::Kept);
                StepAnswer::GoOn
            }
            Forced::Delete => self.deleted(part, text),
            Forced::Return => self.returned(part, text),
            Forced::Hold => self.held(part, text),
            Forced::Discard => {
                self.note(part, label, ConversionResult::Discarded);
                StepAnswer::Fate(Fate::Discarded)
            }
        })
    }

    /// Runs a program, unless it has hung over other messages; in words why nothing came of it.
    async fn in_time(
        &mut self,
        (label, runner): (&str, &Runner),
        given: PartForProgram<'_>,
        out: &mut BufWriter<File>,
    ) -> Result<ConvertedPart, String> {
        let (limit, late_runs) = (runner.program.timeout, self.its.parts.programs.late_runs());
        let (begun, id) = (Instant::now(), self.its.envelope.id);
        if let Some(left) = late_runs.left_alone((label, id), limit, begun) {
            let left = left.as_secs() + 1;
            return Err(format!("it has hung, and is tried again in {left} s"));
        }
        let ended = runner.convert(given, out).await;
        self.spent += begun.elapsed();
        match ended {
            Err(Unconverted::Late(limit)) => {
                late_runs.was_late((label, id), limit, Instant::now());
            }
            _ => late_runs.ended(label),
        }
        ended.map_err(|why| why.to_string())
    }

    /// A text gets another charset.
    async fn recode(
        &self,
        (part, now): (&MimePart, &MimePart),
        Recoding { from, to }: &Recoding,
        input: Option<&PathBuf>,
    ) -> Result<Change, NotNow> {
        let mut new = now.clone();
        new.parameters.retain(|(name, _)| name != "charset");
        new.parameters.push(("charset".to_owned(), to.name.clone()));
        let edit = edit_of(part, &new);
        self.note(part, &to.name, ConversionResult::Recoded);
        let target = Charset::of(&to.name).ok_or(NotNow::Changed)?;
        let Some(input) = input.filter(|_| !to.relabels_only) else {
            return Ok(Change { edit, body: ChangedBody::Same });
        };
        let path = self.changes.room.file(&format!("{}.out", part.entity));
        let (mut file, mut out) = (File::open(input).await?, File::create(&path).await?);
        let mut recoder = Recoder::new(*from, target);
        let (mut piece, mut made) = (vec![0; 64 << 10], Vec::new());
        loop {
            let read = file.read(&mut piece).await?;
            made.clear();
            recoder.feed(&piece[..read], read == 0, &mut made);
            out.write_all(&made).await?;
            if read == 0 {
                break;
            }
        }
        out.flush().await?;
        Ok(Change { edit, body: ChangedBody::File { path, kind: "text".to_owned() } })
    }

    fn deleted(&self, part: &MimePart, text: &str) -> StepAnswer {
        self.note(part, "deleted", ConversionResult::Deleted);
        let text = if text.is_empty() { WAS_DELETED } else { text };
        let edit = PartEdit {
            content_type: Some(PartEdit::of("text/plain", [("charset", "utf-8")].into_iter())),
            disposition: Some("inline".to_owned()),
            encoding: None,
        };
        StepAnswer::Changed(Change { edit, body: ChangedBody::Text(text.to_owned()) })
    }

    fn returned(&self, part: &MimePart, text: &str) -> StepAnswer {
        self.note(part, "returned", ConversionResult::Returned);
        let text = if text.is_empty() { NOT_TAKEN } else { text };
        let reply = Reply::with_text(550, Enhanced(5, 7, 1), text.to_owned());
        StepAnswer::Fate(Fate::Returned(reply))
    }

    fn held(&self, part: &MimePart, text: &str) -> StepAnswer {
        self.note(part, "held", ConversionResult::Held);
        let text = if text.is_empty() { NOT_TAKEN } else { text };
        StepAnswer::Fate(Fate::Held(text.to_owned()))
    }

    fn note(&self, part: &MimePart, by: &str, result: ConversionResult) {
        self.note_made(part, by, result, None);
    }

    /// Tells what became of a part, and how many octets a program `made` of it.
    fn note_made(&self, part: &MimePart, by: &str, result: ConversionResult, made: Option<u64>) {
        self.its.meter().count(result);
        let (id, number, size) = (self.its.envelope.id, part.entity, part.size);
        let result = result.name();
        // Names of types come from strangers.
        let kind = part.to_string();
        let kind = kind.escape_default();
        tracing::info!(%id, part = number, %kind, size, made, by, result, "a part is converted");
    }
}

impl TakenPart {
    async fn write(&mut self, octets: &[u8]) -> Result<(), NotNow> {
        let mut decoded = Vec::with_capacity(octets.len());
        self.decoder.feed(octets, &mut decoded);
        self.keep(&decoded).await
    }

    async fn keep(&mut self, decoded: &[u8]) -> Result<(), NotNow> {
        match &mut self.lines {
            Some(lines) => self.file.write_all(&lines.take(decoded)).await?,
            None => self.file.write_all(decoded).await?,
        }
        Ok(())
    }

    /// The file with the whole body.
    async fn end(mut self) -> Result<PathBuf, NotNow> {
        let decoder = std::mem::replace(&mut self.decoder, BodyDecoder::Identity);
        let mut rest = Vec::new();
        decoder.finish(&mut rest);
        self.keep(&rest).await?;
        if self.lines.as_ref().is_some_and(|lines| lines.cr) {
            self.file.write_all(b"\r").await?;
        }
        self.file.flush().await?;
        Ok(self.path)
    }
}

impl Lines {
    fn take(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut made = Vec::with_capacity(octets.len() + 1);
        for octet in octets {
            if std::mem::take(&mut self.cr) && *octet != b'\n' {
                made.push(b'\r');
            }
            if *octet == b'\r' {
                self.cr = true;
            } else {
                made.push(*octet);
            }
        }
        made
    }
}

/// The decision of a program, by its words, where the entry asks for them, or by its exit status.
fn fate_of(entry: &ConversionEntry, status: i32, options: &Options) -> Option<Forced> {
    let is_in =
        |statuses: &[usize]| statuses.iter().any(|known| i32::try_from(*known) == Ok(status));
    match () {
        () if options.status.is_some() => options.status,
        () if is_in(&entry.keep_status) => Some(Forced::NoChange),
        () if is_in(&entry.delete_status) => Some(Forced::Delete),
        () if is_in(&entry.bounce_status) => Some(Forced::Return),
        () if is_in(&entry.hold_status) => Some(Forced::Hold),
        () => None,
    }
}

/// The part in words, by the names of the original.
fn environment(part: &MimePart) -> Vec<(&'static str, String)> {
    let name = part.file_names().next().unwrap_or_default();
    let harmless = |c: char| if c.is_ascii_alphanumeric() || "._-+/".contains(c) { c } else { '_' };
    let plain = |text: &str| text.chars().take(LONGEST_VALUE).map(harmless).collect::<String>();
    vec![
        ("INPUT_TYPE", plain(&part.kind)),
        ("INPUT_SUBTYPE", plain(&part.subtype)),
        ("INPUT_DISPOSITION", plain(&part.disposition)),
        ("INPUT_CHARSET", plain(part.parameter("charset").unwrap_or_default())),
        ("INPUT_FILENAME", plain(name)),
        ("PART_NUMBER", part.entity.to_string()),
        ("PART_SIZE", part.size.to_string()),
    ]
}

/// Programs may take so many times their limit over one message.
const MOST_RUNS: u32 = 3;
/// Octets that a program which only looks may print.
const MOST_HEARD: u64 = 1 << 20;
const LONGEST_VALUE: usize = 200;
const WAS_DELETED: &str = "A part of this message was removed here.";
const NOT_TAKEN: &str = "a part of the message is not let through";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_read_lines_as_unix_has_them() {
        for text in ["a\r\nb\r\n", "\r\r\n\n\ra", "", "a\r\n\r\nb\rc"] {
            for size in [1, 2, 3, 100] {
                let mut lines = Lines::default();
                let made: Vec<u8> =
                    text.as_bytes().chunks(size).flat_map(|piece| lines.take(piece)).collect();
                assert_eq!(
                    String::from_utf8(made).unwrap(),
                    text.replace("\r\n", "\n"),
                    "{text:?}"
                );
            }
        }
    }
}
