//! What TLS needs before the first connection.
#![forbid(unsafe_code)]

/// Chooses the cryptography, unless the program has chosen before: the driver does not.
pub(super) fn prepare() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
