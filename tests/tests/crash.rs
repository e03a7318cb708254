//! What becomes of the traces when things go wrong: kills, full disks, directories that go away.
//!
//! `WHEREFORE_KILLS=100` kills as many recorders; without it, ten.

#![expect(clippy::indexing_slicing, reason = "a key that a JSON value lacks reads as null")]

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::process::Signal;
use serde_json::Value;
use wherefore_tests::netns::{Namespace, fresh_name, ip_batch, output};
use wherefore_tests::process::Running;
use wherefore_tests::scratch;
use wherefore_tests::tools::{self, Tools};
use wherefore_tests::wait::{Deadline, PATIENCE, wait_until};

/// Nothing listens here: each connect is refused, and is a verdict.
const PORT: u16 = 18_080;
/// Kills without `WHEREFORE_KILLS`.
const KILLS: u64 = 10;
/// The recorder writes twice a second; so much may a loaded machine delay it. What was measured is printed.
const MISSING_MAX: Duration = Duration::from_secs(5);

/// A test: its name, its namespace's number, and what it does.
type Test = (&'static str, u32, fn(&Bench) -> Result<()>);

const TESTS: &[Test] = &[
    ("killed-at-random-moments", 1, killed),
    ("a-full-disk", 2, full_disk),
    ("a-directory-that-goes-away", 3, removed_directory),
    ("two-instances-on-one-directory", 4, two_instances),
    ("stopped-and-continued", 5, stopped),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if !arguments.list && tools::missing().is_none() {
        drop(scratch::sweep());
        scratch::clean_up_when_interrupted();
    }
    let trials = TESTS.iter().map(|(name, number, test)| {
        Trial::ignorable_test(*name, move || {
            if let Some(reason) = tools::missing() {
                return Ok(Completion::ignored_with(reason));
            }
            let done = Bench::new(*number).and_then(|bench| test(&bench));
            done.map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// A namespace of its own with nothing but loopback.
struct Bench {
    tools: Tools,
    namespace: Namespace,
}

impl Bench {
    fn new(number: u32) -> Result<Self> {
        let tools = Tools::find(None, Path::new(env!("CARGO_BIN_EXE_wherefore-lab")))?;
        let name = fresh_name(number, 'k');
        ip_batch(None, &format!("netns add {name}\n"))?;
        let namespace = Namespace::adopt(name)?;
        namespace.ip("link set lo up\n")?;
        Ok(Self { tools, namespace })
    }

    fn command(&self, directory: &Path, flags: &[&str]) -> Command {
        let mut command = Command::new(&self.tools.wherefore);
        command.args(["record", "--json", "--port", &PORT.to_string(), "--netns", self.namespace.name()]);
        // no test takes that long: a recorder whose test was killed ends, too
        command.args(["--duration", "600s", "--out"]).arg(directory).args(flags);
        command
    }

    fn record(&self, directory: &Path, flags: &[&str]) -> Result<Running> {
        let running = Running::start(&mut self.command(directory, flags))?;
        running.await_ready()?;
        Ok(running)
    }

    /// Does `work` while connects are refused as fast as they come.
    fn under_load<T>(&self, work: impl FnOnce(&AtomicU64) -> Result<T>) -> Result<T> {
        let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                self.namespace.within(|| {
                    while !stop.load(Ordering::Relaxed) {
                        refused();
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
            });
            let done = work(&count);
            stop.store(true, Ordering::Relaxed);
            load.join().unwrap_or_else(|_panic| bail!("the load panicked"))?;
            done
        })
    }

    fn replay(&self, paths: &[PathBuf]) -> Result<Replayed> {
        let mut command = Command::new(&self.tools.wherefore);
        let mut running = Running::start(command.arg("replay").arg("--json").args(paths))?;
        let status = running.wait()?;
        let stderr = running.stderr.so_far();
        ensure!(status.code() == Some(0), "replay: {status}: {}", stderr.join(" | "));
        let lines = running.stdout.so_far();
        Ok(Replayed { summaries: of_type(&lines, "summary"), verdicts: of_type(&lines, "verdict"), stderr })
    }
}

struct Replayed {
    summaries: Vec<Value>,
    verdicts: Vec<Value>,
    stderr: Vec<String>,
}

fn of_type(lines: &[String], kind: &str) -> Vec<Value> {
    let values = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    values.filter(|value| value["type"] == kind).collect()
}

fn refused() {
    let to: SocketAddr = ([127, 0, 0, 1], PORT).into();
    drop(TcpStream::connect(to));
}

#[expect(clippy::disallowed_methods, reason = "compared with the times in a trace, which are the wall clock's")]
fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Since 1970.
fn unix(time: &str) -> Result<Duration> {
    let time: jiff::Timestamp = time.parse()?;
    Ok(Duration::from_nanos(u64::try_from(time.as_nanosecond())?))
}

/// Numbers from a seed.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// The recorder is killed in the midst of it; what it wrote replays, and the next one starts.
fn killed(bench: &Bench) -> Result<()> {
    let kills = std::env::var("WHEREFORE_KILLS").ok().map_or(Ok(KILLS), |text| text.parse())?;
    let directory = scratch::directory()?;
    let mut state = u64::from(std::process::id());
    let (mut missing_max, mut sealed, mut files) = (Duration::ZERO, 0, 0);
    for kill in 0..kills {
        let mut recorder = bench.record(directory.path(), &["--rotate-size", "64KiB"])?;
        sealed += recorder.stderr.so_far().iter().filter(|line| line.contains("was killed")).count();
        let killed_at = bench.under_load(|count| {
            let enough = 200 + random(&mut state) % 4_000;
            let loaded = || Ok(count.load(Ordering::Relaxed) >= enough);
            wait_until(Deadline::after(PATIENCE), "the load", loaded)?;
            let now = unix_now();
            recorder.stop(Signal::KILL)?;
            Ok(now)
        })?;
        let mut own = traces(directory.path())?;
        own.retain(|path| path.to_string_lossy().contains(&format!("-{}", recorder.id())));
        let replayed = bench.replay(&own)?;
        let summary = replayed.summaries.last().with_context(|| format!("kill {kill}: no summary"))?;
        let last = unix(summary["to"].as_str().context("no end")?)?;
        missing_max = missing_max.max(killed_at.saturating_sub(last));
        ensure!(missing_max < MISSING_MAX, "kill {kill}: the last {missing_max:?} are missing");
        files += 1;
    }
    // the next start seals what the last kill tore
    let mut last = bench.record(directory.path(), &[])?;
    ensure!(last.stop(Signal::INT)?.code() == Some(0), "the last recorder fails: {:?}", last.stderr.so_far());
    let whole = bench.replay(&[directory.path().to_owned()])?;
    let expected = usize::try_from(kills)? + 1;
    ensure!(whole.summaries.len() == expected, "{} recordings, not {expected}", whole.summaries.len());
    for summary in &whole.summaries {
        ensure!(summary["damage"]["bytes"] == 0, "not sealed: {summary}");
        ensure!(summary["lost"]["trace-write"] == 0, "not written: {summary}");
    }
    ensure!(!whole.verdicts.is_empty(), "no verdict was kept");
    let all = traces(directory.path())?.len();
    println_summary(&format!(
        "{kills} kills, {files} replayed, {all} files, {} verdict lines, {sealed} torn files sealed, at most {missing_max:?} missing",
        whole.verdicts.len()
    ));
    Ok(())
}

#[expect(clippy::print_stderr, reason = "numbers for the reader of a test's output")]
fn println_summary(text: &str) {
    eprintln!("{text}");
}

fn traces(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)?.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wft"));
    Ok(paths)
}

/// A small filesystem, unmounted when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Result<Self> {
        let directory = scratch::directory()?;
        let options = format!("size={size},mode=0755");
        output(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "wherefore-test"]).arg(directory.path()))?;
        Ok(Self(directory))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(output(Command::new("umount").arg("-l").arg(self.0.path())));
    }
}

