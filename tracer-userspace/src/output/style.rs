//! The few colours there are.

use anstyle::{AnsiColor, Effects, Style};

/// Styles for terminals, or none at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Styles {
    /// A verdict that is certain.
    pub certain: Style,
    /// A verdict that is likely.
    pub likely: Style,
    /// What matters in a line.
    pub strong: Style,
    /// What only frames it.
    pub dim: Style,
    /// What is as it should be.
    pub good: Style,
}

impl Styles {
    /// With colours, or plain.
    #[must_use]
    pub fn new(color: bool) -> Self {
        if !color {
            return Self::default();
        }
        Self {
            certain: AnsiColor::Red.on_default() | Effects::BOLD,
            likely: AnsiColor::Yellow.on_default() | Effects::BOLD,
            strong: Style::new().bold(),
            dim: Style::new().dimmed(),
            good: AnsiColor::Green.on_default(),
        }
    }
}

/// The text between a style's codes; just the text if the style is plain.
pub(super) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}
