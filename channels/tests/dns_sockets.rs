//! Many questions at once with few descriptors: each in flight takes a socket of its own, and there are
//! never so many that one fails for want of it. In a process of its own, whose limit is lowered.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use relais_channels::dns::{Dns, NoAnswer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{net::UdpSocket, time::sleep};

/// Answers each question after a moment: there is no such name.
async fn slow_server() -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((octets, from)) = socket.recv_from(&mut buffer).await {
            count.fetch_add(1, Relaxed);
            let (mut reply, socket) = (buffer[..octets].to_vec(), Arc::clone(&socket));
            // NXDOMAIN, and nothing behind the question.
            let end = reply[12..].iter().position(|octet| *octet == 0).unwrap() + 12 + 5;
            reply.truncate(end);
            (reply[2], reply[3]) = (0x81, 0x83);
            reply[6..12].fill(0);
            tokio::spawn(async move {
                sleep(Duration::from_millis(30)).await;
                let _ = socket.send_to(&reply, from).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn two_thousand_questions_at_once_fit_into_1024_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1_024), ..limit }).unwrap();
    let (server, asked) = slow_server().await;
    let dns = Dns::shared(&[server]).unwrap();
    let (dns, names) = (&dns, (0..2_000).map(|n| format!("host-{n}.test")));
    let answers = join_all(names.map(async |name| dns.mx(&name).await)).await;
    let kinds: HashSet<_> = answers.iter().map(|its| format!("{its:?}")).collect();
    assert!(answers.iter().all(|its| *its == Err(NoAnswer::NoSuchName)), "{kinds:?}");
    // Callers who want one name at the same time share the question, as many as may ask at once.
    let before = asked.load(Relaxed);
    let same = join_all((0..100).map(async |_| dns.mx("same.test").await)).await;
    assert!(same.iter().all(|its| *its == Err(NoAnswer::NoSuchName)));
    assert_eq!(asked.load(Relaxed) - before, 1);
}
