//! Signs on a guest's console that its kernel was damaged.

/// What a kernel prints when it, not the program under test, has failed.
const SIGNS: [&str; 9] = [
    "Kernel panic",
    "Oops",
    "BUG: ",
    "kernel BUG at",
    "general protection fault",
    "Unable to handle kernel",
    "double fault",
    "invalid opcode: 0000",
    "initrd: ",
];

/// The first line that tells of damage.
pub(super) fn damage(console: &str) -> Option<&str> {
    console.lines().find(|line| SIGNS.iter().any(|sign| line.contains(sign))).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_found() {
        for (console, found) in [
            ("", None),
            ("[    1.0] random: crng init done\nvm-init: done\n", None),
            ("a\n[ 3.1] BUG: kernel NULL pointer dereference\nb", Some("[ 3.1] BUG: kernel NULL pointer dereference")),
            ("[ 3.2] Oops: 0000 [#1] SMP\r\n", Some("[ 3.2] Oops: 0000 [#1] SMP")),
            ("[ 9.9] Kernel panic - not syncing: sysrq", Some("[ 9.9] Kernel panic - not syncing: sysrq")),
            (
                "[ 2.0] watchdog: BUG: soft lockup - CPU#0 stuck",
                Some("[ 2.0] watchdog: BUG: soft lockup - CPU#0 stuck"),
            ),
        ] {
            assert_eq!(damage(console), found);
        }
    }
}
