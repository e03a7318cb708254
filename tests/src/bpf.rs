//! Two-instruction eBPF programs that stand in the way of others: what drops each packet, or refuses each connect().
//!
//! They are made here, since no compiler is needed for them, and go with what holds their link.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};

/// Commands, kinds and places of bpf(2) (include/uapi/linux/bpf.h).
const PROG_LOAD: libc::c_int = 5;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LINK_CREATE: libc::c_int = 28;
const KIND_XDP: u32 = 6;
const KIND_CGROUP_SOCK_ADDR: u32 = 18;
const AT_CONNECT4: u32 = 10;
const AT_CONNECT6: u32 = 11;
const AT_XDP: u32 = 37;
/// `XDP_DROP`, and how the program is attached: in the driver, or behind it.
const XDP_DROP: i32 = 1;
const XDP_SKB_MODE: u32 = 1 << 1;
const XDP_DRIVER_MODE: u32 = 1 << 2;

/// A program that is attached for as long as this lives.
#[derive(Debug)]
pub struct Attached(#[expect(dead_code, reason = "the link goes with its descriptor")] OwnedFd);

/// The attributes of `BPF_PROG_LOAD`, as far as these programs need them.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    /// Log, its size and level, the kernel's version, flags, a name, an interface.
    log: [u32; 4],
    version_and_flags: [u32; 2],
    name: [u8; 16],
    interface: u32,
    place: u32,
}

/// The attributes of `BPF_LINK_CREATE`.
#[repr(C)]
#[derive(Default)]
struct Link {
    program: u32,
    /// A descriptor, or an interface's index.
    target: u32,
    place: u32,
    flags: u32,
    rest: [u64; 4],
}

/// The attributes of `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct Question {
    program: u32,
    length: u32,
    answer: u64,
}

/// bpf(2): a new descriptor.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the attributes are plain integers, as long as is said; what they point to outlives the call
    let returned = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    let fd = RawFd::try_from(returned).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the kernel has just made, and nobody else knows
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The name of a program in the kernel, its first 15 letters; `None` if there is no such program.
pub(crate) fn program_name(id: u32) -> Option<String> {
    /// `name` of `struct bpf_prog_info`.
    const NAME: std::ops::Range<usize> = 64..80;
    let program = bpf(PROG_GET_FD_BY_ID, &[id, 0, 0]).ok()?;
    let mut info = [0_u8; 256];
    let ask = Question { program: program.as_raw_fd().cast_unsigned(), length: 256, answer: info.as_mut_ptr() as u64 };
    // SAFETY: the kernel writes at most `length` bytes to `info`, which is that long and outlives the call
    let returned =
        unsafe { libc::syscall(libc::SYS_bpf, OBJ_GET_INFO_BY_FD, std::ptr::from_ref(&ask), size_of::<Question>()) };
    let name = info.get(NAME).filter(|_| returned == 0)?;
    let name = std::ffi::CStr::from_bytes_until_nul(name).ok()?.to_str().ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// A program that does nothing but return this.
fn returns(value: i32, kind: u32, place: u32) -> Result<OwnedFd> {
    // mov64 r0, value; exit
    let code: [u64; 2] = [0xb7 | u64::from(value.cast_unsigned()) << 32, 0x95];
    let license = c"GPL";
    let load = Load {
        kind,
        instructions: 2,
        code: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        place,
        ..Load::default()
    };
    bpf(PROG_LOAD, &load).context("loading a program of two instructions")
}

fn attach(program: &OwnedFd, target: u32, place: u32, flags: u32) -> Result<Attached> {
    let program = u32::try_from(program.as_raw_fd())?;
    let link = Link { program, target, place, flags, ..Link::default() };
    bpf(LINK_CREATE, &link).map(Attached).context("attaching a program")
}

/// Drops each packet that an interface of the present namespace receives: in its driver, or behind it.
///
/// # Errors
/// When there is no such interface, or the kernel refuses.
pub fn drop_all(interface: &str, in_driver: bool) -> Result<Attached> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let index = name_to_index(socket, interface).with_context(|| format!("looking for {interface}"))?;
    let program = returns(XDP_DROP, KIND_XDP, AT_XDP)?;
    attach(&program, index, AT_XDP, if in_driver { XDP_DRIVER_MODE } else { XDP_SKB_MODE })
}

/// Refuses each connect() of the processes in a control group (v2).
///
/// # Errors
/// When there is no such group, or the kernel refuses.
pub fn refuse_connections(group: &Path) -> Result<[Attached; 2]> {
    let group = File::open(group).with_context(|| format!("opening {}", group.display()))?;
    let target = u32::try_from(group.as_raw_fd())?;
    let refuse = |place| attach(&returns(0, KIND_CGROUP_SOCK_ADDR, place)?, target, place, 0);
    Ok([refuse(AT_CONNECT4)?, refuse(AT_CONNECT6)?])
}
