//! Families of hooks, and what they share.

mod attempt;
mod cgroup;
mod checkers;
mod closed;
mod connect;
mod drops;
mod early;
mod emit;
mod exchanges;
mod flood;
mod flow;
mod flow_end;
mod flow_record;
mod handshake;
mod icmp;
mod kernel;
mod maps;
mod netfilter_reset;
mod owner;
mod packet;
mod ports;
mod process;
mod socket;
mod text;
mod traffic;
mod unix;
