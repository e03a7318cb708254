//! What to install, from what is there. Nothing here looks at the machine.

use std::{fmt, path::PathBuf};

use super::{Scope, facts::Facts};
use crate::toolchain::{Core, Missing};

/// What the tests run, and the Debian package that has it.
pub(super) const COMMANDS: [(&str, &str); 17] = [
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("node", "nodejs"),
    ("ip", "iproute2"),
    ("conntrack", "conntrack"),
    ("sysctl", "procps"),
    ("curl", "curl"),
    ("python3", "python3"),
    ("modprobe", "kmod"),
    ("ethtool", "ethtool"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("git", "git"),
    ("promtool", "prometheus"),
    ("rpmbuild", "rpm"),
];

/// What measuring needs, and the Debian package that has it.
pub(super) const LOAD: [(&str, &str); 5] =
    [("nginx", "nginx-light"), ("ip", "iproute2"), ("wrk", "wrk"), ("tcpdump", "tcpdump"), ("tcplife", "libbpf-tools")];

/// What virtual machines with other kernels are made with, and the Debian package that has it.
pub(super) const MACHINES: [(&str, &str); 9] = [
    ("mmdebstrap", "mmdebstrap"),
    ("depmod", "kmod"),
    ("modprobe", "kmod"),
    ("mke2fs", "e2fsprogs"),
    ("xz", "xz-utils"),
    ("tar", "tar"),
    ("dpkg-deb", "dpkg"),
    ("setpriv", "util-linux"),
    // also for its libraries, which a newer QEMU beside it uses
    ("qemu-system-x86_64", "qemu-system-x86"),
];

/// What linking for arm64 needs, and the Debian package that has it.
pub(super) const CROSS: [(&str, &str); 2] = [
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    ("/usr/aarch64-linux-gnu/lib/libc.a", "libc6-dev-arm64-cross"),
];

/// What building bpf-linker needs, and the Debian package that has it: the LLVM of Debian's
/// rustc-web.
pub(super) const LLVM: [(&str, &str); 2] =
    [("/usr/lib/llvm-22/bin/llvm-config", "llvm-22-dev"), ("/usr/lib/llvm-22/bin/clang", "clang-22")];

/// An app server that the tests drive where it is: from PyPI, in a folder of its own.
pub(super) const APP_SERVER: &str = "gunicorn";

/// Debian's compiler for eBPF.
const COMPILER: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];

/// What will be done, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Debian packages to install.
    pub(super) packages: Vec<&'static str>,
    /// The folder to install bpf-linker to, if it is to be.
    pub(super) linker: Option<PathBuf>,
    /// The folder to install the app server to, if it is to be. Its tests are skipped without it.
    pub(super) app_server: Option<PathBuf>,
    /// What only the user can do.
    pub(super) by_hand: Vec<String>,
}

impl Plan {
    pub(super) fn new(facts: &Facts, scope: Scope) -> Self {
        let mut plan = Self::default();
        if !facts.linux {
            plan.by_hand.push(
                "recording needs Linux: elsewhere build the replay alone with \
                 `cargo build --package tracer-userspace --no-default-features`"
                    .to_owned(),
            );
            return plan;
        }
        if let (Scope::Build | Scope::Test | Scope::Bench, Some(missing)) = (scope, &facts.toolchain) {
            plan.add_toolchain(facts, missing);
        }
        let commands: &[_] = match scope {
            Scope::Build => &[],
            Scope::Test => &COMMANDS,
            Scope::Bench => &LOAD,
            Scope::CrossBuild => &CROSS,
            Scope::Kernels => &MACHINES,
        };
        let absent = commands.iter().filter(|(command, _)| !facts.present.contains(command));
        plan.packages.extend(absent.map(|&(_, package)| package));
        plan.packages.dedup();
        if let (Scope::Test, false, Some(tools)) = (scope, facts.present.contains(APP_SERVER), &facts.tools) {
            plan.app_server = Some(tools.join(APP_SERVER));
        }
        if !facts.apt && !plan.packages.is_empty() {
            let packages = plan.packages.join(" ");
            plan.by_hand.push(format!(
                "packages can only be installed here with apt-get, as root or with sudo. Install what Debian calls: {packages}"
            ));
        }
        plan
    }

