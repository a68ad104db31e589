//! K5: syncs that fail, and then succeed although what they should have saved is gone: a file
//! system in a sparse file on a full disk. Once there is room, everything is durable by itself.

use std::fs::{self, File};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ringpost::store::journal::Fsync;

use super::judge::recover;
use super::load::{Plan, events};
use super::rig::{Chance, rounds, run, skipped};

/// More than there is room for.
const EVENTS: u64 = 30_000;
const ROOM_KIB: u64 = 8 * 1024;

/// Unmounts also when a test fails.
struct Mounted(String);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = run("umount", &[&self.0]);
    }
}

fn mount(options: &[&str], place: &str) -> std::io::Result<Mounted> {
    run("mount", &[options, &[place]].concat())?;
    Ok(Mounted(place.to_owned()))
}

/// A loop device calls a write that was cut short by a full disk a success: then it is a disk that
/// lies, which nobody can hold out against. A single page is written or refused.
fn write_by_pages(image: &str) {
    let asked = Command::new("losetup").args(["-n", "-O", "NAME", "-j", image]).output();
    let told = asked.expect("losetup").stdout;
    let device = String::from_utf8(told).expect("text").trim().replace("/dev/", "");
    let limit = format!("/sys/block/{device}/queue/max_sectors_kb");
    fs::write(&limit, "4").expect("a smaller request");
}

fn free_kib(place: &str) -> u64 {
    let asked = Command::new("stat").args(["-f", "-c", "%a %S", place]).output();
    let told = String::from_utf8(asked.expect("stat").stdout).expect("text");
    let (blocks, size) = told.trim().split_once(' ').expect("two numbers");
    blocks.parse::<u64>().expect("a number") * size.parse::<u64>().expect("a number") / 1024
}

#[test]
fn syncs_that_fail_and_then_succeed_get_no_receipt_for_what_is_gone() {
    let mut chance = Chance::new("failed syncs");
    let events = events(None);
    for fsync in [Fsync::Batch, Fsync::Interval(Duration::from_millis(20))] {
        for _ in 0..rounds().div_ceil(20) {
            let scratch = tempfile::tempdir().expect("a directory");
            let path = |name| scratch.path().join(name).to_str().expect("plain").to_owned();
            let (below, above) = (path("below"), path("above"));
            fs::create_dir(&below).and_then(|()| fs::create_dir(&above)).expect("directories");
            let disk = match mount(&["-t", "tmpfs", "-o", "size=256M", "tmpfs"], &below) {
                Ok(disk) => disk,
                Err(error) => return skipped(&format!("nothing can be mounted here: {error}")),
            };
            let (sparse, image) = (format!("{below}/sparse"), format!("{below}/image"));
            File::create(&sparse).and_then(|file| file.set_len(64 << 20)).expect("an image");
            // With blocks of a page: smaller ones make requests that begin in one page and end in
            // the next, and then only the first of them may find room.
            let made = run("mkfs.ext4", &["-q", "-F", "-b", "4096", "-N", "4096", &sparse]);
            made.expect("made");
            // Its own tables and journal have their room, or it would end itself at the first
            // error; only what is free is given back.
            run("cp", &["--sparse=never", &sparse, &image]).expect("copied");
            fs::remove_file(&sparse).expect("removed");
            let mut files = mount(&["-o", "loop", &image], &above).expect("mounted");
            run("fstrim", &[&above]).expect("trimmed");
            write_by_pages(&image);
            let used = 256 * 1024 - free_kib(&below);
            let narrow = format!("remount,size={}k", used + ROOM_KIB);
            run("mount", &["-o", &narrow, &below]).expect("narrowed");

            let place = scratch.path().join("above/journal");
            let load = Plan { limit: Some(EVENTS), ..Plan::new(&place, fsync) }.start();
            while free_kib(&below) > 0 {
                thread::sleep(Duration::from_millis(5));
            }
            thread::sleep(Duration::from_millis(chance.below(700)));
            run("mount", &["-o", "remount,size=256M", &below]).expect("widened");
            let since = Instant::now();
            let failures = load.failures();
            let before = failures.load(Ordering::Relaxed);
            let (status, told, said) = load.ended();
            assert!(status.success(), "{fsync}: {status}: {said}");
            let after = failures.load(Ordering::Relaxed) - before;
            eprintln!(
                "failed syncs: {fsync}: all durable {:?} after there was room, {before} tries \
                 failed before and {after} behind that",
                since.elapsed()
            );
            // It is not time that is counted but tries, one a pause, and no pause is longer than the
            // longest: the next one succeeds. One was under way, and one may not have been told yet.
            assert!(after <= 2, "{fsync}: {after} tries failed although there was room");
            assert_eq!((told.written, told.durable), (EVENTS, EVENTS), "{said}");
            // Nothing is read from memory: only the disk counts.
            drop(files);
            files = mount(&["-o", "loop", &image], &above).expect("mounted again");
            assert_eq!(recover(&place, &events), EVENTS, "{fsync}");
            drop(files);
            drop(disk);
        }
    }
}
