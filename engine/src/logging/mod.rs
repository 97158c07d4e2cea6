//! The log: one line per event on standard error, text on a terminal and JSON elsewhere.
//!
//! Nothing that logs ever waits for whoever reads the log: lines go into a bounded buffer that
//! a thread of its own writes out. When the reader is too slow the buffer fills, and further
//! lines are thrown away, counted, and reported as soon as there is room again.

mod format;
mod sink;
mod spans;

use std::{
    env,
    io::{self, IsTerminal},
};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, registry, util::SubscriberInitExt};

pub use format::Format;
use format::Lines;
pub use sink::Sink;

/// Starts logging for the whole process. The level comes from `RUST_LOG` (`"debug"`,
/// `"warn,relais::transaction=info"`, ...); `info` when that is not set. Called once.
///
/// Returns the sink: to be flushed before the process ends, and asked for the number of lost
/// lines.
pub fn start() -> io::Result<Sink> {
    let format = if io::stderr().is_terminal() { Format::Text } else { Format::Json };
    let sink = Sink::start(io::stderr())?;
    let directives = env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let directives = if directives.is_empty() { DEFAULT } else { &directives };
    // A wrong directive is told on standard error by the library, and left out.
    let filter = EnvFilter::builder().parse_lossy(directives);
    let lines = Lines { format, sink: sink.clone() };
    registry().with(filter).with(lines).try_init().map_err(io::Error::other)?;
    Ok(sink)
}

/// The endpoint's library tells each of its threads at `info`, and that of DNS prints whole answers at `warn`:
/// what comes of them is told by who asked.
const DEFAULT: &str =
    "info,actix_server=warn,hickory_net=error,hickory_proto=error,hickory_resolver=error";
