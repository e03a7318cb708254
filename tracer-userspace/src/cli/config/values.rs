//! Values as a file may write them: as on the command line, or as TOML would have it.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::cli::moment::span;
use crate::cli::size::{min_free, size};
use crate::trace::MinFree;

/// One item of a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Number(i64),
    Text(String),
}

/// One item, or a list of them.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number, a text, or a list of these is expected")]
enum Items {
    One(Item),
    Many(Vec<Item>),
}

impl Items {
    /// As the flag takes them: numbers as digits.
    fn texts(self) -> Vec<String> {
        let items = match self {
            Self::One(item) => vec![item],
            Self::Many(items) => items,
        };
        let text = |item| match item {
            Item::Number(number) => number.to_string(),
            Item::Text(text) => text,
        };
        items.into_iter().map(text).collect()
    }
}

/// `8080`, `"8080,9000-9010"` or `[8080, "9000-9010"]`: each item is read as the flag reads it.
pub(super) fn list<'de, D: Deserializer<'de>, T>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: FromStr<Err: Display>,
{
    let texts = Items::deserialize(from)?.texts();
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect::<Result<_, _>>().map(Some)
}

/// The same, all items as one comma list.
pub(super) fn joined<'de, D: Deserializer<'de>, T>(from: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
{
    Items::deserialize(from)?.texts().join(",").parse().map(Some).map_err(D::Error::custom)
}

/// `"10s"`.
pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    span(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

/// `"64MiB"`.
pub(super) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    size(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

/// `"5%"` or `"2GiB"`.
pub(super) fn share_or_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<MinFree>, D::Error> {
    min_free(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}
