//! Commands and flags.
//!
//! long: every flag is here with all that --help teaches of it, and one command shares flags with another.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "capture")]
use super::metrics::MetricsAddress;
use super::moment::{Moment, span};
use super::peer::Peer;
use super::ports::{PortList, one_port};
#[cfg(feature = "capture")]
use super::size::{min_free, size};
use super::statuses::StatusList;
#[cfg(feature = "capture")]
use crate::capture::heads::ClientHeader;
#[cfg(feature = "capture")]
use crate::trace::{Keep, MinFree, Policy};
use crate::verdict::Slug;

/// Says why requests to an app port failed, from what the kernel saw.
#[derive(Debug, Parser)]
#[command(name = "wherefore", version, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "\
Start here:
  sudo wherefore record --port 8080     watch port 8080 and say why its requests fail
  wherefore replay web-1.wft            read a recording again, on any machine
  wherefore explain 502                 what leads to a 502, and what to do

Exit codes: 0 done, 1 could not do it, 2 asked wrongly.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch ports, say why requests fail, and keep a trace file.
    #[cfg(feature = "capture")]
    Record(Box<RecordArgs>),
    /// Watch ports and say why requests fail, without keeping anything.
    #[cfg(feature = "capture")]
    Watch(Box<WatchArgs>),
    /// Read trace files again and say the same as when they were recorded.
    Replay(Box<ReplayArgs>),
    /// Say whether this host can record, and what it would be blind to.
    #[cfg(feature = "capture")]
    Doctor(DoctorArgs),
    /// Say what a verdict or a status means, what shows it, and what to do.
    Explain(ExplainArgs),
}

/// What to capture.
#[derive(Clone, Debug, Args)]
pub struct CaptureArgs {
    /// Ports to watch, 1 to 64: the port that the app listens on, on this host or on the remote one.
    ///
    /// Numbers with commas, ranges, or the flag repeated: `8080,8443`, `9000-9010`. Of a port that this
    /// host publishes (`docker run -p 80:8080`) either will do: 80 covers the container's 8080 as well.
    /// Without it the ports that are listened on are shown.
    #[arg(long, value_name = "PORTS")]
    pub port: Vec<PortList>,

    /// Only this network namespace; may be repeated. Without it all are watched.
    ///
    /// All digits: the namespace of that process. With a slash: a path, such as /proc/812/ns/net.
    /// Else a name in /run/netns, as `ip netns` lists them.
    #[arg(long, value_name = "NAME|PATH|PID")]
    pub netns: Vec<String>,

    /// Stop by itself after this long. Without it: on Ctrl-C.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub duration: Option<Duration>,

    /// How long a response may take: from the request's last byte to the response's first [default: 10s]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub slow: Option<Duration>,

    /// Answered statuses that are verdicts of their own: codes and classes [default: 403,429,5xx]
    ///
    /// Give all that shall be: `--status 404,5xx` leaves 403 and 429 out. Other statuses are counted.
    #[arg(long, value_name = "STATUSES")]
    pub status: Option<StatusList>,

    /// Record the value of this request header as the client, for the summary's lists: X-Forwarded-For.
    ///
    /// Without it no client is recorded but the peer's address. Headers that hold secrets are refused.
    #[cfg(feature = "capture")]
    #[arg(long, value_name = "NAME")]
    pub client_header: Option<ClientHeader>,

    /// See connect() fail on unix sockets too: an upstream's socket that is missing, or that nobody listens on.
    ///
    /// Of processes that serve a watched port. It costs every system call of this host some 0.1 µs, so it is
    /// only done where it is asked for.
    #[arg(long)]
    pub unix_upstreams: bool,

    /// Connections only: no HTTP is read, so no status and no exchange is told.
    ///
    /// The cheapest way to record, and the one that looks into no packet's content.
    #[arg(long)]
    pub no_http: bool,

    /// Give each map that may be full no more elements than this: for tests of what is said then.
    #[arg(long, hide = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub map_entries: Option<u32>,

    /// Give the ring buffer no more bytes than this, a power of two of pages: for tests of what is said when it is
    /// full.
    #[arg(long, hide = true, value_name = "BYTES")]
    pub ring_bytes: Option<u32>,

    /// More about what the capture itself does, on standard error.
    #[arg(short, long)]
    pub verbose: bool,
}

/// `--slow` where it is not given.
pub const SLOW_DEFAULT: Duration = Duration::from_secs(10);

/// `--status` where it is not given.
pub const STATUS_DEFAULT: [&str; 3] = ["403", "429", "5xx"];

impl CaptureArgs {
    /// `--slow`, or its default.
    #[must_use]
    pub fn slow(&self) -> Duration {
        self.slow.unwrap_or(SLOW_DEFAULT)
    }

    /// `--status`, or its default, as codes and classes.
    #[must_use]
    pub fn statuses(&self) -> Vec<String> {
        let default = || STATUS_DEFAULT.map(str::to_owned).to_vec();
        self.status.as_ref().map_or_else(default, |list| list.names().collect())
    }

