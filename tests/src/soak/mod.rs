//! The recorder's own cost over time: connections, listeners and namespaces come and go for as long as is
//! asked, and what the recorder takes must not grow.

mod churn;
mod flat;
mod sample;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::Signal;

use crate::process::Running;
use crate::scratch;
use crate::tools::Tools;
use crate::wait::Deadline;
use churn::{Churned, PORTS, connections, namespaces};
use flat::{Growth, Limit, growth};
use sample::{Sample, Sampler};

/// Between two samples, at least.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// Samples of a whole run, at most.
const SAMPLES_MAX: u32 = 1_200;
/// The first part of a run, in which caches fill: it is not looked at. One in this many.
const WARM_UP: usize = 4;

/// What is sampled: its name, its value, and how much it may grow.
type Measure = (&'static str, fn(&Sample) -> f64, Limit);

const MEASURES: &[Measure] = &[
    ("memory without the ring's mapping, MiB", |sample| sample.memory_mib, Limit { share: 0.1, absolute: 2.0 }),
    // each namespace that anybody makes on this machine takes four
    ("open descriptors", |sample| sample.descriptors, Limit { share: 0.0, absolute: 24.0 }),
    ("threads", |sample| sample.threads, Limit { share: 0.0, absolute: 1.0 }),
    ("eBPF maps", |sample| sample.maps, Limit { share: 0.0, absolute: 0.0 }),
    ("memory of the maps, MiB", |sample| sample.maps_mib, Limit { share: 0.05, absolute: 0.1 }),
    ("processor, % of one core", |sample| sample.processor_percent, Limit { share: 0.5, absolute: 3.0 }),
];

/// What a run found.
#[derive(Debug)]
pub struct Report {
    /// How long it took.
    pub length: Duration,
    churned: Churned,
    rows: Vec<(&'static str, Growth, Limit)>,
    /// Chosen lines of the last scrape.
    totals: Vec<String>,
}

impl Report {
    /// A paragraph and a table, in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let Churned { connections, refused, listeners, namespaces } = self.churned;
        let mut text = format!(
            "{} minutes: {connections} connections, {refused} refused ones, {listeners} listeners and {namespaces} network \
             namespaces came and went.\n\n| what | first quarter | last quarter | growth | limit |\n|---|---:|---:|---:|---:|\n",
            self.length.as_secs() / 60
        );
        for (name, growth, limit) in &self.rows {
            let Growth { first, last, .. } = growth;
            let (grown, limit) = (growth.grown(), limit.of(*first));
            // writing to a string does not fail
            writeln!(text, "| {name} | {first:.1} | {last:.1} | {grown:+.2} | {limit:.2} |").unwrap_or_default();
        }
        text.push_str("\nThe metrics at the end:\n\n```\n");
        for line in &self.totals {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str("```\n");
        text
    }

    /// Whether all stayed flat.
    ///
    /// # Errors
    /// What has grown.
    pub fn verdict(&self) -> Result<()> {
        let grown = self.rows.iter().filter(|(_name, growth, limit)| growth.grown() > limit.of(growth.first));
        let grown: Vec<String> =
            grown.map(|(name, growth, _limit)| format!("{name}: {:.1} to {:.1}", growth.first, growth.last)).collect();
        ensure!(grown.is_empty(), "it does not stay flat: {}", grown.join("; "));
        let Churned { connections, refused, listeners, namespaces } = self.churned;
        ensure!(connections.min(refused).min(listeners).min(namespaces) > 0, "there was no load: {:?}", self.churned);
        Ok(())
    }
}

/// Runs the churn and samples the recorder meanwhile. Shows its progress on standard error.
///
/// # Errors
/// When the load or the recorder fails, or a part of the run could not be looked at.
pub fn run(tools: &Tools, length: Duration) -> Result<Report> {
    let directory = scratch::directory()?;
    let mut command = Command::new(&tools.wherefore);
    command.args(["record", "--quiet", "--port", PORTS, "--metrics", "127.0.0.1:0"]);
    command.args(["--rotate-size", "64KiB", "--rotate-age", "10s", "--keep-size", "1MiB", "--min-free", "0"]);
    let mut recorder = Running::start(command.arg("--out").arg(directory.path()))?;
    recorder.await_ready()?;
    let stderr = recorder.stderr.so_far();
    let address = stderr.iter().find_map(|line| line.split_once("http://")?.1.strip_suffix("/metrics"));
    let address = address.context("no address of the metrics")?.to_owned();

    let stop = AtomicBool::new(false);
    let (samples, churned) = std::thread::scope(|scope| {
        let loads = [scope.spawn(|| connections(&stop)), scope.spawn(|| namespaces(&stop))];
        let samples = sample_for(length, recorder.id(), &address, &|| loads.iter().any(ScopedJoinHandle::is_finished));
        stop.store(true, Ordering::Relaxed);
        let mut churned = Churned::default();
        for load in loads {
            churned += load.join().map_err(|_panic| anyhow!("the load panicked"))??;
        }
        anyhow::Ok((samples?, churned))
    })?;
    let totals = totals(&scrape(&address)?);
    let status = recorder.stop(Signal::INT)?;
    ensure!(status.code() == Some(0), "{status}: {:?}", recorder.stderr.so_far());
    let steady = samples.get(samples.len() / WARM_UP..).unwrap_or_default();
    let rows = MEASURES.iter().map(|(name, value, limit)| {
        let values: Vec<f64> = steady.iter().map(value).collect();
        Ok((*name, growth(&values).with_context(|| format!("too few samples of {name}"))?, *limit))
    });
    Ok(Report { length, churned, rows: rows.collect::<Result<_>>()?, totals })
}

/// Samples until the time is up.
fn sample_for(length: Duration, pid: u32, address: &str, is_over: &dyn Fn() -> bool) -> Result<Vec<Sample>> {
    let every = SAMPLE_EVERY.max(length / SAMPLES_MAX);
    let bar = ProgressBar::new(length.as_secs());
    bar.set_style(ProgressStyle::with_template("soak {bar:40} {elapsed}/{duration} {msg}")?);
    let mut process = Sampler::new(pid)?;
    let mut samples = Vec::new();
    let deadline = Deadline::after(length);
    while let Some(left) = deadline.remaining() {
        // the pace of the measurement, not a wait for anything
        std::thread::sleep(every);
        if is_over() || scratch::is_interrupted() {
            bail!("the load ended before the time was up");
        }
        let sample = process.sample()?;
        ensure!(scrape(address)?.ends_with("# EOF\n"), "a scrape is cut off");
        bar.set_message(sample.to_string());
        bar.set_position(length.saturating_sub(left).as_secs());
        samples.push(sample);
    }
    bar.finish();
    Ok(samples)
}

fn scrape(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).context("scraping the metrics")?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What the recorder counted, all that is not zero.
fn totals(scraped: &str) -> Vec<String> {
    const SHOWN: [&str; 5] = [
        "wherefore_verdicts_total",
        "wherefore_losses_total",
        "wherefore_records_total",
        "wherefore_trace_",
        "process_",
    ];
    let lines = scraped.lines().filter(|line| SHOWN.iter().any(|name| line.starts_with(name)));
    lines.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
}