    fn add_toolchain(&mut self, facts: &Facts, missing: &Missing) {
        let (true, Some(tools)) = (facts.apt, &facts.tools) else {
            // rustup's toolchains are the user's own to change
            self.by_hand.push(missing.to_string());
            return;
        };
        // Debian's pair also where a nightly lacks but its linker: which one fits that depends on
        // the nightly's LLVM, and there may be none yet
        if !matches!(missing, Missing::Linker(compiler) if compiler.core == Core::Prebuilt) {
            self.packages.extend(COMPILER);
        }
        let absent = LLVM.iter().filter(|(file, _)| !facts.present.contains(file));
        self.packages.extend(absent.map(|&(_, package)| package));
        self.linker = Some(tools.clone());
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.by_hand.is_empty() {
            f.write_str("missing:")?;
            return self.by_hand.iter().try_for_each(|what| write!(f, "\n  - {what}"));
        }
        f.write_str("to be installed:")?;
        if !self.packages.is_empty() {
            write!(f, "\n  - Debian packages: {}", self.packages.join(" "))?;
        }
        if let Some(folder) = &self.app_server {
            write!(f, "\n  - {APP_SERVER}, from PyPI, to {}", folder.display())?;
        }
        if let Some(tools) = &self.linker {
            write!(f, "\n  - bpf-linker, compiled from crates.io, to {}", tools.join("bin").display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolchain::Compiler;

    fn complete() -> Facts {
        let commands = COMMANDS.iter().chain(&MACHINES).chain(&CROSS).chain(&LOAD).chain(&LLVM).map(|&(name, _)| name);
        Facts {
            toolchain: None,
            present: commands.chain([APP_SERVER]).collect(),
            linux: true,
            apt: true,
            tools: Some("/home/u/.cache/wherefore/tools".into()),
        }
    }

    fn without_linker(core: Core) -> Missing {
        Missing::Linker(Compiler { bin: "/usr/bin".into(), core })
    }

    #[test]
    fn a_complete_machine_needs_nothing() {
        assert!(Plan::new(&complete(), Scope::Test).is_empty());
        assert!(Plan::new(&Facts { apt: false, tools: None, ..complete() }, Scope::Test).is_empty());
    }

    #[test]
    fn a_fresh_debian_gets_the_compiler_the_linker_and_the_tests_commands() {
        let fresh = Facts { toolchain: Some(Missing::Compiler), present: [].into(), ..complete() };
        let plan = Plan::new(&fresh, Scope::Test);
        assert_eq!(
            plan.to_string(),
            "to be installed:\n  - Debian packages: rustc-web cargo-web libstd-rust-web-dev-bpf llvm-22-dev clang-22 \
             iptables nftables nginx-light haproxy nodejs iproute2 conntrack procps curl python3 kmod ethtool \
             util-linux mount git prometheus rpm\n  - gunicorn, from PyPI, to /home/u/.cache/wherefore/tools/gunicorn\n  \
             - bpf-linker, compiled from crates.io, to /home/u/.cache/wherefore/tools/bin"
        );
        let plan = Plan::new(&fresh, Scope::Build);
        assert_eq!(plan.packages, [&COMPILER[..], &["llvm-22-dev", "clang-22"]].concat());
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let linker = Facts { toolchain: Some(without_linker(Core::Prebuilt)), ..complete() };
        let plan = Plan::new(&linker, Scope::Test);
        assert!(plan.packages.is_empty() && plan.linker.is_some() && plan.by_hand.is_empty(), "{plan:?}");

        let mut command = complete();
        command.present.remove("nft");
        assert_eq!(Plan::new(&command, Scope::Test).packages, ["nftables"]);
        command.present.remove(APP_SERVER);
        assert!(Plan::new(&command, Scope::Test).app_server.is_some_and(|folder| folder.ends_with("tools/gunicorn")));
        assert!(Plan::new(&command, Scope::Build).is_empty());
    }

    #[test]
    fn machines_need_their_own_tools_and_no_compiler() {
        assert!(Plan::new(&complete(), Scope::Kernels).is_empty());
        let mut facts = Facts { toolchain: Some(Missing::Compiler), ..complete() };
        for command in ["depmod", "modprobe", "mmdebstrap", "nft"] {
            facts.present.remove(command);
        }
        assert_eq!(Plan::new(&facts, Scope::Kernels).packages, ["mmdebstrap", "kmod"]);
        facts.present.remove("aarch64-linux-gnu-gcc");
        assert_eq!(Plan::new(&facts, Scope::CrossBuild).packages, ["gcc-aarch64-linux-gnu"]);
    }

    #[test]
    fn a_nightly_without_linker_gets_debians_pair_or_advice() {
        let nightly = Facts { toolchain: Some(without_linker(Core::Source)), ..complete() };
        assert_eq!(Plan::new(&nightly, Scope::Build).packages, COMPILER);
        let plan = Plan::new(&Facts { apt: false, ..nightly }, Scope::Build);
        assert!(plan.linker.is_none() && plan.by_hand[0].contains("cargo install bpf-linker"), "{plan:?}");
    }

    #[test]
    fn without_apt_all_is_said_and_nothing_done() {
        let other = Facts { toolchain: Some(Missing::Compiler), present: [].into(), apt: false, ..complete() };
        let text = Plan::new(&other, Scope::Test).to_string();
        assert!(text.starts_with("missing:\n  - no compiler for eBPF here"), "{text}");
        assert!(text.contains("rustup toolchain install nightly --component rust-src"), "{text}");
        assert!(text.contains("Install what Debian calls: iptables nftables"), "{text}");
    }

    #[test]
    fn other_systems_are_told_of_replay() {
        let plan = Plan::new(&Facts { linux: false, ..complete() }, Scope::Build);
        assert!(plan.by_hand[0].contains("--no-default-features"), "{plan:?}");
    }
}
