//! What ICMP (RFC 792, RFC 1812) and ICMPv6 (RFC 4443) errors say about a SYN.

/// What an error means for the attempt whose SYN it quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Protocol or port unreachable: TCP answers a closed port with a RST, so a firewall said this.
    Refused,
    /// Administratively prohibited: a firewall, or a router's prohibiting route.
    Prohibited,
    /// The host cannot be reached.
    HostUnreachable,
    /// There is no route.
    NetUnreachable,
    /// It went round until its hops were used up.
    TimeExceeded,
    /// No answer to a SYN: packet too big, parameter problem, redirects.
    None,
}

impl Meaning {
    /// Whether the error ends an attempt.
    pub(super) fn is_answer(self) -> bool {
        self != Self::None
    }

    /// Whether only somebody's rule says this.
    pub(super) fn is_refusal(self) -> bool {
        matches!(self, Self::Refused | Self::Prohibited)
    }
}

/// Type, code, meaning, name.
type Row = (u8, u8, Meaning, &'static str);

const V4: &[Row] = &[
    (3, 0, Meaning::NetUnreachable, "network unreachable"),
    (3, 1, Meaning::HostUnreachable, "host unreachable"),
    (3, 2, Meaning::Refused, "protocol unreachable"),
    (3, 3, Meaning::Refused, "port unreachable"),
    (3, 4, Meaning::None, "fragmentation needed"),
    (3, 5, Meaning::NetUnreachable, "source route failed"),
    (3, 6, Meaning::NetUnreachable, "destination network unknown"),
    (3, 7, Meaning::HostUnreachable, "destination host unknown"),
    (3, 8, Meaning::HostUnreachable, "source host isolated"),
    (3, 9, Meaning::Prohibited, "network administratively prohibited"),
    (3, 10, Meaning::Prohibited, "host administratively prohibited"),
    (3, 11, Meaning::NetUnreachable, "network unreachable for this type of service"),
    (3, 12, Meaning::HostUnreachable, "host unreachable for this type of service"),
    (3, 13, Meaning::Prohibited, "communication administratively prohibited"),
    (3, 14, Meaning::Prohibited, "host precedence violation"),
    (3, 15, Meaning::Prohibited, "precedence cutoff in effect"),
    (11, 0, Meaning::TimeExceeded, "time to live exceeded"),
    (11, 1, Meaning::None, "fragment reassembly time exceeded"),
];

const V6: &[Row] = &[
    (1, 0, Meaning::NetUnreachable, "no route to destination"),
    (1, 1, Meaning::Prohibited, "administratively prohibited"),
    (1, 2, Meaning::NetUnreachable, "beyond scope of source address"),
    (1, 3, Meaning::HostUnreachable, "address unreachable"),
    (1, 4, Meaning::Refused, "port unreachable"),
    (1, 5, Meaning::Prohibited, "source address failed ingress or egress policy"),
    (1, 6, Meaning::Prohibited, "reject route to destination"),
    (1, 7, Meaning::NetUnreachable, "error in source routing header"),
    (2, 0, Meaning::None, "packet too big"),
    (3, 0, Meaning::TimeExceeded, "hop limit exceeded"),
    (3, 1, Meaning::None, "fragment reassembly time exceeded"),
];

fn row(is_v4: bool, icmp_type: u8, icmp_code: u8) -> Option<&'static Row> {
    let table = if is_v4 { V4 } else { V6 };
    table.iter().find(|row| row.0 == icmp_type && row.1 == icmp_code)
}

/// What an error of this type and code means for a SYN.
pub(super) fn meaning(is_v4: bool, icmp_type: u8, icmp_code: u8) -> Meaning {
    row(is_v4, icmp_type, icmp_code).map_or(Meaning::None, |row| row.2)
}

/// The error in words, with its numbers.
pub(super) fn describe(is_v4: bool, icmp_type: u8, icmp_code: u8) -> String {
    let protocol = if is_v4 { "ICMP" } else { "ICMPv6" };
    match row(is_v4, icmp_type, icmp_code) {
        Some(row) => format!("{protocol} {} (type {icmp_type}, code {icmp_code})", row.3),
        None => format!("{protocol} type {icmp_type}, code {icmp_code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meanings_by_family() {
        let check = |is_v4, icmp_type, icmp_code, expected| {
            assert_eq!(meaning(is_v4, icmp_type, icmp_code), expected, "{is_v4} {icmp_type}/{icmp_code}");
        };
        check(true, 3, 0, Meaning::NetUnreachable);
        check(true, 3, 1, Meaning::HostUnreachable);
        check(true, 3, 3, Meaning::Refused);
        check(true, 3, 4, Meaning::None);
        check(true, 3, 13, Meaning::Prohibited);
        check(true, 11, 0, Meaning::TimeExceeded);
        check(true, 11, 1, Meaning::None);
        check(true, 1, 3, Meaning::None);
        check(false, 1, 0, Meaning::NetUnreachable);
        check(false, 1, 3, Meaning::HostUnreachable);
        check(false, 1, 4, Meaning::Refused);
        check(false, 1, 6, Meaning::Prohibited);
        check(false, 2, 0, Meaning::None);
        check(false, 3, 0, Meaning::TimeExceeded);
        check(false, 3, 3, Meaning::None);
    }

    #[test]
    fn unknown_errors_keep_their_numbers() {
        assert_eq!(describe(true, 3, 3), "ICMP port unreachable (type 3, code 3)");
        assert_eq!(describe(false, 200, 7), "ICMPv6 type 200, code 7");
        assert_eq!(meaning(true, 200, 7), Meaning::None);
    }
}
