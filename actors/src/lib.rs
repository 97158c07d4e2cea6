//! Who owns which state, and who talks to whom.
//!
//! | actor | lives on | owns | is sent | sends to |
//! | --- | --- | --- | --- | --- |
//! | [`dispatcher`] | system | listening sockets, services | `DrainDispatcher`, `DescribeDispatcher` | service |
//! | [`service`] | worker arbiter | its workers, `PORT_ACCESS`, the bound on connections | `Accepted`, `ConnectionClosed`, `DrainService` | worker |
//! | [`worker`] | worker arbiter | some sessions | `TakeConnection`, `SessionGone` | session, service |
//! | [`session`] | its worker's | one peer's protocol state | — | router, spool, store |
//! | [`router`] | system | rewrite rules, mappings, caches | `Resolve` | directory |
//! | [`directory`] | system | entries and look-ups | look-ups | — |
//! | [`queue`] | system | the tracked entries, every state change | `Committed`, `Pull`, `Settle`, `ThreadEnded`, `Contend`, `Recall` | spool, job controller |
//! | [`job_controller`] | system | what runs, what is suspended | `Waiting`, `ThreadSettled`, `Troubled`, `Reached`, `Tune`, `Freeze` | pool, queue |
//! | [`pool`] | system | its slots | `OfferThread`, `ThreadGone`, `RetireJob` | job, queue |
//! | [`job`] | system, its threads on worker arbiters | connections out, one in each thread | `RunThread`, `EndJob` | queue, spool |
//! | [`store`] | system | mailboxes, their order and quota | `Deliver` | — |
//! | [`actor::Watch`] | system | what to do when one of them dies | `Guard`, `StandDown`, `Died` | whoever restarts it |
//!
//! The [`spool`] is no actor: its threads (committer, journal, index) are called directly, so
//! that a message crosses threads once on its way in.

pub mod actor;
pub mod channel_table;
pub mod delivery;
pub mod directory;
pub mod events;
pub mod front;
pub mod ids;
pub mod job_controller;
pub mod lint;
pub mod metrics;
pub mod notary;
pub mod queue;
pub mod readiness;
pub mod rerouting;
pub mod router;
pub mod spool;
pub mod store;
pub mod timestamp;
