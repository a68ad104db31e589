//! Whether a text is a URI or a URI reference, by RFC 3986.
//!
//! The envelope asks it about `source` and `dataschema`. Nothing is normalised or resolved.
#![forbid(unsafe_code)]

use std::net::Ipv6Addr;

/// `URI`: a scheme is required.
pub(crate) fn is_uri(text: &str) -> bool {
    match scheme(text) {
        Some(rest) => is_hierarchy(rest, true),
        None => false,
    }
}

/// `URI-reference`: a URI, or a reference relative to one.
pub(crate) fn is_uri_reference(text: &str) -> bool {
    is_plain_path(text) || is_uri(text) || is_hierarchy(text, false)
}

/// Whether it consists of characters that stand for themselves wherever a path or a host may have
/// them, and of slashes: as nearly all sources do.
fn is_plain_path(text: &str) -> bool {
    text.bytes().all(|byte| PLAIN[usize::from(byte)])
}

const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        plain[byte as usize] = byte == b'/' || stands_for_itself(byte);
        byte += 1;
    }
    plain
};

/// Unreserved characters and sub-delimiters.
const fn stands_for_itself(byte: u8) -> bool {
    match byte {
        b'-' | b'.' | b'_' | b'~' => true,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => true,
        _ => byte.is_ascii_alphanumeric(),
    }
}

/// What follows `scheme:`.
fn scheme(text: &str) -> Option<&str> {
    let (name, rest) = text.split_once(':')?;
    let mut bytes = name.bytes();
    let legal = bytes.next()?.is_ascii_alphabetic()
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    legal.then_some(rest)
}

/// `[ "//" authority ] path [ "?" query ] [ "#" fragment ]`.
fn is_hierarchy(text: &str, after_scheme: bool) -> bool {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (text, query) = text.split_once('?').unwrap_or((text, ""));
    if !consists_of(fragment, b":@/?") || !consists_of(query, b":@/?") {
        return false;
    }
    if let Some(rest) = text.strip_prefix("//") {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        return is_authority(authority) && consists_of(path, b":@/");
    }
    // `a:b` would be a scheme, so a relative path's first segment holds no colon.
    let first = text.split('/').next().unwrap_or_default();
    consists_of(text, b":@/") && (after_scheme || !first.contains(':'))
}

/// `[ userinfo "@" ] host [ ":" port ]`.
fn is_authority(text: &str) -> bool {
    let (userinfo, host) = text.split_once('@').unwrap_or(("", text));
    if !consists_of(userinfo, b":") {
        return false;
    }
    if let Some(literal) = host.strip_prefix('[') {
        let Some((address, port)) = literal.split_once(']') else { return false };
        return is_address(address)
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    consists_of(name, b"") && is_port(port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `IPv6address / IPvFuture`.
fn is_address(text: &str) -> bool {
    let Some(future) = text.strip_prefix(['v', 'V']) else {
        return text.parse::<Ipv6Addr>().is_ok();
    };
    let Some((version, address)) = future.split_once('.') else { return false };
    let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_version && !address.is_empty() && !address.contains('%') && consists_of(address, b":")
}

/// Unreserved characters, sub-delimiters, percent-encoded bytes, and those of `more`.
fn consists_of(text: &str, more: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let legal = match byte {
            b'%' => {
                let mut hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
                hex() && hex()
            }
            _ => stands_for_itself(byte) || more.contains(&byte),
        };
        if !legal {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_have_a_scheme() {
        for uri in [
            "http://foo.bar/?baz=qux#quux",
            "ldap://[2001:db8::7]/c=GB?objectClass?one",
            "news:comp.infosystems.www.servers.unix",
            "urn:aws:lambda:x",
            "http://a:80",
            "a:",
            "http://-.~_!$&'()*+,;=:%40:80%2f::::::@example.com",
            "http://[v1.a:b]:8/",
            "a://",
            "mailto:a@b",
            "file:///etc/passwd",
            "http://999.999.999.999/",
        ] {
            assert!(is_uri(uri) && is_uri_reference(uri), "{uri}");
        }
    }

    #[test]
    fn references_may_be_relative() {
        for reference in
            ["/abc", "abc", "?query=1", "#fragment", "//host/path", "", "./a:b", "a/b:c"]
        {
            assert!(!is_uri(reference) && is_uri_reference(reference), "{reference}");
        }
    }

    #[test]
    fn what_rfc_3986_forbids_is_refused() {
        for wrong in [
            "a b",
            "\\",
            "#frag\\ment",
            "/%zz",
            "http://x/%",
            "http://x/%6G",
            "/[::1]",
            "//a@b@c/",
            "1:b",
            "ht_tp://example.com",
            ":// x",
            "https://[@example.org/",
            "http://x/<>",
            "x^",
            "http://[::ffff:01.2.3.4]",
            "http://[::1",
            "http://[::1]x",
            "http://[fe80::1%25eth0]/",
            "http://a:8x/",
            "http://[v.a]/",
            "http://[vx.a]/",
            "é",
            "a#b#c",
            "//a:b:c/",
            "x\u{7f}",
        ] {
            assert!(!is_uri(wrong) && !is_uri_reference(wrong), "{wrong}");
        }
    }
}
