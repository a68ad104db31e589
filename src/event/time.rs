//! An instant of UTC with nanoseconds, read and written as RFC 3339.
//!
//! Used by the envelope for `time`, `expirytime` and `recordedtime`. It must never panic on a
//! date that a foreign event may carry, and never calls a formatting library: one record in the
//! journal holds two of these.
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::digits;

const NANOS: i128 = 1_000_000_000;
const DAY: i64 = 86_400;
/// The first second of the year 0 and the last one of the year 9999: what four digits can say.
const FIRST_SECOND: i64 = -62_167_219_200;
const LAST_SECOND: i64 = 253_402_300_799;

/// An instant, in nanoseconds since 1970 UTC, from the year 0 to the year 9999.
///
/// Written as `2018-04-05T17:31:00.000000000Z`: always UTC, always nine digits, so that texts
/// sort as the instants do. An offset is accepted on input and resolved. A leap second
/// (`23:59:60Z`) is the first instant of the next day, as in POSIX; digits past the ninth are cut.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

/// The text is no RFC 3339 time, or lies outside the years 0 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time between the years 0 and 9999")]
#[non_exhaustive]
pub struct TimeError;

impl Timestamp {
    /// The text's length, in bytes.
    pub(crate) const TEXT_LEN: usize = 30;

    /// The system clock's time.
    #[must_use]
    pub fn now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_since_1970(now)
    }

    /// An instant from nanoseconds since 1970 UTC; none outside the years 0 to 9999.
    #[must_use]
    pub fn from_unix_nanos(nanos: i128) -> Option<Self> {
        let seconds = i64::try_from(nanos.div_euclid(NANOS)).ok()?;
        let nanos = u32::try_from(nanos.rem_euclid(NANOS)).ok()?;
        Self::from_parts(seconds, nanos)
    }

    /// An instant from nanoseconds since 1970 UTC, which with 64 bits cannot leave the years.
    #[inline]
    pub(crate) fn from_nanos(nanos: i64) -> Self {
        const NANOS: i64 = 1_000_000_000;
        Self { seconds: nanos.div_euclid(NANOS), nanos: nanos.rem_euclid(NANOS) as u32 }
    }

    /// Nanoseconds since 1970 UTC.
    #[must_use]
    pub fn unix_nanos(self) -> i128 {
        i128::from(self.seconds) * NANOS + i128::from(self.nanos)
    }

    /// Whole milliseconds since 1970 UTC, rounded down; 0 before 1970.
    pub(crate) fn unix_millis(self) -> u64 {
        let seconds = u64::try_from(self.seconds).unwrap_or(0);
        seconds * 1000 + if self.seconds < 0 { 0 } else { u64::from(self.nanos / 1_000_000) }
    }

    fn from_parts(seconds: i64, nanos: u32) -> Option<Self> {
        let legal = (FIRST_SECOND..=LAST_SECOND).contains(&seconds) && i128::from(nanos) < NANOS;
        legal.then_some(Self { seconds, nanos })
    }

    fn from_since_1970(since: Duration) -> Self {
        let seconds = i64::try_from(since.as_secs()).unwrap_or(LAST_SECOND).min(LAST_SECOND);
        Self { seconds, nanos: since.subsec_nanos() }
    }

    /// The RFC 3339 text.
    pub(crate) fn text(self) -> [u8; Self::TEXT_LEN] {
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        self.write(&mut text);
        text
    }

    /// Writes the RFC 3339 text over another one.
    #[inline]
    pub(crate) fn write(self, text: &mut [u8; Self::TEXT_LEN]) {
        let (year, month, day) = date_of(self.seconds.div_euclid(DAY));
        let second = self.seconds.rem_euclid(DAY) as u32;
        digits::write(&mut text[0..4], year);
        digits::write(&mut text[5..7], month);
        digits::write(&mut text[8..10], day);
        digits::write(&mut text[11..13], second / 3600);
        digits::write(&mut text[14..16], second / 60 % 60);
        digits::write(&mut text[17..19], second % 60);
        digits::write(&mut text[20..29], self.nanos);
    }

    /// Reads an RFC 3339 date and time.
    ///
    /// # Errors
    ///
    /// Without seconds or zone, with an offset that is not `±hh:mm` in range, with a date that
    /// does not exist, a leap second that is not the last second of a UTC day, or outside the
    /// years 0 to 9999.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        read(text.as_bytes()).ok_or(TimeError)
    }

    /// Reads a time that is spelled as [`text`](Self::text) spells it; none if it is spelled
    /// otherwise, or is none.
    #[inline]
    pub(crate) fn from_text(text: &[u8; Self::TEXT_LEN]) -> Option<Self> {
        let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', rest @ ..] = *text else {
            return None;
        };
        let [h0, h1, b':', n0, n1, b':', s0, s1, b'.', nanos @ .., last, b'Z'] = rest else {
            return None;
        };
        let date = digits::read_eight([y0, y1, y2, y3, m0, m1, d0, d1])?;
        let time = digits::read_eight([b'0', b'0', h0, h1, n0, n1, s0, s1])?;
        let nanos = digits::read_eight(nanos)?;
        let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
        let (hour, minute, second) = (time / 10_000, time / 100 % 100, time % 100);
        let date_exists = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        // A leap second would be spelled as the next one.
        let is_time = hour <= 23 && minute <= 59 && second <= 59 && last.is_ascii_digit();
        if !date_exists || !is_time {
            return None;
        }
        let seconds =
            days_before(year, month, day) * DAY + i64::from(hour * 3600 + minute * 60 + second);
        Some(Self { seconds, nanos: nanos * 10 + u32::from(last - b'0') })
    }
}

