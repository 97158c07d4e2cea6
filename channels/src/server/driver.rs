//! Gives a session its socket, its clock and its engine.
//!
//! Everything that has arrived is worked through, and the replies to it leave in one write,
//! before more is waited for (RFC 2920 section 3.2). A commit that has begun is always awaited
//! and its answer written, whatever else happens.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};

use super::{
    Intake, Reason, Session, Setup, Setups, Stop, clock::Clock, link::Link, session::Event,
    setup::Opening,
};

/// How a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Farewell {
    /// Messages handed over.
    pub messages: u64,
    /// Why it ended.
    pub reason: Reason,
}

/// Serves one connection to its end.
///
/// When `stop` says so, the peer is told (421): before its next command, when the data of a message
/// that has begun to come is complete and answered; or at once.
pub async fn serve<S, I>(
    socket: S,
    opening: Opening,
    setups: &Setups,
    intake: &mut I,
    stop: &Stop,
) -> Farewell
where
    S: AsyncRead + AsyncWrite + Unpin,
    I: Intake,
{
    let (mut link, mut session) = (Link::new(socket), Session::new(setups.of(intake.channel())));
    if intake.takes_xclient() {
        session.offer_xclient();
    }
    if intake.is_known_by_the_system() {
        session.is_known_by_the_system();
    }
    session.excuse_from_auth(intake.needs_no_login());
    let opened = match opening {
        Opening::Greeting => Ok(()),
        Opening::Early => {
            session.came_early();
            Ok(())
        }
        Opening::Tls => Box::pin(secure(&mut link, &mut session, setups, intake, stop)).await,
    };
    let greeted = match opened {
        Ok(()) => intake.greet().await.map_err(|reply| session.turn_away(&reply)),
        Err(reason) => Err(reason),
    };
    let reason = match greeted {
        Ok(()) => converse(&mut link, &mut session, setups, intake, stop).await,
        Err(reason) => reason,
    };
    if session.forgotten() {
        intake.reset();
    }
    let patience = session.setup().limits.command_time.min(PARTING);
    let told = link.write(session.outgoing(), patience).await;
    match (told, reason.linger(!session.expects_command())) {
        (Ok(()), Some(patience)) => link.linger(patience).await,
        (Ok(()), None) => link.close().await,
        (Err(_), _) => {}
    }
    Farewell { messages: session.messages(), reason }
}

/// Until something ends the session. Its last words are still outgoing then.
async fn converse<'s, S, I>(
    link: &mut Link<S>,
    session: &mut Session<'s>,
    setups: &'s Setups,
    intake: &mut I,
    stop: &'s Stop,
) -> Reason
where
    S: AsyncRead + AsyncWrite + Unpin,
    I: Intake,
{
    let mut clock = Clock::new(&session.setup().limits, &stop.stress);
    loop {
        let (used, event) = session.take(link.received());
        if session.forgotten() {
            intake.reset();
        }
        if !matches!(event, Event::Hungry | Event::Content(_)) {
            clock.restart();
        }
        let hungry = matches!(event, Event::Hungry);
        match event {
            Event::StartTls => {
                link.consume(used);
                let secured = start_tls(link, session, setups, intake, stop);
                if let Err(reason) = Box::pin(secured).await {
                    return reason;
                }
                clock.enter(&session.setup().limits);
                continue;
            }
            Event::Present(other) => {
                let answer = intake.present(&other).await;
                enter(setups.of(intake.channel()), session, &mut clock);
                session.presented(answer);
                session.excuse_from_auth(intake.needs_no_login());
            }
            Event::Authenticate(said) => {
                let answer = Box::pin(intake.authenticate(said)).await;
                enter(setups.of(intake.channel()), session, &mut clock);
                session.authenticated(answer);
            }
            Event::Close(reason) => return reason,
            event => transact(event, session, intake).await,
        }
        link.consume(used);
        if (hungry || session.outgoing().len() > FLUSH_AT)
            && let Err(reason) = flush(link, session, session.setup().limits.command_time).await
        {
            return reason;
        }
        if hungry && let Err(reason) = listen(link, session, &mut clock, stop).await {
            session.abandon(reason);
            return reason;
        }
    }
}

