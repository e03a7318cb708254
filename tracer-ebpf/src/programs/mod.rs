//! Families of hooks, and what they share.

mod attempt;
mod cgroup;
mod connect;
mod drops;
mod emit;
mod handshake;
mod icmp;
mod kernel;
mod maps;
mod netfilter_reset;
mod packet;
mod ports;
mod process;
mod socket;
