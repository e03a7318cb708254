//! The record ABI: what the eBPF programs write into the ring buffer and the program reads out of
//! it, byte for byte what a trace file holds.
//!
//! Rules that keep old traces readable for ever:
//! - a record begins with a [`Header`]; `len` covers the header, the body and its padding to 8 bytes;
//! - a kind's number is never used again for something else;
//! - fields are only ever added at a record's end. A reader that knows a shorter layout ignores the
//!   rest, one that knows a longer layout reads the missing bytes as zero: zero means "not known";
//! - integers are in host byte order, which the trace file's header names (little endian on every
//!   supported architecture); ports and sequence numbers are converted from network order in the
//!   kernel; addresses are 16 bytes in network order, IPv4 as `::ffff:a.b.c.d`;
//! - no `bool`, `enum`, `Option` or `usize`, and padding is explicit and zero.
#![cfg_attr(not(test), no_std)]

mod config;
mod flow;
mod handshake;
pub mod http;
mod latency;
mod layout;
mod process;
mod records;
mod unix;

pub use config::*;
pub use flow::*;
pub use handshake::*;
pub use latency::*;
pub use layout::*;
pub use process::*;
pub use records::*;
pub use unix::*;
