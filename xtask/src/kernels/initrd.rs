//! The initrd of a run: busybox, the init scripts and the kernel's drivers in one cpio archive
//! ("newc", as the kernel's buffer-format document describes it).

use anyhow::{Context as _, Result};

use super::kernel_image::KernelImage;

const INIT: &str = include_str!("guest/initrd-init.sh");
const VM_INIT: &str = include_str!("guest/vm-init.sh");
const FOLDERS: [&str; 10] = ["bin", "modules", "proc", "sys", "dev", "userland", "overlay", "root", "run", "tmp"];

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// The archive for one kernel.
pub(super) fn make(kernel: &KernelImage, busybox: &[u8]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.add(folder, FOLDER, &[])?;
    }
    archive.add("init", PROGRAM, INIT.as_bytes())?;
    archive.add("vm-init", PROGRAM, VM_INIT.as_bytes())?;
    archive.add("bin/busybox", PROGRAM, busybox)?;
    archive.add("bin/sh", LINK, b"busybox")?;
    let mut order = String::new();
    for (name, driver) in kernel.drivers()? {
        archive.add(&format!("modules/{name}"), PROGRAM, &driver)?;
        order.push_str(&name);
        order.push('\n');
    }
    archive.add("modules/order", PROGRAM, order.as_bytes())?;
    archive.end()
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(content.len()).with_context(|| format!("{name} is too large for an initrd"))?;
        let name_size = u32::try_from(name.len() + 1).context("a name too long for an initrd")?;
        // magic, then ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        self.bytes.extend_from_slice(b"070701");
        for field in [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
        Ok(())
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn end(mut self) -> Result<Vec<u8>> {
        self.add("TRAILER!!!", 0, &[])?;
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn cpio_reads_the_archive() {
        let mut archive = Archive::default();
        archive.add("bin", FOLDER, &[]).unwrap();
        archive.add("bin/tool", PROGRAM, b"abcde").unwrap();
        archive.add("bin/sh", LINK, b"tool").unwrap();
        let bytes = archive.end().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.starts_with(b"070701") && bytes.windows(6).any(|part| part == b"abcde\0"));
        let fields: Vec<_> = ["00000009", "00000005"].iter().map(|field| field.as_bytes()).collect();
        assert!(fields.iter().all(|field| bytes.windows(8).any(|part| part == *field)), "name and file sizes");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("initrd");
        std::fs::write(&file, &bytes).unwrap();
        let Ok(list) = Command::new("cpio").args(["-it", "--quiet", "-F"]).arg(&file).output() else { return };
        assert_eq!(String::from_utf8(list.stdout).unwrap(), "bin\nbin/tool\nbin/sh\n");
    }
}
