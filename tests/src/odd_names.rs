//! A name server with faults that no real one has on demand: it fails for one kind of record of a
//! name and answers for another, is slow, or says nothing.

use std::{
    net::UdpSocket,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// A server on the loopback, UDP alone. Dropping it ends it.
#[derive(Debug)]
pub struct OddNames {
    /// Its port.
    pub port: u16,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
    over: Arc<AtomicBool>,
}

/// An answer of it.
#[derive(Clone, Copy, Debug)]
pub enum OddAnswer {
    /// None at all.
    Silence,
    /// This code (RFC 1035 section 4.1.1), and no record.
    Code(u8),
    /// An address of IPv4.
    Address([u8; 4]),
}

impl OddNames {
    /// Answers each question, a name in lower case without its last dot and the number of a type of
    /// records, as `answer` says.
    pub fn start(answer: impl Fn(&str, u16) -> OddAnswer + Send + 'static) -> Self {
        Self::at("127.0.0.1:0", answer)
    }

    /// The same in this place.
    pub fn at(place: &str, answer: impl Fn(&str, u16) -> OddAnswer + Send + 'static) -> Self {
        let socket = UdpSocket::bind(place).expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a limit");
        let asked: Arc<Mutex<Vec<(String, u16)>>> = Arc::default();
        let over: Arc<AtomicBool> = Arc::default();
        let (of_thread, is_over) = (Arc::clone(&asked), Arc::clone(&over));
        thread::spawn(move || {
            let mut question = [0; 1_500];
            while !is_over.load(Ordering::Acquire) {
                let Ok((octets, from)) = socket.recv_from(&mut question) else { continue };
                let Some((name, kind, end)) = read(&question[..octets]) else { continue };
                of_thread.lock().expect("no panic here").push((name.clone(), kind));
                if let Some(reply) = reply(&question[..end], answer(&name, kind)) {
                    let _ = socket.send_to(&reply, from);
                }
            }
        });
        Self { port, asked, over }
    }

    /// The questions so far.
    pub fn asked(&self) -> Vec<(String, u16)> {
        self.asked.lock().expect("no panic here").clone()
    }
}

impl Drop for OddNames {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

/// The name, the type, and where the question ends.
fn read(question: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*question.get(at)?, *question.get(at + 1)?]);
    Some((labels.join("."), kind, at + 4))
}

fn reply(question: &[u8], answer: OddAnswer) -> Option<Vec<u8>> {
    let (code, address) = match answer {
        OddAnswer::Silence => return None,
        OddAnswer::Code(code) => (code, None),
        OddAnswer::Address(address) => (0, Some(address)),
    };
    let mut reply = question.to_vec();
    // An answer, recursion is there; one question, perhaps one record, nothing else.
    (reply[2], reply[3]) = (0x81, 0x80 | code);
    reply[4..12].copy_from_slice(&[0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    if let Some(address) = address {
        // The name of the question, A, IN, a minute, four octets.
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend_from_slice(&address);
    }
    Some(reply)
}
