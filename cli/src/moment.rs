//! Instants as people write them: RFC 3339, shortened, or relative to now.
#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::{anyhow, bail};
use ringpost::event::Timestamp;

/// Parses an instant: `-5m`, `now`, `2026-11-21`, `2026-11-21T10:00`, `2026-11-21T10:00:00+02:00`.
/// Without a zone it is UTC.
pub(crate) fn parse_moment(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if text == "now" {
        return Ok(now);
    }
    if let Some(ago) = text.strip_prefix('-') {
        let nanos = i128::try_from(parse_duration(ago)?.as_nanos())?;
        let then = now.unix_nanos() - nanos;
        return Timestamp::from_unix_nanos(then)
            .ok_or_else(|| anyhow!("`{text}` is before year 0"));
    }
    let text = text.replacen(' ', "T", 1);
    // A date has no time, a time may have no seconds, and either may have no zone.
    for completion in ["", "Z", ":00Z", "T00:00:00Z"] {
        if let Ok(moment) = Timestamp::parse(&format!("{text}{completion}")) {
            return Ok(moment);
        }
    }
    bail!("`{text}` is no time: write RFC 3339 (2026-11-21T10:00:00Z) or how long ago (-5m)")
}

/// Parses a duration: a number, whole or decimal, and its unit (`ns`, `us`, `ms`, `s`, `m`, `h`,
/// `d`, `w`). What is finer than a nanosecond is cut off.
pub(crate) fn parse_duration(text: &str) -> anyhow::Result<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit: u128 = match unit {
        "ns" => 1,
        "us" | "µs" => 1000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        "w" => 604_800_000_000_000,
        _ => bail!("`{text}` is no duration: write a number and ns, us, ms, s, m, h, d or w"),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().map_err(|_| anyhow!("`{text}` is no duration"))?;
    let numerator: u64 = fraction.parse().map_err(|_| anyhow!("`{text}` is no duration"))?;
    // A fraction that fits has at most 19 digits besides its zeros.
    let scale = u32::try_from(fraction.len()).ok().and_then(|digits| 10_u128.checked_pow(digits));
    let scale = scale.ok_or_else(|| anyhow!("`{text}` has too many digits"))?;
    let nanos = u128::from(whole) * unit + u128::from(numerator) * unit / scale;
    let nanos = u64::try_from(nanos).map_err(|_| anyhow!("`{text}` is too long"))?;
    Ok(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_in_all_their_forms() {
        let now = Timestamp::parse("2026-11-21T12:00:00Z").unwrap();
        let read = |text| parse_moment(text, now).unwrap().to_string();
        assert_eq!(read("now"), "2026-11-21T12:00:00.000000000Z");
        assert_eq!(read("-5m"), "2026-11-21T11:55:00.000000000Z");
        assert_eq!(read("-1500ms"), "2026-11-21T11:59:58.500000000Z");
        assert_eq!(read("-2d"), "2026-11-19T12:00:00.000000000Z");
        assert_eq!(read("2026-11-20"), "2026-11-20T00:00:00.000000000Z");
        assert_eq!(read("2026-11-20 10:30"), "2026-11-20T10:30:00.000000000Z");
        assert_eq!(read("2026-11-20T10:30:05.25"), "2026-11-20T10:30:05.250000000Z");
        assert_eq!(read("2026-11-20T10:30:00+02:00"), "2026-11-20T08:30:00.000000000Z");
    }

    #[test]
    fn durations_go_down_to_nanoseconds_and_may_have_fractions() {
        let nanos = |text| parse_duration(text).unwrap().as_nanos();
        assert_eq!(["7ns", "5us", "5µs"].map(nanos), [7, 5_000, 5_000]);
        assert_eq!(["1.5ms", "0.05us", "2.0000000019s"].map(nanos), [1_500_000, 50, 2_000_000_001]);
        for text in ["5", ".5ms", "5.ms", "1.2.3s", "1e3ns", "-5us", "700w ", "99999w", ""] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        let now = Timestamp::now();
        for text in ["", "-", "5m", "-5", "-5y", "-99999999999999999w", "yesterday", "2026-13-01"] {
            assert!(parse_moment(text, now).is_err(), "{text}");
        }
    }
}
