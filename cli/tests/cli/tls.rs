//! `rediss://`: a server with a certificate that the test made.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::json;

use crate::redis_server::{Server, Sync};
use crate::support::{Ended, Place, events};

/// Runs openssl in a directory.
fn openssl(directory: &Path, words: &str) {
    let ran = Command::new("openssl").args(words.split(' ')).current_dir(directory).output();
    let ran = ran.expect("openssl runs");
    assert!(ran.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// An authority `NAME.pem` and a certificate of it for this host, `NAME-server.pem`.
fn authority(directory: &Path, name: &str) {
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    fs::write(directory.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        .expect("written");
    openssl(
        directory,
        &format!("req -x509 {KEY} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"),
    );
    openssl(
        directory,
        &format!("req {KEY} -subj /CN=localhost -keyout {name}-server.key -out {name}-server.csr"),
    );
    openssl(
        directory,
        &format!(
            "x509 -req -in {name}-server.csr -CA {name}.pem -CAkey {name}.key -CAcreateserial \
             -days 2 -extfile names -out {name}-server.pem"
        ),
    );
}

/// A server that speaks TLS on the port given with it; none if something that it needs is missing.
fn start(place: &Place) -> Option<(Server, u16)> {
    if Command::new("openssl").arg("version").output().is_err() {
        let required = env::var_os("RINGPOST_REQUIRE_SERVERS").is_some_and(|value| value == "1");
        assert!(!required, "openssl is not installed");
        eprintln!("SKIPPED: openssl is not installed, this test checks nothing");
        return None;
    }
    let directory = place.path("");
    authority(&directory, "ours");
    authority(&directory, "another");
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("its number").port();
    drop(free);
    let file = |name: &str| place.path(name).to_str().expect("a name").to_owned();
    let server = Server::start_with(
        Sync::Always,
        &[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &file("ours-server.pem"),
            "--tls-key-file",
            &file("ours-server.key"),
            "--tls-ca-cert-file",
            &file("ours.pem"),
            "--tls-auth-clients",
            "no",
            "--bind",
            "127.0.0.1",
            "127.0.0.2",
        ],
    )?;
    Some((server, port))
}

/// Runs `ringpost`, which trusts the authorities in this file.
fn run(place: &Place, trusted: &PathBuf, arguments: &[&str]) -> Ended {
    let ran = place.command(arguments).env("SSL_CERT_FILE", trusted).output().expect("it runs");
    crate::support::ended(ran)
}

#[test]
fn a_stream_is_written_and_read_over_tls() {
    let place = Place::new();
    let Some((server, port)) = start(&place) else { return };
    let ours = place.path("ours.pem");
    let file = place.write("events.jsonl", events(300, "over.tls"));
    let file = file.to_str().expect("a name");
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("rediss://{host}:{port}?stream={host}");
        let summary = run(&place, &ours, &["pub", file, "--journal", &url, "--json"]);
        assert_eq!(summary.code, Some(0), "{summary:?}");
        assert_eq!(summary.json()["durable"], 300);
        let tail = run(&place, &ours, &["tail", &url, "--no-follow", "-n", "5"]);
        assert_eq!((tail.code, tail.events("id").len()), (Some(0), 5), "{tail:?}");
        let check = run(&place, &ours, &["verify", &url, "--json"]);
        assert_eq!((check.code, &check.json()["valid"]), (Some(0), &json!(300)), "{check:?}");
    }
    // The same stream as without TLS.
    let plain = server.url("stream=localhost");
    let count = place.run(&["query", &plain, "--count"]);
    assert_eq!(count.out.trim(), "300");
}

#[test]
fn a_certificate_that_is_not_to_be_trusted_is_refused_in_words() {
    let place = Place::new();
    let Some((server, port)) = start(&place) else { return };
    let (ours, another) = (place.path("ours.pem"), place.path("another.pem"));
    let secret = "hunter2";
    let url = |host: &str, port: u16| format!("rediss://:{secret}@{host}:{port}?stream=s");
    let refused = |trusted: &PathBuf, url: &str, reason: &str| {
        for verb in [&["tail", url, "--no-follow"][..], &["pub", "--journal", url]] {
            let ended = run(&place, trusted, verb);
            assert_eq!((ended.code, &*ended.out), (Some(1), ""), "{ended:?}");
            assert!(ended.err.contains(reason), "{reason}: {}", ended.err);
            assert!(!ended.err.contains(secret), "{}", ended.err);
            assert_eq!(ended.err.lines().count(), 1, "one sentence: {}", ended.err);
        }
    };
    refused(&another, &url("localhost", port), "certificate");
    // For another name than the one it was made for.
    refused(&ours, &url("127.0.0.2", port), "not valid for name");
    // A port that speaks no TLS.
    refused(&ours, &url("localhost", server.port()), "did not answer");
    // Nothing that is no authority makes a server trusted.
    place.write("empty.pem", "");
    refused(&place.path("empty.pem"), &url("localhost", port), "certificate");
}
