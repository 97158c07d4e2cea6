//! Connects to the first of several servers that answers (RFC 8305 section 5).
//!
//! The next one is tried as soon as the one before has refused, or has not answered for a moment;
//! that one goes on, and the first connection that comes about is taken. The others are given up
//! before anything is said: no server sees a session that nobody means.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep_until, timeout},
};

use super::Server;
use crate::client::policy::Lost;

/// The time that is left for the servers of a site.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Pace {
    until: Instant,
    each: Duration,
}

/// Servers that are yet to be tried, and those that have been called.
pub(in crate::client) struct Race<'a> {
    waiting: VecDeque<Server>,
    calling: FuturesUnordered<BoxFuture<'static, Call>>,
    called: Vec<Server>,
    /// Not before this the next one is called.
    next: Instant,
    preference: u16,
    pace: Pace,
    one_by_one: bool,
    sources: &'a [IpAddr],
}

/// A call that has ended.
type Call = (Server, Result<TcpStream, Lost>);

/// One that has come about.
pub(in crate::client) struct Reached {
    pub(in crate::client) server: Server,
    pub(in crate::client) stream: TcpStream,
    /// Servers that were called earlier and have not answered.
    pub(in crate::client) slower: Vec<SocketAddr>,
}

impl<'a> Race<'a> {
    /// To these in their order, from these addresses of ours; `one_by_one`: not to a second one while the
    /// first may answer.
    pub(in crate::client) fn new(
        servers: Vec<Server>,
        (pace, one_by_one): (Pace, bool),
        sources: &'a [IpAddr],
    ) -> Self {
        Self {
            waiting: servers.into(),
            calling: FuturesUnordered::new(),
            called: Vec::new(),
            next: Instant::now(),
            preference: u16::MAX,
            pace,
            one_by_one,
            sources,
        }
    }

    /// The next connection; an error is about one server, and there may be others. Before each call
    /// `admit` is asked where it is to go to; nowhere: the server is left out.
    pub(in crate::client) async fn next(
        &mut self,
        mut admit: impl FnMut(&Server) -> Option<SocketAddr>,
    ) -> Option<Result<Reached, (Server, Lost)>> {
        loop {
            let is_next = || !self.one_by_one && Instant::now() >= self.next;
            if self.calling.is_empty() || is_next() {
                self.call_next(&mut admit);
            }
            if self.calling.is_empty() {
                return None;
            }
            let answered = tokio::select! {
                biased;
                answered = self.calling.next() => answered,
                () = sleep_until(self.next), if !self.one_by_one && !self.waiting.is_empty() => None,
            };
            let Some((server, connected)) = answered else { continue };
            self.called.retain(|its| *its != server);
            match connected {
                Ok(stream) => return Some(Ok(self.reached(server, stream))),
                Err(lost) => {
                    self.next = Instant::now();
                    return Some(Err((server, lost)));
                }
            }
        }
    }

    fn call_next(&mut self, admit: &mut impl FnMut(&Server) -> Option<SocketAddr>) {
        while let Some(server) = self.waiting.pop_front() {
            let Some(address) = admit(&server) else { continue };
            let server = Server { address, ..server };
            let share = self.pace.share(self.waiting.len() + 1);
            let source = source_for(address.ip(), self.sources);
            self.preference = server.preference;
            self.called.push(server.clone());
            let connecting = async move {
                let connected = timeout(share, connect(address, source)).await;
                (
                    server,
                    connected.map_err(|_| Lost::TimedOut).and_then(|its| its.map_err(Lost::Io)),
                )
            };
            self.calling.push(connecting.boxed());
            break;
        }
        if let Some(next) = self.waiting.front() {
            let pause = if next.preference > self.preference { NEXT_BEST } else { EQUALS };
            self.next = Instant::now() + pause;
        }
    }

    /// The others are given up, and may be called again should this one be of no use.
    fn reached(&mut self, server: Server, stream: TcpStream) -> Reached {
        self.calling.clear();
        let slower = self.called.iter().map(|its| its.address).collect();
        for other in self.called.drain(..).rev() {
            self.waiting.push_front(other);
        }
        self.next = Instant::now();
        Reached { server, stream, slower }
    }
}

impl Pace {
    pub(in crate::client) fn of(each: Duration) -> Self {
        Self { until: Instant::now() + each * MOST_TIMES, each }
    }

    /// For one address of so many that are left: never so long that nothing is left for the last.
    fn share(&self, left: usize) -> Duration {
        let rest = self.until.saturating_duration_since(Instant::now());
        let share = rest / u32::try_from(left).unwrap_or(1).max(1);
        self.each.min(share.max(LEAST))
    }
}

/// The address of ours that has the family of the server's.
fn source_for(server: IpAddr, sources: &[IpAddr]) -> Option<IpAddr> {
    sources.iter().copied().find(|source| source.is_ipv4() == server.is_ipv4())
}

pub(in crate::client) async fn connect(
    server: SocketAddr,
    source: Option<IpAddr>,
) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(server).await };
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let at_source = |error: io::Error| {
        io::Error::new(error.kind(), format!("interface_address {source}: {error}"))
    };
    socket.bind(SocketAddr::new(source, 0)).map_err(at_source)?;
    socket.connect(server).await
}

