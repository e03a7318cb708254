use netlink_packet_core::Parseable as _;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_sock_diag::inet::InetResponse;
use rustix::net::socketpair;

use super::*;

const DONE: u16 = 3;
const ERROR: u16 = 2;
const OVERRUN: u16 = 4;
const ADDRESS: u16 = 20;

/// A conversation with a kernel that has already said all it will say.
struct Scripted {
    netlink: Netlink,
    /// Open, so that our request can be sent.
    _kernel: OwnedFd,
}

fn with_answers(datagrams: &[Vec<u8>]) -> Scripted {
    let (ours, kernel) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).unwrap();
    set_socket_timeout(&ours, Timeout::Recv, Some(Duration::from_millis(1))).unwrap();
    for datagram in datagrams {
        send(&kernel, datagram, SendFlags::empty()).unwrap();
    }
    Scripted { netlink: Netlink { socket: ours, buffer: vec![0; BUFFER_LEN], sequence: 0 }, _kernel: kernel }
}

fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + payload.len()).unwrap();
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn done(sequence: u32) -> Vec<u8> {
    message(DONE, 0, sequence, &[0; 4])
}

fn request() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetAddress(AddressMessage::default())
}

fn dump(scripted: &mut Scripted) -> Result<Vec<u8>, NetlinkError> {
    scripted.netlink.dump(&request(), |kind, payload| {
        assert_eq!(kind, ADDRESS);
        match payload.first() {
            Some(0xff) => Err(DecodeError::from("damaged")),
            Some(0) => Ok(None),
            first => Ok(first.copied()),
        }
    })
}

#[test]
fn a_dump_goes_on_to_its_end() {
    let first = [message(ADDRESS, 2, 1, &[1; 5]), message(ADDRESS, 2, 1, &[2; 4]), message(ADDRESS, 2, 1, &[0; 4])];
    let second = [message(ADDRESS, 2, 1, &[3; 4]), done(1)];
    assert_eq!(dump(&mut with_answers(&[first.concat(), second.concat()])).unwrap(), [1, 2, 3]);
}

#[test]
fn answers_to_an_earlier_request_are_passed_over() {
    let stale = [message(ADDRESS, 2, 0, &[9; 4]), done(0)].concat();
    let answer = [message(ADDRESS, 2, 1, &[1; 4]), done(1)].concat();
    assert_eq!(dump(&mut with_answers(&[stale, answer])).unwrap(), [1]);
}

#[test]
fn an_interrupted_dump_is_made_again_but_not_for_ever() {
    let interrupted = |sequence| [message(ADDRESS, 2 | 0x10, sequence, &[1; 4]), done(sequence)].concat();
    let whole = [message(ADDRESS, 2, 2, &[2; 4]), done(2)].concat();
    assert_eq!(dump(&mut with_answers(&[interrupted(1), whole])).unwrap(), [2]);
    let always = [interrupted(1), interrupted(2), interrupted(3)];
    assert_eq!(dump(&mut with_answers(&always)).unwrap(), [1]);
}

#[test]
fn a_damaged_object_hides_no_other() {
    let answer = [message(ADDRESS, 2, 1, &[0xff; 4]), message(ADDRESS, 2, 1, &[1; 4]), done(1)].concat();
    assert_eq!(dump(&mut with_answers(&[answer])).unwrap(), [1]);
    let nothing_else = [message(ADDRESS, 2, 1, &[0xff; 4]), done(1)].concat();
    let error = dump(&mut with_answers(&[nothing_else])).unwrap_err();
    assert!(matches!(error, NetlinkError::Unreadable(_)), "{error:?}");
}

#[test]
fn each_error_is_told() {
    let failing = |datagrams: &[Vec<u8>]| dump(&mut with_answers(datagrams)).unwrap_err();
    assert!(matches!(failing(&[]), NetlinkError::TimedOut));
    let refusal = message(ERROR, 0, 1, &[&(-13_i32).to_ne_bytes()[..], &[0; 16]].concat());
    assert!(matches!(failing(std::slice::from_ref(&refusal)), NetlinkError::Refused { errno: 13 }));
    let late = message(DONE, 0, 1, &(-4_i32).to_ne_bytes());
    assert!(matches!(failing(&[late]), NetlinkError::Refused { errno: 4 }));
    assert!(matches!(failing(&[message(OVERRUN, 0, 1, &[])]), NetlinkError::Unreadable(_)));
    assert!(matches!(failing(&[vec![0; BUFFER_LEN + 4]]), NetlinkError::Unreadable(_)));
    let error = with_answers(&[refusal]).netlink.get(request()).unwrap_err();
    assert_eq!(error.to_string(), "the kernel refused: Permission denied (os error 13)");
}

#[test]
fn a_cut_or_damaged_datagram_is_an_error_and_no_panic() {
    let answer = [message(ADDRESS, 2, 1, &[1; 5]), message(ADDRESS, 2, 1, &[2; 4]), done(1)].concat();
    for len in 0..answer.len() {
        assert!(dump(&mut with_answers(&[answer[..len].to_vec()])).is_err(), "{len}");
    }
    for (index, damage) in (0..answer.len()).flat_map(|index| [1, 0x80, 0xff].map(|damage| (index, damage))) {
        let mut damaged = answer.clone();
        damaged[index] ^= damage;
        // what comes out is open: only that it comes out
        let outcome = with_answers(&[damaged]).netlink.dump(&request(), |_kind, payload| Ok(payload.first().copied()));
        assert!(outcome.is_err() || outcome.is_ok_and(|found| found.len() <= 3));
    }
}

/// The payloads the kernel gives here, to be damaged.
fn real_payloads() -> Vec<Vec<u8>> {
    let mut route = Netlink::open(None).unwrap();
    let keep = |_kind: u16, payload: &[u8]| Ok(Some(payload.to_vec()));
    let mut payloads = route.dump(&request(), keep).unwrap();
    payloads.extend(route.dump(&RouteNetlinkMessage::GetRoute(RouteMessage::default()), keep).unwrap());
    assert!(!payloads.is_empty());
    payloads
}

#[test]
fn parsers_of_real_payloads_do_not_panic_on_damage() {
    let mut parsed = 0;
    for payload in real_payloads().iter().take(20) {
        let cut = (0..payload.len()).map(|len| payload[..len].to_vec());
        let flipped = (0..payload.len()).flat_map(|index| {
            [0x01, 0x10, 0x80, 0xff].map(|damage| {
                let mut damaged = payload.clone();
                damaged[index] ^= damage;
                damaged
            })
        });
        for bytes in cut.chain(flipped).chain([payload.clone()]) {
            parsed += usize::from(AddressMessage::parse(&bytes[..]).is_ok());
            parsed += usize::from(RouteMessage::parse(&bytes[..]).is_ok());
            parsed += usize::from(InetResponse::parse(&bytes[..]).is_ok());
        }
    }
    assert!(parsed > 0);
}
