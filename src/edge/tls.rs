//! TLS certificates, read from files and read again while the service runs. No message contains the private key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, version};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Interval at which the files are checked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Limits a file that is read: bytes.
const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Paths of the certificate files, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate of the service, followed by its intermediate certificates.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// Authorities that sign client certificates. Callers need no certificate if this is `None`.
    pub client_ca: Option<PathBuf>,
}

/// Error of a file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option} {}: {problem}", file.display())]
pub struct TlsError {
    /// The option that names the file.
    option: &'static str,
    file: PathBuf,
    problem: String,
}

/// Contents of the files.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// The certificates in use.
pub struct Certificates {
    files: TlsFiles,
    /// Contents that were read last, valid or not.
    seen: Result<Contents, TlsError>,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// Returns the option that names the file, and the problem of the file.
    pub async fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = read(&files).await?;
        let current = watch::Sender::new(config(&files, &contents)?);
        Ok(Self { files, seen: Ok(contents), current })
    }

    /// Returns a receiver of the configuration for new connections.
    pub fn current(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.current.subscribe()
    }

    /// Checks the files every second, and on SIGHUP. Files that cannot be used change nothing, and are logged once.
    pub async fn keep_fresh(mut self) {
        let mut hang_up = signal(SignalKind::hangup()).ok();
        loop {
            let told = async {
                match &mut hang_up {
                    Some(hang_up) => hang_up.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = told => {}
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let contents = read(&self.files).await;
        if contents == self.seen {
            return;
        }
        match contents.as_ref().map_err(Clone::clone).and_then(|contents| config(&self.files, contents)) {
            Ok(config) => {
                self.current.send_replace(config);
                tracing::info!("new connections are served with the changed certificates");
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the changed certificates are not used");
            }
        }
        self.seen = contents;
    }
}

async fn read(files: &TlsFiles) -> Result<Contents, TlsError> {
    let client_ca = match &files.client_ca {
        Some(file) => Some(read_file("--tls-client-ca", file).await?),
        None => None,
    };
    Ok(Contents {
        certificate: read_file("--tls-certificate", &files.certificate).await?,
        key: read_file("--tls-key", &files.key).await?,
        client_ca,
    })
}

async fn read_file(option: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    let problem = match tokio::fs::metadata(file).await {
        Ok(metadata) if metadata.len() > MAX_FILE_BYTES as u64 => format!("longer than {MAX_FILE_BYTES} bytes"),
        Ok(metadata) if !metadata.is_file() => "not a file".to_owned(),
        Ok(_) => match tokio::fs::read(file).await {
            Ok(contents) => return Ok(contents),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    Err(TlsError { option, file: file.to_owned(), problem })
}

/// Builds the configuration from these contents of these files.
fn config(files: &TlsFiles, contents: &Contents) -> Result<Arc<ServerConfig>, TlsError> {
    let wrong = |option, file: &Path| {
        let file = file.to_owned();
        move |problem: String| TlsError { option, file, problem }
    };
    let of_certificate = wrong("--tls-certificate", &files.certificate);
    let chain = certificates(&contents.certificate).map_err(of_certificate.clone())?;
    // The text of the library reveals nothing of a key file today, but may in a later version.
    let key = PrivateKeyDer::from_pem_slice(&contents.key)
        .map_err(|_| wrong("--tls-key", &files.key)("no private key in PEM".to_owned()))?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| of_certificate.clone()(error.to_string()))?;
    let builder = match (&files.client_ca, &contents.client_ca) {
        (Some(file), Some(contents)) => {
            let of_client_ca = wrong("--tls-client-ca", file);
            let mut authorities = RootCertStore::empty();
            for certificate in certificates(contents).map_err(of_client_ca.clone())? {
                authorities.add(certificate).map_err(|error| of_client_ca.clone()(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
                .build()
                .map_err(|error| of_client_ca(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            wrong("--tls-key", &files.key)("not the key of the certificate".to_owned())
        }
        error => of_certificate(error.to_string()),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Parses at least one certificate.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err("no certificate in PEM".to_owned()),
    }
}
