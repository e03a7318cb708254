//! The package for Fedora, Amazon Linux, SUSE and their kin, where rpmbuild is installed.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    Contents,
    tree::{self, CONFIGURATION, Zsh},
};
use crate::{console, process};

/// Makes the package in `out`; `None` without rpmbuild.
pub(super) fn build(contents: &Contents, out: &Path) -> Result<Option<PathBuf>> {
    match Command::new("rpmbuild").arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            console::note("no .rpm: rpmbuild is not installed (Debian: apt-get install rpm)");
            return Ok(None);
        }
        found => found.context("cannot start rpmbuild")?,
    };
    let root = out.join("rpm");
    tree::stage(contents, &root, Zsh::Site)?;
    let root = root.canonicalize().with_context(|| format!("cannot find {}", root.display()))?;
    let top = out.join("rpmbuild");
    super::afresh(&top)?;
    let top = top.canonicalize().with_context(|| format!("cannot find {}", top.display()))?;
    let spec = top.join("wherefore.spec");
    tree::write(specification(&contents.version, &root).as_bytes(), &spec, 0o644)?;
    let name = format!("wherefore-{}-1.{}.rpm", contents.version, contents.architecture);
    let mut rpmbuild = Command::new("rpmbuild");
    rpmbuild.args(["-bb", "--target", &contents.architecture, "--define"]).arg(format!("_topdir {}", top.display()));
    process::run(rpmbuild.arg(&spec))?;
    let (built, package) = (top.join("RPMS").join(&contents.architecture).join(&name), out.join(&name));
    std::fs::rename(&built, &package).with_context(|| format!("rpmbuild has not made {}", built.display()))?;
    Ok(Some(package))
}

/// The program is static and stripped of nothing: no dependency is looked for, no debug package made.
fn specification(version: &str, root: &Path) -> String {
    let root = root.display();
    format!(
        r"Name: wherefore
Version: {version}
Release: 1
Summary: Says why requests to an app port failed
License: MIT OR Apache-2.0
AutoReqProv: no
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}

%description
Wherefore watches TCP ports with eBPF and says why requests to them failed:
the process was down, a firewall or a security group dropped them, or the app
reset, hung or answered so itself. It records continuously, and replays traces offline.

%install
cp -a '{root}/.' '%{{buildroot}}/'

%files
%defattr(-,root,root,-)
/usr/bin/wherefore
/usr/lib/systemd/system/wherefore.service
%config(noreplace) /{CONFIGURATION}
/usr/share/bash-completion/completions/wherefore
/usr/share/zsh/site-functions/_wherefore
/usr/share/fish/vendor_completions.d/wherefore.fish
/usr/share/man/man1/*
/usr/share/doc/wherefore

%post
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi

%preun
if [ $1 -eq 0 ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now wherefore.service || :
fi

%postun
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
"
    )
}
