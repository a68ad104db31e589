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
    let mut words: Vec<String> = ["strace", "-f", "-qq", "-o", "/dev/null"].map(Into::into).into();
    for file in files {
        words.extend(["-P".into(), file.display().to_string()]);
    }
    for fault in faults {
        words.extend(["-e".into(), format!("inject={fault}")]);
    }
    words
}

/// More segments of a journal than a short run comes to, each with this ending.
pub(crate) fn segments(directory: &Path, ending: &str) -> Vec<PathBuf> {
    (1..=40).map(|number| directory.join(format!("{number:020}{ending}"))).collect()
}
