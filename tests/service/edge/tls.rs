//! TLS: gRPC and JSON, both versions, callers with and without a certificate, and certificates that change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::server_process::{self, Process};

/// Time in which changed files take effect.
const SERVED_WITHIN: Duration = Duration::from_secs(10);

/// An authority, and files of certificates that it issues.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    directory: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let authority =
            Self { issuer: Issuer::new(params, key), pem: pem.clone(), directory: tempfile::tempdir().unwrap() };
        std::fs::write(authority.file("ca.pem"), pem).unwrap();
        authority
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// Returns a new certificate and its key as PEM.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Puts a new certificate where the server looks for it. Returns the certificate.
    pub fn renew(&self) -> CertificateDer<'static> {
        let (certificate, key) = self.issue();
        std::fs::write(self.file("key.pem"), key).unwrap();
        std::fs::write(self.file("certificate.pem"), &certificate).unwrap();
        CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()
    }

    fn options(&self) -> Vec<String> {
        ["--tls-certificate", &self.path("certificate.pem"), "--tls-key", &self.path("key.pem")]
            .map(str::to_owned)
            .to_vec()
    }

    pub fn client(&self, alpn: &str, identity: Option<(String, String)>) -> ClientConfig {
        self.client_of(alpn, identity, &[&version::TLS13, &version::TLS12])
    }

    fn client_of(
        &self,
        alpn: &str,
        identity: Option<(String, String)>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut authorities = RootCertStore::empty();
        authorities.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(authorities);
        let mut config = match identity {
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        config
    }
}

pub async fn start(authority: &Authority, more: &[&str]) -> Service {
    let options = authority.options();
    let options: Vec<_> = options.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Service::start_with(&catalog(), &options).await
}

pub async fn shake_hands(address: std::net::SocketAddr, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await
}

/// Returns the status of a bulk earning over gRPC, or `None` if the connection is ended instead.
async fn over_grpc(stream: TlsStream<TcpStream>) -> Option<i32> {
    let mut client = Http2::try_over(stream).await.ok()?;
    Some(client.earn("over TLS").await.ok()?.code)
}

async fn over_json(mut stream: TlsStream<TcpStream>) -> Option<String> {
    let body = one_entry("over TLS", TEN_OFF, 1).to_string();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        basic("demo:demo"),
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.ok()?;
    let answer = String::from_utf8(until_closed(&mut stream).await).unwrap();
    Some(answer.get(..12)?.to_owned())
}

