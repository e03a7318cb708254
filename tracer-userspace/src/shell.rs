//! Words of a shell's command line, for commands that people are told to type: what comes from the network, or from
//! whoever names files and units, stays one word and no command of its own.

/// This text as one word.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-+:@%,".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word() {
        let check = |text: &str, expected: &str| assert_eq!(word(text), expected);
        check("/var/lib/a-1_b.wft", "/var/lib/a-1_b.wft");
        check("app@eu:8080.service", "app@eu:8080.service");
        check("", "''");
        check("a b", "'a b'");
        check("it's", r"'it'\''s'");
        check(r"a\x2db.service", r"'a\x2db.service'");
        check("http://10.9.2.2:80/$(reboot);`id`&", "'http://10.9.2.2:80/$(reboot);`id`&'");
    }
}