    /// All codes that `--status`, or its default, stands for.
    #[must_use]
    pub fn watched_statuses(&self) -> Vec<u16> {
        // what it is by default is a list: a test holds that
        let list = self.status.clone().or_else(|| STATUS_DEFAULT.join(",").parse().ok());
        list.map(|list| list.codes().collect()).unwrap_or_default()
    }
}

/// Arguments of `record`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  sudo wherefore record --port 8080
  sudo wherefore record --port 80,443,9000-9010 --out /var/lib/wherefore
  sudo wherefore record --port 8080 --duration 5m --json > verdicts.jsonl
  sudo wherefore record --port 8080 --netns blue --netns 812
  sudo wherefore record --config /etc/wherefore.toml --metrics 127.0.0.1:9435
  sudo wherefore record --port 8080 --out /var/lib/wherefore --keep-size 10GiB --keep-age 30d

Verdicts come on standard output, one line each, with a summary at the end;
EXPECT is the status that a balancer or proxy in front will have answered.
`ready:` and errors come on standard error. Ctrl-C ends the recording in order.")]
pub struct RecordArgs {
    /// What to capture.
    #[command(flatten)]
    pub capture: CaptureArgs,

    /// Read what no flag says from this TOML file: the keys are the flags' names.
    ///
    /// SIGHUP reads the file's ports again while recording goes on.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Directory for the trace files; one recording at a time writes into it [default: .]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// When and what of the traces is kept.
    #[cfg(feature = "capture")]
    #[command(flatten)]
    pub rotation: RotationArgs,

    /// JSON lines on standard output: every verdict, the counters, the summary.
    #[arg(long)]
    pub json: bool,

    /// No status line and no verdict lines for people; the summary stays, and so does --json.
    #[arg(short, long)]
    pub quiet: bool,

    /// Serve metrics at http://ADDR/metrics in OpenMetrics text, for Prometheus: 127.0.0.1:9435.
    ///
    /// A port alone is served on loopback. Whoever reaches the address can read the metrics: they
    /// name ports, statuses and verdicts, no peers.
    #[cfg(feature = "capture")]
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<MetricsAddress>,
}

/// When a new trace file is begun, and how much is kept. Replaying the directory reads all files of a
/// recording as one.
#[cfg(feature = "capture")]
#[derive(Clone, Debug, Default, Args)]
pub struct RotationArgs {
    /// Begin a new trace file when one is this large [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub rotate_size: Option<u64>,

    /// Begin a new trace file when one is this old [default: 1h]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub rotate_age: Option<Duration>,

    /// Remove the oldest trace files in DIR when all are larger than this [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub keep_size: Option<u64>,

    /// Remove trace files in DIR that were finished this long ago [default: 7d]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub keep_age: Option<Duration>,

    /// Remove the oldest trace files in DIR when the filesystem has less room than this left: a share
    /// or a size [default: 5%]
    #[arg(long, value_name = "SHARE|SIZE", value_parser = min_free)]
    pub min_free: Option<MinFree>,
}

#[cfg(feature = "capture")]
impl RotationArgs {
    /// What was asked for, with its defaults.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            rotate_bytes: self.rotate_size.unwrap_or(64 << 20),
            rotate_age: self.rotate_age.unwrap_or(Duration::from_hours(1)),
            keep: Keep {
                bytes: self.keep_size.unwrap_or(1 << 30),
                age: self.keep_age.unwrap_or(Duration::from_hours(7 * 24)),
                min_free: self.min_free.unwrap_or(MinFree::Percent(5)),
            },
        }
    }
}

/// Arguments of `watch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sudo wherefore watch --port 8080")]
pub struct WatchArgs {
    /// What to capture.
    #[command(flatten)]
    pub capture: CaptureArgs,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wherefore replay web-1.wft
  wherefore replay web-1.wft --since 15m --verdict process-down
  wherefore replay web-1.wft --since 12:00 --until 12:05:30 --peer 10.0.0.0/8
  wherefore replay traces/ --json | jq 'select(.type == \"verdict\") | .summary'

Filters choose verdict lines; counters and summary are always of the whole
trace. Damaged parts are named on standard error, the rest is replayed.")]
pub struct ReplayArgs {
    /// Trace files, or directories: then all their .wft files. The files of one recording are read as
    /// one, with one summary; several recordings come one after the other.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// JSON lines on standard output.
    #[arg(long)]
    pub json: bool,

    /// Verdicts from then on: RFC 3339, HH:MM or HH:MM:SS in UTC on the trace's last day, or 15m before its end.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,

    /// Verdicts up to then; written like --since.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,

    /// Verdicts about these ports; written as for record.
    #[arg(long, value_name = "PORTS")]
    pub port: Vec<PortList>,

    /// Verdicts of this name; may be repeated or have commas. `wherefore explain` lists them.
    #[arg(long, value_name = "SLUG", value_delimiter = ',')]
    pub verdict: Vec<Slug>,

    /// Verdicts on exchanges that were answered so: codes and classes, as in 502,5xx.
    ///
    /// What was seen to be answered counts, not the status that is expected of a balancer in front.
    #[arg(long, value_name = "STATUSES")]
    pub status: Option<StatusList>,

