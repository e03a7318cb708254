//! Files whose recorder was killed in the midst of a write: cut back to their last whole frame, so
//! that they end where their records end.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::format::{FILE_HEADER_LEN, FRAME_HEADER_LEN, Frame, NoFrame, Opening, opening};
use super::retention::traces;

/// A file that was torn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The file.
    pub path: PathBuf,
    /// Bytes that were cut off its end.
    pub cut: u64,
    /// Nothing whole was in it: it is gone.
    pub removed: bool,
}

/// Looks through a directory whose lock is held. A file that cannot be read or changed stays as it is.
///
/// # Errors
/// What the system says of the directory.
pub(super) fn seal_torn(directory: &Path) -> io::Result<Vec<Sealed>> {
    let mut paths = traces(directory)?;
    paths.sort_unstable();
    Ok(paths.into_iter().filter_map(|path| seal(path).ok().flatten()).collect())
}

fn seal(path: PathBuf) -> io::Result<Option<Sealed>> {
    if !fs::symlink_metadata(&path)?.is_file() {
        return Ok(None);
    }
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    let len = file.metadata()?.len();
    let Some(whole) = whole(&file, len)?.filter(|whole| *whole < len || *whole == 0) else { return Ok(None) };
    let cut = len.saturating_sub(whole);
    if whole == 0 {
        fs::remove_file(&path)?;
    } else {
        file.set_len(whole)?;
        file.sync_all()?;
    }
    Ok(Some(Sealed { path, cut, removed: whole == 0 }))
}

/// How much of a file is whole. `None` if it is not torn but something else: then it is not touched.
fn whole(file: &File, len: u64) -> io::Result<Option<u64>> {
    let mut header = [0; FILE_HEADER_LEN];
    let got = read_at_most(file, &mut header, 0)?;
    if got == 0 {
        // made, and never written
        return Ok((len == 0).then_some(0));
    }
    let mut at = match opening(header.get(..got).unwrap_or_default()) {
        Opening::Header(body_end) => u64::try_from(body_end).unwrap_or(u64::MAX),
        Opening::Cut => return Ok(Some(0)),
        Opening::Newer(_) | Opening::Foreign | Opening::Damaged => return Ok(None),
    };
    if at > len {
        return Ok(Some(0));
    }
    let mut frame_header = [0; FRAME_HEADER_LEN];
    while at < len {
        let got = read_at_most(file, &mut frame_header, at)?;
        let frame = match Frame::parse(frame_header.get(..got).unwrap_or_default()) {
            Ok(frame) => frame,
            Err(NoFrame::Short) => return Ok(Some(at)),
            // damage, with frames behind it perhaps
            Err(NoFrame::Marker | NoFrame::Length) => return Ok(None),
        };
        let end = at.saturating_add(u64::try_from(frame.len()).unwrap_or(u64::MAX));
        if end > len {
            return Ok(Some(at));
        }
        at = end;
    }
    Ok(Some(at))
}

fn read_at_most(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at.saturating_add(u64::try_from(got).unwrap_or(u64::MAX))) {
            Ok(0) => break,
            Ok(count) => got = got.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::super::tests::small;
    use super::*;

    /// A power cut may leave any number of bytes: all whole frames stay, nothing torn does.
    #[test]
    fn a_file_cut_anywhere_is_sealed_behind_its_last_whole_frame() {
        let written = small(3);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wherefore-web-1.wft");
        for cut in 0..=written.bytes.len() {
            fs::write(&path, &written.bytes[..cut]).unwrap();
            let ends = written.ranges.iter().map(|range| range.end).chain([written.ranges[0].start]);
            let whole = ends.filter(|end| *end <= cut).max().unwrap_or(0);
            let sealed = seal_torn(directory.path()).unwrap();
            let removed = whole == 0;
            if cut == whole && !removed {
                assert_eq!(sealed, [], "{cut}");
            } else {
                let gone = u64::try_from(cut - whole).unwrap();
                assert_eq!(sealed, [Sealed { path: path.clone(), cut: gone, removed }], "{cut}");
            }
            if removed {
                assert!(!path.exists());
            } else {
                assert_eq!(fs::read(&path).unwrap(), written.bytes[..whole], "{cut}");
            }
        }
    }

    #[test]
    fn damage_foreign_files_and_newer_ones_are_left_alone() {
        let written = small(3);
        let directory = tempfile::tempdir().unwrap();
        let mut damaged = written.bytes.clone();
        damaged[written.ranges[1].start + 2] ^= 1;
        let mut newer = written.bytes.clone();
        for (at, byte) in [(8, 2), (9, 0), (12, !2), (13, !0)] {
            newer[at] = byte;
        }
        newer.pop();
        for (name, bytes) in [("a", &damaged[..]), ("b", b"something else"), ("c", &newer)] {
            fs::write(directory.path().join(format!("wherefore-{name}.wft")), bytes).unwrap();
        }
        fs::write(directory.path().join("web-1.wft"), &written.bytes[..written.bytes.len() - 1]).unwrap();
        assert_eq!(seal_torn(directory.path()).unwrap(), []);
    }
}
