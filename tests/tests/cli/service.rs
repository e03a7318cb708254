//! What a service manager and an operator do with a recording that goes on.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use wherefore_tests::process::Running;
use wherefore_tests::recorder::only_trace;
use wherefore_tests::scratch;
use wherefore_tests::tools::Tools;
use wherefore_tests::wait::{Deadline, PATIENCE, wait_until};

use crate::Test;
use crate::program::wherefore;

pub(crate) const TESTS: &[Test] = &[
    ("sighup-reloads-ports-and-the-trace-knows", reload),
    ("sighup-reloads-retention", reload_retention),
    ("sighup-loses-no-count", reload_counts),
    ("metrics-are-scraped", scrape),
    ("a-service-manager-is-told", notify),
];

/// Ports that no other test uses.
const FIRST: u16 = 18_471;
const SECOND: u16 = 18_472;

fn said(running: &Running, what: &str) -> Result<()> {
    let there = |lines: &[String]| lines.iter().any(|line| line.contains(what));
    ensure!(running.stderr.wait(Deadline::after(PATIENCE), there), "no `{what}`: {:?}", running.stderr.so_far());
    Ok(())
}

/// A connection that nobody takes, on loopback.
fn refused(port: u16) -> Result<()> {
    let tried = TcpStream::connect(("127.0.0.1", port));
    ensure!(tried.is_err(), "something listens on port {port}");
    Ok(())
}

/// Verdicts by the port of `local`, in the order in which they were said.
fn ports(lines: &[String]) -> Vec<u16> {
    let values = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let verdicts = values.filter(|value| value["type"] == "verdict");
    verdicts.filter_map(|verdict| verdict.get("local")?.as_str()?.rsplit(':').next()?.parse().ok()).collect()
}

fn verdicts(running: &Running, count: usize) -> Result<()> {
    let enough = |lines: &[String]| ports(lines).len() >= count;
    ensure!(running.stdout.wait(Deadline::after(PATIENCE), enough), "{:?}", running.stdout.so_far());
    Ok(())
}

fn reload(tools: &Tools) -> Result<()> {
    let directory = scratch::directory()?;
    let (config, out) = (directory.path().join("wherefore.toml"), directory.path().join("out"));
    fs::write(&config, format!("port = {FIRST}\njson = true\nduration = \"300s\"\n"))?;
    let mut command = Command::new(&tools.wherefore);
    let mut running = Running::start(command.args(["record", "--config"]).arg(&config).arg("--out").arg(&out))?;
    said(&running, "ready:")?;
    refused(SECOND)?;
    refused(FIRST)?;
    verdicts(&running, 1)?;

    // a listener that was there before its port is watched, and goes afterwards
    let listener = TcpListener::bind(("127.0.0.1", SECOND))?;
    fs::write(&config, format!("port = [{FIRST}, {SECOND}]\njson = true\nslow = \"3s\"\n"))?;
    running.signal(Signal::HUP)?;
    said(&running, &format!("reloaded: watching {FIRST},{SECOND}"))?;
    said(&running, "only when recording begins anew: duration, slow")?;
    drop(TcpStream::connect(("127.0.0.1", SECOND))?);
    drop(listener);
    refused(SECOND)?;
    refused(FIRST)?;
    verdicts(&running, 3)?;

    fs::write(&config, format!("port = {SECOND}\n"))?;
    running.signal(Signal::HUP)?;
    said(&running, &format!("reloaded: watching {SECOND}"))?;
    refused(FIRST)?;
    refused(SECOND)?;
    verdicts(&running, 4)?;

    fs::write(&config, "prot = 1\n")?;
    running.signal(Signal::HUP)?;
    said(&running, ":1: unknown key prot")?;
    let status = running.stop(Signal::TERM)?;
    ensure!(status.code() == Some(0), "{status}: {:?}", running.stderr.so_far());
    let live = running.stdout.so_far();
    let mut found = ports(&live);
    // the order of two that were decided at the same time is theirs
    found.get_mut(1..3).context("too few verdicts")?.sort_unstable();
    ensure!(found == [FIRST, FIRST, SECOND, SECOND], "{found:?}: {live:?}");

    let again = replayed(tools, &only_trace(&out)?)?;
    let live: Vec<&String> = live.iter().filter(|line| is_verdict(line)).collect();
    ensure!(again.iter().collect::<Vec<_>>() == live, "the replay says something else:\n{live:#?}\n{again:#?}");
    Ok(())
}

