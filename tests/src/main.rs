//! `wherefore-lab`: the scenario lab as one program, for this machine or for one it is copied to.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use wherefore_tests::corpus::Kind;
use wherefore_tests::item::Item;
use wherefore_tests::lab::Family;
use wherefore_tests::runner::{self, progress};
use wherefore_tests::tools::{self, Tools};
use wherefore_tests::weigh::hold::End;
use wherefore_tests::{app, bench, corpus, demo, handshake, scratch, soak, stuck, weigh};

/// Breaks connections in every way that `wherefore` knows, and checks what it says.
#[derive(Parser)]
#[command(name = "wherefore-lab")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the name of every scenario
    List {
        /// Only those that run on other kernels with every change
        #[arg(long)]
        ci: bool,
    },
    /// Run scenarios; exit with 1 if one fails
    Run {
        /// Only scenarios whose name contains one of these
        names: Vec<String>,
        /// Only over this protocol
        #[arg(long)]
        family: Option<FamilyArgument>,
        /// The program under test [default: $WHEREFORE_PROGRAM, or the one beside this program]
        #[arg(long)]
        wherefore: Option<PathBuf>,
        /// How many at once
        #[arg(long, default_value = "4")]
        jobs: NonZero<usize>,
        /// Only those that run on other kernels with every change
        #[arg(long)]
        ci: bool,
        /// So many share one recorder, whose trace is cut up: quicker, but live output is not looked at. One
        /// that fails is run again alone
        #[arg(long, value_name = "N")]
        share: Option<NonZero<usize>>,
        /// Leave the traces of those that passed in this directory
        #[arg(long, value_name = "DIR", requires = "share")]
        keep: Option<PathBuf>,
        /// Leave the traces of those that failed in this directory
        #[arg(long, value_name = "DIR")]
        keep_failed: Option<PathBuf>,
    },
    /// Break a real nginx in five ways and show what `wherefore` says of each
    Demo {
        /// The program to show [default: $WHEREFORE_PROGRAM, or the one beside this program]
        #[arg(long)]
        wherefore: Option<PathBuf>,
    },
    /// An app that listens and does not accept
    #[command(hide = true)]
    Stuck {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        backlog: i32,
    },
    /// A process that connects once it is told to, and must be refused
    #[command(hide = true)]
    Connect { to: SocketAddr },
    /// Measure what watching costs, against a real nginx; prints Markdown
    Bench {
        /// The program to measure [default: $WHEREFORE_PROGRAM, or the one beside this program]
        #[arg(long)]
        wherefore: Option<PathBuf>,
        /// Rounds with and without it, for each load
        #[arg(long, default_value = "30")]
        pairs: u32,
        /// How many of them also have tcpdump, tcpstates and tcplife
        #[arg(long, default_value = "5")]
        others: u32,
        /// Rounds in which the kernel takes the time of the programs
        #[arg(long, default_value = "3")]
        timed: u32,
        /// Seconds of load in a round
        #[arg(long, default_value = "2")]
        seconds: u32,
    },
    /// Measure what the recorder takes: idle, under a steady load, with very many connections; prints Markdown
    Weigh {
        /// The program to measure [default: $WHEREFORE_PROGRAM, or the one beside this program]
        #[arg(long)]
        wherefore: Option<PathBuf>,
        /// Connections that stay open
        #[arg(long, default_value = "100000")]
        connections: u64,
        /// Clean requests a second
        #[arg(long, default_value = "10000")]
        rate: u32,
        /// Seconds of each measurement
        #[arg(long, default_value = "20")]
        seconds: u32,
    },
    /// Measure what a flood of refused SYNs costs, and whether all are counted; prints Markdown
    Flood {
        /// The program to measure [default: $WHEREFORE_PROGRAM, or the one beside this program]
        #[arg(long)]
        wherefore: Option<PathBuf>,
        /// SYNs of each flood
        #[arg(long, default_value = "2000000")]
        syns: u32,
    },
    /// One end of connections that stay open
    #[command(hide = true)]
    Hold {
        #[arg(long, required_unless_present = "connect", conflicts_with = "connect")]
        listen: Option<SocketAddr>,
        #[arg(long)]
        connect: Option<SocketAddr>,
        #[arg(long)]
        connections: usize,
    },
    /// Let connections, listeners and namespaces come and go: does what the recorder takes grow?
    Soak {
        /// How long
        #[arg(long, default_value = "20")]
        minutes: NonZero<u64>,
        /// The program under test [default: $WHEREFORE_PROGRAM, or the one beside this program]
        #[arg(long)]
        wherefore: Option<PathBuf>,
    },
    /// Recorded traces and what must be said of them
    #[command(subcommand)]
    Corpus(CorpusCommand),
    /// The test app that scenarios start
    #[command(hide = true)]
    App(app::Options),
}

