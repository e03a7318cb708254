//! `--port`: commas, ranges, repeated.

use std::collections::BTreeSet;
use std::str::FromStr;

use thiserror::Error;

/// Most ports that can be watched in one run.
pub const PORTS_MAX: usize = tracer_ebpf::PORT_SLOTS as usize;

/// One `--port` value: `8080`, `8080,8443`, `9000-9010`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortList(BTreeSet<u16>);

/// Why a text is no list of ports.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PortError {
    /// Not a number from 1 to 65535.
    #[error("{0:?} is no port: give numbers from 1 to 65535, with commas or as a range, as in 8080,9000-9010")]
    NoPort(String),
    /// Not a single one, where that is wanted.
    #[error("{0:?} is not one port: give one number from 1 to 65535")]
    NotOne(String),
    /// The range ends before it begins.
    #[error("the range {first}-{last} is reversed: write {last}-{first}")]
    Reversed {
        /// Before the hyphen.
        first: u16,
        /// Behind it.
        last: u16,
    },
    /// Nothing but commas.
    #[error("no port is left: give numbers from 1 to 65535, as in 8080,9000-9010")]
    Empty,
    /// More ports than one run can watch.
    #[error("{0} ports are too many: one run watches at most {PORTS_MAX}")]
    TooMany(usize),
}

impl FromStr for PortList {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let mut ports = BTreeSet::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (first, last) = (port(first, item)?, port(last, item)?);
            if last < first {
                return Err(PortError::Reversed { first, last });
            }
            ports.extend(first..=last);
        }
        if ports.is_empty() { Err(PortError::Empty) } else { Ok(Self(ports)) }
    }
}

/// A port, without sign; `item` is what to complain of.
fn port(text: &str, item: &str) -> Result<u16, PortError> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.filter(|port| *port != 0).ok_or_else(|| PortError::NoPort(item.to_owned()))
}

/// One port, and no list.
///
/// # Errors
/// [`PortError::NotOne`].
pub fn one_port(text: &str) -> Result<u16, PortError> {
    port(text, text).map_err(|_no_port| PortError::NotOne(text.to_owned()))
}

impl PortList {
    /// All lists as one, ascending, each port once; empty if there is no list.
    #[must_use]
    pub fn union(lists: &[Self]) -> Vec<u16> {
        let ports: BTreeSet<u16> = lists.iter().flat_map(|list| &list.0).copied().collect();
        ports.into_iter().collect()
    }

    /// The ports to watch.
    ///
    /// # Errors
    /// [`PortError::TooMany`], [`PortError::Empty`].
    pub fn to_watch(lists: &[Self]) -> Result<Vec<u16>, PortError> {
        let ports = Self::union(lists);
        match ports.len() {
            0 => Err(PortError::Empty),
            1..=PORTS_MAX => Ok(ports),
            count => Err(PortError::TooMany(count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(texts: &[&str]) -> Result<Vec<u16>, PortError> {
        let lists: Result<Vec<PortList>, PortError> = texts.iter().map(|text| text.parse()).collect();
        PortList::to_watch(&lists?)
    }

    #[test]
    fn lists_and_ranges_are_sorted_and_each_port_is_there_once() {
        let check = |texts: &[&str], expected: &[u16]| assert_eq!(watched(texts).unwrap(), expected, "{texts:?}");
        check(&["8080"], &[8080]);
        check(&["8443,8080", "8080"], &[8080, 8443]);
        check(&["9000-9003,1"], &[1, 9000, 9001, 9002, 9003]);
        check(&[" 80 , 81 - 82 ,,"], &[80, 81, 82]);
        check(&["65535", "65535-65535"], &[65535]);
        assert_eq!(watched(&["1-64"]).unwrap().len(), 64);
    }

    #[test]
    fn each_way_to_fail() {
        let check =
            |texts: &[&str], expected: PortError| assert_eq!(watched(texts).unwrap_err(), expected, "{texts:?}");
        let no_port = |text: &str| PortError::NoPort(text.to_owned());
        check(&["0"], no_port("0"));
        check(&["65536"], no_port("65536"));
        check(&["http"], no_port("http"));
        check(&["+80"], no_port("+80"));
        check(&["-80"], no_port("-80"));
        check(&["80-"], no_port("80-"));
        check(&["1-2-3"], no_port("1-2-3"));
        check(&["80-0"], no_port("80-0"));
        check(&["80-79"], PortError::Reversed { first: 80, last: 79 });
        check(&[""], PortError::Empty);
        check(&[",,"], PortError::Empty);
        check(&[], PortError::Empty);
        check(&["1-64", "65"], PortError::TooMany(65));
        check(&["1-65535"], PortError::TooMany(65535));
    }
}
