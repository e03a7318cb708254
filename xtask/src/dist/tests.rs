use std::{os::unix::fs::PermissionsExt as _, process::Output};

use super::*;
use crate::toolchain::executable;

/// The program that is packaged here: a script, so that nothing has to be built.
const PROGRAM: &str = "#!/bin/sh\necho \"wherefore $*\"\n";

/// Contents with a stand-in for the program and for what is generated.
fn contents(folder: &Path) -> Contents {
    let generated = folder.join("generated");
    for name in ["man/wherefore.1", "man/wherefore-record.1"] {
        tree::write(b".TH wherefore 1\n", &generated.join(name), 0o644).unwrap();
    }
    for name in ["wherefore.bash", "_wherefore", "wherefore.fish"] {
        tree::write(b"# completion\n", &generated.join("completions").join(name), 0o644).unwrap();
    }
    let program = folder.join("built");
    tree::write(PROGRAM.as_bytes(), &program, 0o755).unwrap();
    Contents { program, generated, version: "1.2.3".to_owned(), architecture: "x86_64".to_owned() }
}

/// Whether a tool is there; says that the test is skipped if not.
fn has(tool: &str, test: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = executable(tool, &std::env::split_paths(&path).collect::<Vec<_>>()).is_some();
    if !found {
        println!("skipped: {test}: {tool} is not installed");
    }
    found
}

fn dpkg(root: &Path, arguments: &[&str]) -> Output {
    let mut dpkg = std::process::Command::new("dpkg");
    dpkg.arg(format!("--root={}", root.display()));
    // the package is for one architecture, its scripts need no shell of the scratch root
    dpkg.args(["--force-architecture", "--force-script-chrootless", "--log=/dev/null"]);
    dpkg.args(arguments).output().unwrap()
}

#[track_caller]
fn succeeded(output: &Output) {
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {printed}{said}", output.status);
}

#[test]
fn the_deb_installs_starts_and_leaves() {
    const NAME: &str = "the_deb_installs_starts_and_leaves";
    if !has("dpkg", NAME) || !has("dpkg-deb", NAME) {
        return;
    }
    if !process::is_root() {
        println!("skipped: {NAME}: only root installs packages");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let package = deb::build(&contents(folder.path()), folder.path()).unwrap();
    assert_eq!(package.file_name().unwrap(), "wherefore_1.2.3_amd64.deb");
    let package = package.to_str().unwrap();
    let root = folder.path().join("root");
    for made in ["var/lib/dpkg/info", "var/lib/dpkg/updates"] {
        fs::create_dir_all(root.join(made)).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();

    succeeded(&dpkg(&root, &["--install", package]));
    let program = root.join("usr/bin/wherefore");
    let output = std::process::Command::new(&program).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "wherefore --version\n");
    for (installed, mode) in [
        ("usr/bin/wherefore", 0o755),
        ("usr/lib/systemd/system/wherefore.service", 0o644),
        ("etc/wherefore.toml", 0o644),
        ("usr/share/man/man1/wherefore-record.1.gz", 0o644),
        ("usr/share/zsh/vendor-completions/_wherefore", 0o644),
        ("usr/share/doc/wherefore/LICENSE-MIT", 0o644),
        ("usr/share", 0o755),
    ] {
        let found = fs::metadata(root.join(installed)).unwrap_or_else(|error| panic!("{installed}: {error}"));
        assert_eq!(found.permissions().mode() & 0o7777, mode, "{installed}");
    }

    // what the operator has changed outlasts removal, not purging
    fs::write(root.join("etc/wherefore.toml"), "port = 8080\n").unwrap();
    tree::write(b"trace", &root.join("var/log/wherefore/a.wft"), 0o640).unwrap();
    succeeded(&dpkg(&root, &["--remove", "wherefore"]));
    assert!(!program.exists() && !root.join("usr/lib/systemd/system/wherefore.service").exists());
    assert_eq!(fs::read_to_string(root.join("etc/wherefore.toml")).unwrap(), "port = 8080\n");
    assert!(root.join("var/log/wherefore/a.wft").exists());
    succeeded(&dpkg(&root, &["--purge", "wherefore"]));
    assert!(!root.join("etc/wherefore.toml").exists() && !root.join("var/log/wherefore").exists());
}

#[test]
fn the_tarball_holds_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let tarball = tarball::build(&contents(folder.path()), folder.path()).unwrap();
    let listed = process::read(std::process::Command::new("tar").args(["--list", "--file"]).arg(tarball)).unwrap();
    for file in ["usr/bin/wherefore", "etc/wherefore.toml", "usr/share/zsh/site-functions/_wherefore"] {
        assert!(listed.lines().any(|line| line == format!("wherefore-1.2.3-x86_64/{file}")), "{file}: {listed}");
    }
}