#[tokio::test]
async fn both_endpoints_are_behind_tls_1_2_and_1_3_and_nothing_is_without() {
    let authority = Authority::new();
    authority.renew();
    let service = start(&authority, &[]).await;
    for version in [&version::TLS12, &version::TLS13] {
        let stream = shake_hands(service.address, authority.client_of("h2", None, &[version])).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(over_grpc(stream).await, Some(0));
        let stream = shake_hands(service.address, authority.client_of("http/1.1", None, &[version])).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(over_json(stream).await.as_deref(), Some("HTTP/1.1 200"));
    }
    let mut plain = connect(&service).await;
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let answer = until_closed(&mut plain).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[tokio::test]
async fn where_callers_need_a_certificate_only_those_with_one_are_served() {
    let authority = Authority::new();
    authority.renew();
    let service = start(&authority, &["--tls-client-ca", &authority.path("ca.pem")]).await;
    let known = authority.issue();
    let stream = shake_hands(service.address, authority.client("h2", Some(known.clone()))).await.unwrap();
    assert_eq!(over_grpc(stream).await, Some(0));
    let stream = shake_hands(service.address, authority.client("http/1.1", Some(known))).await.unwrap();
    assert_eq!(over_json(stream).await.as_deref(), Some("HTTP/1.1 200"));
    for identity in [None, Some(Authority::new().issue())] {
        // With TLS 1.3 a client learns that it is refused only when it reads.
        match shake_hands(service.address, authority.client("h2", identity)).await {
            Ok(stream) => assert_eq!(over_grpc(stream).await, None),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_ended_and_others_go_on() {
    let authority = Authority::new();
    authority.renew();
    let service = start(&authority, &["--header-timeout-ms", "300"]).await;
    // The TLS record declares a greater length.
    let half = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 40]].concat();
    let slow = tokio::spawn(drip_until_closed(connect(&service).await, half));
    let silent = tokio::spawn(drip_until_closed(connect(&service).await, vec![]));
    let mut after = shake_hands(service.address, authority.client("h2", None)).await.unwrap();
    assert_eq!(over_grpc(shake_hands(service.address, authority.client("h2", None)).await.unwrap()).await, Some(0));
    slow.await.unwrap();
    silent.await.unwrap();
    // The first bytes after the handshake have the time-out too.
    tokio::time::timeout(NOTICED_WITHIN, until_closed(&mut after)).await.expect("it is ended");
    assert_eq!(over_grpc(shake_hands(service.address, authority.client("h2", None)).await.unwrap()).await, Some(0));
}

async fn drip_until_closed(stream: TcpStream, beginning: Vec<u8>) {
    let rest: &[u8] = if beginning.is_empty() { &[] } else { &[7] };
    drip(stream, &beginning, rest).await;
}

async fn served(address: std::net::SocketAddr, authority: &Authority) -> CertificateDer<'static> {
    let stream = shake_hands(address, authority.client("h2", None)).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Waits until this certificate is served. Until then the server must serve the other one.
async fn served_instead(address: std::net::SocketAddr, authority: &Authority, certificates: [&CertificateDer<'_>; 2]) {
    let [old, new] = certificates;
    let changed = async {
        loop {
            let now = served(address, authority).await;
            if now == *new {
                return;
            }
            assert_eq!(now, *old);
            tokio::time::sleep(DRIP).await;
        }
    };
    tokio::time::timeout(SERVED_WITHIN, changed).await.expect("a changed certificate is served");
}

#[tokio::test]
async fn a_changed_certificate_is_served_without_a_restart_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let first = authority.renew();
    let directory = tempfile::tempdir().unwrap();
    let options = authority.options();
    let options: Vec<_> =
        ["--demo", "--listen", "127.0.0.1:0"].into_iter().chain(options.iter().map(String::as_str)).collect();
    let mut process = Process::start(directory.path(), &options);
    let curl = process.printed_until("}'");
    assert!(curl.starts_with("curl 'https://127.0.0.1:"), "{curl}");
    let address = process.caller.address;
    assert_eq!(served(address, &authority).await, first);
    let mut kept = Http2::over(shake_hands(address, authority.client("h2", None)).await.unwrap()).await;

    std::fs::write(authority.file("key.pem"), "-----BEGIN PRIVATE KEY-----\nsecret\n").unwrap();
    process.signal("HUP");
    let looked_at = std::time::Instant::now();
    while looked_at.elapsed() < Duration::from_millis(2_500) {
        assert_eq!(served(address, &authority).await, first);
        tokio::time::sleep(DRIP).await;
    }
    let second = authority.renew();
    served_instead(address, &authority, [&first, &second]).await;
    assert_eq!(kept.earn("on the old one").await.unwrap().code, 0);
    drop(kept);

    let key = std::fs::read_to_string(authority.file("key.pem")).unwrap();
    process.signal("TERM");
    let (success, log) = process.end();
    assert!(success);
    let errors: Vec<_> = log.iter().filter(|line| line["level"] == "ERROR").collect();
    // A second error may be logged if the server read the certificate before its key was changed.
    assert!((1..=2).contains(&errors.len()), "{errors:?}");
    assert!(errors[0]["error"].as_str().unwrap().starts_with("--tls-key "), "{errors:?}");
    let text = serde_json::to_string(&log).unwrap();
    assert!(log.iter().any(|line| line["tls"] == true), "{text}");
    for secret in key.lines().filter(|line| !line.starts_with('-')).chain(["secret"]) {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn wrong_files_of_tls_end_the_start_with_one_line_that_names_the_option() {
    let authority = Authority::new();
    authority.renew();
    let (other, _) = authority.issue();
    std::fs::write(authority.file("other.pem"), other).unwrap();
    std::fs::write(authority.file("empty.pem"), "").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let serve = |files: [&str; 3]| {
        let files = files.map(|name| if name.is_empty() { String::new() } else { authority.path(name) });
        let named = ["--tls-certificate", "--tls-key", "--tls-client-ca"].into_iter().zip(&files);
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--log-format", "text"];
        arguments.extend(named.filter(|(_, file)| !file.is_empty()).flat_map(|(option, file)| [option, file.as_str()]));
        let output = server_process::run(Path::new(directory.path()), &arguments);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let rows = [
        (["missing.pem", "key.pem", ""], 1, "--tls-certificate "),
        (["empty.pem", "key.pem", ""], 1, "--tls-certificate "),
        (["key.pem", "key.pem", ""], 1, "--tls-certificate "),
        (["certificate.pem", "certificate.pem", ""], 1, "--tls-key "),
        (["other.pem", "key.pem", ""], 1, "--tls-key "),
        (["certificate.pem", "key.pem", "empty.pem"], 1, "--tls-client-ca "),
        (["certificate.pem", "", ""], 2, "--tls-key "),
        (["", "key.pem", ""], 2, "--tls-certificate "),
        (["", "", "ca.pem"], 2, "--tls-certificate "),
    ];
    for (files, code, option) in rows {
        let (ended, text) = serve(files);
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("cart-promotions: ")).collect();
        assert_eq!((ended, lines.len()), (Some(code), 1), "{files:?}: {text}");
        assert!(lines[0].contains(option), "{files:?}: {text}");
    }
}
