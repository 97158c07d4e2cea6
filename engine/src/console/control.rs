//! Stop, start, restart: which parts an operator means, and what came of it.

use relais_actors::{
    front::control::{Control, ControlError, ControlOrder, Controlled, ServiceState, Which},
    ids::WorkerId,
    job_controller::Halt,
};
use relais_config::{Config, suggest};

use super::parts::{Parts, gone};
use crate::{
    admin::{Answer, Nonsense},
    api::{DISPATCHER, JOB_CONTROLLER, PartOrder, PartsOrdered},
};

/// The parts that an order means.
struct Meant {
    services: Option<Which>,
    job_controller: bool,
    /// The name that was given is an old one.
    obsolete: Option<String>,
}

/// Carries an order out.
pub(super) async fn order(
    parts: &Parts,
    config: &Config,
    asked: &PartOrder,
) -> Answer<Result<PartsOrdered, Nonsense>> {
    let meant = match meant(config, asked.part.as_deref()) {
        Ok(meant) => meant,
        Err(why) => return Ok(Err(why)),
    };
    let mut done = PartsOrdered { obsolete: meant.obsolete, ..PartsOrdered::default() };
    if let Some(which) = meant.services {
        let control = Control { order: asked.order, which };
        done.services = match parts.dispatcher.ask(control).await.map_err(gone)? {
            Ok(services) => services,
            Err(error) => return Ok(Err(refused(&error))),
        };
    }
    if meant.job_controller {
        done.job_controller = Some(of_job_controller(parts, asked.order).await?);
    }
    Ok(Ok(done))
}

async fn of_job_controller(parts: &Parts, order: ControlOrder) -> Answer<Controlled> {
    let halt = async |halted| parts.controller.ask(Halt(halted)).await.map_err(gone);
    let was = match order {
        ControlOrder::Stop => halt(true).await?,
        ControlOrder::Start => halt(false).await?,
        ControlOrder::Restart => {
            let was = halt(true).await?;
            halt(false).await?;
            was
        }
    };
    let state = |halted: bool| if halted { ServiceState::Stopped } else { ServiceState::Running };
    let name = JOB_CONTROLLER.to_owned();
    let now = state(order == ControlOrder::Stop);
    Ok(Controlled { name, before: state(was), now, workers: 0 })
}

fn meant(config: &Config, part: Option<&str>) -> Result<Meant, Nonsense> {
    let all = Meant { services: Some(Which::All), job_controller: true, obsolete: None };
    let Some(part) = part else { return Ok(all) };
    match part {
        DISPATCHER => return Ok(Meant { job_controller: false, ..all }),
        JOB_CONTROLLER => return Ok(Meant { services: None, ..all }),
        _ => {}
    }
    let (name, worker) = match part.split_once('/') {
        Some((name, number)) => (name, Some(worker(part, number)?)),
        None => (part, None),
    };
    let services = &config.dispatcher.services;
    let exact = services.iter().find(|service| service.name == name);
    let Some(service) =
        exact.or_else(|| services.iter().find(|its| its.name.eq_ignore_ascii_case(name)))
    else {
        let names = services.iter().map(|service| service.name.as_str());
        let known: Vec<_> = names.chain([DISPATCHER, JOB_CONTROLLER]).collect();
        let there = suggest(name, &known, "there are:");
        return Err(Nonsense(format!("there is no service {name:?}; {there}")));
    };
    let name = &service.name;
    if !service.enable {
        let why = "is off in the configuration (enable: false)";
        return Err(Nonsense(format!("service {name} {why}")));
    }
    let obsolete = exact.is_none().then(|| name.clone());
    let which = match worker {
        Some(worker) => Which::Worker(name.clone(), worker),
        None => Which::Service(name.clone()),
    };
    Ok(Meant { services: Some(which), job_controller: false, obsolete })
}

fn worker(part: &str, number: &str) -> Result<WorkerId, Nonsense> {
    let wrong = |_| Nonsense(format!("{part:?} names no worker; SMTP/3 does"));
    number.parse().map(WorkerId).map_err(wrong)
}

fn refused(error: &ControlError) -> Nonsense {
    Nonsense(error.to_string())
}
