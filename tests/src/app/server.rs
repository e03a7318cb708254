//! Listening, accepting and draining.

use std::io::{BufRead as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};

use super::{DRAIN, EXIT, LISTENING, Options, answer, ring};

/// Serves until standard input ends, or says that the app must drain.
///
/// # Errors
/// When it cannot listen there.
pub fn serve(options: &Options) -> Result<()> {
    let listener = listen(options).with_context(|| format!("listening on {}", options.listen))?;
    let handle = listener.try_clone()?;
    writeln!(std::io::stdout(), "{LISTENING}")?;
    let open = Open::default();
    if options.io_uring {
        std::thread::spawn(move || {
            ring::serve(&listener).map_err(|error| drop(writeln!(std::io::stderr(), "{error:#}")))
        });
    } else if !options.never_accept {
        let (open, options) = (open.clone(), options.clone());
        std::thread::spawn(move || accept(&TcpListener::from(listener), &open, &options));
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if let Some(code) = line.strip_prefix(EXIT) {
            end(code.trim().parse()?);
        }
        if line == DRAIN {
            // the listener goes at once: what waits in its queue is reset
            handle.shutdown(Shutdown::Both)?;
            open.drain();
            return Ok(());
        }
    }
    Ok(())
}

#[expect(clippy::exit, reason = "how the app ends is what the scenario is about")]
fn end(code: i32) -> ! {
    std::process::exit(code)
}

fn listen(options: &Options) -> std::io::Result<Socket> {
    let protocol = if options.multipath { Protocol::MPTCP } else { Protocol::TCP };
    let socket = Socket::new(Domain::for_address(options.listen), Type::STREAM, Some(protocol))?;
    if options.listen.is_ipv6() {
        socket.set_only_v6(options.v6_only)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(options.reuse_port)?;
    socket.bind(&options.listen.into())?;
    socket.listen(options.backlog)?;
    Ok(socket)
}

fn accept(listener: &TcpListener, open: &Open, options: &Options) {
    let mut held = Vec::new();
    for stream in listener.incoming().map_while(Result::ok) {
        if options.never_read {
            held.push(stream);
            continue;
        }
        let (open, options) = (open.clone(), options.clone());
        std::thread::spawn(move || {
            let Ok(key) = open.enter(&stream) else { return };
            let client = Client { open: &open, key };
            drop(answer::connection(stream, &client, &options));
            open.leave(key);
        });
    }
}

/// The connections that are being served.
#[derive(Clone, Debug, Default)]
pub(super) struct Open(Arc<(Mutex<Connections>, Condvar)>);

#[derive(Debug, Default)]
struct Connections {
    draining: bool,
    next: u64,
    list: Vec<(u64, TcpStream, bool)>,
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, stream: &TcpStream) -> std::io::Result<u64> {
        let handle = stream.try_clone()?;
        let mut connections = self.lock();
        connections.next += 1;
        let key = connections.next;
        connections.list.push((key, handle, false));
        Ok(key)
    }

    fn leave(&self, key: u64) {
        self.lock().list.retain(|(other, ..)| *other != key);
        self.0.1.notify_all();
    }

    /// Closes what is idle, and waits for the rest.
    fn drain(&self) {
        let mut connections = self.lock();
        connections.draining = true;
        for (_, stream, _) in connections.list.iter().filter(|(.., busy)| !busy) {
            // its thread reads an end, and closes
            stream.shutdown(Shutdown::Read).unwrap_or_default();
        }
        while !connections.list.is_empty() {
            connections = self.0.1.wait(connections).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A connection's place among the open ones.
#[derive(Debug)]
pub(super) struct Client<'a> {
    open: &'a Open,
    key: u64,
}

impl Client<'_> {
    /// Says whether a request is in hand. Returns whether the app is draining.
    pub(super) fn busy(&self, busy: bool) -> bool {
        let mut connections = self.open.lock();
        if let Some(entry) = connections.list.iter_mut().find(|(key, ..)| *key == self.key) {
            entry.2 = busy;
        }
        connections.draining
    }

    /// Gives up the handle beside the connection's own: from here on closing that one closes it.
    pub(super) fn release(&self) {
        self.open.lock().list.retain(|(key, ..)| *key != self.key);
    }
}
