use std::io::Write as _;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};

use super::*;
use crate::cli::args::{Cli, Command};
use crate::cli::ports::PortList;
use crate::trace::{Keep, Policy};

/// Arguments of `record` with these flags and a file with this text; or the failure, with FILE for the
/// file's path.
fn with_config(flags: &str, text: &str) -> Result<RecordArgs, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let line = format!("wherefore record --config {path} {flags}");
    let Command::Record(args) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else {
        panic!("not record");
    };
    args.with_config().map_err(|failure| failure.line().unwrap().replace(path, "FILE"))
}

fn said(text: &str) -> String {
    with_config("", text).unwrap_err()
}

const FULL: &str = r#"
port = [8080, "9000-9002", "80,81"]
netns = ["blue", 812]
duration = "1h"
slow = "500ms"
status = [404, "5xx"]
client-header = "X-Forwarded-For"
out = "/var/log/wherefore"
metrics = "127.0.0.1:9435"
json = true
quiet = true
verbose = true
"#;

#[test]
fn a_file_says_what_flags_say() {
    let args = with_config("", FULL).unwrap();
    assert_eq!(PortList::union(&args.capture.port), [80, 81, 8080, 9000, 9001, 9002]);
    assert_eq!(args.capture.netns, ["blue", "812"]);
    assert_eq!(args.capture.duration, Some(Duration::from_hours(1)));
    assert_eq!(args.capture.slow, Some(Duration::from_millis(500)));
    assert_eq!(args.capture.statuses(), ["404", "5xx"]);
    assert_eq!(args.capture.client_header.as_ref().unwrap().name(), "x-forwarded-for");
    assert_eq!(args.out(), PathBuf::from("/var/log/wherefore"));
    assert_eq!(args.metrics.unwrap().0.to_string(), "127.0.0.1:9435");
    assert!(args.json && args.quiet && args.capture.verbose);
}

#[test]
fn flags_win() {
    let flags = "--port 443 --netns red --duration 5s --slow 1s --status 403 --out /tmp --metrics 9000";
    let args = with_config(flags, FULL).unwrap();
    assert_eq!(PortList::union(&args.capture.port), [443]);
    assert_eq!(args.capture.netns, ["red"]);
    assert_eq!(args.capture.duration, Some(Duration::from_secs(5)));
    assert_eq!(args.capture.slow, Some(Duration::from_secs(1)));
    assert_eq!(args.capture.statuses(), ["403"]);
    assert_eq!(args.out(), PathBuf::from("/tmp"));
    assert_eq!(args.metrics.unwrap().0.port(), 9000);
}

#[test]
fn single_values_need_no_list_and_an_empty_file_says_nothing() {
    let args = with_config("", "port = 8080\nstatus = \"403,5xx\"\nmetrics = 9435\nnetns = \"blue\"").unwrap();
    assert_eq!(PortList::union(&args.capture.port), [8080]);
    assert_eq!(args.capture.netns, ["blue"]);
    assert_eq!(args.capture.statuses(), ["403", "5xx"]);
    assert_eq!(args.metrics.unwrap().0.to_string(), "127.0.0.1:9435");
    let empty = with_config("--port 80", "# nothing\n").unwrap();
    assert_eq!((empty.out(), empty.json, empty.metrics), (PathBuf::from("."), false, None));
}

