//! One connection on its way through the attach: reads and writes side by side, each direction with its
//! own window and its own end.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Outlets;
use crate::agent::frame::{Channel, FrameKind, MAX_PAYLOAD};
use crate::agent::inbox::Inbox;
use crate::agent::outflow::Audience;
use crate::agent::protocol::{Reply, TUNNEL_CREDIT, TUNNEL_WINDOW, ToAgent, ToDriver};
use crate::agent::wire::Frame;

/// What the driver's words about a tunnel go to.
pub(super) struct Far {
    state: Arc<State>,
}

/// What both sides of a tunnel share.
struct State {
    inbox: Inbox,
    /// Bytes that may still be sent.
    credit: Semaphore,
    /// The driver wants no more bytes; what it sent still goes to the client.
    unwanted: CancellationToken,
    /// The connection breaks.
    gone: CancellationToken,
}

impl Far {
    pub(super) fn tell(&self, message: ToAgent) {
        match message {
            ToAgent::Data(bytes) => {
                if !self.state.inbox.push(&bytes) {
                    self.break_off();
                }
            }
            ToAgent::End => self.state.inbox.end(),
            ToAgent::Close => {
                self.state.inbox.end();
                self.state.unwanted.cancel();
            }
            ToAgent::Reset => self.break_off(),
            ToAgent::Credit(bytes) => {
                // Never above the window, whatever we are told.
                let credit = &self.state.credit;
                let room = TUNNEL_WINDOW.saturating_sub(credit.available_permits());
                credit.add_permits(room.min(bytes as usize));
            }
        }
    }

    pub(super) fn break_off(&self) {
        self.state.gone.cancel();
    }
}

/// The tunnel's ends as its connection sees them.
pub(super) struct Ends {
    channel: Channel,
    to: Audience,
    outlets: Outlets,
    state: Arc<State>,
}

impl Ends {
    pub(super) fn new(channel: Channel, to: Audience, outlets: Outlets) -> (Far, Self) {
        let state = Arc::new(State {
            inbox: Inbox::default(),
            credit: Semaphore::new(TUNNEL_WINDOW),
            unwanted: CancellationToken::new(),
            gone: CancellationToken::new(),
        });
        (Far { state: Arc::clone(&state) }, Self { channel, to, outlets, state })
    }

    async fn send(&self, kind: FrameKind, payload: Bytes) -> io::Result<()> {
        let frame = Frame::new(self.to, self.channel, kind, payload);
        self.outlets.output.send(frame).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn tell(&self, message: ToDriver) {
        for frame in Frame::answer(self.to, Reply::Tunnel { channel: self.channel.0, message }) {
            let _ = self.outlets.answers.send(frame); // the writer's end ends us
        }
    }
}

/// Sees one connection through to the end of both its directions.
pub(super) async fn carry(stream: UnixStream, ends: Ends) {
    let (reader, writer) = stream.into_split();
    let upload = async {
        tokio::select! {
            sent = upload(reader, &ends) => sent,
            () = ends.state.unwanted.cancelled() => Ok(()),
        }
    };
    let both = async { tokio::try_join!(upload, download(writer, &ends)) };
    tokio::select! {
        done = both => if done.is_err() {
            ends.tell(ToDriver::Reset); // the client is gone, and what it did not take with it
        },
        () = ends.state.gone.cancelled() => {}
    }
}

/// From the client to the driver.
async fn upload(mut client: OwnedReadHalf, ends: &Ends) -> io::Result<()> {
    ends.send(FrameKind::Open, Bytes::new()).await?;
    loop {
        let mut bytes = BytesMut::with_capacity(MAX_PAYLOAD);
        let length = client.read_buf(&mut bytes).await?;
        if length == 0 {
            return ends.send(FrameKind::End, Bytes::new()).await;
        }
        let wanted = u32::try_from(length).map_err(io::Error::other)?;
        ends.state.credit.acquire_many(wanted).await.map_err(io::Error::other)?.forget();
        ends.send(FrameKind::Whole, bytes.freeze()).await?;
    }
}

/// From the driver to the client.
async fn download(mut client: OwnedWriteHalf, ends: &Ends) -> io::Result<()> {
    let mut consumed = 0;
    loop {
        let bytes = ends.state.inbox.take(MAX_PAYLOAD).await?;
        if bytes.is_empty() {
            return client.shutdown().await;
        }
        client.write_all(&bytes).await?;
        consumed += bytes.len();
        if consumed >= TUNNEL_CREDIT {
            ends.tell(ToDriver::Credit(u32::try_from(consumed).map_err(io::Error::other)?));
            consumed = 0;
        }
    }
}
