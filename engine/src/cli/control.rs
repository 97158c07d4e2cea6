//! `relais stop|start|restart PART`: orders to the parts of a running engine.

use std::io::Write;

use relais_actors::front::control::{ControlOrder, Controlled, ServiceState};

use super::{
    exchange::{note, say, wait},
    refusal::Refusal,
};
use crate::{
    admin::client::Client,
    api::{DISPATCHER, JOB_CONTROLLER, PartOrder, PartsOrdered},
};

/// Gives the order, and says of each part what is so now.
pub(super) fn order(
    engine: &Client,
    order: ControlOrder,
    part: Option<&str>,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let asked = PartOrder { order, part: part.map(str::to_owned) };
    let done: PartsOrdered = wait(engine.order("/api/v1/parts", &asked))??;
    if let (Some(part), Some(service)) = (part, &done.obsolete) {
        note(Some(&format!(
            "{part:?} is obsolete: the dispatcher runs every service; say `relais {} {service}`, or \
             {DISPATCHER} for all of them",
            order.name()
        )));
    }
    for service in &done.services {
        say(&of_service(order, service), out)?;
    }
    if let Some(controller) = &done.job_controller {
        say(&of_job_controller(order, controller), out)?;
    }
    if done.services.is_empty() && done.job_controller.is_none() {
        say("no service listens: nothing was done", out)?;
    }
    Ok(())
}

fn of_service(order: ControlOrder, service: &Controlled) -> String {
    let Controlled { name, before, workers, .. } = service;
    let was_running = *before == ServiceState::Running;
    let what = match (order, was_running) {
        (ControlOrder::Stop, true) => {
            "stopped: newcomers are refused, sessions finish the content that they are at and are \
             told to come again (421); the next start of the engine starts it, too"
                .to_owned()
        }
        (ControlOrder::Stop, false) => "was stopped already".to_owned(),
        (ControlOrder::Start | ControlOrder::Restart, false) => "started".to_owned(),
        (ControlOrder::Start, true) => "runs already".to_owned(),
        (ControlOrder::Restart, true) => {
            let (s, end) = if *workers == 1 { ("", "ends") } else { ("s", "end") };
            format!(
                "restarted: newcomers go to new workers, {workers} old one{s} {end} with the \
                 sessions there"
            )
        }
    };
    format!("service {name} {what}")
}

fn of_job_controller(order: ControlOrder, controller: &Controlled) -> String {
    let was_running = controller.before == ServiceState::Running;
    let what = match (order, was_running) {
        (ControlOrder::Stop, true) => {
            "stopped: nothing leaves any more, mail is taken as before; the next start of the \
             engine starts it, too"
        }
        (ControlOrder::Stop, false) => "was stopped already",
        (ControlOrder::Start | ControlOrder::Restart, false) => "started",
        (ControlOrder::Start, true) => "runs already",
        (ControlOrder::Restart, true) => "restarted: jobs end at their next message, others begin",
    };
    format!("{JOB_CONTROLLER} {what}")
}
