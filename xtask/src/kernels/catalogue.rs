//! The kernels that are tested, and where Debian keeps them.

use anyhow::{Result, bail};

use super::arch::Arch;

/// Which control group version the guest mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cgroups {
    /// The unified hierarchy alone, as current distributions have it.
    V2,
    /// The old hierarchies alone; no cgroup2 is mounted.
    V1,
}

/// A kernel by the name that is typed and printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kernel {
    /// The name on the command line and in the table.
    pub(super) name: &'static str,
    /// The name of its image in the cache: variants share one.
    pub(super) image: &'static str,
    /// Suites of Debian to look through, in this order.
    pub(super) suites: &'static [&'static str],
    /// Numbers that its version begins with; the newest such version is taken.
    pub(super) version: &'static [u64],
    /// What the guest mounts.
    pub(super) cgroups: Cgroups,
    /// Is it one of the small set that runs on every change?
    pub(super) ci: bool,
}

/// Debian keeps the cloud kernels 6.19 to 7.1 only in part (their modules are gone), so the list
/// goes on with 7.2.
const X86: [Kernel; 7] = [
    Kernel { ci: true, ..of("5.10", &["bullseye-security"], &[5, 10]) },
    Kernel { ci: true, ..of("6.1", &["bookworm-security", "bookworm"], &[6, 1]) },
    Kernel { name: "6.1-cgroup1", cgroups: Cgroups::V1, ..of("6.1", &["bookworm-security", "bookworm"], &[6, 1]) },
    of("6.12", &["trixie-security", "trixie"], &[6, 12]),
    of("6.18", &["trixie-backports"], &[6, 18]),
    of("7.2", &["sid", "trixie-backports"], &[7, 2]),
    Kernel { ci: true, ..of("7.x", &["trixie-backports", "sid"], &[7]) },
];

const ARM: [Kernel; 2] =
    [of("6.1", &["bookworm-security", "bookworm"], &[6, 1]), of("6.12", &["bookworm-backports", "trixie"], &[6, 12])];

const fn of(name: &'static str, suites: &'static [&'static str], version: &'static [u64]) -> Kernel {
    Kernel { name, image: name, suites, version, cgroups: Cgroups::V2, ci: false }
}

/// All kernels of an architecture, oldest first.
pub(super) fn all(arch: Arch) -> &'static [Kernel] {
    match arch {
        Arch::X86 => &X86,
        Arch::Arm => &ARM,
    }
}

/// The kernels asked for: those named, else the small set, else all.
pub(super) fn choose(arch: Arch, names: &[String], ci: bool) -> Result<Vec<Kernel>> {
    if let Some(unknown) = names.iter().find(|name| all(arch).iter().all(|kernel| kernel.name != **name)) {
        let known: Vec<_> = all(arch).iter().map(|kernel| kernel.name).collect();
        bail!("no kernel {unknown} for {}: there are {}", arch.debian(), known.join(", "));
    }
    let wanted = |kernel: &Kernel| match names {
        [] => !ci || kernel.ci,
        _ => names.iter().any(|name| name == kernel.name),
    };
    Ok(all(arch).iter().copied().filter(wanted).collect())
}

/// The numbers in a package's name, for ordering: `linux-image-5.10.0-46-cloud-amd64` has 5, 10, 0, 46.
fn numbers(package: &str) -> Vec<u64> {
    let version = package.split("-cloud-").next().unwrap_or(package);
    let version = version.find(|c: char| c.is_ascii_digit()).map_or("", |at| version.get(at..).unwrap_or_default());
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|run| run.parse().ok()).collect()
}

/// The newest of `packages` whose version begins with `version`.
pub(super) fn newest<'a>(packages: &'a [String], version: &[u64]) -> Option<&'a str> {
    packages
        .iter()
        .filter(|name| numbers(name).starts_with(version))
        .max_by_key(|name| numbers(name))
        .map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_a_matter_of_numbers() {
        let packages = [
            "linux-image-5.10.0-9-cloud-amd64",
            "linux-image-5.10.0-46-cloud-amd64",
            "linux-image-6.1.0-0.deb11.52-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.12.107+deb13-cloud-amd64",
            "linux-image-6.12.99+deb13-cloud-amd64",
        ]
        .map(str::to_owned);
        assert_eq!(newest(&packages, &[5, 10]), Some("linux-image-5.10.0-46-cloud-amd64"));
        assert_eq!(newest(&packages, &[6, 1]), Some("linux-image-6.1.0-50-cloud-amd64"));
        assert_eq!(newest(&packages, &[6, 12]), Some("linux-image-6.12.107+deb13-cloud-amd64"));
        assert_eq!(newest(&packages, &[7]), None);
    }

    #[test]
    fn kernels_are_chosen_by_name() {
        let names = |chosen: Vec<Kernel>| chosen.iter().map(|kernel| kernel.name).collect::<Vec<_>>();
        assert_eq!(names(choose(Arch::X86, &[], true).unwrap()), ["5.10", "6.1", "7.x"]);
        assert_eq!(names(choose(Arch::X86, &["6.1".to_owned()], false).unwrap()), ["6.1"]);
        assert_eq!(choose(Arch::X86, &[], false).unwrap().len(), X86.len());
        let error = choose(Arch::X86, &["4.19".to_owned()], false).unwrap_err().to_string();
        assert!(error.contains("no kernel 4.19") && error.contains("5.10, 6.1,"), "{error}");
    }
}
