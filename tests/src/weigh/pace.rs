//! Requests at a steady rate over connections that are kept.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::wait::now;

/// Connections, each with a thread.
const CONNECTIONS: u32 = 4;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: steady\r\n\r\n";
/// What nginx answers ends so.
const END: &[u8] = b"\r\n\r\nok\n";

/// Asks `rate` times a second for so long, and says how often it was answered.
///
/// # Errors
/// When a connection fails.
pub(super) fn run(to: SocketAddr, rate: u32, length: Duration) -> Result<u64> {
    let every = Duration::from_secs(1) * CONNECTIONS / rate.max(1);
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| ask(to, every, length))).collect();
        let answered = askers.into_iter().map(|asker| asker.join().map_err(|_panic| anyhow!("an asker panicked"))?);
        answered.sum()
    })
}

fn ask(to: SocketAddr, every: Duration, length: Duration) -> Result<u64> {
    let mut stream = TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?;
    stream.set_nodelay(true)?;
    let begun = now();
    let mut due = Duration::ZERO;
    let mut answered = 0;
    while due < length {
        if let Some(early) = due.checked_sub(now().duration_since(begun)) {
            // the pace, not a wait for anything
            std::thread::sleep(early);
        }
        stream.write_all(REQUEST)?;
        let mut response = Vec::with_capacity(512);
        while !response.ends_with(END) {
            let mut some = [0; 512];
            let read = stream.read(&mut some)?;
            ensure!(read > 0 && response.len() < 4096, "no such response: {}", String::from_utf8_lossy(&response));
            response.extend_from_slice(some.get(..read).unwrap_or_default());
        }
        answered += 1;
        due += every;
    }
    Ok(answered)
}
