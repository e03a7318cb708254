//! Where and when was measured.

use std::fs;
use std::process::Command;

/// One sentence: the day, the machine, and how busy it is with other things.
pub fn said() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "Measured on {}: {}, Linux {}; load average before it began: {}.\n",
        today(),
        processors(&cpuinfo),
        release.trim(),
        load.split(' ').next().unwrap_or_default()
    )
}

/// The day, UTC.
fn today() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Number and name of the processors in `/proc/cpuinfo`; other architectures than x86 give no name there.
fn processors(cpuinfo: &str) -> String {
    let values = |name: &str| {
        let lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).collect::<Vec<_>>()
    };
    let cores = values("processor").len();
    match values("model name").first() {
        Some(name) => format!("{cores} cores of {name}"),
        None => format!("{cores} cores"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_processors() {
        let two = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n";
        assert_eq!(processors(two), "2 cores of AMD EPYC");
        assert_eq!(processors("processor\t: 0\n\nprocessor\t: 1\nBogoMIPS\t: 50.00\n"), "2 cores");
    }

    #[test]
    fn says_a_day_and_a_kernel() {
        let said = said();
        assert!(said.starts_with("Measured on 2") && said.contains("Linux "), "{said}");
    }
}
