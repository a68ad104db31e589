//! Sizes as people write them: bytes, or a number and a unit.
#![forbid(unsafe_code)]

use anyhow::anyhow;

/// Parses a size: a whole number of bytes, or of `KiB`, `MiB`, `GiB`, `TiB` (powers of 1,024), `kB`,
/// `MB`, `GB`, `TB` (powers of 1,000).
pub(crate) fn parse_size(text: &str) -> anyhow::Result<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => {
            return Err(anyhow!(
                "`{text}` is no size: write bytes, or a whole number and KiB, MiB, GiB, TiB, kB, \
                 MB, GB or TB"
            ));
        }
    };
    let number: u64 = number.parse().map_err(|_| anyhow!("`{text}` is no size"))?;
    number.checked_mul(unit).ok_or_else(|| anyhow!("`{text}` is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        let read = |text| parse_size(text).expect(text);
        assert_eq!(["0", "1000", "7B", "1kB"].map(read), [0, 1000, 7, 1000]);
        assert_eq!(["64KiB", "10 MiB", "2GiB"].map(read), [65_536, 10 << 20, 2 << 30]);
        for text in ["", "B", "1.5GiB", "-1", "1k", "1 parsec", "99999999999TiB", "1 2"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
