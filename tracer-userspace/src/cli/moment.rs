//! Spans and moments as people type them.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};
use thiserror::Error;

/// Why a text is no span of time.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SpanError {
    /// Not a number with a unit.
    #[error("this is no span of time: give numbers with units, as in 500ms, 10s, 1m30s or 2h")]
    NoSpan,
    /// Zero or less.
    #[error("the span must be longer than zero")]
    NotPositive,
}

/// Reads `500ms`, `10s`, `1m30s`, `2h`, `1d`; longer than zero.
///
/// # Errors
/// [`SpanError`].
pub fn span(text: &str) -> Result<Duration, SpanError> {
    let span: Span = text.trim().parse().map_err(|_cause| SpanError::NoSpan)?;
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_cause| SpanError::NoSpan)?;
    let duration = Duration::try_from(signed).map_err(|_cause| SpanError::NotPositive)?;
    if duration.is_zero() { Err(SpanError::NotPositive) } else { Ok(duration) }
}

/// `--since`, `--until`: a moment of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// RFC 3339.
    At(Timestamp),
    /// `HH:MM[:SS]`, UTC, on the trace's last day.
    TimeOfDay(Time),
    /// This long before the trace's end.
    BeforeEnd(Duration),
}

/// The text is no moment.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "this is no moment: give RFC 3339 (2026-11-21T12:03:00Z), HH:MM[:SS] in UTC on the trace's last day, or how long \
     before its end (15m)"
)]
pub struct NoMoment;

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        if let Some(time) = time_of_day(text) {
            return Ok(Self::TimeOfDay(time));
        }
        if let Ok(duration) = span(text) {
            return Ok(Self::BeforeEnd(duration));
        }
        text.parse().map(Self::At).map_err(|_cause| NoMoment)
    }
}

/// `HH:MM` or `HH:MM:SS`, with two digits each, and perhaps a fraction.
fn time_of_day(text: &str) -> Option<Time> {
    let format = if text.len() == 5 { "%H:%M" } else { "%H:%M:%S%.f" };
    let two_digits = text.split(':').all(|part| part.len() >= 2);
    if two_digits { Time::strptime(format, text).ok() } else { None }
}

impl Moment {
    /// The moment in a trace that ends at `end`.
    #[must_use]
    pub fn resolve(self, end: Timestamp) -> Timestamp {
        match self {
            Self::At(timestamp) => timestamp,
            Self::TimeOfDay(time) => {
                let last_day = end.to_zoned(TimeZone::UTC).date();
                last_day.to_datetime(time).to_zoned(TimeZone::UTC).map_or(end, |zoned| zoned.timestamp())
            }
            Self::BeforeEnd(duration) => end.saturating_sub(duration).unwrap_or(Timestamp::MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let check = |text: &str, ms| assert_eq!(span(text), Ok(Duration::from_millis(ms)), "{text}");
        check("10s", 10_000);
        check("500ms", 500);
        check("1m30s", 90_000);
        check("1m 30s", 90_000);
        check("2h", 7_200_000);
        check("1d", 86_400_000);
        check("1.5s", 1_500);
        for text in ["", "10", "s", "ten seconds", "10x", "1mo", "1y"] {
            assert_eq!(span(text), Err(SpanError::NoSpan), "{text}");
        }
        for text in ["0s", "-1s"] {
            assert_eq!(span(text), Err(SpanError::NotPositive), "{text}");
        }
    }

    #[test]
    fn moments() {
        let end: Timestamp = "2026-11-21T12:03:41.5Z".parse().unwrap();
        let check = |text: &str, expected: &str| {
            let moment: Moment = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(moment.resolve(end), expected.parse().unwrap(), "{text}");
        };
        check("2026-11-20T01:02:03Z", "2026-11-20T01:02:03Z");
        check("2026-11-20T01:02:03.25+02:00", "2026-11-19T23:02:03.25Z");
        check("12:03", "2026-11-21T12:03:00Z");
        check("23:59:59", "2026-11-21T23:59:59Z");
        check("00:00", "2026-11-21T00:00:00Z");
        check("15m", "2026-11-21T11:48:41.5Z");
        check("1d", "2026-11-20T12:03:41.5Z");
        for text in ["", "noon", "24:00", "9:00", "12:60", "2026-11-20", "2026-11-20T01:02:03", "15"] {
            assert_eq!(text.parse::<Moment>(), Err(NoMoment), "{text}");
        }
    }
}
