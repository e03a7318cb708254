//! Strings from the network, the kernel or another process, made safe to print.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character could move the cursor, colour the terminal, or show text in another order
/// than it has.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Whether no such character is in it. Nearly all text is printable ASCII, which is told at a glance.
fn is_all_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(is_unsafe)
}

/// The text with every such character written as an escape.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if is_all_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// A JSON text with such characters written as `\uXXXX`. JSON itself asks for that only below
/// U+0020; in a JSON text the others can stand only inside a string, so the meaning stays.
#[must_use]
pub(super) fn plain_json(text: String) -> String {
    if is_all_plain(&text) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) {
            // all of them are below U+10000: one escape each; writing to a string cannot fail
            write!(out, "\\u{:04x}", u32::from(character)).ok();
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let check = |text: &str, expected: &str| assert_eq!(plain(text), expected);
        check("/orders/7", "/orders/7");
        check("größe 大", "größe 大");
        check("\x1b[2Jgone", "\\u{1b}[2Jgone");
        check("a\nb\rc\td", "a\\nb\\rc\\td");
        check("del\x7f csi\u{9b}31m", "del\\u{7f} csi\\u{9b}31m");
        check("rtl\u{202e}fdp.exe", "rtl\\u{202e}fdp.exe");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let original = "a\u{9b}b\u{7f}\u{202e}c\x1b";
        let text = plain_json(serde_json::to_string(original).unwrap());
        assert!(!text.contains(is_unsafe), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), original);
    }
}