#[test]
fn the_rpm_holds_the_same_files() {
    const NAME: &str = "the_rpm_holds_the_same_files";
    if !has("rpmbuild", NAME) || !has("rpm", NAME) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let package = rpm::build(&contents(folder.path()), folder.path()).unwrap().unwrap();
    let mut query = std::process::Command::new("rpm");
    let listed = process::read(query.args(["--query", "--list", "--package"]).arg(package)).unwrap();
    for file in ["/usr/bin/wherefore", "/etc/wherefore.toml", "/usr/share/zsh/site-functions/_wherefore"] {
        assert!(listed.lines().any(|line| line == file), "{file}: {listed}");
    }
}

/// What the package does to its machine, from its own header: owners, modes, what is configuration, and
/// the scripts.
#[test]
fn the_rpm_says_what_it_installs() {
    const NAME: &str = "the_rpm_says_what_it_installs";
    if !has("rpmbuild", NAME) || !has("rpm", NAME) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let package = rpm::build(&contents(folder.path()), folder.path()).unwrap().unwrap();
    assert_eq!(package.file_name().unwrap(), "wherefore-1.2.3-1.x86_64.rpm");
    let query = |arguments: &[&str]| {
        let mut query = std::process::Command::new("rpm");
        process::read(query.args(["--query", "--package"]).args(arguments).arg(&package)).unwrap()
    };
    let modes = query(&["--queryformat", "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}\\n]"]);
    for line in [
        "/usr/bin/wherefore -rwxr-xr-x root",
        "/usr/lib/systemd/system/wherefore.service -rw-r--r-- root",
        "/etc/wherefore.toml -rw-r--r-- root",
    ] {
        assert!(modes.lines().any(|found| found == line), "{line}: {modes}");
    }
    assert_eq!(query(&["--configfiles"]).trim(), "/etc/wherefore.toml");
    let scripts = query(&["--scripts"]);
    for script in ["postinstall", "preuninstall", "postuninstall", "disable --now wherefore.service"] {
        assert!(scripts.contains(script), "{script}: {scripts}");
    }
    // nothing is asked of the machine but what rpm itself brings and the shell of its scripts
    let foreign = |line: &&str| !line.starts_with("rpmlib(") && !line.starts_with("config(") && *line != "/bin/sh";
    assert_eq!(query(&["--requires"]).lines().find(foreign), None);

    // the program in it is the one that was packaged
    let unpacked = folder.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let unpack = format!("rpm2cpio '{}' | cpio --quiet -idm", package.display());
    if has("cpio", NAME) {
        succeeded(&std::process::Command::new("sh").args(["-c", &unpack]).current_dir(&unpacked).output().unwrap());
        assert_eq!(fs::read_to_string(unpacked.join("usr/bin/wherefore")).unwrap(), PROGRAM);
    }
}

/// The unit, with a program and manual pages that are there.
#[test]
fn systemd_understands_the_unit() {
    const NAME: &str = "systemd_understands_the_unit";
    if !has("systemd-analyze", NAME) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = fs::read_to_string(workspace::root().join("dist/wherefore.service")).unwrap();
    let (with_program, replaced) =
        (unit.replace("/usr/bin/wherefore", "/bin/true"), unit.matches("/usr/bin/wherefore"));
    assert_eq!(replaced.count(), 1);
    let without_pages: String = with_program
        .lines()
        .filter(|line| !line.starts_with("Documentation=man:"))
        .fold(String::new(), |text, line| text + line + "\n");
    let path = folder.path().join("wherefore.service");
    fs::write(&path, without_pages).unwrap();
    let output = std::process::Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("wherefore"), "{said}");
}

/// systemd's own measure of how much a service may do, from 0 to 10. Raise it only with a reason.
#[test]
fn the_unit_is_locked_up_as_far_as_it_can_be() {
    const NAME: &str = "the_unit_is_locked_up_as_far_as_it_can_be";
    /// Tenths.
    const EXPOSURE_MAX: u32 = 40;
    if !has("systemd-analyze", NAME) {
        return;
    }
    let unit = workspace::root().join("dist/wherefore.service");
    let mut analyze = std::process::Command::new("systemd-analyze");
    analyze.args(["security", "--offline=yes", "--no-pager"]).arg(format!("--threshold={EXPOSURE_MAX}")).arg(unit);
    let output = analyze.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unrecognized option") {
        println!("skipped: {NAME}: this systemd cannot look at a unit that is not installed");
        return;
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("Overall exposure level"), "{printed}{said}");
    assert!(output.status.success(), "{printed}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let contents = Contents { program: folder.path().join("absent"), ..contents(folder.path()) };
    let error = tarball::build(&contents, folder.path()).unwrap_err();
    assert!(format!("{error:#}").contains("absent"), "{error:#}");
}
