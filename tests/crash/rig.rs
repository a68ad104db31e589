//! Chance, settings and a file system of our own that can lose its power.

use std::env;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

/// Numbers by chance: SplitMix64 of a seed that is printed.
pub(crate) struct Chance(u64);

impl Chance {
    /// From `RINGPOST_SEED`, or the clock; says how to repeat `campaign`.
    pub(crate) fn new(campaign: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let seed = number("RINGPOST_SEED").unwrap_or(u64::from(now.subsec_nanos()));
        eprintln!("{campaign}: RINGPOST_SEED={seed} RINGPOST_ROUNDS={}", rounds());
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|value| value.parse().ok())
}

/// How long a campaign is.
pub(crate) fn rounds() -> u64 {
    number("RINGPOST_ROUNDS").unwrap_or(20)
}

/// How long anybody may be kept from an answer. Only a campaign holds it to the figure: a machine
/// that does other things meanwhile may stand still for longer.
pub(crate) fn patience() -> Duration {
    Duration::from_secs(number("RINGPOST_PATIENCE").unwrap_or(60))
}

/// Whether figures that hang on the machine's speed are to be held to.
pub(crate) fn holds_to_figures() -> bool {
    number("RINGPOST_PATIENCE").is_some()
}

/// What is missing is said, and fails where everything must be there.
pub(crate) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
    assert!(env::var_os("RINGPOST_REQUIRE_SERVERS").is_none_or(|set| set != "1"), "{why}");
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{program} {arguments:?}: {said}")))
}

/// A process that runs one test of this binary, with nothing to be heard of it but its standard
/// error. `wrapper` is a program that runs it, with its arguments.
pub(crate) fn child(test: &str, wrapper: &[String]) -> Command {
    let this = env::current_exe().expect("this binary");
    let mut command = match wrapper.split_first() {
        None => Command::new(this),
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
    };
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// A mounted ext4 in a file on another file system.
pub(crate) struct Mount {
    _scratch: TempDir,
    image: PathBuf,
    place: PathBuf,
    mounted: bool,
}

impl Mount {
    /// Makes and mounts one; `None`, loudly, where that is impossible.
    pub(crate) fn new() -> Option<Self> {
        let scratch = tempfile::tempdir().expect("a directory");
        let (image, place) = (scratch.path().join("image"), scratch.path().join("mount"));
        std::fs::create_dir(&place).expect("a directory");
        File::create(&image).and_then(|file| file.set_len(256 << 20)).expect("an image");
        let mut mount = Self { _scratch: scratch, image, place, mounted: false };
        let image = mount.image.to_str().expect("plain").to_owned();
        let made = run("mkfs.ext4", &["-q", "-F", &image]).and_then(|()| mount.mount());
        match made {
            Ok(()) => Some(mount),
            Err(error) => {
                skipped(&format!("no loop-mounted ext4 here, so no power can be cut: {error}"));
                None
            }
        }
    }

    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    pub(crate) fn mount(&mut self) -> io::Result<()> {
        let (image, place) = (self.image.to_str(), self.place.to_str());
        run("mount", &["-o", "loop", image.expect("plain"), place.expect("plain")])?;
        self.mounted = true;
        Ok(())
    }

    pub(crate) fn unmount(&mut self) -> io::Result<()> {
        if self.mounted {
            run("umount", &[self.place.to_str().expect("plain")])?;
            self.mounted = false;
        }
        Ok(())
    }

    /// Mounts it anew, as after the power came back. Whoever had files open there may live for a
    /// moment longer, and for as long it would be the dead file system that is mounted.
    pub(crate) fn revive(&mut self) -> io::Result<()> {
        loop {
            while self.unmount().is_err() {
                thread::yield_now();
            }
            self.mount()?;
            if tempfile::tempfile_in(&self.place).is_ok() {
                return Ok(());
            }
        }
    }

    /// From now on nothing reaches the disk, and what has not is gone.
    pub(crate) fn cut_power(&self) -> io::Result<()> {
        /// `FS_IOC_SHUTDOWN`, and its way without writing the file system's journal out.
        const SHUTDOWN: libc::c_ulong = 0x8004_587d;
        const WITHOUT_LOG_FLUSH: u32 = 2;
        let root = File::open(&self.place)?;
        let way = WITHOUT_LOG_FLUSH;
        // SAFETY: the request reads one u32 through the pointer, which outlives the call, and the
        // descriptor is open.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const way) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("{error}");
        }
    }
}
