//! A count that outlives the process that counts: it stands in a file that is mapped into memory,
//! so that counting takes no call of the system, and the last number is there after any kill.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr;
use std::sync::atomic::AtomicU64;

/// For the process that counts, from 0. It is there until the process ends.
pub(crate) fn counted_in(path: &Path) -> &'static AtomicU64 {
    let file = File::options().read(true).write(true).open(path).expect("the count's file");
    file.set_len(8).expect("room for a number");
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, at a place that the system chooses, of an open file.
    let map =
        unsafe { libc::mmap(ptr::null_mut(), 8, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    assert_ne!(map, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    // SAFETY: it begins with a page, so it is aligned; it is 8 bytes long, as is the file, is
    // never unmapped, and this process accesses it as this type alone.
    unsafe { &*map.cast::<AtomicU64>() }
}

/// For the one that lives on: the last number, 0 if it never began.
pub(crate) fn count_in(path: &Path) -> u64 {
    let bytes = fs::read(path).expect("the count's file");
    bytes.try_into().map_or(0, u64::from_ne_bytes)
}
