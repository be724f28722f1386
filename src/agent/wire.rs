//! The agent's ends of the attach: one task reads requests, one task writes whole frames. They know
//! nothing of what the bytes mean.

use std::io::IoSlice;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::frame::{Channel, FrameHead, FrameKind, HEADER, MAX_PAYLOAD, encode_answer};
use super::outflow::{Audience, Outflow, Parcel};
use super::pause;
use super::protocol::{Answer, Reply};
use super::request::{Request, RequestReader};

/// Most frames written with one system call.
const BATCH: usize = 16;

/// Room in the pipe to the daemon; with the default of 64 KiB each frame waits for the one before.
/// Best effort: the kernel refuses where the user's share of pipe memory is used up.
const PIPE_BYTES: usize = 256 * 1024;

/// One frame, ready to be written.
pub(super) struct Frame {
    head: [u8; HEADER],
    payload: Bytes,
}

impl Frame {
    /// One frame; its payload has [`MAX_PAYLOAD`] bytes at most.
    pub(super) fn new(to: Audience, channel: Channel, kind: FrameKind, payload: Bytes) -> Self {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let head = FrameHead { session: to.session, channel, kind, length }.to_bytes();
        Self { head, payload }
    }

    /// A control frame that tells nothing but our version, for a driver of another one.
    pub(super) fn version_only(to: Audience) -> Self {
        Self::new(to, Channel::CONTROL, FrameKind::Whole, Bytes::new())
    }

    /// The frames of one answer.
    pub(super) fn answer(to: Audience, reply: Reply) -> Vec<Self> {
        let answer = Answer { request: to.request, reply };
        // Our own types always code; an answer lost here would run into the driver's deadline.
        let coded = encode_answer(&answer).unwrap_or_default();
        let mut rest = Bytes::from_owner(Zeroizing::new(Vec::from(coded.as_slice())));
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let payload = rest.split_to(rest.len().min(MAX_PAYLOAD));
            let kind = if rest.is_empty() { FrameKind::Whole } else { FrameKind::More };
            frames.push(Self::new(to, Channel::CONTROL, kind, payload));
        }
        frames
    }
}

/// Sends a stage's output, and at last its exit, for as long as the stage is remembered.
pub(super) async fn send(outflow: std::sync::Arc<Outflow>, frames: mpsc::Sender<Frame>) {
    loop {
        let (to, parcel) = outflow.next().await;
        let ready = match parcel {
            Parcel::Output(channel, bytes) => {
                vec![Frame::new(to, channel, FrameKind::Whole, bytes)]
            }
            Parcel::Exit(exit) => Frame::answer(to, Reply::Exited(exit)),
        };
        for frame in ready {
            if frames.send(frame).await.is_err() {
                return;
            }
        }
    }
}

/// Reads requests until the input ends.
///
/// # Errors
/// Reading failed.
pub(super) async fn read_requests(
    stdin: OwnedFd,
    requests: mpsc::Sender<Request>,
) -> std::io::Result<()> {
    let mut input = pipe::Receiver::from_owned_fd(stdin)?;
    let mut reader = RequestReader::new();
    let mut buffer = Zeroizing::new(vec![0; MAX_PAYLOAD]);
    loop {
        let length = input.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let mut complete = Vec::new();
        reader.push(&buffer[..length], |request| complete.push(request));
        for request in complete {
            if requests.send(request).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Writes frames, answers first. Only this task writes, and only whole frames.
///
/// # Errors
/// Nobody can ever read what we write again.
pub(super) async fn write_frames(
    stdout: OwnedFd,
    mut answers: mpsc::UnboundedReceiver<Frame>,
    mut output: mpsc::Receiver<Frame>,
) -> std::io::Result<()> {
    let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_BYTES);
    let mut out = pipe::Sender::from_owned_fd(stdout)?;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            Some(frame) = answers.recv() => batch.push(frame),
            Some(frame) = output.recv() => batch.push(frame),
            else => return Ok(()),
        }
        while batch.len() < BATCH
            && let Ok(frame) = output.try_recv()
        {
            batch.push(frame);
        }
        write_all(&mut out, &batch).await?;
        batch.clear();
    }
}

async fn write_all(out: &mut pipe::Sender, batch: &[Frame]) -> std::io::Result<()> {
    let mut slices = Vec::with_capacity(batch.len() * 2);
    for frame in batch {
        slices.push(IoSlice::new(&frame.head));
        slices.push(IoSlice::new(&frame.payload));
    }
    let mut slices = slices.as_mut_slice();
    IoSlice::advance_slices(&mut slices, 0); // drops empty ones at the front
    while !slices.is_empty() {
        match out.try_write_vectored(slices) {
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                pause::while_it_drains();
                out.writable().await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
