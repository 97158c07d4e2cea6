//! Free ports below the range from which the kernel picks ports for outgoing connections: a port
//! taken there is not lost to some client's connection before the test listens on it.

use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// A port of 127.0.0.1 on which nobody listens, different at every call.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..RANGE {
        // Test programs that run side by side start at different places.
        let start = (process::id() % u32::from(RANGE)) as u16;
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_mul(997) % RANGE + step) % RANGE;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + RANGE);
}

const FIRST: u16 = 20_000;
const RANGE: u16 = 12_000;
