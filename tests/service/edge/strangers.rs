//! Running calls of connections without credentials, through a real listener, with a handler that answers when it is
//! told to.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use cart_promotions::edge::{self, Answered, EdgeLimits, Handler, Received};
use h2::client::ResponseFuture;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::*;

/// Limit of running calls of all connections without credentials, beyond the few of each.
const MAX_RUNNING: usize = 5;
/// Running calls of each connection that are not counted.
const FEW: usize = 8;
/// Path of a call that is answered at once.
const AT_ONCE: &str = "/at-once";

/// A listener whose handler holds every call that is not answered at once.
struct Holding {
    address: SocketAddr,
    /// Number of calls that the handler holds or held.
    taken: watch::Receiver<usize>,
    release: watch::Sender<bool>,
}

impl Holding {
    async fn start() -> Self {
        let (take, taken) = watch::channel(0);
        let (release, released) = watch::channel(false);
        let handler: Handler = Arc::new(move |received| {
            let Received::Request(request) = received else { panic!("{received:?}") };
            let is_authenticated = request.headers().contains_key("authorization");
            let mut released = released.clone();
            let is_held = request.uri().path() != AT_ONCE;
            if is_held {
                take.send_modify(|taken| *taken += 1);
            }
            Box::pin(async move {
                if is_held {
                    released.wait_for(|released| *released).await.expect("told in the end");
                }
                Answered { response: Response::new(Body::empty()), is_authenticated }
            })
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = options("sqlite://x.db", &[]).edge.limits(100, Duration::from_secs(1));
        let limits = EdgeLimits { max_running_of_strangers: MAX_RUNNING, ..limits };
        tokio::spawn(async move {
            let (_tell, told) = watch::channel(edge::Stop::No);
            let settings = edge::EdgeSettings { registry: edge::Registry::new(limits), tls: None };
            edge::serve(listener, handler, settings, told).await;
        });
        Self { address, taken, release }
    }

    async fn connect(&self) -> Http2 {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Http2::over(stream).await
    }

    /// Waits until the handler has taken this number of calls, and no more.
    async fn has_taken(&mut self, calls: usize) {
        let taken = self.taken.wait_for(|taken| *taken >= calls);
        let taken = *tokio::time::timeout(NOTICED_WITHIN, taken).await.expect("the calls are taken").unwrap();
        assert_eq!(taken, calls);
    }
}

/// Begins this number of calls that are held.
async fn hold(connection: &mut Http2, calls: usize) -> Vec<ResponseFuture> {
    let mut responses = Vec::new();
    for _ in 0..calls {
        responses.push(connection.begin(&head_of_get("/held")).await.0);
    }
    responses
}

#[tokio::test]
async fn running_calls_of_strangers_have_a_limit_and_those_of_a_client_do_not_count() {
    let mut listener = Holding::start().await;
    let mut client = listener.connect().await;
    let (answer, _) = client.begin(&head("GET", AT_ONCE, &[("authorization", "right")])).await;
    assert_eq!(answer.await.unwrap().status(), 200);

    // At the limit, over two connections.
    let (mut first, mut second) = (listener.connect().await, listener.connect().await);
    let mut stay = hold(&mut first, FEW + MAX_RUNNING - 2).await;
    let _cut = hold(&mut second, FEW + 2).await;
    listener.has_taken(2 * FEW + MAX_RUNNING).await;

    // One beyond is not handled, and its connection gives way, with all its calls.
    let beyond = hold(&mut second, 1).await.remove(0);
    let answer = tokio::time::timeout(NOTICED_WITHIN, beyond).await.expect("refused or cut");
    assert!(answer.as_ref().map_or(true, |answer| answer.status() == 503), "{answer:?}");
    let _ = tokio::time::timeout(NOTICED_WITHIN, second.ended()).await.expect("it gives way");
    listener.has_taken(2 * FEW + MAX_RUNNING).await;
    assert!(first.try_reached().await, "the other one stays");

    // Calls of a connection with credentials are taken without a limit of this kind.
    stay.extend(hold(&mut client, FEW + MAX_RUNNING + 20).await);
    listener.has_taken(3 * FEW + 2 * MAX_RUNNING + 20).await;

    // The calls that were cut have left their slots to others, and one more is again too many.
    let mut third = listener.connect().await;
    stay.extend(hold(&mut third, FEW + 2).await);
    listener.has_taken(4 * FEW + 2 * MAX_RUNNING + 22).await;
    let mut fourth = listener.connect().await;
    let _cut = hold(&mut fourth, FEW + 1).await;
    let _ = tokio::time::timeout(NOTICED_WITHIN, fourth.ended()).await.expect("it gives way");
    listener.has_taken(5 * FEW + 2 * MAX_RUNNING + 22).await;

    listener.release.send_replace(true);
    for answer in stay {
        assert_eq!(tokio::time::timeout(NOTICED_WITHIN, answer).await.expect("an answer").unwrap().status(), 200);
    }
}
