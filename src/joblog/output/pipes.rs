//! Writes to the runner's pipes from the event loop itself. A thread between woke up for each of the
//! daemon's chunks, which took a tenth of a loud stage's processor time.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use tokio::net::unix::pipe::{OpenOptions, Sender};
use tokio::sync::Mutex;

use super::Channel;

/// The runner's two pipes, which may be one and the same.
pub(super) struct Pipes {
    stdout: Sender,
    stderr: Sender,
    /// One chunk at a time: half a chunk must not stand on both sides of another.
    turn: Mutex<()>,
}

impl Pipes {
    /// Opens both pipes anew: the descriptors that were inherited may be shared with processes that do
    /// not expect them to refuse to block.
    ///
    /// # Errors
    /// One of them is no pipe, or `/proc` is not there.
    pub(super) fn open(stdout: &File, stderr: &File) -> io::Result<Self> {
        Ok(Self { stdout: again(stdout)?, stderr: again(stderr)?, turn: Mutex::new(()) })
    }

    /// Writes all of it, in turn with other writers.
    ///
    /// # Errors
    /// The reader has gone away.
    pub(super) async fn write(&self, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        let _turn = self.turn.lock().await;
        let pipe = match channel {
            Channel::Stdout => &self.stdout,
            Channel::Stderr => &self.stderr,
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            match pipe.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => pipe.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn again(pipe: &File) -> io::Result<Sender> {
    OpenOptions::new().open_sender(format!("/proc/self/fd/{}", pipe.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;

    fn pipe() -> (File, File) {
        let (reader, writer): (OwnedFd, OwnedFd) = rustix::pipe::pipe().unwrap();
        (reader.into(), writer.into())
    }

    #[tokio::test]
    async fn a_chunk_that_the_reader_takes_in_parts_stays_whole() {
        let (mut reader, writer) = pipe();
        let pipes = Pipes::open(&writer, &writer).unwrap();
        drop(writer);
        let long = vec![b'x'; 1 << 20];
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        let (one, two) =
            tokio::join!(pipes.write(Channel::Stdout, &long), pipes.write(Channel::Stderr, b"end"));
        one.and(two).unwrap();
        drop(pipes);
        let all = reading.join().unwrap().unwrap();
        assert!(all.strip_suffix(b"end").is_some_and(|start| start == long), "{}", all.len());
    }

    #[tokio::test]
    async fn the_inherited_descriptor_still_blocks() {
        let (_reader, writer) = pipe();
        let _pipes = Pipes::open(&writer, &writer).unwrap();
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_is_told() {
        let (reader, writer) = pipe();
        let pipes = Pipes::open(&writer, &writer).unwrap();
        drop(reader);
        let error = pipes.write(Channel::Stdout, b"lost").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_file_is_no_pipe() {
        let file = tempfile::tempfile().unwrap();
        assert!(Pipes::open(&file, &file).is_err());
    }
}