/// Has the intake take what the session has understood.
async fn transact<I: Intake>(event: Event<'_>, session: &mut Session<'_>, intake: &mut I) {
    match event {
        Event::Hello => {
            if let Some(hello) = session.hello() {
                intake.hello(&hello.name, hello.extended);
            }
        }
        Event::Sender(from) => session.sender(intake.sender(from).await),
        Event::Recipient(to) => {
            let answer = intake.recipient(&to).await;
            if session.recipient(answer, intake.vouches()) {
                Box::pin(sleep(ERROR_PAUSE)).await;
            }
        }
        Event::Open => session.opened(intake.open().await),
        Event::Content(octets) => {
            if let Err(reply) = intake.write(octets).await {
                session.refuse(reply);
            }
        }
        Event::Commit => session.committed(intake.commit().await),
        Event::SenderRefused(from, reply) => intake.sender_refused(&from, reply),
        Event::ContentRefused(reply) => {
            intake.refused(reply, 0);
            session.opened(Err(reply.clone()));
        }
        Event::Refused(reply, octets) => {
            let verdict = intake.refused(&reply, octets);
            session.refused(&reply, verdict);
        }
        // Nothing is to be taken, or the connection has to do with it.
        Event::Hungry
        | Event::Answered
        | Event::StartTls
        | Event::Present(_)
        | Event::Authenticate(_)
        | Event::Close(_) => {}
    }
}

/// Goes on with the settings of another channel, or of the same.
fn enter<'s>(setup: &'s Setup, session: &mut Session<'s>, clock: &mut Clock<'s>) {
    session.enter(setup);
    clock.enter(&setup.limits);
}

/// Waits for what the peer says next.
async fn listen<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    session: &mut Session<'_>,
    clock: &mut Clock<'_>,
    stop: &Stop,
) -> Result<(), Reason> {
    if clock.is_over() || clock.is_full() && session.is_between_messages() {
        return Err(Reason::Spent);
    }
    let is_at_boundary = session.at_boundary();
    if is_at_boundary {
        link.settle();
    }
    session.allow_errors(!stop.stress.is_on());
    let read = loop {
        let deadline = clock.wait(!session.expects_command());
        tokio::select! {
            biased;
            read = link.read(deadline, Some(stop.word(is_at_boundary))) => break read,
            // A peer that has been waited for too long already goes now.
            () = stop.stress.entered() => session.allow_errors(false),
        }
    };
    match read {
        Ok(count) => {
            clock.note(count);
            Ok(())
        }
        Err(Reason::Timeout) => Err(clock.why()),
        Err(reason) => Err(reason),
    }
}

/// STARTTLS was answered: its reply is the last word in clear.
async fn start_tls<'s, S, I>(
    link: &mut Link<S>,
    session: &mut Session<'s>,
    setups: &'s Setups,
    intake: &mut I,
    stop: &Stop,
) -> Result<(), Reason>
where
    S: AsyncRead + AsyncWrite + Unpin,
    I: Intake,
{
    flush(link, session, session.setup().limits.command_time).await?;
    secure(link, session, setups, intake, stop).await
}

/// Shakes hands; after a failure the connection is gone.
async fn secure<'s, S, I>(
    link: &mut Link<S>,
    session: &mut Session<'s>,
    setups: &'s Setups,
    intake: &mut I,
    stop: &Stop,
) -> Result<(), Reason>
where
    S: AsyncRead + AsyncWrite + Unpin,
    I: Intake,
{
    let certificates = &session.setup().tls.certificates;
    let outcome = tokio::select! {
        outcome = link.start_tls(certificates) => outcome,
        () = stop.at_boundary.cancelled() => return Err(Reason::Stopped),
    };
    session.secured(outcome.as_ref().ok());
    if session.forgotten() {
        intake.reset();
    }
    intake.handshake(&outcome);
    session.excuse_from_auth(intake.needs_no_login());
    session.enter(setups.of(intake.channel()));
    outcome.map(drop).map_err(|_told| Reason::Handshake)
}

/// Writes the replies that are outgoing. After a failure there is nobody to write them to.
async fn flush<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    session: &mut Session<'_>,
    patience: Duration,
) -> Result<(), Reason> {
    if session.outgoing().is_empty() {
        return Ok(());
    }
    let written = link.write(session.outgoing(), patience).await;
    session.sent();
    written
}

/// Before another name is refused to a peer that has named many; Postfix's `smtpd_error_sleep_time`.
const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// Octets of replies that are written even though more commands have already come.
const FLUSH_AT: usize = 16 << 10;
/// How long a peer has at most to take the last reply.
const PARTING: Duration = Duration::from_secs(10);

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
