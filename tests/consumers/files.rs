//! The directory of checkpoints on real files, and whom it keeps out.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ringpost::store::journal::{Journal, JournalOptions, JournalReader};
use ringpost::store::{Begin, StoreErrorKind};

use crate::support::name;

fn journal(directory: &Path) -> JournalReader {
    Journal::open(directory, JournalOptions::default()).expect("opens").reader()
}

#[test]
fn a_journal_without_consumers_has_none_and_gets_no_directory_for_asking() {
    let directory = tempfile::tempdir().expect("a directory");
    let consumers = journal(directory.path()).consumers().expect("a directory");
    assert_eq!(consumers.names().expect("none"), []);
    assert_eq!(consumers.lowest_needed().expect("none"), None);
    assert_eq!(consumers.get(&name("billing")).expect("none"), None);
    let unknown = consumers.reset(&name("billing"), Begin::First).expect_err("unknown");
    assert_eq!(unknown.kind(), StoreErrorKind::NotFound);
    let unknown = consumers.remove(&name("billing")).expect_err("unknown");
    assert_eq!(unknown.kind(), StoreErrorKind::NotFound);
    assert!(!directory.path().join("consumers").exists());
}

#[test]
fn a_directory_of_checkpoints_that_is_a_link_is_refused() {
    let (directory, elsewhere) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let reader = journal(directory.path());
    symlink(elsewhere.path(), directory.path().join("consumers")).expect("a link");
    std::fs::write(elsewhere.path().join("billing"), "x").expect("written");
    let consumers = reader.consumers().expect("a directory");
    assert_eq!(consumers.names().expect_err("a link").kind(), StoreErrorKind::Refused);
    let refused = consumers.get(&name("billing")).expect_err("a link");
    assert_eq!(refused.kind(), StoreErrorKind::Refused);
}

#[test]
fn a_checkpoint_that_is_a_link_is_refused() {
    let (directory, elsewhere) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let reader = journal(directory.path());
    let own = directory.path().join("consumers");
    std::fs::create_dir(&own).expect("made");
    std::fs::set_permissions(&own, PermissionsExt::from_mode(0o700)).expect("set");
    std::fs::write(elsewhere.path().join("billing"), "x").expect("written");
    symlink(elsewhere.path().join("billing"), own.join("billing")).expect("a link");
    let consumers = reader.consumers().expect("a directory");
    let refused = consumers.lowest_needed().expect_err("a link");
    assert_eq!(refused.kind(), StoreErrorKind::Refused);
}
