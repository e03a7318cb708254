use super::*;

#[test]
fn neighbour_states() {
    let check = |state: u16, expected| assert_eq!(neighbour_of(state.into()), expected, "{state:#x}");
    check(0x00, Neighbour::Unknown);
    check(0x01, Neighbour::Incomplete);
    for resolved in [0x02, 0x04, 0x08, 0x10, 0x40, 0x80] {
        check(resolved, Neighbour::Resolved);
    }
    check(0x20, Neighbour::Failed);
    check(0x03, Neighbour::Unknown);
}

#[test]
fn a_route_that_rejects_is_its_error() {
    let check = |kind, expected| {
        let mut message = RouteMessage::default();
        message.header.kind = kind;
        assert_eq!(read_route(&message).error, expected, "{kind:?}");
    };
    check(RouteType::Unicast, 0);
    check(RouteType::Local, 0);
    check(RouteType::Unreachable, 113);
    check(RouteType::Prohibit, 13);
    check(RouteType::BlackHole, 22);
    check(RouteType::Throw, 101);
}

#[test]
fn an_ipv4_route_may_go_by_an_ipv6_gateway() {
    let mut message = RouteMessage::default();
    message.header.kind = RouteType::Unicast;
    let gateway = "fe80::1".parse().unwrap();
    message.attributes = vec![RouteAttribute::Oif(7), RouteAttribute::Via(RouteVia::Inet6(gateway))];
    let expected = Route { error: 0, local: false, gateway: Some(gateway.into()), interface: Some(7) };
    assert_eq!(read_route(&message), expected);
}
