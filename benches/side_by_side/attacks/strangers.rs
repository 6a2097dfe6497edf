//! Attacks of peers without credentials: answers that are not taken, requests that are not finished, frames without end, and
//! credentials that are wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::sleep;

use super::frames::{DATA, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, headers};
use super::{Attack, Attacker, FEW, GRPC_PATH, PATH, ReportRow, beside, each};
use crate::Bench;

/// Connections a second whose window is zero, and calls of each.
const ZERO_WINDOWS_PER_SECOND: u32 = 100;
const CALLS_OF_ZERO_WINDOW: u8 = 40;
/// Connections that send half of a request, of all routes together, and new ones a second.
const HALF_SENT: usize = 2_000;
const HALF_SENT_PER_SECOND: u32 = 500;
/// Parts of a flood a second, and frames of each.
const FLOODS_PER_SECOND: u32 = 200;
const FRAMES: usize = 500;
/// Requests a second for tokens, and with wrong credentials.
const TOKENS_PER_SECOND: u32 = 200;
const WRONG_PER_SECOND: u32 = 200;
/// Addresses of the wrong credentials.
const ADDRESSES: usize = 1_000;
/// Body of a request for a token: bytes.
const TOKEN_BODY_BYTES: usize = 8_000;
/// Time for an answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const TOKEN_PATH: &str = "/v3/oauth/token/generate";

pub fn zero_window(bench: &Bench) -> ReportRow {
    let what = "beside 100 connections a second with 40 calls each whose answers are not taken ÷ alone";
    beside(bench, Attack { name: "attack-zero-window", what, per_second: ZERO_WINDOWS_PER_SECOND }, |attacker| {
        each(FEW * 100, move |_| take_nothing(Arc::clone(&attacker)))
    })
}

async fn take_nothing(attacker: Arc<Attacker>) {
    // A window of zero for each stream.
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
    for call in 0..CALLS_OF_ZERO_WINDOW {
        let list = [(":method", "GET"), (":scheme", "http"), (":path", "/openapi.json"), (":authority", "x")];
        bytes.extend(headers(2 * u32::from(call) + 1, true, &list));
    }
    hold_open(&attacker, &bytes).await;
}

pub fn half_sent(bench: &Bench) -> ReportRow {
    let what = "beside 2,000 requests of all routes that are sent by half, opened anew when they are ended ÷ alone";
    beside(bench, Attack { name: "attack-half-sent", what, per_second: HALF_SENT_PER_SECOND }, |attacker| {
        each(HALF_SENT, move |index| send_half(Arc::clone(&attacker), index))
    })
}

async fn send_half(attacker: Arc<Attacker>, index: usize) {
    let grpc = [
        GRPC_PATH,
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/cartpromotions.v1.WalletService/ListEarnedPromotions",
    ];
    let json = [PATH, TOKEN_PATH, "/api_gateway/v1/promotions/customers", "/healthz"];
    let half = vec![b' '; 4_000];
    let bytes = if index.is_multiple_of(2) {
        let path = grpc[index / 2 % grpc.len()];
        let list = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "x"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        let message = [&[0, 0, 0, 0x1f, 0x40], half.as_slice()].concat();
        [PREFACE, &frame(SETTINGS, 0, 0, &[]), &headers(1, false, &list), &frame(DATA, 0, 1, &message)].concat()
    } else {
        let path = json[index / 2 % json.len()];
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 8000\r\n\r\n"
        );
        [head.as_bytes(), &half].concat()
    };
    hold_open(&attacker, &bytes).await;
}

pub fn window_updates(bench: &Bench) -> ReportRow {
    let what = "beside 100,000 WINDOW_UPDATE and RST_STREAM frames a second of streams that are finished ÷ alone";
    beside(bench, Attack { name: "attack-frames", what, per_second: FLOODS_PER_SECOND }, |attacker| {
        each(FEW, move |index| flood(Arc::clone(&attacker), index.is_multiple_of(2)))
    })
}

async fn flood(attacker: Arc<Attacker>, updates: bool) {
    let list = [(":method", "GET"), (":scheme", "http"), (":path", "/healthz"), (":authority", "x")];
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &headers(1, true, &list)].concat();
    let one = if updates { frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]) } else { frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]) };
    let part = one.repeat(FRAMES);
    loop {
        let mut stream = attacker.connect().await;
        let mut written = stream.write_all(&begin).await;
        // The answer ends the stream.
        let _ = tokio::time::timeout(ANSWERED_WITHIN, stream.read(&mut [0; 1024])).await;
        while written.is_ok() {
            attacker.pace().await;
            written = stream.write_all(&part).await;
        }
        attacker.ended();
    }
}

pub fn token_bodies(bench: &Bench) -> ReportRow {
    let what = "beside 200 requests a second for tokens, of 8 KB each, with unknown credentials ÷ alone";
    beside(bench, Attack { name: "attack-token-bodies", what, per_second: TOKENS_PER_SECOND }, |attacker| {
        each(FEW * 4, move |index| ask_for_tokens(Arc::clone(&attacker), index))
    })
}

async fn ask_for_tokens(attacker: Arc<Attacker>, index: usize) {
    let mut number = 0;
    loop {
        attacker.pace().await;
        number += 1;
        let secret = "x".repeat(TOKEN_BODY_BYTES - 100);
        let body = format!("{{\"key\":\"client {index} {number}\",\"secret\":\"{secret}\"}}");
        let head = format!("POST {TOKEN_PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
        ask_once(&attacker, attacker.address, format!("{head}content-length: {}\r\n\r\n{body}", body.len()), None)
            .await;
    }
}

pub fn wrong_credentials(bench: &Bench) -> ReportRow {
    let what = "beside 200 calls a second with wrong credentials from 1,000 addresses ÷ alone";
    beside(bench, Attack { name: "attack-wrong-credentials", what, per_second: WRONG_PER_SECOND }, |attacker| {
        each(FEW * 4, move |index| guess(Arc::clone(&attacker), index))
    })
}

async fn guess(attacker: Arc<Attacker>, index: usize) {
    use base64::Engine;
    let mut number = index;
    loop {
        attacker.pace().await;
        number += FEW * 4;
        // The name of a client that is there, and one that is not, in turns.
        let name = if number.is_multiple_of(2) { "bench" } else { "nobody" };
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:wrong {number}"));
        let head =
            format!("POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {pair}\r\ncontent-length: 0\r\n\r\n");
        let of = number % ADDRESSES;
        let source = format!("127.1.{}.{}:0", of / 250, 1 + of % 250).parse().unwrap();
        ask_once(&attacker, attacker.address, head, Some(source)).await;
    }
}

/// Sends these bytes on one connection after the other, and keeps each open until the server ends it.
async fn hold_open(attacker: &Attacker, bytes: &[u8]) {
    loop {
        attacker.pace().await;
        let mut stream = attacker.connect().await;
        if stream.write_all(bytes).await.is_ok() {
            let mut answer = [0; 1024];
            while stream.read(&mut answer).await.is_ok_and(|length| length > 0) {}
        }
        attacker.ended();
    }
}

/// Sends one request on a connection of its own, and reads the beginning of its answer.
async fn ask_once(attacker: &Attacker, address: SocketAddr, request: String, source: Option<SocketAddr>) {
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(source) = source {
        socket.bind(source).unwrap();
    }
    let Ok(mut stream) = socket.connect(address).await else { return sleep(Duration::from_millis(10)).await };
    if stream.write_all(request.as_bytes()).await.is_ok() {
        let _ = tokio::time::timeout(ANSWERED_WITHIN, stream.read(&mut [0; 1024])).await;
    }
    attacker.ended();
}