fn read(text: &[u8]) -> Option<Timestamp> {
    if let Ok(text) = text.try_into()
        && let Some(read) = Timestamp::from_text(text)
    {
        return Some(read);
    }
    let (head, tail) = text.split_at_checked(19)?;
    let dashes = head[4] == b'-' && head[7] == b'-';
    let colons = head[13] == b':' && head[16] == b':';
    if !dashes || !colons || !matches!(head[10], b'T' | b't') {
        return None;
    }
    let (year, month, day) = (number(&head[0..4])?, number(&head[5..7])?, number(&head[8..10])?);
    let (hour, minute) = (number(&head[11..13])?, number(&head[14..16])?);
    let second = number(&head[17..19])?;
    let date_exists = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !date_exists || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone) = fraction(tail)?;
    let local = days_before(year, month, day) * DAY
        + i64::from(hour) * 3600
        + i64::from(minute) * 60
        + i64::from(second);
    let seconds = local - offset(zone)?;
    // With second 60 the sum is already the next minute's first second: it must begin a day.
    if second == 60 && seconds.rem_euclid(DAY) != 0 {
        return None;
    }
    Timestamp::from_parts(seconds, nanos)
}

/// A number of ASCII digits only.
fn number(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |sum: u32, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0'))
    })
}

/// The fraction of a second in nanoseconds, and what follows it.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else { return Some((0, text)) };
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, zone) = rest.split_at(len);
    let kept = &digits[..len.min(9)];
    let nanos = number(kept)? * 10_u32.pow(9 - kept.len() as u32);
    (len > 0).then_some((nanos, zone))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(&zone[1..3])?, number(&zone[4..6])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = i64::from(hours * 3600 + minutes * 60);
            Some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
///
/// After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, so
/// that the leap day is a year's last.
fn days_before(year: u32, month: u32, day: u32) -> i64 {
    // 400 years later, so that nothing is below 0: as many days later, and the same otherwise.
    let year = year + 400 - u32::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    i64::from(days) - 719_468 - 146_097
}

/// The inverse of [`days_before`], for the years 0 to 9999.
///
/// After Neri and Schneider, "Euclidean affine functions and their application to calendar
/// algorithms", 2022: the divisions of a date are multiplications here.
fn date_of(days: i64) -> (u32, u32, u32) {
    // Days since March 1st of the year -400, so that no number is below 0.
    let day = (days + 719_468 + 146_097) as u32;
    let quarters = 4 * day + 3;
    let (century, of_century) = (quarters / 146_097, quarters % 146_097 / 4);
    let product = 2_939_745 * u64::from(4 * of_century + 3);
    let (year, of_year) = ((product >> 32) as u32, product as u32 / 2_939_745 / 4);
    let months = 2141 * of_year + 197_913;
    let (month, day) = (months >> 16, (months & 0xffff) / 2141 + 1);
    // January and February belong to the next year.
    let late = of_year >= 306;
    let year = 100 * century + year + u32::from(late) - 400;
    (year, if late { month - 12 } else { month }, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        Self::parse(text)
    }
}

/// Instants outside the years 0 to 9999 become the nearest inside.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self::from_since_1970(since),
            Err(before) => {
                let nanos = i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX);
                Self::from_unix_nanos(-nanos).unwrap_or(Self { seconds: FIRST_SECOND, nanos: 0 })
            }
        }
    }
}

/// Instants outside the years 0 to 9999 become the nearest inside.
impl From<chrono::DateTime<chrono::Utc>> for Timestamp {
    fn from(time: chrono::DateTime<chrono::Utc>) -> Self {
        let seconds = time.timestamp().clamp(FIRST_SECOND, LAST_SECOND);
        // chrono keeps a leap second as a nanosecond count past one second.
        Self { seconds, nanos: time.timestamp_subsec_nanos().min(999_999_999) }
    }
}

impl From<Timestamp> for chrono::DateTime<chrono::Utc> {
    fn from(time: Timestamp) -> Self {
        // Every instant of the years 0 to 9999 has a chrono value.
        Self::from_timestamp(time.seconds, time.nanos).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
