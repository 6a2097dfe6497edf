//! Bodies that are too large, or would become so: declared, in pieces, compressed, and all together.

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::*;

const GIGABYTE: usize = 1 << 30;

/// Returns the response to an HTTP/1.1 caller that sends this head, then these pieces until it gets the response.
async fn http1(service: &Service, headers: &str, pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> String {
    let (mut read, mut write) = connect(service).await.into_split();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\n{headers}\r\n\r\n",
        basic("demo:demo")
    );
    let sending = tokio::spawn(async move {
        write.write_all(head.as_bytes()).await?;
        for piece in pieces {
            write.write_all(&piece).await?;
        }
        // The caller does not close the connection, because it waits for the response.
        std::future::pending::<std::io::Result<()>>().await
    });
    let mut answer = vec![0; 12];
    let read = tokio::time::timeout(NOTICED_WITHIN, read.read_exact(&mut answer)).await.expect("an answer");
    sending.abort();
    read.map(|_| String::from_utf8(answer).unwrap()).expect("an answer")
}

#[tokio::test]
async fn a_body_of_a_gigabyte_is_refused_early_declared_or_not() {
    let service = Service::start().await;
    let piece = vec![b' '; 64 * 1024];
    let pieces = || std::iter::repeat_n(piece.clone(), GIGABYTE / piece.len());
    let chunks = pieces().map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat());
    let declared = http1(&service, &format!("content-length: {GIGABYTE}"), pieces()).await;
    assert_eq!(declared, "HTTP/1.1 413");
    assert_eq!(http1(&service, "transfer-encoding: chunked", chunks).await, "HTTP/1.1 413");

    let length = GIGABYTE.to_string();
    let gigabyte = [&[0][..], &u32::try_from(GIGABYTE).unwrap().to_be_bytes()].concat();
    for headers in [vec![("content-length", length.as_str())], vec![]] {
        let mut client = Http2::over(connect(&service).await).await;
        let (response, mut body) = client.begin(&grpc_head(&headers)).await;
        let (first, piece) = (Bytes::from(gigabyte.clone()), Bytes::from(piece.clone()));
        let sending = tokio::spawn(async move {
            let mut next = first;
            loop {
                body.reserve_capacity(next.len());
                let room = std::future::poll_fn(|context| body.poll_capacity(context)).await;
                let Some(Ok(room)) = room else { return };
                let part = next.split_to(room.min(next.len()));
                if body.send_data(part, false).is_err() {
                    return;
                }
                if next.is_empty() {
                    next = piece.clone();
                }
            }
        });
        let status = tokio::time::timeout(NOTICED_WITHIN, Http2::status(response)).await.expect("an answer").unwrap();
        assert_eq!((status.code, status.reason.as_str()), (3, "TOO_LARGE"), "{headers:?}");
        sending.abort();
    }
    serves(&service).await;
}

#[tokio::test]
async fn what_is_compressed_is_refused_and_never_inflated() {
    let service = Service::start().await;
    // Half a megabyte inflates to eighty.
    let bomb = crate::gzip::bomb(512 * 1024);
    let length = bomb.len();
    let sent = std::iter::once(bomb.clone());
    let answer = http1(&service, &format!("content-encoding: gzip\r\ncontent-length: {length}"), sent).await;
    assert_eq!(answer, "HTTP/1.1 415");

    let mut client = Http2::over(connect(&service).await).await;
    for encoding in [&[("grpc-encoding", "gzip")][..], &[]] {
        let (response, mut body) = client.begin(&grpc_head(encoding)).await;
        body.send_data(wire::framed(1, &bomb), true).unwrap();
        let status = Http2::status(response).await.unwrap();
        // A compressed message without a declared encoding is not a valid gRPC frame.
        assert_eq!(status.code, if encoding.is_empty() { 3 } else { 12 }, "{status:?}");
    }
    serves(&service).await;
}
