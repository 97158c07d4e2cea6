//! The actors of the engine: the state that each owns, and the messages between them.
//!
//! | actor | lives on | owns | is sent | sends to |
//! | --- | --- | --- | --- | --- |
//! | [`Dispatcher`](front::dispatcher::Dispatcher) | system | the bound sockets, the services | `Adopt`, `BindNew`, `CloseDoors`, `Control`, `DescribeDispatcher`, `DrainDispatcher`, `HandOver`, `Revive` | `Service` |
//! | [`Service`](front::service::Service) | worker arbiter | clones of its sockets, its workers, the bound on connections | `Accepted`, `Adopt`, `CloseDoor`, `DescribeService`, `DrainService`, `EndService`, `RestartWorkers`, `WorkerNews` | `Worker` |
//! | [`Worker`](front::worker::Worker) | worker arbiter | the number of its sessions | `EndWorker`, `Handoff`, `SessionGone` | `Service` |
//! | [`Session`](front::session::Session) | worker arbiter | one connection, and the state of its protocol | — | `Worker`, `Router` |
//! | [`Router`](router::Router) | system | rewrite rules, mappings, aliases, the cache of routes | `Adopt`, `Explain`, `FindChannel`, `Resolve`, `RewriteHeader`, `RewriteSender` | `Directory` |
//! | [`Directory`](directory::Directory) | system | the source of entries, the cache of look-ups | `Adopt`, `FindDomain`, `FindEntries`, `FindEntry`, `FindMembers`, `FindUrl`, `FindUsers`, `LogIn` | — |
//! | [`Queue`](queue::Queue) | system | the tracked entries, every change of state, operators' pending orders | `Adopt`, `BeginReading`, `Committed`, `ConnectionEnded`, `Contend`, `CountOrders`, `DescribeQueue`, `DrainQueue`, `EndReading`, `GiveUpJobs`, `ListEntries`, `ListOrdered`, `LookAgain`, `MakeRoom`, `Noticed`, `PlaceOrder`, `Pull`, `Recall`, `Reserve`, `SetMaxMessages`, `Settle`, `Subscribe`, `SubscribeToNews`, `SubscribeToPieces`, `Throttled` | `Defragmenter`, `JobController`, `Notary` |
//! | [`Defragmenter`](defragment::Defragmenter) | system | which pieces of messages have come | `Adopt`, `DescribePiece`, `PieceStored` | `Queue` |
//! | [`Notary`](notary::Notary) | system | who has yet to be told what became of mail | `Adopt`, `News` | `Queue`, `Router` |
//! | [`JobController`](job_controller::JobController) | system | what runs, what is suspended, the limits | `Adopt`, `DescribeBacklog`, `DescribeController`, `DestinationEvent`, `ExplainDestination`, `Freeze`, `Halt`, `LiftReplies`, `PlaceFreed`, `ProbedAt`, `ResumeHost`, `StopStarting`, `SuspendHost`, `Tune` | `Pool`, `Queue` |
//! | [`Pool`](delivery::pool::Pool) | system | its jobs, their number | `Adopt`, `ConnectionGone`, `OfferConnection`, `RetireJob`, `SetJobLimit` | `Job`, `Queue` |
//! | [`Job`](delivery::job::Job) | system, its connections on worker arbiters | connections out, one for each destination | `EndJob`, `RunConnection` | `Queue`, `Pool` |
//! | [`Store`](store::Store) | system, its writers on threads of their own | mailboxes, their order and quota | `ChangeMailbox`, `CreateMailbox`, `DescribeStore`, `DrainStore`, `ListMailboxes`, `LookIntoMailbox` | — |
//! | [`Watch`](actor::Watch) | system | what to do when one of them dies | `Died`, `Dismiss`, `Guard`, `StandDown` | — |
//!
//! The rooms from the top of the house down; a room knows rooms below it only.
//!
//! | room | what it does | knows |
//! | --- | --- | --- |
//! | [`front`] | how connections come in, and what stands behind their sessions | accounts, actor, `channel_table`, directory, events, forms, ids, `in_hand`, metrics, readiness, router, sieve, standing, store, timestamp |
//! | [`job_controller`] | decides what runs | actor, `channel_table`, delivery, events, ids, metrics, queue, timestamp |
//! | [`delivery`] | carries it out: pools, jobs, couriers | accounts, actor, autoreply, `channel_table`, directory, events, ids, `in_hand`, metrics, queue, rerouting, router, standing, store, timestamp |
//! | [`defragment`] | puts messages together that come in pieces | actor, `channel_table`, events, ids, metrics, queue, timestamp |
//! | [`tls_reporter`] | writes down and sends how TLS with others went, renews their policies | `channel_table`, events, metrics, `own_mail`, router |
//! | [`autoreply`] | answers for users who are away | `channel_table`, directory, events, metrics, `own_mail`, router, seldom, sieve, timestamp |
//! | [`lint`] | what is wrong with a directory, aliases, scripts or charsets | `channel_table`, directory, router, sieve |
//! | [`notary`] | tells senders | actor, `channel_table`, events, ids, metrics, `own_mail`, queue, router, sieve, timestamp |
//! | [`queue`] | what waits, and every change of its state | actor, `channel_table`, events, ids, metrics, standing, timestamp |
//! | [`rerouting`] | runs queued mail through the router again | `channel_table`, directory, events, forms, metrics, `own_mail`, router, sieve, standing, timestamp |
//! | [`sieve`] | where scripts have mail go | `channel_table`, directory, events, forms, metrics, `own_mail`, router, seldom |
//! | [`own_mail`] | what notices, automatic replies and reports have in common | `channel_table`, router, timestamp |
//! | [`forms`] | the forms in which one message is stored | directory, events, router |
//! | [`events`] | what happens, as a log line and a number at once | metrics, timestamp |
//! | [`router`] | recipient in; channel, address and next hop out | actor, `channel_table`, directory, seldom |
//! | [`standing`] | orders of operators that stand | `channel_table`, timestamp |
//! | [`channel_table`] | the channels of the configuration, numbered | ids |
//! | [`directory`] | users, groups, domains | actor, metrics, timestamp |
//! | [`ids`] | what actors name things by | — |
//! | [`in_hand`] | the message that a session or a job is busy with | — |
//! | [`store`] | the mailboxes of this machine | accounts, actor, metrics, readiness |
//! | [`metrics`] | every number that the engine shows | actor, readiness, seldom, timestamp |
//! | [`actor`] | what every actor is made of | — |
//! | `accounts` | accounts of this machine by name or number | — |
//! | [`readiness`] | why mail is not taken | — |
//! | [`seldom`] | log lines that would say the same with every message | — |
//! | [`timestamp`] | points in time | — |
//!
//! # Rules for messages
//!
//! - A request lives with the actor that answers it, a fact with the actor that announces it.
//! - A sender holds a [`Mailbox`](actor::Mailbox) or an [`Outlet`](actor::Outlet), which count what
//!   is sent; every message is metered by its type, and only time that is spent working is busy.
//! - Octets stay in the task of their session; actors exchange decisions, one message for each mail
//!   and none for a line; a recipient costs one when nobody remembers the way to him.
//! - A mailbox is no back-pressure: bounded state refuses, or the consumer pulls.
//! - A panic ends one session or one job. A service that dies is started again, and starts other
//!   workers; when anybody else dies the engine ends, and starts again from the spool.
//!
//! The [storage](relais_storage) is no actor: the threads of the spool (committer, journal, compactor,
//! index) are called directly, so that a message crosses threads once on its way in.

mod accounts;
pub mod actor;
pub mod autoreply;
pub mod channel_table;
pub mod defragment;
pub mod delivery;
pub mod directory;
pub mod events;
pub mod forms;
pub mod front;
#[cfg(test)]
mod house_tests;
pub mod ids;
pub mod in_hand;
pub mod job_controller;
pub mod lint;
pub mod metrics;
pub mod notary;
pub mod own_mail;
pub mod queue;
pub mod readiness;
pub mod rerouting;
pub mod router;
pub mod seldom;
pub mod sieve;
pub mod standing;
pub mod store;
pub mod timestamp;
pub mod tls_reporter;
