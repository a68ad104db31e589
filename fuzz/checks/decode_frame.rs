//! Any bytes as a frame, and as the body of a frame that is otherwise whole: read or refused, and
//! what was read comes back.

use ringpost::event::{Limits, binary};

/// Panics if a promise of the binary codec does not hold for `input`.
pub(crate) fn check(input: &[u8]) {
    for frame in [input.to_vec(), framed(input)] {
        if let Ok(event) = binary::decode(&frame, &Limits::default()) {
            let mut again = Vec::new();
            binary::encode(&event, &mut again).expect("as large as it was");
            assert_eq!(binary::decode(&again, &Limits::default()), Ok(event));
        }
    }
}

/// A frame with length and checksum as they should be.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = b"RPEV\x01\x01".to_vec();
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    let sum = crc32c(frame.iter().chain(body));
    frame.extend_from_slice(&sum.to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

/// Bit by bit: an oracle for the fast one, too.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    !bytes.fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ ((sum & 1) * 0x82f6_3b78))
    })
}