    /// Verdicts with this remote end: an address or a network, as in 10.0.0.0/8.
    #[arg(long, value_name = "CIDR")]
    pub peer: Option<Peer>,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo wherefore doctor
  sudo wherefore doctor --port 8080 --probe /health
  sudo wherefore doctor --facts host.json     then, anywhere: wherefore doctor --facts host.json

Exit code 0 if `wherefore record` would start.")]
pub struct DoctorArgs {
    /// A port to look at: who listens, and on which addresses.
    #[arg(long, value_name = "PORT", value_parser = one_port)]
    pub port: Option<u16>,

    /// Also send one request for this path to the port on this host.
    #[arg(long, value_name = "PATH", requires = "port")]
    pub probe: Option<String>,

    /// One JSON object on standard output.
    #[arg(long)]
    pub json: bool,

    /// Judge the kernel whose facts are in this file. If there is no such file yet, this kernel's
    /// facts are written to it.
    #[arg(long, value_name = "FILE")]
    pub facts: Option<PathBuf>,
}

#[cfg(feature = "capture")]
impl From<DoctorArgs> for super::doctor::DoctorOptions {
    fn from(args: DoctorArgs) -> Self {
        Self { port: args.port, probe: args.probe, json: args.json, facts: args.facts }
    }
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wherefore explain
  wherefore explain process-down
  wherefore explain 504")]
pub struct ExplainArgs {
    /// A verdict's name or an HTTP status; without it all are listed.
    #[arg(value_name = "SLUG|STATUS")]
    pub topic: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn replay_takes_all_its_filters() {
        let line = "wherefore replay a.wft b --json --since 15m --until 12:00 --port 80,81 --port 90-91 \
                    --verdict process-down,no-route --verdict firewall-drop --status 502,4xx --peer 10.0.0.0/8";
        let Command::Replay(args) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else {
            panic!("not replay");
        };
        assert_eq!(args.paths, [PathBuf::from("a.wft"), PathBuf::from("b")]);
        assert!(args.json);
        assert_eq!(PortList::union(&args.port), [80, 81, 90, 91]);
        assert_eq!(args.verdict, [Slug::ProcessDown, Slug::NoRoute, Slug::FirewallDrop]);
        assert!(args.since.is_some() && args.until.is_some() && args.peer.is_some() && args.status.is_some());
    }

    #[cfg(feature = "capture")]
    #[test]
    fn record_has_its_defaults() {
        let Command::Record(args) = Cli::try_parse_from(["wherefore", "record", "--port", "8080"]).unwrap().command
        else {
            panic!("not record");
        };
        assert_eq!(args.capture.slow(), Duration::from_secs(10));
        assert_eq!(args.capture.slow, None);
        assert_eq!(args.capture.statuses(), ["403", "429", "5xx"]);
        let codes: Vec<u16> = [403, 429].into_iter().chain(500..600).collect();
        assert_eq!(args.capture.watched_statuses(), codes);
        assert_eq!(args.capture.client_header, None);
        assert_eq!(args.out(), PathBuf::from("."));
        assert!(args.capture.netns.is_empty() && args.capture.duration.is_none());
        assert!(!args.json && !args.quiet && !args.capture.verbose);
        let keep = Keep { bytes: 1 << 30, age: Duration::from_hours(7 * 24), min_free: MinFree::Percent(5) };
        let policy = Policy { rotate_bytes: 64 << 20, rotate_age: Duration::from_hours(1), keep };
        assert_eq!(args.rotation.policy(), policy);
    }

    #[cfg(feature = "capture")]
    #[test]
    fn record_takes_all_its_flags() {
        let line = "wherefore record --port 80 --netns blue --netns 812 --netns /proc/1/ns/net --out /tmp \
                    --duration 1m30s --slow 500ms --status 404,5xx --client-header X-Real-IP --json --quiet -v \
                    --rotate-size 1MiB --rotate-age 10m --keep-size 2GiB --keep-age 1d --min-free 1GiB";
        let Command::Record(args) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else {
            panic!("not record");
        };
        assert_eq!(args.capture.netns, ["blue", "812", "/proc/1/ns/net"]);
        assert_eq!(args.capture.duration, Some(Duration::from_secs(90)));
        assert_eq!(args.capture.slow, Some(Duration::from_millis(500)));
        assert_eq!(args.capture.statuses(), ["404", "5xx"]);
        assert_eq!(args.capture.watched_statuses().first(), Some(&404));
        assert_eq!(args.capture.client_header.as_ref().map(ClientHeader::name), Some("x-real-ip"));
        assert!(args.json && args.quiet && args.capture.verbose);
        let keep = Keep { bytes: 2 << 30, age: Duration::from_hours(24), min_free: MinFree::Bytes(1 << 30) };
        let policy = Policy { rotate_bytes: 1 << 20, rotate_age: Duration::from_mins(10), keep };
        assert_eq!(args.rotation.policy(), policy);
    }

    #[test]
    fn a_helpful_help_for_each_command() {
        let mut command = Cli::command();
        for subcommand in command.get_subcommands_mut() {
            let help = subcommand.render_long_help().to_string();
            assert!(help.contains("Example"), "{help}");
        }
    }
}
