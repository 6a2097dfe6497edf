//! The HTTP client, with the cryptography that TLS needs.

use reqwest::{Client, ClientBuilder};

/// Returns the builder of a client. The process has one provider of cryptography, which the first caller installs.
pub fn builder() -> ClientBuilder {
    // An error says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
}