/// Files are begun and dropped by the new limits, and no verdict is missing from what is left.
fn reload_retention(tools: &Tools) -> Result<()> {
    const PORT: u16 = 18_475;
    let directory = scratch::directory()?;
    let (config, out) = (directory.path().join("wherefore.toml"), directory.path().join("out"));
    let begin = format!("port = {PORT}\njson = true\nduration = \"300s\"\nmin-free = \"0\"\n");
    fs::write(&config, &begin)?;
    let mut command = Command::new(&tools.wherefore);
    let mut running = Running::start(command.args(["record", "--config"]).arg(&config).arg("--out").arg(&out))?;
    said(&running, "ready:")?;
    let files = || -> Result<usize> {
        let names = fs::read_dir(&out)?.flatten().map(|entry| entry.file_name());
        Ok(names.filter(|name| name.to_string_lossy().ends_with(".wft")).count())
    };
    refused(PORT)?;
    verdicts(&running, 1)?;
    ensure!(files()? == 1, "a new file was begun by itself");

    fs::write(&config, format!("{begin}rotate-size = \"1KiB\"\n"))?;
    running.signal(Signal::HUP)?;
    said(&running, "reloaded:")?;
    let mut count = 1;
    wait_until(Deadline::after(PATIENCE), "three files", || {
        refused(PORT)?;
        count += 1;
        // one after the other: faster, and they would fold into one line
        verdicts(&running, count)?;
        Ok(files()? >= 3)
    })?;
    let live = running.stdout.so_far();
    let again = replayed(tools, &out)?;
    let live: Vec<&String> = live.iter().filter(|line| is_verdict(line)).collect();
    ensure!(again.iter().collect::<Vec<_>>() == live, "a reload loses verdicts:\n{live:#?}\n{again:#?}");

    fs::write(&config, format!("{begin}keep-size = \"1KiB\"\n"))?;
    running.signal(Signal::HUP)?;
    wait_until(Deadline::after(PATIENCE), "one file", || Ok(files()? == 1))?;
    ensure!(running.stop(Signal::TERM)?.code() == Some(0), "{:?}", running.stderr.so_far());
    Ok(())
}

/// Answers every request on so many connections, and ends with them.
fn answer(listener: &TcpListener, connections: usize) -> Result<()> {
    std::thread::scope(|scope| {
        let answering = (0..connections).map(|_| -> Result<_> {
            let (mut stream, _) = listener.accept()?;
            Ok(scope.spawn(move || -> Result<()> {
                let mut bytes = [0; 1024];
                while stream.read(&mut bytes)? != 0 {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
                }
                Ok(())
            }))
        });
        let answering = answering.collect::<Result<Vec<_>>>()?;
        answering.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("panicked")))
    })
}

/// Asks so often, one request after the other.
fn ask(stream: &mut TcpStream, count: u32) -> Result<()> {
    for _ in 0..count {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        stream.read_exact(&mut [0; 40])?;
    }
    Ok(())
}

/// Exchanges of connections that go on while the ports are read again are counted once each.
fn reload_counts(tools: &Tools) -> Result<()> {
    const OTHER: u16 = 18_476;
    const PORT: u16 = 18_477;
    let directory = scratch::directory()?;
    let (config, out) = (directory.path().join("wherefore.toml"), directory.path().join("out"));
    fs::write(&config, format!("port = {PORT}\njson = true\n"))?;
    let listener = TcpListener::bind(("127.0.0.1", PORT))?;
    let mut command = Command::new(&tools.wherefore);
    let mut running = Running::start(command.args(["record", "--config"]).arg(&config).arg("--out").arg(&out))?;
    said(&running, "ready:")?;
    let server = std::thread::spawn(move || answer(&listener, 2));
    let mut kept = TcpStream::connect(("127.0.0.1", PORT))?;
    ask(&mut kept, 25)?;

    fs::write(&config, format!("port = [{OTHER}, {PORT}]\njson = true\n"))?;
    running.signal(Signal::HUP)?;
    said(&running, &format!("reloaded: watching {OTHER},{PORT}"))?;
    let mut later = TcpStream::connect(("127.0.0.1", PORT))?;
    ask(&mut kept, 25)?;
    ask(&mut later, 10)?;

    fs::write(&config, format!("port = {PORT}\njson = true\n"))?;
    running.signal(Signal::HUP)?;
    said(&running, &format!("reloaded: watching {PORT}"))?;
    ask(&mut kept, 5)?;
    ask(&mut later, 5)?;
    drop((kept, later));
    server.join().unwrap_or_else(|_| anyhow::bail!("panicked"))?;

    let status = running.stop(Signal::TERM)?;
    ensure!(status.code() == Some(0), "{status}: {:?}", running.stderr.so_far());
    let lines = running.stdout.so_far();
    let summary: Value = serde_json::from_str(lines.last().context("nothing was said")?)?;
    let number = |place: &str| summary.pointer(place).and_then(Value::as_u64);
    let http = |what: &str| number(&format!("/ports/{PORT}/http/{what}"));
    let counted = [http("exchanges"), http("status/200"), http("status/none"), number("/connections")];
    ensure!(counted == [70, 70, 0, 2].map(Some), "{summary}");
    Ok(())
}