#[derive(Subcommand)]
enum CorpusCommand {
    /// Replay collections and write down what is said now; prints what was written down otherwise
    Bless {
        /// The program that replays [default: $WHEREFORE_PROGRAM, or the one beside this program]
        #[arg(long)]
        wherefore: Option<PathBuf>,
        /// Only what must stay for ever: the traces are for the compatibility of later versions
        #[arg(long)]
        lasting: bool,
        /// Directories of traces
        #[arg(required = true)]
        collections: Vec<PathBuf>,
    },
    /// Take traces that `run --keep` has left into a collection: of each scenario the one that tells its verdicts
    Take {
        /// The directory that has them
        #[arg(long)]
        from: PathBuf,
        /// Those of this vantage as well: server, client, both or all (repeatable)
        #[arg(long)]
        vantage: Vec<String>,
        /// The directory that gets them
        collection: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum FamilyArgument {
    /// IPv4
    #[value(name = "4")]
    V4,
    /// IPv6
    #[value(name = "6")]
    V6,
}

fn main() -> ExitCode {
    match obey(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            drop(writeln!(io::stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn obey(command: Command) -> Result<ExitCode> {
    match command {
        Command::List { ci } => list(ci),
        Command::Run { names, family, wherefore, jobs, ci, share, keep, keep_failed } => {
            let tools = Tools::find(wherefore.as_deref(), &std::env::current_exe()?)?;
            let items = chosen(&names, family, ci)?;
            if let Some(folder) = &keep {
                std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
            }
            keep_failed.map_or(Ok(()), scratch::leave_failed_in)?;
            match share {
                Some(share) => runner::run_shared(&tools, items, share, keep, jobs),
                None => runner::run_all(&tools, items, jobs),
            }
        }
        Command::Demo { wherefore } => {
            demo::run(&ready(wherefore.as_deref())?, &mut io::stdout().lock()).map(|()| ExitCode::SUCCESS)
        }
        Command::Stuck { listen, backlog } => stuck::serve(listen, backlog).map(|()| ExitCode::SUCCESS),
        Command::Connect { to } => handshake::expect_refusal(to).map(|()| ExitCode::SUCCESS),
        Command::Bench { wherefore, pairs, others, timed, seconds } => {
            let size = bench::rounds::Size { pairs, others, timed, seconds };
            bench::run(&ready(wherefore.as_deref())?, size, &mut io::stdout().lock(), &mut progress)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Weigh { wherefore, connections, rate, seconds } => {
            let load = weigh::Load { connections, rate, seconds };
            let tools = ready(wherefore.as_deref())?;
            weigh::run(&tools, load, &mut io::stdout().lock(), &mut progress).map(|()| ExitCode::SUCCESS)
        }
        Command::Flood { wherefore, syns } => {
            let tools = ready(wherefore.as_deref())?;
            bench::flood::run(&tools, syns, &mut io::stdout().lock(), &mut progress).map(|()| ExitCode::SUCCESS)
        }
        Command::Hold { listen, connect, connections } => {
            let end = if listen.is_some() { End::Server } else { End::Client };
            let address = listen.or(connect).context("no address")?;
            weigh::hold::hold(end, address, connections).map(|()| ExitCode::SUCCESS)
        }
        Command::Soak { minutes, wherefore } => {
            let tools = ready(wherefore.as_deref())?;
            let report = soak::run(&tools, Duration::from_secs(minutes.get() * 60))?;
            write!(io::stdout(), "{}", report.markdown()).context("writing the report")?;
            report.verdict().map(|()| ExitCode::SUCCESS)
        }
        Command::Corpus(command) => obey_corpus(&command),
        Command::App(options) => app::serve(&options).map(|()| ExitCode::SUCCESS),
    }
}

/// The programs, once nothing is missing and nothing of earlier runs is left.
fn ready(wherefore: Option<&Path>) -> Result<Tools> {
    tools::missing().map_or(Ok(()), |reason| bail!(reason))?;
    let tools = Tools::find(wherefore, &std::env::current_exe()?)?;
    scratch::sweep()?;
    scratch::clean_up_when_interrupted();
    Ok(tools)
}

fn obey_corpus(command: &CorpusCommand) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    match command {
        CorpusCommand::Bless { wherefore, lasting, collections } => {
            let kind = if *lasting { Kind::Lasting } else { Kind::Exact };
            let tools = Tools::find(wherefore.as_deref(), &std::env::current_exe()?)?;
            for collection in collections {
                let differences = corpus::bless(&tools, collection, kind)?;
                let outcome = if differences.is_empty() { "as before" } else { "otherwise than before" };
                writeln!(out, "{}: {outcome}", collection.display())?;
                differences.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            }
        }
        CorpusCommand::Take { from, vantage, collection } => {
            let (taken, too_large) = corpus::take(from, vantage, collection)?;
            writeln!(out, "{}: {taken} traces", collection.display())?;
            too_large.iter().try_for_each(|name| writeln!(out, "too large, left out: {name}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(ci: bool) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    for item in Item::all().iter().filter(|item| !ci || item.is_of_ci()) {
        writeln!(out, "{}", item.title())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(names: &[String], family: Option<FamilyArgument>, ci: bool) -> Result<Vec<Item>> {
    let family = family.map(|family| match family {
        FamilyArgument::V4 => Family::V4,
        FamilyArgument::V6 => Family::V6,
    });
    let mut chosen = Item::all();
    chosen.retain(|item| {
        family.is_none_or(|family| item.is_of(family))
            && (!ci || item.is_of_ci())
            && (names.is_empty() || names.iter().any(|name| item.title().contains(name.as_str())))
    });
    if chosen.is_empty() {
        bail!("no scenario has such a name; `wherefore-lab list` prints them");
    }
    Ok(chosen)
}
