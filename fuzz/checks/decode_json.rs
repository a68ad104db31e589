//! Any bytes as a line of a journal: read or refused, and what was read comes back from the line
//! that the journal would write for it.

use ringpost::Sequence;
use ringpost::event::json::{self, Checksum, Elements, Limits};

/// Panics if a promise of the JSON codec does not hold for `input`.
pub(crate) fn check(input: &[u8]) {
    let limits = Limits::default();
    let read = json::decode_record(input, &limits);
    // What stands as a journal writes it is read in another way than what does not, such as a line
    // with a blank before it. Both must find the same.
    if input.len() < limits.max_bytes {
        let apart = json::decode_record(&[b" ", input].concat(), &limits);
        match (&read, &apart) {
            (Ok(read), Ok(apart)) => {
                assert_eq!(read.event, apart.event);
                assert_eq!(read.sequence, apart.sequence);
                assert_eq!(read.event.to_string(), apart.event.to_string());
            }
            (Err(_), Err(_)) => {}
            _ => panic!("{read:?} and with a blank before it {apart:?}"),
        }
    }
    if let Ok(read) = read {
        let event = json::decode(input, &limits).expect("a record is an event");
        assert!(event.recorded_at().is_none(), "another journal's time");

        let mut line = Vec::new();
        json::encode_record(&read.event, read.sequence.unwrap_or(Sequence::FIRST), &mut line);
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1), "one line");
        assert!(!line.contains(&b'\r'));
        let again = json::decode_record(&line, &limits).expect("our own line");
        assert_eq!(again.event, read.event);
        assert_eq!(again.checksum, Checksum::Valid);
        assert_eq!(again.event.data(), read.event.data(), "bytes of the payload");
    }
    let mut elements = Elements::new(input, limits);
    while let Ok(Some(element)) = elements.next_element() {
        let _ = json::decode(element, &limits);
    }
}
