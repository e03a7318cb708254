//! Amounts in words.

use std::time::Duration;

/// `1 record`, `2 records`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `3m 52s`, `410ms`: the two largest units.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds == 0 => format!("{}ms", duration.as_millis()),
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        let check = |count, expected: &str| assert_eq!(counted(count, "SYN"), expected);
        check(0, "0 SYNs");
        check(1, "1 SYN");
        check(2, "2 SYNs");
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let check = |ms, expected: &str| assert_eq!(span(Duration::from_millis(ms)), expected);
        check(0, "0ms");
        check(410, "410ms");
        check(59_999, "59s");
        check(232_500, "3m 52s");
        check(3_600_000, "1h 0m");
        check(90_000_000, "1d 1h");
    }
}