/// Between servers that are as good as each other (RFC 8305 section 8).
const EQUALS: Duration = Duration::from_millis(250);
/// Before one that its domain likes less: a SYN may be lost, and is sent again after a second.
const NEXT_BEST: Duration = Duration::from_secs(2);
/// All addresses of a host together take as long as so many that do not answer.
const MOST_TIMES: u32 = 4;
const LEAST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn server(address: SocketAddr, preference: u16) -> Server {
        Server { host: "h".into(), preference, address, secure: false, canonical: None }
    }

    #[tokio::test(start_paused = true)]
    async fn many_dead_addresses_take_no_longer_than_four() {
        for count in 1..=8_usize {
            let pace = Pace::of(Duration::from_secs(30));
            let begun = Instant::now();
            for left in (1..=count).rev() {
                let share = pace.share(left);
                assert!(share >= Duration::from_secs(10), "{count} {left}: {share:?}");
                tokio::time::advance(share).await;
            }
            let most = Duration::from_secs(30 * count.min(4) as u64);
            assert!(begun.elapsed() <= most, "{count}: {:?}", begun.elapsed());
        }
    }

    /// A socket that takes no more connections: who calls it waits.
    fn full() -> (std::net::TcpListener, Vec<std::net::TcpStream>) {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let listener: std::net::TcpListener = socket.into();
        let address = listener.local_addr().unwrap();
        let call = || {
            let limit = Duration::from_millis(200);
            std::net::TcpStream::connect_timeout(&address, limit).ok()
        };
        (listener, std::iter::from_fn(call).collect())
    }

    #[tokio::test]
    async fn who_does_not_answer_holds_up_a_moment_and_who_refuses_nothing() {
        let (dead, _calls) = full();
        let dead = dead.local_addr().unwrap();
        let living = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let living = living.local_addr().unwrap();
        let closed = SocketAddr::from(([127, 0, 0, 1], 1));
        let moment = EQUALS.as_millis();
        // servers and preferences, milliseconds at least and less than, those that were slower
        let rows = [
            (vec![(living, 10), (dead, 10)], 0, moment, 0),
            (vec![(dead, 10), (living, 10)], moment, moment * 3, 1),
            (vec![(closed, 10), (living, 10)], 0, moment, 0),
            (vec![(closed, 10), (living, 20)], 0, moment, 0),
            (vec![(dead, 10), (living, 20)], 2_000, 2_500, 1),
            // One that lags is not waited for as if it were better.
            (vec![(dead, 20), (living, 10)], moment, moment * 3, 1),
        ];
        for (servers, least, most, slower) in rows {
            let begun = Instant::now();
            let all = servers.iter().map(|(address, n)| server(*address, *n)).collect();
            let mut race = Race::new(all, (Pace::of(Duration::from_secs(30)), false), &[]);
            let reached = loop {
                match race.next(|its| Some(its.address)).await.expect("one answers") {
                    Ok(reached) => break reached,
                    Err((its, _)) => assert_eq!(its.address, closed),
                }
            };
            let took = begun.elapsed().as_millis();
            assert_eq!(reached.server.address, living, "{servers:?}");
            assert_eq!(reached.slower.len(), slower, "{servers:?}");
            assert!((least..most).contains(&took), "{servers:?}: {took}");
        }
    }

    #[tokio::test]
    async fn one_by_one_means_that_the_second_waits_until_the_first_has_failed() {
        let (dead, _calls) = full();
        let living = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let [dead, living] = [dead.local_addr(), living.local_addr()].map(Result::unwrap);
        let servers = vec![server(dead, 10), server(living, 10)];
        let pace = Pace::of(Duration::from_millis(600));
        let mut race = Race::new(servers, (pace, true), &[]);
        let begun = Instant::now();
        let first = race.next(|its| Some(its.address)).await.expect("two");
        assert!(matches!(first, Err((its, Lost::TimedOut)) if its.address == dead));
        assert!(begun.elapsed() >= Duration::from_millis(600));
        let second = race.next(|its| Some(its.address)).await.expect("another");
        assert!(second.is_ok_and(|its| its.server.address == living && its.slower.is_empty()));
    }

    #[tokio::test]
    async fn servers_are_called_where_the_gate_says_and_again_when_the_first_is_of_no_use() {
        let listen = || TcpListener::bind("127.0.0.1:0");
        let (one_listens, two_listens) = (listen().await.unwrap(), listen().await.unwrap());
        let [one, two] = [&one_listens, &two_listens].map(|its| its.local_addr().unwrap());
        let skipped = SocketAddr::from(([127, 0, 0, 1], 1));
        let servers = [skipped, one, one].map(|address| server(address, 0)).to_vec();
        let source = IpAddr::from([127, 0, 0, 9]);
        let sources = [source];
        let pace = Pace::of(Duration::from_secs(30));
        let mut race = Race::new(servers, (pace, false), &sources);
        let mut asked = 0;
        let mut admit = |its: &Server| {
            asked += 1;
            match asked {
                1 => None,
                2 => Some(its.address),
                _ => Some(two),
            }
        };
        for want in [one, two] {
            let reached = race.next(&mut admit).await.unwrap().map_err(|(_, lost)| lost).unwrap();
            assert_eq!(reached.server.address, want);
            assert_eq!(reached.stream.local_addr().unwrap().ip(), source);
        }
        assert!(race.next(&mut admit).await.is_none());
        let elsewhere = connect(one, Some(IpAddr::from([192, 0, 2, 1]))).await.unwrap_err();
        assert!(elsewhere.to_string().starts_with("interface_address 192.0.2.1: "), "{elsewhere}");
    }
}
