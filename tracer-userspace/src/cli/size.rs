//! `--rotate-size`, `--keep-size`, `--min-free`: numbers of bytes, or a share of the disk.

use thiserror::Error;

use crate::trace::MinFree;

/// Why a text is no size.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SizeError {
    /// No number, or an unknown unit.
    #[error("this is no size: give a number with a unit, as in 64MiB, 1GiB or 500MB")]
    NoSize,
    /// Too little for a frame.
    #[error("this is too small: give 1KiB or more")]
    TooSmall,
    /// Neither a size nor a share.
    #[error("this is neither a share nor a size: give one like 5% or 2GiB")]
    NoShare,
}

/// Units, and how many bytes each is.
const UNITS: [(&str, u64); 13] = [
    ("", 1),
    ("B", 1),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("T", 1 << 40),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Reads a size of a file or of all files.
///
/// # Errors
/// [`SizeError`].
pub fn size(text: &str) -> Result<u64, SizeError> {
    match any_size(text) {
        Some(bytes) if bytes >= 1024 => Ok(bytes),
        Some(_) => Err(SizeError::TooSmall),
        None => Err(SizeError::NoSize),
    }
}

/// Reads how much room shall be left: `5%`, or a size; 0 is none.
///
/// # Errors
/// [`SizeError::NoShare`].
pub fn min_free(text: &str) -> Result<MinFree, SizeError> {
    let share = text.trim().strip_suffix('%').map(|number| number.trim_end().parse::<u8>());
    match share {
        Some(Ok(percent)) if percent <= 100 => Ok(MinFree::Percent(percent)),
        Some(_) => Err(SizeError::NoShare),
        None => any_size(text).map(MinFree::Bytes).ok_or(SizeError::NoShare),
    }
}

fn any_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim_start();
    let (_, bytes) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.parse::<u64>().ok()?.checked_mul(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |text, bytes| assert_eq!(size(text), Ok(bytes), "{text}");
        check("64MiB", 64 << 20);
        check("1 gib", 1 << 30);
        check("2T", 2 << 40);
        check("500MB", 500_000_000);
        check("4096", 4096);
        for text in ["", "MiB", "-1K", "1.5G", "12 parsecs", "99999999999999T", "5%"] {
            assert_eq!(size(text), Err(SizeError::NoSize), "{text}");
        }
        for text in ["0", "1023", "100B"] {
            assert_eq!(size(text), Err(SizeError::TooSmall), "{text}");
        }
    }

    #[test]
    fn rooms() {
        let check = |text, room| assert_eq!(min_free(text), Ok(room), "{text}");
        check("5%", MinFree::Percent(5));
        check("100 %", MinFree::Percent(100));
        check("0", MinFree::Bytes(0));
        check("2GiB", MinFree::Bytes(2 << 30));
        for text in ["", "%", "101%", "300%", "-5%", "half"] {
            assert_eq!(min_free(text), Err(SizeError::NoShare), "{text}");
        }
    }
}
