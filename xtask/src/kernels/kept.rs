//! What runs of the whole lab gave, kept by kernel, so that the table can be made of several runs.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::arch::Arch;
use super::catalogue;
use super::lab::{self, Scenario, Verdict};
use super::table::Column;
use crate::workspace;

/// Ends the lines about the run; the lab's own follow.
const RULE: &str = "--";

/// The folder of what is kept.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
}

impl Kept {
    fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// What is in the repository: the table in the documents is made of it.
    pub(super) fn of_repository() -> Self {
        Self::at(workspace::root().join("tests/kernels"))
    }

    fn file(&self, kernel: &str, arch: Arch) -> PathBuf {
        self.folder.join(format!("{kernel}-{}.txt", arch.debian()))
    }

    /// Keeps what a run of the whole lab gave.
    pub(super) fn put(&self, arch: Arch, column: &Column) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        let file = self.file(&column.kernel, arch);
        fs::write(&file, text(column)).with_context(|| format!("cannot write {}", file.display()))
    }

    /// What a kernel's last run of the whole lab gave.
    ///
    /// # Errors
    /// If there was none.
    pub(super) fn whole(&self, kernel: &str, arch: Arch) -> Result<Column> {
        let file = self.file(kernel, arch);
        let text = fs::read_to_string(&file).with_context(|| format!("{kernel} has not been run as a whole yet"))?;
        parse(kernel, &text).with_context(|| format!("cannot read {}", file.display()))
    }

    /// Keeps what a run of some scenarios gave in the place of what the kernel's last run gave of these; the rest stays.
    ///
    /// # Errors
    /// If there was no whole run, or one of another release; or if the run of these did not end as it should: it is not
    /// known then which of them it would have told of.
    pub(super) fn put_some(&self, arch: Arch, some: Column) -> Result<()> {
        let mut all = self.whole(&some.kernel, arch)?;
        if let Some(trouble) = &some.trouble {
            bail!("{}: nothing is written down of a run that did not end well: {trouble}", some.kernel);
        }
        if some.release != all.release {
            bail!(
                "{} was {} when all scenarios ran, and is {} now: run them all",
                some.kernel,
                all.release,
                some.release
            );
        }
        all.broke += some.broke;
        for result in some.results {
            match all.results.iter_mut().find(|known| known.name == result.name) {
                Some(known) => *known = result,
                None => all.results.push(result),
            }
        }
        self.put(arch, &all)
    }

    /// Of every kernel: what its last run gave, or that it has not been run.
    pub(super) fn all(&self, arch: Arch) -> Vec<Column> {
        let column = |name: &str| {
            let text = fs::read_to_string(self.file(name, arch)).ok()?;
            parse(name, &text)
        };
        let kernels = catalogue::all(arch).iter();
        kernels.map(|kernel| column(kernel.name).unwrap_or_else(|| Column::not_run(kernel.name))).collect()
    }
}

fn text(column: &Column) -> String {
    let mut text = String::new();
    let Column { kernel: _, release, results, trouble, broke, up_seconds, seconds, run: _ } = column;
    // writing to a string cannot fail
    writeln!(text, "release {release}\nbroke {broke}\nseconds {seconds}").ok();
    if let Some(up) = up_seconds {
        writeln!(text, "up {up}").ok();
    }
    if let Some(trouble) = trouble {
        writeln!(text, "trouble {}", trouble.replace('\n', " ")).ok();
    }
    writeln!(text, "{RULE}").ok();
    for Scenario { name, verdict } in results {
        match verdict {
            Verdict::Passed => writeln!(text, "ok {name}"),
            Verdict::Failed(why) => writeln!(text, "FAIL {name}: {why}"),
            Verdict::Skipped(why) => writeln!(text, "skipped: {name}: {why}"),
        }
        .ok();
    }
    text
}

fn parse(kernel: &str, text: &str) -> Option<Column> {
    let (head, results) = text.split_once(&format!("{RULE}\n"))?;
    let value = |key: &str| head.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    Some(Column {
        kernel: kernel.to_owned(),
        release: value("release")?.to_owned(),
        results: lab::results(results),
        trouble: value("trouble").map(str::to_owned),
        broke: value("broke")?.parse().ok()?,
        up_seconds: value("up").and_then(|up| up.parse().ok()),
        seconds: value("seconds")?.parse().ok()?,
        run: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_comes_back_and_other_kernels_are_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::at(folder.path().join("results"));
        let scenario = |name: &str, verdict| Scenario { name: name.to_owned(), verdict };
        let column = Column {
            kernel: "6.1".to_owned(),
            release: "6.1.0-50".to_owned(),
            results: vec![
                scenario("a/ipv4", Verdict::Passed),
                scenario("a/ipv6", Verdict::Failed("why: so".to_owned())),
                scenario("b/ipv4", Verdict::Skipped("no netem".to_owned())),
            ],
            trouble: Some("it hung".to_owned()),
            broke: 1,
            up_seconds: Some(2.5),
            seconds: 90.25,
            run: true,
        };
        kept.put(Arch::X86, &column).unwrap();
        let all = kept.all(Arch::X86);
        assert_eq!(all.len(), catalogue::all(Arch::X86).len());
        let found = all.iter().find(|column| column.run).unwrap();
        assert_eq!(format!("{found:?}"), format!("{column:?}"));
        assert!(kept.all(Arch::Arm).iter().all(|column| !column.run));
    }

    #[test]
    fn some_scenarios_take_the_place_of_what_they_gave_before() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::at(folder.path().to_owned());
        let scenario = |name: &str, verdict| Scenario { name: name.to_owned(), verdict };
        let column = |results| Column { results, run: true, ..Column::not_run("6.1") };
        let some = || column(vec![scenario("b/ipv4", Verdict::Passed), scenario("c/ipv4", Verdict::Passed)]);
        kept.put_some(Arch::X86, some()).unwrap_err();
        let failed = scenario("b/ipv4", Verdict::Failed("why".to_owned()));
        kept.put(Arch::X86, &column(vec![scenario("a/ipv4", Verdict::Passed), failed])).unwrap();
        kept.put_some(Arch::X86, some()).unwrap();
        let all = kept.all(Arch::X86);
        let results = &all.iter().find(|column| column.run).unwrap().results;
        let passed = ["a/ipv4", "b/ipv4", "c/ipv4"].map(|name| scenario(name, Verdict::Passed));
        assert_eq!(format!("{results:?}"), format!("{passed:?}"));
        // what hung would keep its old result, and what another kernel gave stands beside this one's
        for other in
            [Column { trouble: Some("hung".to_owned()), ..some() }, Column { release: "6.1.9".to_owned(), ..some() }]
        {
            kept.put_some(Arch::X86, other).unwrap_err();
        }
    }

    /// Of these the small set alone has been run with the present scenarios.
    const NOT_RUN_AS_A_WHOLE: [&str; 2] = ["7.2", "7.x"];

    #[test]
    fn the_repository_has_a_whole_run_of_each_kernel() {
        let kept = Kept::of_repository();
        for kernel in catalogue::all(Arch::X86).iter().filter(|kernel| !NOT_RUN_AS_A_WHOLE.contains(&kernel.name)) {
            let column = kept.whole(kernel.name, Arch::X86).unwrap();
            assert!(column.results.len() > 400 && column.trouble.is_none(), "{}", kernel.name);
            assert!(!column.failed(), "{}", kernel.name);
        }
        let document = fs::read_to_string(workspace::root().join("docs/kernels.md")).unwrap();
        for column in kept.all(Arch::X86) {
            assert!(document.contains(&column.release), "{} is not in the table", column.release);
        }
    }
}
