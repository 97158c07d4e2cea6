//! Links over sockets of memory: time, and ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{super::*, frame, words};

const PATIENCE: FilterPatience = FilterPatience {
    connect: Duration::from_secs(5),
    command: Duration::from_secs(10),
    content: Duration::from_secs(20),
};

/// A filter that reads the offer, agrees, and then says these octets after each pause.
fn filter(mut stream: DuplexStream, script: Vec<(u64, Vec<u8>)>) {
    tokio::spawn(async move {
        let mut offer = [0; 17];
        stream.read_exact(&mut offer).await.unwrap();
        stream.write_all(&frame(b'O', &words(&[6, 0x1ff, 0]))).await.unwrap();
        for (pause, octets) in script {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            if stream.write_all(&octets).await.is_err() {
                return;
            }
        }
        // Reading the rest keeps the stream open until we close.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
}

async fn link(script: Vec<(u64, Vec<u8>)>) -> FilterLink {
    let (ours, theirs) = duplex(1 << 16);
    filter(theirs, script);
    FilterLink::negotiate(Box::new(ours), PATIENCE, Macros::default()).await.expect("a link")
}

async fn end(link: &mut FilterLink) -> (Result<Decision, FilterError>, usize) {
    let mut heard = 0;
    let changed = async |_| {
        heard += 1;
        Ok::<_, FilterError>(())
    };
    let asked =
        link.ask(&FilterEvent::EndOfMessage, &Macros::default(), PATIENCE.content, changed).await;
    (asked, heard)
}

#[tokio::test(start_paused = true)]
async fn progress_begins_the_clock_anew_but_not_forever() {
    let progress = |n| (0..n).map(|_| (19, frame(b'p', b""))).collect::<Vec<_>>();
    let mut steady = progress(5);
    steady.push((19, [frame(b'h', b"A\0b\0"), frame(b'c', b"")].concat()));
    let mut link_ = link(steady).await;
    let (asked, heard) = end(&mut link_).await;
    assert_eq!((asked.expect("in time"), heard), (Decision::Continue, 1));

    let (asked, _) = end(&mut link(progress(500)).await).await;
    assert!(asked.as_ref().is_err_and(FilterError::is_away), "{asked:?}");
    let (asked, _) = end(&mut link(vec![(21, frame(b'c', b""))]).await).await;
    assert!(asked.as_ref().is_err_and(FilterError::is_away), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_no_answer_is_an_error() {
    for (name, octets, want) in [
        ("two answers", frame(b'c', b"").repeat(2), Some(Breach::Unasked)),
        ("an unknown one", frame(b'?', b""), Some(Breach::Unexpected(b'?'))),
        ("a text", b"HTTP/1.1 400 Bad Request\r\n".to_vec(), None),
    ] {
        match end(&mut link(vec![(0, octets)]).await).await.0 {
            Err(FilterError::Breach(breach)) => {
                assert!(want.is_none_or(|want| want == breach), "{name}: {breach}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_is_silent_or_goes_is_told_from_each_other() {
    let (ours, theirs) = duplex(64);
    let silent = FilterLink::negotiate(Box::new(ours), PATIENCE, Macros::default());
    let waited = tokio::time::timeout(Duration::from_secs(30), silent).await;
    assert!(waited.is_err(), "the caller's clock limits it");
    drop(theirs);
    let (ours, theirs) = duplex(64);
    drop(theirs);
    let gone = FilterLink::negotiate(Box::new(ours), PATIENCE, Macros::default()).await;
    assert!(matches!(gone, Err(FilterError::Gone(_))), "{:?}", gone.err());
}

#[tokio::test]
async fn sockets_of_both_kinds_are_reached_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("filter.sock");
    let missing = FilterLink::to_socket(&path, PATIENCE, Macros::default()).await;
    assert!(matches!(missing, Err(FilterError::Gone(_))));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let agreed = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut offer = [0; 17];
        stream.read_exact(&mut offer).await.unwrap();
        stream.write_all(&frame(b'O', &words(&[2, 0x3f, 0]))).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        rest
    });
    let link = FilterLink::to_socket(&path, PATIENCE, Macros::default()).await.expect("a link");
    assert_eq!(link.talk().agreement().version, 2);
    let Err(link) = link.free().await else { panic!("version 2 knows of no other client") };
    link.quit().await;
    assert_eq!(agreed.await.unwrap(), frame(b'Q', b""));
    let refused = FilterLink::to_host(("127.0.0.1", 1), PATIENCE, Macros::default()).await;
    assert!(matches!(refused, Err(FilterError::Gone(_))));
}
