//! Statistics that a network driver keeps of a device (`ethtool -S`), over the ioctl that every driver
//! answers: netlink has only those that all devices share.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd as _};

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `SIOCETHTOOL` (include/uapi/linux/sockios.h).
const SIOCETHTOOL: u32 = 0x8946;
/// Commands of include/uapi/linux/ethtool.h.
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
/// The set of the driver's statistics.
const ETH_SS_STATS: u32 = 1;
/// `ETH_GSTRING_LEN`
const STRING_LEN: usize = 32;
/// `IFNAMSIZ`, the final zero included.
const NAME_LEN: usize = 16;
/// Statistics of one device, at most: a driver with a hundred queues has some thousands. There is
/// always room for so many: the kernel writes as many as there are by then, whatever it was asked for.
/// What is not written to stays out of memory.
const STATISTICS_MAX: u32 = 65_536;

/// `struct ethtool_sset_info` for one set.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct SetInfo {
    command: u32,
    reserved: u32,
    mask: u64,
    count: u32,
    padding: u32,
}

/// Names of a device's statistics, in the order of their values; empty if its driver has none.
///
/// # Errors
/// The device is gone, or the kernel refuses.
pub(super) fn names(socket: impl AsFd, device: &str) -> io::Result<Vec<String>> {
    let mut info = SetInfo { command: ETHTOOL_GSSET_INFO, reserved: 0, mask: 1 << ETH_SS_STATS, count: 0, padding: 0 };
    match ask(&socket, device, info.as_mut_bytes()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    // a set that the driver does not have is taken out of the mask
    let count = if info.mask == 0 { 0 } else { info.count.min(STATISTICS_MAX) };
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut buffer = request(&[ETHTOOL_GSTRINGS, ETH_SS_STATS, count], STRING_LEN);
    ask(&socket, device, &mut buffer)?;
    let strings = buffer.get(3 * size_of::<u32>()..).unwrap_or_default();
    Ok(strings.chunks_exact(STRING_LEN).take(answered(&buffer, 2)).map(text).collect())
}

/// The values of a device's statistics, of which there were `count`.
///
/// # Errors
/// The device is gone, or the kernel refuses.
pub(super) fn values(socket: impl AsFd, device: &str, count: usize) -> io::Result<Vec<u64>> {
    let mut buffer = request(&[ETHTOOL_GSTATS, u32::try_from(count).unwrap_or(STATISTICS_MAX)], size_of::<u64>());
    ask(socket, device, &mut buffer)?;
    let values = buffer.get(2 * size_of::<u32>()..).unwrap_or_default();
    let values = values.chunks_exact(size_of::<u64>()).filter_map(|bytes| u64::read_from_bytes(bytes).ok());
    Ok(values.take(answered(&buffer, 1)).collect())
}

/// A command's words, and room for the longest answer of elements of so many bytes.
fn request(words: &[u32], element: usize) -> Vec<u8> {
    let room = usize::try_from(STATISTICS_MAX).unwrap_or(0).saturating_mul(element);
    let mut buffer = vec![0; words.as_bytes().len().saturating_add(room)];
    if let Some(place) = buffer.get_mut(..words.as_bytes().len()) {
        place.copy_from_slice(words.as_bytes());
    }
    buffer
}

/// How many elements the answer has, which word `at` says.
fn answered(buffer: &[u8], at: usize) -> usize {
    let word = buffer.chunks_exact(size_of::<u32>()).nth(at).and_then(|bytes| u32::read_from_bytes(bytes).ok());
    usize::try_from(word.unwrap_or(0).min(STATISTICS_MAX)).unwrap_or(0)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// `struct ifreq` with a pointer to the command.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_LEN],
    data: *mut libc::c_void,
    /// The rest of the union (24 bytes on 64-bit machines).
    rest: [u64; 2],
}

/// One command about a device. The kernel reads and writes `buffer` as the command says, and where the
/// answer's length is its own to say, there is room for [`STATISTICS_MAX`].
fn ask(socket: impl AsFd, device: &str, buffer: &mut [u8]) -> io::Result<()> {
    let mut name = [0; NAME_LEN];
    match name.get_mut(..device.len()).filter(|name| name.len() < NAME_LEN) {
        Some(place) => place.copy_from_slice(device.as_bytes()),
        None => return Err(io::Error::from_raw_os_error(libc::ENODEV)),
    }
    let mut interface = InterfaceRequest { name, data: buffer.as_mut_ptr().cast(), rest: [0; 2] };
    // SAFETY: the kernel copies a struct ifreq, which has this layout, and reaches through its pointer
    // into `buffer`, which lives and is borrowed mutably during the call
    let outcome = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCETHTOOL.into(), &raw mut interface) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::super::inside;
    use super::super::lab::{LabNamespace, connect};
    use super::super::{Host, Selection};
    use super::*;
    use crate::capture::clock::boot_time;

    #[test]
    fn a_veth_device_has_statistics_and_loopback_has_none() {
        let Some(left) = LabNamespace::new("statistics") else { return };
        let Some(right) = LabNamespace::new("statistics") else { return };
        connect(&left, &right);
        let mut host = Host::open(&[], boot_time()).unwrap();
        assert_eq!(host.selection(), &Selection::All);
        let socket = inside(left.of(&mut host), || std::net::UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
        let names = names(&socket, "veth0").unwrap();
        assert_eq!(names.first().map(String::as_str), Some("peer_ifindex"), "{names:?}");
        let values = values(&socket, "veth0", names.len()).unwrap();
        assert_eq!(values.len(), names.len());
        assert!(values[0] > 0, "{values:?}");
        assert_eq!(super::names(&socket, "lo").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for name in ["nosuchdevice0", "a-name-that-is-far-too-long", ""] {
            assert!(names(&socket, name).is_err(), "{name:?}");
        }
    }
}
