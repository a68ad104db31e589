//! Programs under `strace`, which makes the calls of the system on some files fail, or kills the
//! program right before one of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::rig::skipped;

/// Whether it is there; says so if not.
pub(crate) fn is_there() -> bool {
    let asked = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    let is_there = asked.is_ok_and(|status| status.success());
    if !is_there {
        skipped("`strace` is not there, so no call of the system can be made to fail");
    }
    is_there
}

/// The words before a command for which each of `faults` (`write:error=EIO:when=3`) happens, in
/// each of its threads, to calls on these files and no other.
pub(crate) fn wrapper(files: &[PathBuf], faults: &[String]) -> Vec<String> {
    told_wrapper(files, faults, Path::new("/dev/null"))
}

/// The same, with a place for what it did.
pub(crate) fn told_wrapper(files: &[PathBuf], faults: &[String], told: &Path) -> Vec<String> {
    let told = told.display().to_string();
    let mut words: Vec<String> = ["strace", "-f", "-qq", "-o", &told].map(Into::into).into();
    for file in files {
        words.extend(["-P".into(), file.display().to_string()]);
    }
    for fault in faults {
        words.extend(["-e".into(), format!("inject={fault}")]);
    }
    words
}

/// How many faults happened, of what it told.
#[cfg(feature = "zstd")]
pub(crate) fn injected(told: &Path) -> usize {
    let told = std::fs::read_to_string(told).expect("what strace told");
    told.lines().filter(|line| line.contains("(INJECTED)")).count()
}

/// More segments of a journal than a short run comes to, each with this ending.
pub(crate) fn segments(directory: &Path, ending: &str) -> Vec<PathBuf> {
    (1..=40).map(|number| directory.join(format!("{number:020}{ending}"))).collect()
}
