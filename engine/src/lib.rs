//! The program as a library, so that tests can have it.
//!
//! The rooms from the top of the house down; a room knows rooms below it only.
//!
//! | room | what it does | knows |
//! | --- | --- | --- |
//! | [`life`] | what `relais run` runs, from before the start to after the end | cli, console, handover, logging, reload, `service_manager`, shutdown, start, state |
//! | [`reload`] | puts another configuration in force while the engine runs | admin, api, cli, console, start |
//! | [`console`] | answers operators, from what the actors say of themselves | admin, api, cli, limits, logging, show, start, state |
//! | [`cli`] | the command line | admin, api, handover, limits, logging, prometheus, `service_manager`, show, signals, start, state, top |
//! | [`top`] | the engine on a terminal, steered by keys | admin, api, show, signals |
//! | [`prometheus`] | dashboards and alert rules, made of the families of metrics | — |
//! | [`handover`] | gives the sockets to the process that takes this one's place | — |
//! | `service_manager` | what systemd is told, and the sockets that it keeps | admin, api |
//! | [`logging`] | log lines, and who loses none | — |
//! | `signals` | what the kernel and other processes want | — |
//! | [`shutdown`] | the order in which the engine ends | start |
//! | [`start`] | starts the actors, floor by floor | admin, limits, state |
//! | [`admin`] | the socket and the pages that serve operators | api, show, state |
//! | [`limits`] | limits that change while the engine runs | api, state |
//! | [`show`] | tables and sentences for a terminal | api |
//! | [`state`] | small files beside the spool | api |
//! | [`api`] | the JSON shapes | — |

pub mod admin;
pub mod api;
pub mod cli;
pub mod console;
pub mod handover;
pub mod life;
pub mod limits;
pub mod logging;
pub mod prometheus;
pub mod reload;
mod service_manager;
pub mod show;
pub mod shutdown;
mod signals;
pub mod start;
pub mod state;
pub mod top;