/// While there is no room the oldest files go, capture goes on, and what is missing is counted.
fn full_disk(bench: &Bench) -> Result<()> {
    let disk = Disk::mount("12m")?;
    let (traces_at, ballast) = (disk.0.path().join("traces"), disk.0.path().join("ballast"));
    let mut recorder = bench.record(&traces_at, &["--rotate-size", "128KiB", "--min-free", "0"])?;
    bench.under_load(|count| {
        wait_until(Deadline::after(PATIENCE), "several files", || Ok(traces(&traces_at)?.len() >= 3))?;
        // fails once the disk is full, which is what is wanted
        drop(fs::write(&ballast, vec![1; 16 << 20]));
        let full = |lines: &[String]| lines.iter().any(|line| line.contains("trace files miss records"));
        ensure!(recorder.stderr.wait(Deadline::after(PATIENCE), full), "not full: {:?}", recorder.stderr.so_far());
        // whatever room the oldest files leave is taken as well, until frames find none
        let more = count.load(Ordering::Relaxed) + 40_000;
        wait_until(Deadline::after(PATIENCE), "a disk without room", || {
            let mut file = fs::OpenOptions::new().append(true).create(true).open(&ballast)?;
            drop(file.write_all(&vec![1; 1 << 20]));
            Ok(traces(&traces_at)?.len() == 1 && count.load(Ordering::Relaxed) >= more)
        })?;
        fs::remove_file(&ballast)?;
        let before = traces(&traces_at)?;
        wait_until(Deadline::after(PATIENCE), "a new file", || {
            Ok(traces(&traces_at)?.iter().any(|path| !before.contains(path)))
        })
    })?;
    // what the flood has left in the ring may still find the disk full
    let again = |lines: &[String]| lines.last().is_some_and(|line| line.contains("are written again"));
    ensure!(recorder.stderr.wait(Deadline::after(PATIENCE), again), "still full: {:?}", recorder.stderr.so_far());
    // the first attempt after the flood that is a line of its own
    wait_until(Deadline::after(PATIENCE), "a single verdict", || {
        let known = recorder.stdout.so_far().len();
        bench.namespace.within(refused)?;
        recorder.stdout.wait(Deadline::after(PATIENCE), |lines| {
            !of_type(lines.get(known..).unwrap_or_default(), "verdict").is_empty()
        });
        let last = of_type(&recorder.stdout.so_far(), "verdict").pop();
        Ok(last.is_some_and(|last| last["count"] == 1 && last["confidence"] == "certain"))
    })?;
    ensure!(recorder.stop(Signal::INT)?.code() == Some(0), "{:?}", recorder.stderr.so_far());
    let summary = of_type(&recorder.stdout.so_far(), "summary").pop().context("no summary")?;
    ensure!(summary["lost"]["trace-write"].as_u64() > Some(0), "nothing lost: {summary}");
    ensure!(summary["dropped"]["files"].as_u64() > Some(0), "nothing dropped: {summary}");
    let replayed = bench.replay(&[traces_at])?;
    let live = of_type(&recorder.stdout.so_far(), "verdict");
    ensure!(
        live.last() == replayed.verdicts.last(),
        "the last verdict is another one: {:?} {:?}",
        live.last(),
        replayed.verdicts.last()
    );
    println_summary(&format!(
        "full disk: {} of {} verdict lines kept, {} records not written, {} files dropped; replay said: {}",
        replayed.verdicts.len(),
        live.len(),
        summary["lost"]["trace-write"],
        summary["dropped"]["files"],
        replayed.stderr.len()
    ));
    Ok(())
}

