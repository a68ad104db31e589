//! Settings: flag, environment, file, default; and stores that are not built in.

use crate::support::{Ended, Place, events};

const FILE: &str = "journal = \"from-file\"\nfsync = \"never\"\n";

fn publish(place: &Place, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    place.write("in.jsonl", events(1, "a"));
    let mut command = place.command(&["pub", "in.jsonl", "--json"]);
    command.args(arguments).envs(environment.iter().copied());
    crate::support::ended(command.output().unwrap())
}

fn exists(place: &Place) -> [bool; 3] {
    ["from-flag", "from-environment", "from-file"].map(|name| place.path(name).exists())
}

#[test]
fn a_flag_goes_before_the_environment_the_file_and_the_default() {
    let place = Place::new();
    let environment = [("RINGPOST_JOURNAL", "from-environment"), ("RINGPOST_FSYNC", "batch")];
    let ended = publish(&place, &[], &[]);
    assert_eq!((ended.code, &ended.json()["journaled"]), (Some(0), &0.into()));
    place.write("ringpost.toml", FILE);
    let ended = publish(&place, &["--journal", "from-flag", "--fsync", "batch"], &environment);
    assert_eq!((exists(&place), &ended.json()["durable"]), ([true, false, false], &1.into()));
    let ended = publish(&place, &[], &environment);
    assert_eq!((exists(&place), &ended.json()["durable"]), ([true, true, false], &1.into()));
    let ended = publish(&place, &[], &[]);
    assert_eq!((exists(&place), &ended.json()["durable"]), ([true, true, true], &0.into()));
    // Each setting by itself: the place from the file, the syncing from the flag.
    let ended = publish(&place, &["--fsync", "always"], &[]);
    assert_eq!(ended.json()["durable"], 1);
    // An empty variable is none.
    let ended = publish(&place, &[], &[("RINGPOST_JOURNAL", ""), ("RINGPOST_FSYNC", "")]);
    assert_eq!((ended.code, &ended.json()["journaled"]), (Some(0), &1.into()));
}

#[test]
fn reading_verbs_use_the_same_settings() {
    let place = Place::new();
    place.write("ringpost.toml", "journal = \"j\"\n");
    assert_eq!(publish(&place, &[], &[]).code, Some(0));
    for verb in [&["stats"][..], &["verify"], &["tail", "--no-follow"]] {
        let ended = place.run(verb);
        assert_eq!(ended.code, Some(0), "{verb:?}: {ended:?}");
        assert_eq!(place.run(&[verb, &["--journal", "jsonl:j"]].concat()).out, ended.out);
        assert_eq!(place.run(&[verb, &["j"]].concat()).out, ended.out);
        assert_eq!(place.run(&[verb, &["j", "--journal", "j"]].concat()).code, Some(2));
    }
}

#[test]
fn the_segments_size_can_be_set() {
    let place = Place::new();
    place.write("ringpost.toml", "journal = \"j\"\nsegment_bytes = 1000\n");
    let ended = place.feed(&["pub", "--json"], &events(20, "a"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(crate::support::segments(&place.path("j")).len() > 3);
}

#[test]
fn a_setting_that_is_no_good_is_refused_with_its_origin() {
    let place = Place::new();
    let told = publish(&place, &["--fsync", "now"], &[]);
    assert_eq!(told.code, Some(2));
    assert!(told.err.starts_with("error: --fsync cannot be used: "), "{}", told.err);
    let told = publish(&place, &[], &[("RINGPOST_FSYNC", "now")]).err;
    assert!(told.contains("the environment's RINGPOST_FSYNC cannot be used"), "{told}");
    place.write("ringpost.toml", "fsync = \"now\"\n");
    let told = publish(&place, &[], &[]);
    assert_eq!(told.code, Some(2));
    assert!(told.err.contains("`fsync` in ringpost.toml cannot be used"), "{}", told.err);
}

/// It made a directory named `-`, which no reading verb could be pointed at.
#[test]
fn nothing_is_stored_in_standard_input() {
    let place = Place::new();
    for verb in [&["pub", "in.jsonl"][..], &["bench", "--seconds", "0.01"]] {
        place.write("in.jsonl", events(1, "a"));
        let said = place.fails(&[verb, &["--journal", "-"]].concat(), 2);
        assert!(said.contains("standard input"), "{said}");
        assert!(!place.path("-").exists());
    }
    let dash = [("RINGPOST_JOURNAL", "-")];
    assert_eq!(publish(&place, &[], &dash).code, Some(2));
    let ended = publish(&place, &["--journal", "./-"], &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(place.path("-").exists());
    // Nothing comes from standard input here; the directory holds an event.
    let output = place.command(&["stats", "--json"]).envs(dash).output().unwrap();
    assert_eq!(crate::support::ended(output).json()["events"], 0);
}

#[test]
fn a_settings_file_that_is_no_good_is_refused_without_its_secrets() {
    let place = Place::new();
    for text in ["jurnal = \"redis://u:hunter2@h\"\n", "\n\njournal = \"redis://u:hunter2@h\nx"] {
        place.write("ringpost.toml", text);
        let ended = publish(&place, &[], &[]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains("ringpost.toml:"), "{}", ended.err);
        assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    }
    let named = [("RINGPOST_CONFIG", "missing.toml")];
    assert!(publish(&place, &[], &named).err.contains("missing.toml"));
    place.write("good.toml", FILE);
    assert_eq!(publish(&place, &[], &[("RINGPOST_CONFIG", "good.toml")]).code, Some(0));
}

#[test]
fn a_store_that_is_not_built_in_names_its_feature() {
    let place = Place::new();
    for (text, feature) in [
        ("sqlite:events.db", "sqlite"),
        #[cfg(not(feature = "redis"))]
        ("redis://user:hunter2@host/0", "redis"),
        #[cfg(not(feature = "redis"))]
        ("rediss://user:hunter2@host/0", "redis"),
        ("postgres://user:hunter2@host/db", "postgres"),
        ("nats://user:hunter2@host", "nats"),
    ] {
        for arguments in [["pub", "--journal", text], ["stats", "--journal", text]] {
            let told = place.fails(&arguments, 2);
            assert!(told.contains("not built in"), "{told}");
            assert!(told.contains(&format!("feature `{feature}`")), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
        assert!(place.fails(&["tail", text], 2).contains("not built in"));
    }
    let told = place.fails(&["pub", "--journal", "hunt://hunter2"], 2);
    assert!(told.contains("`hunt:`") && !told.contains("hunter2"), "{told}");
}
