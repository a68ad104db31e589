//! Whether a text is a W3C Trace Context `traceparent` or `tracestate`.
//!
//! The envelope asks it before it keeps either. Source: "Trace Context", W3C Recommendation,
//! sections 3.2 and 3.3.
#![forbid(unsafe_code)]

/// `version-traceid-parentid-flags`; versions above 00 may carry more after a dash.
pub(crate) fn is_traceparent(text: &str) -> bool {
    let mut parts = text.splitn(5, '-');
    let mut next = || parts.next().unwrap_or_default();
    let (version, trace, parent, flags) = (next(), next(), next(), next());
    let more = parts.next();
    is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && !is_zero(trace)
        && !is_zero(parent)
        && (more.is_none() || version != "00")
}

/// At most 32 `key=value` members separated by commas, each key once.
pub(crate) fn is_tracestate(text: &str) -> bool {
    let mut keys = [""; 32];
    let mut count = 0;
    for member in text.split(',').map(|member| member.trim_matches([' ', '\t'])) {
        if member.is_empty() {
            continue;
        }
        let Some((key, value)) = member.split_once('=') else { return false };
        if count == keys.len() || !is_key(key) || !is_value(value) || keys[..count].contains(&key) {
            return false;
        }
        keys[count] = key;
        count += 1;
    }
    true
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_zero(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'0')
}

/// A simple key, or `tenant@system`.
fn is_key(text: &str) -> bool {
    let is_name = |name: &str, max: usize, digit_first: bool| {
        let legal = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
        let first = name.bytes().next();
        let starts = first.is_some_and(|byte| {
            byte.is_ascii_lowercase() || (digit_first && byte.is_ascii_digit())
        });
        starts && name.len() <= max && name.bytes().all(legal)
    };
    match text.split_once('@') {
        Some((tenant, system)) => is_name(tenant, 241, true) && is_name(system, 14, false),
        None => is_name(text, 256, false),
    }
}

/// Printable ASCII but `,` and `=`; blanks at its end belong to the list.
fn is_value(text: &str) -> bool {
    let legal = |byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=256).contains(&text.len()) && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents_are_checked_part_by_part() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good));
        assert!(is_traceparent(&format!("cc{}-what-the-future-brings", &good[2..])));
        for wrong in [
            String::new(),
            format!("{good}-more"),
            format!("ff{}", &good[2..]),
            good.to_uppercase(),
            good.replace("00f067aa0ba902b7", "0000000000000000"),
            good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            good[..54].to_owned(),
            good.replace('-', "_"),
        ] {
            assert!(!is_traceparent(&wrong), "{wrong}");
        }
    }

    #[test]
    fn tracestates_are_lists_of_distinct_members() {
        let many = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
        for good in ["", "rojo=00f067aa0ba902b7", "a=1, b=2 ,", "1t@sys=x y", "a=!~", &many(32)] {
            assert!(is_tracestate(good), "{good}");
        }
        for wrong in
            ["a", "a=", "A=1", "1a=1", "a=1,a=2", "a@1=x", "a=b=c", "a=é", "@s=1", &many(33)]
        {
            assert!(!is_tracestate(wrong), "{wrong}");
        }
    }
}