/// The directory comes back, with a file that stands alone.
fn removed_directory(bench: &Bench) -> Result<()> {
    let root = scratch::directory()?;
    let directory = root.path().join("traces");
    let mut recorder = bench.record(&directory, &[])?;
    bench.namespace.within(refused)?;
    fs::remove_dir_all(&directory)?;
    let back = || Ok(directory.is_dir() && !traces(&directory)?.is_empty());
    wait_until(Deadline::after(PATIENCE), "the directory to come back", back)?;
    bench.namespace.within(refused)?;
    let said = |lines: &[String]| of_type(lines, "verdict").len() >= 2;
    ensure!(recorder.stdout.wait(Deadline::after(PATIENCE), said), "no verdicts: {:?}", recorder.stdout.so_far());
    ensure!(recorder.stop(Signal::INT)?.code() == Some(0), "{:?}", recorder.stderr.so_far());
    let live = of_type(&recorder.stdout.so_far(), "verdict");
    let replayed = bench.replay(std::slice::from_ref(&directory))?;
    ensure!(replayed.verdicts.last() == live.last(), "the verdict from after it is not kept: {:?}", replayed.verdicts);
    ensure!(!directory.join(".wherefore.lock").exists(), "the lock is left behind");
    Ok(())
}

/// The second says who is there, and changes nothing.
fn two_instances(bench: &Bench) -> Result<()> {
    let directory = scratch::directory()?;
    let mut first = bench.record(directory.path(), &[])?;
    let mut second = Running::start(&mut bench.command(directory.path(), &[]))?;
    let status = second.wait()?;
    let stderr = second.stderr.so_far();
    ensure!(status.code() == Some(1) && stderr.len() == 1, "{status}: {stderr:?}");
    let line = stderr.first().context("no line")?;
    for word in [format!("process {}", first.id()), "--out".to_owned(), directory.path().display().to_string()] {
        ensure!(line.contains(&word), "{word} is not in: {line}");
    }
    ensure!(traces(directory.path())?.len() == 1, "the second has made a file");
    ensure!(first.stop(Signal::INT)?.code() == Some(0), "{:?}", first.stderr.so_far());
    // and then there is room for another one
    let mut third = bench.record(directory.path(), &[])?;
    ensure!(third.stop(Signal::INT)?.code() == Some(0), "{:?}", third.stderr.so_far());
    Ok(())
}

/// Ten seconds of nothing, and then everything as before.
fn stopped(bench: &Bench) -> Result<()> {
    const STOPPED: Duration = Duration::from_secs(10);
    let directory = scratch::directory()?;
    let mut recorder = bench.record(directory.path(), &["--rotate-age", "5s"])?;
    bench.namespace.within(refused)?;
    recorder.signal(Signal::STOP)?;
    bench.namespace.within(refused)?;
    // the time is what is tested: nothing else ends it
    std::thread::sleep(STOPPED);
    recorder.signal(Signal::CONT)?;
    bench.namespace.within(refused)?;
    let said = |lines: &[String]| of_type(lines, "verdict").len() >= 3;
    ensure!(recorder.stdout.wait(Deadline::after(PATIENCE), said), "verdicts: {:?}", recorder.stdout.so_far());
    ensure!(recorder.stop(Signal::INT)?.code() == Some(0), "{:?}", recorder.stderr.so_far());
    let live = of_type(&recorder.stdout.so_far(), "verdict");
    let replayed = bench.replay(&[directory.path().to_owned()])?;
    ensure!(replayed.verdicts == live, "replay says otherwise: {live:?} {:?}", replayed.verdicts);
    ensure!(replayed.summaries.len() == 1 && traces(directory.path())?.len() > 1, "{:?}", traces(directory.path()));
    Ok(())
}