#[test]
fn mistakes_name_file_line_and_key() {
    insta::assert_snapshot!(said("port = 8080\n\nprot = 1\n"), @"wherefore: FILE:3: unknown key prot: a similar one exists: port");
    insta::assert_snapshot!(said("colour = true"), @"wherefore: FILE:1: unknown key colour: the keys are port, netns, duration, slow, status, client-header, unix-upstreams, out, rotate-size, rotate-age, keep-size, keep-age, min-free, metrics, json, quiet, no-http, verbose");
    insta::assert_snapshot!(said("# ports\nport = 0\n"), @r#"wherefore: FILE:2: port: "0" is no port: give numbers from 1 to 65535, with commas or as a range, as in 8080,9000-9010"#);
    insta::assert_snapshot!(said("json = true\nport = [80, \"x\"]\n"), @r#"wherefore: FILE:2: port: "x" is no port: give numbers from 1 to 65535, with commas or as a range, as in 8080,9000-9010"#);
    insta::assert_snapshot!(said("slow = \"10\""), @r#"wherefore: FILE:1: slow: this is no span of time: give numbers with units, as in 500ms, 10s, 1m30s or 2h"#);
    insta::assert_snapshot!(said("slow = 10"), @r#"wherefore: FILE:1: slow: invalid type: integer `10`, expected a string"#);
    insta::assert_snapshot!(said("status = 600"), @r#"wherefore: FILE:1: status: "600" is no status: give codes from 100 to 599 or classes like 5xx, as in 403,429,5xx"#);
    insta::assert_snapshot!(said("client-header = \"Cookie\""), @"wherefore: FILE:1: client-header: the value of Cookie is a secret and is never recorded: name a header that identifies clients, such as X-Forwarded-For");
    insta::assert_snapshot!(said("metrics = \"localhost\""), @r#"wherefore: FILE:1: metrics: this is no address to listen on: give one like 127.0.0.1:9435, [::1]:9435 or 9435 (then on 127.0.0.1)"#);
    insta::assert_snapshot!(said("json = \"yes\""), @r#"wherefore: FILE:1: json: invalid type: string "yes", expected a boolean"#);
    insta::assert_snapshot!(said("port = 80\nport = 81"), @r#"wherefore: FILE:2: port: duplicate key"#);
    insta::assert_snapshot!(said("port = [80"), @r#"wherefore: FILE:1: port: unclosed array, expected `]`"#);
    insta::assert_snapshot!(said("port = true"), @r#"wherefore: FILE:1: port: a number, a text, or a list of these is expected"#);
}

#[test]
fn a_file_that_is_not_there_is_no_usage_error() {
    let line = "wherefore record --config /nonexistent/wherefore.toml";
    let Command::Record(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!("not record") };
    let failure = args.with_config().unwrap_err();
    let expected = "wherefore: cannot read /nonexistent/wherefore.toml: No such file or directory (os error 2)";
    assert_eq!(failure.line().unwrap(), expected);
    assert!(matches!(failure, Failure::Failed(_)));
}

#[test]
fn each_flag_has_its_key() {
    let command = Cli::command();
    let record = command.find_subcommand("record").unwrap();
    let message = said("no-such-flag-at-all = 1");
    let (_, keys) = message.split_once("the keys are ").unwrap();
    let mut keys: Vec<&str> = keys.split(", ").collect();
    let told = record.get_arguments().filter(|flag| !flag.is_hide_set());
    let flags = told.filter_map(clap::Arg::get_long);
    let mut flags: Vec<&str> = flags.filter(|flag| !["config", "help", "version"].contains(flag)).collect();
    keys.sort_unstable();
    flags.sort_unstable();
    assert_eq!(keys, flags);
}

#[test]
fn a_reload_reads_ports_and_names_what_waits() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"port = [80, 443]\nslow = \"5s\"\njson = true\n").unwrap();
    let line = format!("wherefore record --slow 1s --config {}", file.path().display());
    let Command::Record(flags) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!("not record") };
    let reload = Reload::new(&flags, &flags.with_config().unwrap()).unwrap();
    let policy = flags.rotation.policy();
    assert_eq!(reload.read().unwrap(), Reloaded { ports: vec![80, 443], policy, later: vec![] });
    let text = "port = [443, 8080]\nslow = \"9s\"\nout = \"/tmp\"\nrotate-size = \"1MiB\"\nkeep-age = \"1h\"\n";
    std::fs::write(file.path(), text).unwrap();
    let keep = Keep { age: Duration::from_hours(1), ..policy.keep };
    let policy = Policy { rotate_bytes: 1 << 20, keep, ..policy };
    assert_eq!(reload.read().unwrap(), Reloaded { ports: vec![443, 8080], policy, later: vec!["out", "json"] });
    std::fs::write(file.path(), "port = []\n").unwrap();
    assert!(matches!(reload.read().unwrap_err(), Failure::Usage(_)));
    let without = Cli::try_parse_from(["wherefore", "record", "--port", "80"]).unwrap();
    let Command::Record(flags) = without.command else { panic!("not record") };
    assert!(Reload::new(&flags, &flags).is_none());
}
