//! `relais test`: what would be answered, without a client.

use std::io::Write;

use super::{
    arguments::{TestAccess, TestCommand, TestRewrite, TestStage},
    asked::{Files, Whom},
    exchange::{json, wait},
    mapping::mapping,
    refusal::Refusal,
    source::Source,
};
use crate::{
    admin::{AccessQuestion, Stage, StageQuestion, client::with_query},
    api::{AccessExplained, StageExplained},
    show::{self, Look},
};

pub(super) fn test(
    source: &Source,
    command: &TestCommand,
    files: Files,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    match command {
        TestCommand::Access(test) => access(source, test, files, out),
        TestCommand::Mapping(question) => mapping(source, question, files.mapping, out),
        TestCommand::Rewrite(TestRewrite { test, header, sender }) => {
            let question = StageQuestion {
                header: *header,
                sender: *sender,
                ..of_stage(Stage::Rewrite, test)
            };
            stage(source, &question, test, files, out)
        }
        TestCommand::Alias(test) => stage(source, &of_stage(Stage::Alias, test), test, files, out),
        TestCommand::Option(test) => {
            stage(source, &of_stage(Stage::Option, test), test, files, out)
        }
        TestCommand::Ldap(test) => stage(source, &of_stage(Stage::Ldap, test), test, files, out),
    }
}

fn of_stage(stage: Stage, test: &TestStage) -> StageQuestion {
    let (input, channel) = (test.input.clone(), test.channel.clone());
    StageQuestion { stage, input, channel, header: false, sender: false }
}

/// Shows what comes of one stage; the answer is "no" when nothing does.
fn stage(
    source: &Source,
    question: &StageQuestion,
    test: &TestStage,
    files: Files,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let explained = match Whom::find(source, test.offline)? {
        (Whom::Engine(client), _) => wait(client.get(&with_query("/api/v1/test", question)))??,
        (Whom::Files(config), name) => {
            let mut stages = (files.stages)(&config).map_err(Refusal::WrongUse)?;
            let explained = stages(question).map_err(Refusal::WrongUse)?;
            StageExplained { asked: name, ..explained }
        }
    };
    if test.json {
        json(&explained, out)?;
    } else {
        out.write_all(show::stage(&explained, Look::of_stdout()).as_bytes())?;
    }
    if explained.passed { Ok(()) } else { Err(Refusal::No) }
}

/// Shows what the front door answers a client; the answer is "no" when it turns the client away.
fn access(
    source: &Source,
    test: &TestAccess,
    files: Files,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let bare = |address: &String| address.trim_matches(['<', '>']).to_owned();
    let question = AccessQuestion {
        client: test.client,
        service: test.service.clone(),
        from: test.from.as_ref().map(bare),
        to: test.to.as_ref().map(bare),
        hello: test.hello.clone().unwrap_or_default(),
        tls: test.tls,
        user: test.user.as_ref().map(bare),
        spf: test.facts.spf.clone(),
        spf_helo: test.facts.spf_helo.clone(),
    };
    let explained = match Whom::find(source, test.offline)? {
        (Whom::Engine(client), _) => wait(client.get(&with_query("/api/v1/access", &question)))??,
        (Whom::Files(config), name) => {
            let explained = (files.access)(&config, &question).map_err(Refusal::WrongUse)?;
            AccessExplained { asked: name, ..explained }
        }
    };
    if test.json {
        json(&explained, out)?;
    } else {
        out.write_all(show::access(&explained, Look::of_stdout()).as_bytes())?;
    }
    if explained.accepted { Ok(()) } else { Err(Refusal::No) }
}
