//! `--status`: codes and classes.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// One code or class: `403`, `5xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern {
    Code(u16),
    Class(u16),
}

/// One `--status` value: `403,429,5xx`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusList(Vec<Pattern>);

/// Why a text is no list of statuses.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StatusError {
    /// Neither a code nor a class.
    #[error("{0:?} is no status: give codes from 100 to 599 or classes like 5xx, as in 403,429,5xx")]
    NoStatus(String),
    /// Nothing but commas.
    #[error("no status is left: give codes from 100 to 599 or classes like 5xx, as in 403,429,5xx")]
    Empty,
}

impl FromStr for StatusList {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let patterns: Vec<Pattern> = items.map(pattern).collect::<Result<_, _>>()?;
        if patterns.is_empty() { Err(StatusError::Empty) } else { Ok(Self(patterns)) }
    }
}

fn pattern(item: &str) -> Result<Pattern, StatusError> {
    let lower = item.to_ascii_lowercase();
    let digits = lower.strip_suffix("xx");
    let number = digits.unwrap_or(&lower);
    let number = if number.bytes().all(|byte| byte.is_ascii_digit()) { number.parse().ok() } else { None };
    match (number, digits) {
        (Some(class @ 1..=5), Some(_)) => Ok(Pattern::Class(class)),
        (Some(code @ 100..=599), None) => Ok(Pattern::Code(code)),
        _ => Err(StatusError::NoStatus(item.to_owned())),
    }
}

impl StatusList {
    /// Whether a status is one of these.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Code(code) => status == *code,
            Pattern::Class(class) => status / 100 == *class,
        })
    }

    /// All codes that are one of these, ascending.
    pub fn codes(&self) -> impl Iterator<Item = u16> {
        (100..=599).filter(|code| self.contains(*code))
    }

    /// Codes and classes, as in `Start.statuses`.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "{code}"),
            Self::Class(class) => write!(formatter, "{class}xx"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_classes() {
        let list: StatusList = "403, 429 ,5XX".parse().unwrap();
        let check = |status, expected| assert_eq!(list.contains(status), expected, "{status}");
        check(403, true);
        check(429, true);
        check(500, true);
        check(599, true);
        check(404, false);
        check(200, false);
        assert_eq!(list.names().collect::<Vec<_>>(), ["403", "429", "5xx"]);
        assert_eq!(list.codes().collect::<Vec<_>>(), [403, 429].into_iter().chain(500..=599).collect::<Vec<_>>());
    }

    #[test]
    fn each_way_to_fail() {
        let check = |text: &str, expected: StatusError| assert_eq!(text.parse::<StatusList>(), Err(expected));
        let no_status = |text: &str| StatusError::NoStatus(text.to_owned());
        for text in ["0", "99", "600", "5x", "xx", "6xx", "0xx", "50xx", "ok", "-5xx", "+403"] {
            check(text, no_status(text));
        }
        check("", StatusError::Empty);
        check(",", StatusError::Empty);
    }
}
