//! The few system calls that neither `std` nor the ring offers.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn offset(bytes: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(bytes).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "length beyond the system's range")
    })
}

/// Cuts or extends a file.
pub(crate) fn set_len(fd: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    let len = offset(len)?;
    #[expect(unsafe_code, reason = "system call")]
    // SAFETY: the borrowed descriptor is open for the whole call; no memory is passed.
    let result = unsafe { libc::ftruncate(fd.as_raw_fd(), len) };
    check(result)
}

/// Reserves disk blocks for the first `len` bytes and makes the file at least that long.
pub(crate) fn allocate(fd: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    let len = offset(len)?;
    #[expect(unsafe_code, reason = "system call")]
    // SAFETY: the borrowed descriptor is open for the whole call; no memory is passed.
    let result = unsafe { libc::fallocate(fd.as_raw_fd(), 0, 0, len) };
    check(result)
}

/// Bytes an unprivileged process may still write on the filesystem that holds `path`.
pub(crate) fn available_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    #[expect(unsafe_code, reason = "system call")]
    // SAFETY: `path` ends in a zero byte and `stat` has room for the structure; both outlive the call.
    let result = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) };
    check(result)?;
    #[expect(
        unsafe_code,
        reason = "plain integers, zeroed before and filled by a call that succeeded"
    )]
    // SAFETY: every bit pattern, and so the zeroed one, is a valid `statvfs`.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// A new eventfd with the count zero.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    #[expect(unsafe_code, reason = "system call")]
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    check(fd)?;
    #[expect(unsafe_code, reason = "takes ownership of the new descriptor")]
    // SAFETY: the call succeeded, so `fd` is open and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds the calling thread to one core.
pub(crate) fn pin_to_core(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such core"));
    }
    #[expect(unsafe_code, reason = "a C bit set has no constructor")]
    // SAFETY: all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    #[expect(unsafe_code, reason = "fills a C bit set")]
    // SAFETY: `core` is below the number of bits in the set.
    unsafe {
        libc::CPU_SET(core, &mut set);
    }
    #[expect(unsafe_code, reason = "system call")]
    // SAFETY: `set` is initialised and outlives the call; thread 0 means the caller.
    let result =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    check(result)
}

/// `struct sched_attr` of the kernel in its first version.
#[repr(C)]
#[derive(Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// How the calling thread shares its core.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Share {
    /// In slices of so many nanoseconds, all else as it is. Linux 6.12 and newer heed it.
    Slices(u64),
    /// Only what others leave, or nearly so.
    Background,
}

/// The niceness that gives way to others, and still gets a thirtieth of a core that is wanted by one of them.
const NICE: i32 = 15;

/// Asks that the calling thread be scheduled like that.
pub(crate) fn set_share(share: Share) -> io::Result<()> {
    let mut attr = SchedAttr::default();
    let size = size_of::<SchedAttr>() as libc::c_uint;
    #[expect(unsafe_code, reason = "system call")]
    // SAFETY: `attr` has room for the `size` bytes that are written; thread 0 means the caller.
    let result = unsafe {
        libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size, 0 as libc::c_uint)
    };
    check(result as libc::c_int)?;
    attr.size = size;
    match share {
        Share::Slices(nanos) => attr.runtime = nanos,
        Share::Background => attr.nice = NICE,
    }
    #[expect(unsafe_code, reason = "system call")]
    // SAFETY: `attr` is initialised, says its size, and outlives the call; thread 0 means the caller.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0 as libc::c_uint) };
    check(result as libc::c_int)
}

/// Bytes of memory the process may lock, or `None` when unlimited.
pub(crate) fn memlock_limit_bytes() -> io::Result<Option<u64>> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    #[expect(unsafe_code, reason = "system call")]
    // SAFETY: `limit` is valid for the whole call.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    check(result)?;
    Ok((limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur))
}
