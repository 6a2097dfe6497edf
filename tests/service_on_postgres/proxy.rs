//! A proxy to PostgreSQL on a port of its own, which can be cut and can stall.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy that forwards connections until it is cut.
pub struct Proxy {
    pub address: SocketAddr,
    cuts: watch::Sender<u64>,
    stalled: watch::Sender<bool>,
}

impl Proxy {
    /// Starts a proxy to the server of this URL.
    pub async fn to(url: &str) -> Self {
        let url = url::Url::parse(url).unwrap();
        let server = (url.host_str().unwrap().to_owned(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, stalled) = (watch::Sender::new(0), watch::Sender::new(false));
        let (cut, stall) = (cuts.clone(), stalled.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (server, mut cut, stall) = (server.clone(), cut.subscribe(), stall.subscribe());
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
                    let never = watch::Sender::new(false);
                    tokio::select! {
                        () = forward(from_client, to_server, never.subscribe()) => {}
                        () = forward(from_server, to_client, stall) => {}
                        // Everything in flight, in either direction, is lost.
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, cuts, stalled }
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Holds the server's responses back, or releases them. The server still receives everything.
    pub fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }
}

/// Forwards bytes until either side ends.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut stalled: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if stalled.wait_for(|stalled| !stalled).await.is_err() || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
