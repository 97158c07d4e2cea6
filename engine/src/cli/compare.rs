//! `relais route --compare`: many addresses by two configurations, and what differs.
//!
//! The answers of either side come in pieces; while one is looked at on a thread of its own the other
//! is asked.

use std::{
    collections::HashSet,
    io::Write,
    path::Path,
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use relais_config::Config;

use super::{
    arguments::Route,
    asked::{ExplainedMany, Whom},
    exchange::{json, wait},
    refusal::Refusal,
    route::each_address,
    source::Source,
};
use crate::{
    admin::{
        RouteQuestion, RoutesQuestion,
        client::{Client, ClientError},
    },
    api::{QueuedEntry, RouteDifference, RouteExplained},
    show::{Differences, Look},
    state::recent::recent,
};

/// Reads what a configuration names, to explain routes.
type ExplainMany = fn(&Config) -> Result<ExplainedMany, String>;

/// A side of the comparison.
enum Side {
    Engine(Client),
    Files(Worker),
}

/// A router of its own on a thread of its own.
struct Worker {
    questions: Sender<Vec<RouteQuestion>>,
    answers: Receiver<Result<Vec<RouteExplained>, String>>,
}

/// Prints the addresses that go another way by the other configuration.
pub(super) fn compare(
    source: &Source,
    route: &Route,
    explain: ExplainMany,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    // "No" means differences, and nothing else.
    let told = compared(source, route, explain, out).map_err(|refusal| match refusal {
        Refusal::Because(why) | Refusal::NotRunning(why) => Refusal::WrongUse(why),
        refusal => refusal,
    })?;
    if told == 0 { Ok(()) } else { Err(Refusal::No) }
}

/// How many differ.
fn compared(
    source: &Source,
    route: &Route,
    explain: ExplainMany,
    out: &mut dyn Write,
) -> Result<u64, Refusal> {
    let Some(file) = &route.compare else { return Ok(0) };
    let (whom, before) = Whom::find(source, route.offline)?;
    let questions = questions(source, route, &whom)?;
    if questions.is_empty() && route.addresses.is_empty() && !(route.queue || route.recent) {
        let wanted = "addresses, --file LIST, --queue or --recent is expected";
        return Err(Refusal::WrongUse(wanted.to_owned()));
    }
    let old = match whom {
        Whom::Engine(client) => Side::Engine(client),
        Whom::Files(config) => Side::Files(Worker::start(*config, explain)?),
    };
    let new = Worker::start(Source::of(file, source.data()?).load()?.0, explain)?;
    let mut differences = Differences::new(Look::of_stdout());
    let (mut differ, mut refused) = (0, 0);
    for some in questions.chunks(AT_ONCE) {
        new.ask(some)?;
        let (befores, afters) = (old.answers(some)?, new.answer()?);
        if befores.len() != some.len() || afters.len() != some.len() {
            return Err(Refusal::Because("not every address was answered".to_owned()));
        }
        for ((question, before), after) in some.iter().zip(befores).zip(afters) {
            let channel = question.channel.clone();
            let Some(difference) = RouteDifference::between(channel, before, after) else {
                continue;
            };
            (differ, refused) = (differ + 1, refused + u64::from(!difference.after.accepted));
            if route.json {
                json(&difference, out)?;
            } else {
                differences.add(difference);
                out.write_all(differences.full_page().as_bytes())?;
            }
        }
    }
    if !route.json {
        out.write_all(differences.last_page().as_bytes())?;
        let after = Path::display(file);
        let sums = format!(
            "{} addresses, {differ} go another way, {refused} of these would be refused; before: \
             {before}; after: {after}\n",
            questions.len()
        );
        out.write_all(Look::of_stdout().fit(&sums).as_bytes())?;
    }
    Ok(differ)
}

/// All that is to be asked, each once.
fn questions(source: &Source, route: &Route, whom: &Whom) -> Result<Vec<RouteQuestion>, Refusal> {
    let (mut known, mut questions) = (HashSet::new(), Vec::new());
    let mut add = |question: RouteQuestion| {
        if known.insert((question.address.clone(), question.channel.clone(), question.vouched)) {
            questions.push(question);
        }
    };
    each_address(route, |address| {
        add(route.question(address));
        Ok(())
    })?;
    if route.queue {
        let Whom::Engine(client) = whom else {
            let why = "--queue asks the running engine, and none is asked";
            return Err(Refusal::WrongUse(why.to_owned()));
        };
        let each = |line: &[u8]| {
            let entry: QueuedEntry = serde_json::from_slice(line)
                .map_err(|error| ClientError::Unusable(error.to_string()))?;
            for recipient in entry.open() {
                let address = recipient.member.as_ref().unwrap_or(&recipient.address);
                // It was taken once.
                add(RouteQuestion { vouched: true, ..route.question(address) });
            }
            Ok::<(), ClientError>(())
        };
        wait(client.lines("/api/v1/queue", each))??;
    }
    if route.recent {
        let data = source.data()?;
        let unreadable = |error: std::io::Error| {
            let data = data.display();
            Refusal::Because(if error.kind() == std::io::ErrorKind::NotFound {
                format!(
                    "{data}/recent is not there yet: an engine writes it when it takes mail, unless \
                     admin.recent is 0"
                )
            } else {
                format!("recent recipients in {data} (admin.recent) cannot be read: {error}")
            })
        };
        for recipient in recent(&data).map_err(unreadable)? {
            let channel = route.channel.clone().or(Some(recipient.channel.to_string()));
            let vouched = recipient.is_vouched_for;
            add(RouteQuestion { channel, vouched, ..route.question(&recipient.address) });
        }
    }
    Ok(questions)
}

impl Side {
    fn answers(&self, questions: &[RouteQuestion]) -> Result<Vec<RouteExplained>, Refusal> {
        match self {
            Self::Engine(client) => {
                let mut answers = Vec::with_capacity(questions.len());
                let asked = RoutesQuestion { questions: questions.to_vec() };
                let each = |line: &[u8]| {
                    let answer = serde_json::from_slice(line);
                    answers.push(answer.map_err(|it| ClientError::Unusable(it.to_string()))?);
                    Ok::<(), ClientError>(())
                };
                wait(client.order_lines("/api/v1/routes", &asked, each))??;
                Ok(answers)
            }
            Self::Files(worker) => {
                worker.ask(questions)?;
                worker.answer()
            }
        }
    }
}

impl Worker {
    fn start(config: Config, explain: ExplainMany) -> Result<Self, Refusal> {
        let (questions, asked) = mpsc::channel::<Vec<RouteQuestion>>();
        let (answer, answers) = mpsc::channel();
        let work = move || {
            let mut explained = match explain(&config) {
                Ok(explained) => explained,
                Err(why) => return drop(answer.send(Err(why))),
            };
            // The first answer says that it is ready.
            let mut said = answer.send(Ok(Vec::new()));
            while let (Ok(()), Ok(questions)) = (&said, asked.recv()) {
                said = answer.send(explained(&questions));
            }
        };
        let thread = thread::Builder::new().name("router".to_owned()).spawn(work);
        thread.map_err(|error| Refusal::Because(format!("no thread: {error}")))?;
        let worker = Self { questions, answers };
        worker.answer()?;
        Ok(worker)
    }

    fn ask(&self, questions: &[RouteQuestion]) -> Result<(), Refusal> {
        self.questions.send(questions.to_vec()).map_err(|_| ended())
    }

    fn answer(&self) -> Result<Vec<RouteExplained>, Refusal> {
        self.answers.recv().map_err(|_| ended())?.map_err(Refusal::Because)
    }
}

fn ended() -> Refusal {
    Refusal::Because("the router ended".to_owned())
}

/// Addresses in one question.
const AT_ONCE: usize = 500;
