//! Times, with chrono as the oracle of the calendar.
#![forbid(unsafe_code)]

use super::*;
use proptest::prelude::*;

fn utc(text: &str) -> Option<String> {
    Timestamp::parse(text).ok().map(|time| time.to_string())
}

#[test]
fn offsets_are_resolved_to_utc() {
    let expected = Some("2018-04-05T17:31:00.000000000Z".to_owned());
    assert_eq!(utc("2018-04-05T16:31:00-01:00"), expected);
    assert_eq!(utc("2018-04-05t17:31:00z"), expected);
    assert_eq!(utc("2018-04-05T17:31:00-00:00"), expected);
}

#[test]
fn a_leap_second_is_the_next_days_first_instant() {
    let expected = Some("1999-01-01T00:00:00.000000000Z".to_owned());
    assert_eq!(utc("1998-12-31T23:59:60Z"), expected);
    assert_eq!(utc("1998-12-31T15:59:60-08:00"), expected);
    for wrong in ["1998-12-31T22:59:60Z", "1998-12-31T23:59:61Z", "2016-12-31T24:59:60+01:00"] {
        assert_eq!(utc(wrong), None, "{wrong}");
    }
}

#[test]
fn the_years_that_four_digits_can_say_are_the_limits() {
    assert_eq!(utc("0000-01-01T00:00:00Z").unwrap(), "0000-01-01T00:00:00.000000000Z");
    assert_eq!(utc("9999-12-31T23:59:59.999999999Z").unwrap(), "9999-12-31T23:59:59.999999999Z");
    for beyond in [
        "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59-00:01",
        "+11963-06-19T08:30:06Z",
    ] {
        assert_eq!(utc(beyond), None, "{beyond}");
    }
    assert_eq!(Timestamp::from_unix_nanos(i128::MAX), None);
}

#[test]
fn what_is_no_rfc_3339_time_is_refused() {
    for wrong in [
        "",
        "lunchtime",
        "2018-04-05",
        "2018-04-05T18:31Z",
        "2018-04-05T18:31:00",
        "2018-04-05T18:31:00X",
        "2018-04-05T18:31:00+xx:00",
        "2018-04-05T18:31:00+1:00",
        "2018-04-05T18:31:00+0100",
        "2018-04-05T18:31:00+24:00",
        "2018-04-05T18:31:00+10:60",
        "2018-04-05 18:31:00Z",
        "2018-04-05T18:31:00.Z",
        "2018-04-05T18:31:00,5Z",
        "2018-13-05T18:31:00Z",
        "2018-02-29T18:31:00Z",
        "2018-00-01T00:00:00Z",
        "2018-01-00T00:00:00Z",
        "2018-01-01T24:00:00Z",
        "2018-01-01T00:60:00Z",
        "1963-06-1৪T00:00:00Z",
        "1985-04-12T23:20:50Z\n",
        " 1985-04-12T23:20:50Z",
    ] {
        assert_eq!(utc(wrong), None, "{wrong}");
    }
}

#[test]
fn digits_past_the_ninth_are_cut() {
    let text = "1985-04-12T23:20:50.1234567899999Z";
    assert_eq!(utc(text).unwrap(), "1985-04-12T23:20:50.123456789Z");
}

proptest! {
    /// chrono is the oracle for the calendar.
    #[test]
    fn texts_agree_with_chrono_and_come_back(nanos in
        i128::from(FIRST_SECOND) * NANOS..=i128::from(LAST_SECOND) * NANOS) {
        let time = Timestamp::from_unix_nanos(nanos).unwrap();
        let chrono = chrono::DateTime::<chrono::Utc>::from(time);
        prop_assert_eq!(
            time.to_string(),
            chrono.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
        );
        prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        prop_assert_eq!(Timestamp::from(chrono), time);
        prop_assert_eq!(time.unix_nanos(), nanos);
    }

    /// A time with one byte changed is read at once only where it is spelled as it is written.
    #[test]
    fn what_is_read_at_once_is_spelled_as_it_is_written(
        nanos in -62_167_219_200_000_000_000_i128..253_402_300_800_000_000_000,
        at in 0..30_usize, byte in prop::sample::select(b"0123456789:-TtZz.+ /\xff".to_vec())) {
        let time = Timestamp::from_unix_nanos(nanos).unwrap();
        let mut text = time.text();
        prop_assert_eq!(Timestamp::from_text(&text), Some(time));
        text[at] = byte;
        if let Some(read) = Timestamp::from_text(&text) {
            prop_assert_eq!(read.text(), text);
        }
    }

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,40}") {
        let _ = Timestamp::parse(&text);
    }
}
