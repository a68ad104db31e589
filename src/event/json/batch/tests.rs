//! Batches, split as serde_json splits them.
#![forbid(unsafe_code)]

use super::*;
use proptest::prelude::*;
use std::io::{BufReader, Read};

/// Gives one byte a call, and an interruption before each.
struct Slow<'a>(&'a [u8], bool);

impl Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = into.len().min(1);
        self.0.read(&mut into[..len])
    }
}

/// All elements, then the error that ended them, if one did.
fn split(reader: impl BufRead, max_bytes: usize) -> (Vec<String>, Option<String>) {
    let mut elements = Elements::new(reader, Limits::default().with_max_bytes(max_bytes));
    let mut found = Vec::new();
    loop {
        match elements.next_element() {
            Ok(Some(element)) => found.push(String::from_utf8_lossy(element).into_owned()),
            Ok(None) => return (found, None),
            Err(BatchError::TooLarge { .. }) => found.push("too large".to_owned()),
            Err(error) => {
                assert!(matches!(elements.next_element(), Ok(None)), "an error ends it");
                return (found, Some(error.to_string()));
            }
        }
    }
}

#[test]
fn elements_end_where_json_says_so_whatever_the_reads() {
    let text = "\n[ {\"a\":\"]},\\\"\\\\\"} ,[1,[2],{\"b\":[]}],\"x,]\"\n, 1.5e3 ,null,true]\n";
    let expected =
        ["{\"a\":\"]},\\\"\\\\\"}", "[1,[2],{\"b\":[]}]", "\"x,]\"", "1.5e3", "null", "true"];
    assert_eq!(split(text.as_bytes(), 100), (expected.map(String::from).to_vec(), None));
    let slow = BufReader::with_capacity(3, Slow(text.as_bytes(), false));
    assert_eq!(split(slow, 100), (expected.map(String::from).to_vec(), None));
    assert_eq!(split(&b" [ ] "[..], 100), (vec![], None));
}

#[test]
fn what_is_too_large_is_skipped_and_the_rest_read() {
    let (found, error) = split(&b"[1234567, {\"a\":\"xxxxxxxx\"},12]"[..], 6);
    assert_eq!((found, error), (vec!["too large".into(), "too large".into(), "12".into()], None));
}

#[test]
fn a_text_that_is_no_array_ends_with_an_error_that_says_where() {
    for (text, count, told) in [
        ("", 0, "byte 0: expected `[`"),
        ("{}", 0, "byte 0: expected `[`"),
        ("[", 0, "byte 1: expected an element"),
        ("[,1]", 0, "byte 1: expected an element"),
        ("[1,]", 1, "byte 3: expected an element"),
        ("[1,,2]", 1, "byte 3: expected an element"),
        ("[1 2]", 1, "byte 3: expected `,` or `]`"),
        ("[1}", 1, "byte 2: expected `,` or `]`"),
        ("[1", 0, "byte 2: expected the element's end"),
        ("[{\"a\":\"]", 0, "byte 8: expected the element's end"),
        ("[1", 0, "byte 2: expected the element's end"),
        ("[1] x", 1, "byte 4: expected the end"),
    ] {
        let (found, error) = split(text.as_bytes(), 100);
        assert_eq!(found.len(), count, "{text}");
        assert!(error.clone().is_some_and(|error| error.ends_with(told)), "{text}: {error:?}");
    }
}

proptest! {
    /// serde_json is the oracle.
    #[test]
    fn any_array_is_split_as_serde_json_does(
        texts in prop::collection::vec("[\\]\\[{}\",\\\\ a]{0,6}", 0..6), buffer in 1..9_usize) {
        let values: Vec<_> = texts.iter().map(|text| serde_json::json!([{"k": text}, text])).collect();
        let text = serde_json::to_string_pretty(&values).unwrap();
        let mut elements =
            Elements::new(BufReader::with_capacity(buffer, text.as_bytes()), Limits::default());
        let mut found = Vec::new();
        while let Some(element) = elements.next_element().unwrap() {
            found.push(serde_json::from_slice::<serde_json::Value>(element).unwrap());
        }
        prop_assert_eq!(found, values);
    }
}
