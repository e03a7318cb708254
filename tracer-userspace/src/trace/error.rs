//! What can go wrong with trace files. Damage inside one is data, not an error.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::format::MAJOR;
use crate::record::DecodeError;

/// Why a trace cannot be read, or not any further.
#[derive(Debug, Error)]
pub enum TraceError {
    /// No byte in it.
    #[error("the file is empty: its recorder was stopped before it wrote anything")]
    Empty,
    /// Something else.
    #[error("not a wherefore trace: replay takes the .wft files that `wherefore record` writes")]
    Foreign,
    /// Written in a format that this version cannot know.
    #[error("written in trace format {file}, but this wherefore reads up to {ours}.x: replay it with a newer version")]
    Newer {
        /// Its major version.
        file: u16,
        /// The newest major version that can be read.
        ours: u16,
    },
    /// Recorded on a machine of the other byte order.
    #[error("recorded on a machine of the other byte order: replay it on such a machine")]
    ByteOrder,
    /// The file ends before its records begin.
    #[error("the file ends inside its header, after {bytes} bytes: it holds no record")]
    HeaderCut {
        /// Bytes of the file.
        bytes: usize,
    },
    /// Neither the header nor its copy can be read.
    #[error("its header is damaged, and so is the copy in the first frame: nothing in it can be used")]
    HeaderDamaged,
    /// No trace in a directory.
    #[error("no .wft file in this directory")]
    NoTraces,
    /// The system refused to open or read.
    #[error("cannot read it")]
    Io(#[from] io::Error),
}

impl TraceError {
    pub(super) const fn newer(file: u16) -> Self {
        Self::Newer { file, ours: MAJOR }
    }
}

/// Why a trace, or a part of it, was not written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The output directory is not there and cannot be made.
    #[error("cannot create the trace directory {path}: choose another one or give it the right permissions")]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No file can be made in the output directory.
    #[error("cannot create the trace file {path}: choose a directory that can be written")]
    CreateFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another recorder writes into the output directory.
    #[error("{path} is being recorded into by {}: stop that one, or give this one another directory with --out", process(*.pid))]
    Busy {
        /// The directory.
        path: PathBuf,
        /// The other recorder's process id, if its lock file tells it.
        pid: Option<u32>,
    },
    /// Retention cannot remove a file.
    #[error("cannot remove old traces from {path}")]
    Drop {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A header, a frame or the final sync failed. The writer can go on after it.
    #[error("cannot write the trace, {lost} records are lost so far")]
    Write {
        /// Records lost since the file was begun.
        lost: u64,
        /// What the system said.
        source: io::Error,
    },
    /// zstd failed.
    #[error("cannot compress the trace, {lost} records are lost so far")]
    Compress {
        /// Records lost since the file was begun.
        lost: u64,
        /// What zstd said.
        source: io::Error,
    },
    /// Bytes that are not exactly one record.
    #[error("{len} bytes are not one whole record")]
    NoRecord {
        /// How many were given.
        len: usize,
    },
    /// A record cannot be written: the start record, or another one that is too long.
    #[error("a record cannot be encoded")]
    Start(#[source] DecodeError),
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// A part of a trace that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where in the file it begins.
    pub offset: u64,
    /// Bytes that were passed over.
    pub bytes: u64,
    /// Frames that are missing: by the sequence numbers around, and at least one where bytes of frames are
    /// damaged.
    pub frames: u64,
    /// What was found at `offset`.
    pub kind: DamageKind,
}

/// What is wrong at the beginning of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The file header; what it says was read from the first frame.
    Header,
    /// No frame begins here.
    Marker,
    /// A frame header with an impossible length.
    Length,
    /// The frame's checksum does not hold.
    Checksum,
    /// The checksum holds, but the payload cannot be decompressed to the length it should have.
    Payload,
    /// A record with an impossible length: the rest of its frame is left out.
    Record,
    /// Nothing is damaged, but frames are missing here.
    Missing,
    /// The file ends inside a frame.
    Torn,
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "the file header is damaged; its copy was used",
            Self::Marker => "no frame begins here",
            Self::Length => "a frame header holds an impossible length",
            Self::Checksum => "a frame's checksum does not hold",
            Self::Payload => "a frame cannot be decompressed",
            Self::Record => "a record has an impossible length",
            Self::Missing => "frames are missing",
            Self::Torn => "the file ends inside a frame",
        })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, bytes, frames, kind } = self;
        write!(f, "at byte {offset}: {kind} ({bytes} bytes and {frames} frames lost)")
    }
}
