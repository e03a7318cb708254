//! A load generator that counts exactly what it got.

use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::client::{self, Ended};
use crate::talk::{get, is_reset, read_response};
use crate::wait::{Deadline, PATIENCE, wait_until};

/// What is asked for, and how.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Port.
    pub port: u16,
    /// Clients at once.
    pub clients: u32,
    /// Connections that each client makes, one after the other; `None`: until it is stopped.
    pub connections: Option<u32>,
    /// Requests on a connection.
    pub requests: u32,
    /// Requests that are sent before the first of their responses is read.
    pub depth: u32,
    /// Paths, in turn; each client begins at another one.
    pub paths: &'static [&'static str],
}

/// What a load got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a whole response: whatever was in flight on a connection that failed counts
    /// once, as does a connection that was not made.
    pub failures: u64,
    /// What the first of them was.
    pub first: Option<String>,
}

impl Tally {
    /// How many of them the recorder must give verdicts on: those of which it is told by default.
    pub fn worth_telling(&self) -> u64 {
        let watched = |status: u16| matches!(status, 403 | 429 | 500..);
        self.failures
            + self.statuses.iter().filter(|(status, _)| watched(**status)).map(|(_, count)| count).sum::<u64>()
    }

    /// Adds another load's.
    pub fn add(&mut self, other: &Self) {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.failures += other.failures;
        self.first = self.first.take().or_else(|| other.first.clone());
    }
}

/// A load that is going on.
#[derive(Debug)]
pub struct Generator {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    answered: AtomicU64,
    tally: Mutex<Tally>,
}

impl Generator {
    /// Starts it from the namespace of the calling thread.
    ///
    /// # Errors
    /// When it asks for nothing.
    pub fn start(load: Load, to: SocketAddr) -> Result<Self> {
        if load.paths.is_empty() || load.depth == 0 || load.clients == 0 {
            bail!("a load that asks for nothing: {load:?}");
        }
        let shared = Arc::new(Shared::default());
        let threads = (0..load.clients)
            .map(|number| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.client(load, to, number as usize))
            })
            .collect();
        Ok(Self { shared, threads })
    }

    /// Waits until so many more requests have been answered or have failed.
    ///
    /// # Errors
    /// When they are not.
    pub fn await_more(&self, count: u64) -> Result<()> {
        let goal = self.shared.answered.load(Ordering::Relaxed) + count;
        wait_until(Deadline::after(PATIENCE), "more of the load to be answered", || {
            Ok(self.shared.answered.load(Ordering::Relaxed) >= goal)
        })
    }

    /// Stops it if it has no end of its own, and waits for its end.
    ///
    /// # Errors
    /// When one of its threads failed.
    pub fn finish(self, endless: bool) -> Result<Tally> {
        self.shared.stopped.store(endless, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_panic| anyhow!("a client panicked"))?;
        }
        Ok(self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Shared {
    fn client(&self, load: Load, to: SocketAddr, number: usize) {
        let mut paths = load.paths.iter().cycle().skip(number % load.paths.len());
        let mut made = 0;
        while load.connections.is_none_or(|count| made < count) && !self.stopped.load(Ordering::Relaxed) {
            made += 1;
            let mut tally = Tally::default();
            if let Err(error) = self.connection(load, to, &mut paths, &mut tally) {
                tally.failures += 1;
                tally.first = Some(format!("{error:#}"));
                self.answered.fetch_add(1, Ordering::Relaxed);
            }
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).add(&tally);
        }
    }

    fn connection<'a>(
        &self,
        load: Load,
        to: SocketAddr,
        paths: &mut impl Iterator<Item = &'a &'a str>,
        tally: &mut Tally,
    ) -> Result<()> {
        let (stream, how) = client::connect(to, None, PATIENCE);
        let stream: TcpStream = stream.filter(|_| how == Ended::Connected).with_context(|| format!("{how:?}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream);
        let mut left = load.requests;
        while left > 0 && !self.stopped.load(Ordering::Relaxed) {
            let batch = load.depth.min(left);
            left -= batch;
            let text: String = paths.by_ref().take(batch as usize).map(|path| get(path, None)).collect();
            match reader.get_mut().write_all(text.as_bytes()) {
                // reset while nothing was asked for: no request has left, so none has failed
                Err(error) if is_reset(&error) => return Ok(()),
                sent => sent.context("sending")?,
            }
            for _ in 0..batch {
                let answer = read_response(&mut reader, false)?.context("no response")?;
                *tally.statuses.entry(answer.status).or_default() += 1;
                self.answered.fetch_add(1, Ordering::Relaxed);
                if answer.closes {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
