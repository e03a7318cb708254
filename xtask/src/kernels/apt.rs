//! Packages through apt, without touching the machine's own package state: a folder of its own for
//! each suite, so that signatures and checksums are verified by apt itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::arch::Arch;
use super::command::quietly;
use crate::process::read;

const SOURCES: &str = "/etc/apt/sources.list.d";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where Debian's packages come from: the mirrors that this machine's apt is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirrors {
    main: String,
    security: String,
}

impl Mirrors {
    /// Reads the machine's deb822 sources; deb.debian.org where they name no Debian mirror.
    pub(super) fn of_this_machine() -> Self {
        let files = fs::read_dir(SOURCES).into_iter().flatten().flatten();
        let mut paths: Vec<_> =
            files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "sources")).collect();
        paths.sort();
        let texts: Vec<_> = paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
        Self::of(&texts.join("\n"))
    }

    fn of(sources: &str) -> Self {
        let uris = || sources.lines().filter_map(|line| line.strip_prefix("URIs:")).flat_map(str::split_whitespace);
        let ending = |end: &str| uris().map(|uri| uri.trim_end_matches('/')).find(|uri| uri.ends_with(end));
        Self {
            main: ending("/debian").unwrap_or("http://deb.debian.org/debian").to_owned(),
            security: ending("/debian-security").unwrap_or("http://deb.debian.org/debian-security").to_owned(),
        }
    }

    /// The sources.list line of a suite.
    pub(super) fn line(&self, suite: &str) -> String {
        let uri = if suite.ends_with("-security") { &self.security } else { &self.main };
        format!("deb [signed-by={KEYRING}] {uri} {suite} main\n")
    }
}

/// One suite of the archive, its lists fetched.
#[derive(Debug)]
pub(super) struct Suite {
    folder: PathBuf,
    arch: Arch,
    name: String,
}

impl Suite {
    /// Fetches the suite's signed lists into `root`.
    pub(super) fn fetch(root: &Path, mirrors: &Mirrors, name: &str, arch: Arch) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is missing: install debian-archive-keyring (only a Debian machine can build the VMs)");
        }
        let folder = root.join(format!("apt/{name}-{}", arch.debian()));
        for part in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(folder.join(part)).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(folder.join("sources.list"), mirrors.line(name))?;
        let suite = Self { folder, arch, name: name.to_owned() };
        quietly(suite.tool("apt-get").args(["update", "--error-on=any"]))
            .with_context(|| format!("cannot fetch the lists of {name}"))?;
        Ok(suite)
    }

    /// The names of all packages that match a POSIX regular expression.
    pub(super) fn names(&self, expression: &str) -> Result<Vec<String>> {
        let found = read(self.tool("apt-cache").args(["search", "--names-only", expression]))?;
        Ok(found.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    }

    /// Downloads packages, verified by apt, and unpacks them into `target`; nothing is installed.
    pub(super) fn unpack(&self, packages: &[&str], target: &Path) -> Result<()> {
        let scratch = self.folder.join("downloaded");
        super::cache::remove(&scratch)?;
        fs::create_dir(&scratch)?;
        quietly(self.tool("apt-get").current_dir(&scratch).arg("download").args(packages))
            .with_context(|| format!("cannot download {} from {}", packages.join(", "), self.name))?;
        for file in fs::read_dir(&scratch)? {
            quietly(Command::new("dpkg-deb").arg("-x").arg(file?.path()).arg(target))?;
        }
        super::cache::remove(&scratch)
    }

    fn tool(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        let at = |part: &str| self.folder.join(part).display().to_string();
        let options = [
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State::lists={}", at("lists")),
            "Dir::State::status=/dev/null".to_owned(),
            format!("Dir::Cache={}", at("")),
            // the cache lies in a home folder, which apt's own user cannot enter
            "APT::Sandbox::User=root".to_owned(),
            format!("APT::Architecture={}", self.arch.debian()),
            format!("APT::Architectures={}", self.arch.debian()),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ];
        for option in options {
            command.arg("-o").arg(option);
        }
        command.arg("-q");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_read_from_deb822() {
        let sources = "Types: deb\nURIs: http://mirror.example/debian/\nSuites: bookworm\n\n\
                       Types: deb\nURIs: http://mirror.example/debian-security\n\nURIs: https://node.example/x\n";
        let mirrors = Mirrors::of(sources);
        assert!(mirrors.line("sid").ends_with("http://mirror.example/debian sid main\n"));
        assert!(
            mirrors
                .line("bullseye-security")
                .ends_with("http://mirror.example/debian-security bullseye-security main\n")
        );
    }

    #[test]
    fn without_sources_it_is_debian_itself() {
        assert!(Mirrors::of("").line("sid").ends_with(" http://deb.debian.org/debian sid main\n"));
    }
}