fn is_verdict(line: &str) -> bool {
    line.contains("\"type\":\"verdict\"")
}

/// The verdict lines that a replay prints.
fn replayed(tools: &Tools, path: &Path) -> Result<Vec<String>> {
    let output = Command::new(&tools.wherefore).arg("replay").arg(path).arg("--json").output()?;
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().filter(|line| is_verdict(line)).map(str::to_owned).collect())
}

fn scrape(tools: &Tools) -> Result<()> {
    let directory = scratch::directory()?;
    let mut command = Command::new(&tools.wherefore);
    command.args(["record", "--json", "--port", "18473", "--duration", "300s", "--metrics", "127.0.0.1:0", "--out"]);
    let mut running = Running::start(command.arg(directory.path()))?;
    said(&running, "ready:")?;
    refused(18_473)?;
    verdicts(&running, 1)?;
    let stderr = running.stderr.so_far();
    let address = stderr.iter().find_map(|line| line.split_once("http://")?.1.strip_suffix("/metrics"));
    let address = address.context("no address of the metrics")?;
    let answer = scraped(address, "Accept: application/openmetrics-text;version=1.0.0\r\n")?;
    for line in [
        "wherefore_verdicts_total{slug=\"process-down\",role=\"inbound\",port=\"18473\"} 1",
        "wherefore_hook_attached{hook=\"raw_tracepoint/inet_sock_set_state\"} 1",
        "wherefore_losses_total{cause=\"ring-full\"} 0",
    ] {
        ensure!(answer.lines().any(|found| found == line), "no `{line}`: {answer}");
    }
    ensure!(answer.ends_with("# EOF\n"), "{answer}");
    check_with_promtool(&scraped(address, "")?)?;
    let taken = format!("127.0.0.1:{}", address.rsplit(':').next().unwrap_or_default());
    // the first one's directory is its own
    let out = directory.path().join("second").to_string_lossy().into_owned();
    let second = wherefore(tools, &["record", "--port", "18473", "--metrics", &taken, "--out", &out])?;
    second.says(1, &["metrics cannot be served on", &taken])?;
    ensure!(running.stop(Signal::TERM)?.code() == Some(0), "{:?}", running.stderr.so_far());
    Ok(())
}

/// What a scraper that sends these headers gets.
fn scraped(address: &str, headers: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Prometheus' own opinion of the exposition, where its tool is installed.
fn check_with_promtool(answer: &str) -> Result<()> {
    let (_head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = match command.spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        started => started.context("starting promtool")?,
    };
    promtool.stdin.take().context("no standard input")?.write_all(body.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success() && said.is_empty(), "promtool: {}", String::from_utf8_lossy(&said));
    Ok(())
}

fn notify(tools: &Tools) -> Result<()> {
    let directory = scratch::directory()?;
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut command = Command::new(&tools.wherefore);
    command.args(["record", "--json", "--port", "18474", "--duration", "300s", "--out"]).arg(directory.path());
    let mut running = Running::start(command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000"))?;
    let next = || -> Result<String> {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).context("nothing more is told")?;
        Ok(String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).trim().to_owned())
    };
    ensure!(next()? == "READY=1", "not ready first");
    ensure!(next()? == "WATCHDOG=1" && next()? == "WATCHDOG=1", "the watchdog is not fed");
    running.signal(Signal::TERM)?;
    let mut told = next()?;
    while told == "WATCHDOG=1" {
        told = next()?;
    }
    ensure!(told == "STOPPING=1", "{told}");
    ensure!(running.wait()?.code() == Some(0), "{:?}", running.stderr.so_far());
    Ok(())
}
