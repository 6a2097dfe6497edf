//! `probe`: asks a running server for its health, for images that have neither a shell nor curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::CommandError;
use crate::config::inspect::Probe;

/// Maximum number of bytes of the answer that are read: its first line is enough.
const MAX_ANSWER_BYTES: u64 = 1_024;

/// Asks the server, and succeeds if it says that it is well.
///
/// # Errors
/// Returns the answer of the server, or why there is none.
pub async fn run(options: &Probe) -> Result<(), CommandError> {
    let address = options.address.as_ref().or(options.admin_listen.as_ref()).unwrap_or(&options.listen);
    let addresses: Vec<_> = address.addresses().iter().map(reachable).collect();
    let path = if options.ready { "/readyz" } else { "/healthz" };
    let failed = |problem: String| CommandError::Probe { url: format!("http://{address}{path}"), problem };
    let asked = tokio::time::timeout(Duration::from_millis(options.timeout_ms), ask(&addresses, path)).await;
    let answer = match asked {
        Ok(answer) => answer.map_err(|error| failed(error.to_string()))?,
        Err(_) => return Err(failed(format!("no answer within {} ms", options.timeout_ms))),
    };
    let status = answer.lines().next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).unwrap_or_default();
    match status.get(..3) {
        Some("200") => Ok(()),
        Some(status) => Err(failed(format!("the answer is {status}"))),
        None => Err(failed("the answer is not HTTP; is it the port of TLS?".to_owned())),
    }
}

/// Returns the address at which this machine reaches a listener.
fn reachable(address: &SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(addresses: &[SocketAddr], path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addresses).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
