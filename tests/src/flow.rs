//! A connection that goes on while others fail.

use std::net::SocketAddr;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

use crate::client::Connection;

/// How long the connection rests between two requests: several in each second.
const REST: Duration = Duration::from_millis(100);

/// A kept-alive connection with a request on it now and then, until it is dropped.
#[derive(Debug)]
pub struct Flow {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Flow {
    /// Opens it from the namespace of the calling thread.
    ///
    /// # Errors
    /// When it does not connect, or its first request fails.
    pub fn open(to: SocketAddr) -> Result<Self> {
        let mut connection = Connection::open(to)?;
        connection.exchange()?;
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(REST) == Err(RecvTimeoutError::Timeout) {
                if connection.exchange().is_err() {
                    break;
                }
            }
        });
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
