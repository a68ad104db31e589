//! Turns a git log and cargo's build messages on standard input into CloudEvents, one a line:
//! the maker of `examples/data/events.jsonl`, run by `examples/data/make-sample.sh`.
//!
//! The same input gives the same output. Names of people and paths of the machine stay out.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};

use serde_json::{Value, json};

/// Keeps the sample small when the history has grown: the oldest changes stay.
const CHANGES: usize = 400;

/// One CloudEvent. `attributes` are those beside the four that every event has.
fn event(kind: &str, from: &str, id: &str, attributes: &[(&str, &str)], data: &Value) -> String {
    let mut line =
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/ringpost/{from}","type":"{kind}""#);
    for (name, value) in attributes {
        line += &format!(r#","{name}":{}"#, json!(value));
    }
    line + &format!(r#","datacontenttype":"application/json","data":{data}}}"#)
}

/// Kind, subject and data of what one of cargo's JSON messages tells; none for a diagnostic.
fn build_step(message: &Value) -> Option<(&'static str, String, String)> {
    // `registry+https://…#serde@1.0.228`, or `path+file:///…/ringpost#0.1.0`.
    let (place, name) = message["package_id"].as_str()?.split_once('#')?;
    let folder = place.rsplit('/').next()?;
    let (package, version) = name.split_once('@').unwrap_or((folder, name));
    let (kind, data) = match message["reason"].as_str()? {
        "compiler-artifact" => {
            let (target, kinds) = (&message["target"]["name"], &message["target"]["kind"]);
            let data = json!({ "version": version, "target": target, "kinds": kinds });
            ("cargo.artifact.built", data)
        }
        "build-script-executed" => {
            ("cargo.script.executed", json!({ "version": version, "cfgs": message["cfgs"] }))
        }
        _ => return None,
    };
    Some((kind, package.to_owned(), data.to_string()))
}

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    // Cargo reports what finishes first: sorted, two runs tell the same.
    let mut build = BTreeSet::new();
    let (mut commit, mut time, mut file, mut changes) = (String::new(), String::new(), 0, 0);

    for line in io::stdin().lines() {
        let line = line?;
        if line.starts_with('{') {
            build.extend(build_step(&serde_json::from_str(&line)?));
            continue;
        }
        changes += usize::from(!line.is_empty());
        if changes > CHANGES {
            continue;
        }
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["commit", id, at, message] => {
                (commit, time, file) = (id.to_owned(), at.to_owned(), 0);
                let data = json!({ "commit": id, "message": message });
                let attributes = [("time", at), ("correlationid", id)];
                writeln!(out, "{}", event("git.commit", "history", id, &attributes, &data))?;
            }
            [added, removed, path] => {
                file += 1;
                // A binary file has no lines to count: `-`, which becomes null.
                let count = |text: &str| text.parse::<u64>().ok();
                let data = json!({ "added": count(added), "removed": count(removed) });
                let (id, cause) = (format!("{commit}-{file}"), ("causationid", &*commit));
                let attributes =
                    [("subject", path), ("time", &time), ("correlationid", &commit), cause];
                writeln!(out, "{}", event("git.file.changed", "history", &id, &attributes, &data))?;
            }
            _ => {}
        }
    }
    for (number, (kind, package, data)) in build.iter().enumerate() {
        let id = format!("build-{:04}", number + 1);
        let data = serde_json::from_str(data)?;
        writeln!(out, "{}", event(kind, "build", &id, &[("subject", package)], &data))?;
    }
    out.flush()
}
