//! One connection of a client: reads the head of its one request strictly, lets hyper read the body and
//! write the answer, and closes. A second request on it, pipelined or not, is never read (T8).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::exchange;
use super::refusal::Refusal;
use super::request;
use super::session::Broker;
use super::transport::{self, Envelope, MAX_HEAD, MAX_HEADERS};

/// How long a head may take once it has begun (T10).
const HEAD: Duration = Duration::from_secs(10);

/// How much is read for nothing from a client that was refused.
const MAX_UNREAD: u64 = 1 << 20;

/// How long a connection may be there without a request.
const SILENT: Duration = Duration::from_mins(1);

/// What clients' connections are.
pub trait Client: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Client for T {}

/// Serves one connection to its end.
pub async fn serve<C: Client>(mut client: C, broker: Arc<Broker>) {
    let (envelope, received) = match read_head(&mut client).await {
        Ok(Some(read)) => read,
        Ok(None) => return,
        Err(refusal) => {
            broker.tell(&refusal);
            let told = write_refusal(&mut client, &refusal);
            let _ = tokio::time::timeout(HEAD, told).await; // whoever does not read, does not read
            return;
        }
    };
    let raw = request::is_raw(&envelope.head);
    let unasked = raw && !envelope.wants_raw;
    let received = if unasked { asking(&received) } else { received };
    let envelope = Mutex::new(Some(envelope));
    let service = service_fn(move |request| {
        // hyper keeps no connection alive here, so there is one request.
        let once = envelope.lock().unwrap_or_else(PoisonError::into_inner).take();
        let exchange =
            once.map(|envelope| exchange::answer(Arc::clone(&broker), envelope, request));
        async move {
            match exchange {
                Some(exchange) => Ok(exchange.await),
                None => Err(io::Error::from(io::ErrorKind::InvalidInput)),
            }
        }
    });
    let status = if unasked { PLAIN } else { &[] };
    let replayed = TokioIo::new(Replayed { received, status, client });
    let serving = http1::Builder::new()
        .keep_alive(false)
        .max_headers(MAX_HEADERS + 1)
        // Input may have ended before its stream begins; elsewhere that is a client that went away.
        .half_close(raw)
        .timer(TokioTimer::new())
        .serve_connection(replayed, service)
        .with_upgrades();
    let _ = serving.await; // the client is gone, which is its own affair
}

/// Reads up to the end of the head; `None` where the client has nothing to say.
async fn read_head(client: &mut (impl AsyncRead + Unpin)) -> Result<Option<Read>, Refusal> {
    let mut received = BytesMut::with_capacity(MAX_HEAD);
    let mut patience = SILENT;
    loop {
        let read = tokio::time::timeout(patience, client.read_buf(&mut received)).await;
        match read {
            Ok(Ok(length)) if length > 0 => {}
            Ok(_) => return Ok(None),
            Err(_late) if received.is_empty() => return Ok(None),
            Err(_late) => {
                let late = Refusal::malformed("transport", "the request's head does not end");
                return Err(late.with_status(408));
            }
        }
        if let Some(length) = transport::length(&received)? {
            let envelope = transport::read(&received[..length])?;
            return Ok(Some((envelope, received.freeze())));
        }
        patience = HEAD;
    }
}

type Read = (Envelope, Bytes);

/// Writes an answer by hand: hyper is not asked to read such a head.
async fn write_refusal(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    refusal: &Refusal,
) -> io::Result<()> {
    let body = refusal.body();
    let status = hyper::StatusCode::from_u16(refusal.status).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Refused"),
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(&body).await?;
    client.shutdown().await?;
    // Closed with something unread, the client's end would break before it has read this.
    tokio::io::copy(&mut client.take(MAX_UNREAD), &mut tokio::io::sink()).await.map(drop)
}

/// The head with the request for a raw stream that old clients leave out.
fn asking(head: &Bytes) -> Bytes {
    let line = head.windows(2).position(|two| two == b"\r\n").map_or(0, |end| end + 2);
    [&head[..line], b"Upgrade: tcp\r\n", &head[line..]].concat().into()
}

/// How hyper begins the answer that gives a connection away, and how old clients expect it.
const SWITCHED: &[u8] = b"HTTP/1.1 101";
const PLAIN: &[u8] = b"HTTP/1.1 200";

/// A connection of which some bytes were read already.
struct Replayed<C> {
    received: Bytes,
    /// What is still to be written in the place of [`SWITCHED`].
    status: &'static [u8],
    client: C,
}

impl<C: Client> AsyncRead for Replayed<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.received.is_empty() {
            return Pin::new(&mut self.client).poll_read(context, buffer);
        }
        let length = self.received.len().min(buffer.remaining());
        buffer.put_slice(&self.received[..length]);
        self.received.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<C: Client> AsyncWrite for Replayed<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let begun = self.status.len() < PLAIN.len();
        if self.status.is_empty() || !(begun || bytes.starts_with(SWITCHED)) {
            self.status = &[];
            return Pin::new(&mut self.client).poll_write(context, bytes);
        }
        let status = self.status;
        let written = ready!(Pin::new(&mut self.client).poll_write(context, status))?;
        self.status = &status[written..];
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.client).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.client).poll_shutdown(context)
    }
}
