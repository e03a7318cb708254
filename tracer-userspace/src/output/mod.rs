//! What people and programs read: verdict lines, JSON lines, summaries, status.
//!
//! Everything here turns values into text; nothing here knows terminals, files or clocks.

mod fold;
mod human;
mod json;
pub mod listeners;
mod meaning;
mod printer;
pub mod ready;
#[cfg(test)]
pub(crate) mod samples;
pub mod status;
mod style;
mod summary;
mod text;
mod wall;
mod words;

pub use human::HumanOptions;
pub use json::MAX_CAUSES;
pub use meaning::meaning;
pub use printer::Printer;
pub use style::Styles;
#[cfg(feature = "capture")]
pub(crate) use summary::replay_command;
pub use text::plain;
pub use wall::WallClock;
