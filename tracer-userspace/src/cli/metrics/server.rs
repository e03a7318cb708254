//! Answers `GET /metrics` and nothing else: one request a connection, a few connections at a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::plain::{self, asks_for_open_metrics};

/// What the text is.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Connections answered at the same time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 8;
/// Longest request head.
const HEAD_MAX: usize = 8 * 1024;
/// A client gets this long for its request and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait where a connection cannot be accepted (no descriptors are left).
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Serves until the runtime ends.
pub(super) async fn serve(listener: TcpListener, registry: Arc<Registry>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _peer)) => {
                let registry = Arc::clone(&registry);
                tokio::spawn(async move {
                    match timeout(PATIENCE, converse(stream, &registry)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => log::debug!("a scrape of the metrics failed: {error}"),
                        Err(_) => log::debug!("a scrape of the metrics took too long"),
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                log::warn!("metrics cannot be served just now: {error}");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, registry: &Registry) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    while !ends(&head) && head.len() < HEAD_MAX {
        if (&mut stream).take(HEAD_MAX as u64).read_buf(&mut head).await? == 0 {
            break;
        }
    }
    stream.write_all(&answer(&head, registry)).await?;
    stream.shutdown().await
}

fn ends(head: &[u8]) -> bool {
    memchr::memmem::find(head, b"\r\n\r\n").is_some()
}

/// The whole answer to this request head.
fn answer(head: &[u8], registry: &Registry) -> Vec<u8> {
    if !ends(head) {
        return text("400 Bad Request", "", "this is no HTTP request\n", true);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target, version) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !version.starts_with("HTTP/1.") {
        return text("400 Bad Request", "", "only HTTP/1 is spoken here\n", true);
    }
    let body = match method {
        Some("GET") => true,
        Some("HEAD") => false,
        _ => return text("405 Method Not Allowed", "Allow: GET, HEAD\r\n", "only GET is answered here\n", true),
    };
    if target.split('?').next() != Some("/metrics") {
        return text("404 Not Found", "", "the metrics are at /metrics\n", body);
    }
    let mut metrics = String::with_capacity(16 * 1024);
    match encode(&mut metrics, registry) {
        Ok(()) if !asks_for_open_metrics(&String::from_utf8_lossy(head)) => {
            response("200 OK", "Vary: Accept\r\n", plain::CONTENT_TYPE, &plain::plain(&metrics), body)
        }
        Ok(()) => response("200 OK", "Vary: Accept\r\n", CONTENT_TYPE, &metrics, body),
        Err(_) => text("500 Internal Server Error", "", "the metrics cannot be written\n", body),
    }
}

fn text(status: &str, headers: &str, body: &str, with_body: bool) -> Vec<u8> {
    response(status, headers, "text/plain; charset=utf-8", body, with_body)
}

fn response(status: &str, headers: &str, content_type: &str, body: &str, with_body: bool) -> Vec<u8> {
    let length = body.len();
    let shown = if with_body { body } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{headers}\
         Connection: close\r\n\r\n{shown}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &str) -> String {
        let bytes = answer(request.as_bytes(), &Registry::default());
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nConnection: close"), "{head}");
        format!("{} {body}", head.split("\r\n").next().unwrap())
    }

    #[test]
    fn only_metrics_are_answered() {
        let check = |request: &str, expected: &str| assert_eq!(status(request), expected, "{request}");
        let accept = "Accept: application/openmetrics-text\r\n";
        check(&format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{accept}\r\n"), "HTTP/1.1 200 OK # EOF\n");
        check(&format!("GET /metrics?x=1 HTTP/1.0\r\n{accept}\r\n"), "HTTP/1.1 200 OK # EOF\n");
        check("GET /metrics HTTP/1.1\r\nAccept: */*\r\n\r\n", "HTTP/1.1 200 OK ");
        check("HEAD /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK ");
        check("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found the metrics are at /metrics\n");
        check("GET /metricsx HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found the metrics are at /metrics\n");
        check("POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed only GET is answered here\n");
        check("GET /metrics\r\n\r\n", "HTTP/1.1 400 Bad Request only HTTP/1 is spoken here\n");
        check("GET /metrics HTTP/1.1\r\n", "HTTP/1.1 400 Bad Request this is no HTTP request\n");
        check("\u{0}\u{1}", "HTTP/1.1 400 Bad Request this is no HTTP request\n");
    }
}
