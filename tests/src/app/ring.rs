//! The app without a system call for each thing it does: accepting, reading, writing and closing go
//! through `io_uring`, by the kernel's own workers. One connection at a time.

use std::os::fd::{AsRawFd as _, RawFd};

use anyhow::{Context as _, Result, bail};
use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, opcode, types};
use socket2::Socket;

/// What is answered to every request, but those for `/close`.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

/// Serves for ever. A request must come in one segment.
///
/// # Errors
/// When the kernel refuses a ring, or the listener fails.
pub(super) fn serve(listener: &Socket) -> Result<()> {
    let mut ring = Ring(IoUring::new(4).context("making an io_uring")?);
    loop {
        let accept = opcode::Accept::new(types::Fd(listener.as_raw_fd()), std::ptr::null_mut(), std::ptr::null_mut());
        let accepted = ring.perform(accept.build())?;
        if accepted < 0 {
            bail!("accepting by io_uring: errno {}", -accepted);
        }
        ring.connection(accepted)?;
        ring.perform(opcode::Close::new(types::Fd(accepted)).build())?;
    }
}

/// Why there is no `io_uring` here; `None` if there is.
pub(super) fn missing() -> Option<String> {
    IoUring::new(4).err().map(|error| format!("io_uring is needed: {error}"))
}

struct Ring(IoUring);

impl Ring {
    fn connection(&mut self, stream: RawFd) -> Result<()> {
        let mut buffer = vec![0; 4096];
        loop {
            let capacity = u32::try_from(buffer.len())?;
            let read = self.perform(opcode::Recv::new(types::Fd(stream), buffer.as_mut_ptr(), capacity).build())?;
            let request = buffer.get(..usize::try_from(read).unwrap_or_default()).unwrap_or_default();
            if request.is_empty() || request.starts_with(b"GET /close ") {
                return Ok(());
            }
            let length = u32::try_from(ANSWER.len())?;
            self.perform(opcode::Send::new(types::Fd(stream), ANSWER.as_ptr(), length).build())?;
        }
    }

    /// Has the kernel do one thing, and waits until it is done: its result.
    fn perform(&mut self, entry: Entry) -> Result<i32> {
        let entry = entry.flags(Flags::ASYNC);
        // SAFETY: whatever the entry points to outlives this call, which ends after the completion.
        unsafe { self.0.submission().push(&entry) }.context("the ring is full")?;
        self.0.submit_and_wait(1).context("waiting for io_uring")?;
        let done = self.0.completion().next().context("no completion")?;
        Ok(done.result())
    }
}
