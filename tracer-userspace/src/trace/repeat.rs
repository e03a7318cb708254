//! What the head of a file repeats: the last seconds of the stream verbatim, and what had been told
//! before them. An attempt is decided within about five seconds of its first record, so every
//! attempt that is still undecided lies in that window whole.

use std::collections::VecDeque;

use super::REPEATED as WINDOW;
use super::known::Knowledge;
use crate::record::{BootTime, DecodeError, HostBody, HostRecord, Loss, Record, record_flag};

/// Most records of the window, some 7 MiB. In a flood the window is shorter.
pub(super) const WINDOW_MAX: usize = 49_152;
/// Cause of a [`Loss`] at the head of a file whose window was too short.
const CAUSE: &str = "trace-repeat";
/// Where a record's header has its flags.
const FLAGS_OFFSET: usize = 20;

/// The end of a stream, and what is known from before it.
#[derive(Debug, Default)]
pub(super) struct Repeat {
    knowledge: Knowledge,
    window: VecDeque<Record>,
    newest: BootTime,
    /// Records that left the window before their time, and when the last of them would have left.
    cut: u64,
    cut_until: BootTime,
}

impl Repeat {
    /// Follows the stream.
    pub(super) fn follow(&mut self, record: &Record) {
        self.newest = self.newest.max(record.time());
        self.window.push_back(record.clone());
        let oldest = self.newest.before(WINDOW);
        while let Some(front) = self.window.front() {
            let time = front.time();
            if time >= oldest {
                if self.window.len() <= WINDOW_MAX {
                    break;
                }
                self.cut = self.cut.saturating_add(1);
                self.cut_until = self.cut_until.max(time.after(WINDOW));
            }
            if let Some(record) = self.window.pop_front() {
                self.knowledge.learn(record);
            }
        }
        if self.newest > self.cut_until {
            self.cut = 0;
        }
    }

    /// The head of a file that begins now: each record flagged, one call of `write` for each.
    ///
    /// # Errors
    /// What `write` says.
    pub(super) fn head<E>(&self, mut write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut bytes = Vec::with_capacity(256);
        let mut one = |record: &Record| match flagged(record, record_flag::REPEATED, &mut bytes) {
            Ok(()) => write(&bytes),
            // longer than a record can be: it is in no file
            Err(_too_long) => Ok(()),
        };
        for record in self.knowledge.records() {
            one(record)?;
        }
        if self.cut > 0 {
            let time = self.window.front().map_or(self.newest, Record::time);
            let body = HostBody::Loss(Loss::now(CAUSE, self.cut));
            one(&Record::Host(HostRecord { time, netns: 0, body }))?;
        }
        self.window.iter().try_for_each(one)
    }

    /// The newest time followed.
    pub(super) fn newest(&self) -> BootTime {
        self.newest
    }
}

/// Makes `bytes` of a record, with these flags.
pub(super) fn flagged(record: &Record, flags: u32, bytes: &mut Vec<u8>) -> Result<(), DecodeError> {
    bytes.clear();
    record.encode(bytes)?;
    if let Some(slot) = bytes.get_mut(FLAGS_OFFSET..FLAGS_OFFSET.saturating_add(size_of::<u32>())) {
        slot.copy_from_slice(&flags.to_ne_bytes());
    }
    Ok(())
}

const _: () = assert!(std::mem::offset_of!(crate::record::Header, reserved) == FLAGS_OFFSET);
