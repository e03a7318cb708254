//! The scenario lab: network namespaces, real firewalls and servers, real traffic, and the exact
//! verdicts that `wherefore` must give for it.
//!
//! A scenario is data ([`scenario`], the tables are in [`scenarios`]); one function runs it
//! ([`run::run`]): it builds a [`lab::Lab`], walks the steps, has one [`recorder::Recorder`] for each
//! vantage watch the same traffic, and compares what each of them said ([`check`]), live and replayed.

pub mod app;
pub mod bench;
pub mod bpf;
pub mod btf;
pub mod check;
pub mod client;
pub mod conntrack;
pub mod container;
pub mod corpus;
pub mod cut;
pub mod demo;
pub mod expect;
pub mod firewall;
pub mod flood;
pub mod flow;
pub mod group;
pub mod handshake;
pub mod item;
pub mod lab;
pub mod load;
pub mod netns;
pub mod nginx;
pub mod parallel;
pub mod privileges;
pub mod process;
pub mod program;
pub mod recorder;
pub mod run;
pub mod runner;
pub mod scenario;
pub mod scenarios;
pub mod scratch;
pub mod shared;
pub mod signed;
pub mod soak;
pub mod stuck;
pub mod sums;
pub mod syn;
pub mod talk;
pub mod tools;
pub mod trim;
pub mod wait;
pub mod ways;
pub mod weigh;
pub mod wire;
pub mod without_http;
