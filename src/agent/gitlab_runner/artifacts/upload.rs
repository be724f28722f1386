//! `artifacts-uploader`: collects, packs and sends, again where GitLab was only briefly away. The archive
//! is made while it is sent, in constant memory.

use super::super::archive::{Format, Packing, collect, pack};
use super::super::error::TransferError;
use super::super::http::heard_out;
use super::super::retry::with_retries;
use super::super::say;
use super::coordinator::Coordinator;
use super::options::Upload;
use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, RequestBuilder, Url};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Bytes handed over at once.
const CHUNK: usize = 256 * 1024;
/// Chunks that may wait for the network.
const WAITING: usize = 4;

/// Uploads what the options ask for; finding nothing is a warning, as in GitLab's binary.
///
/// # Errors
/// When files cannot be read or GitLab does not take them.
pub(crate) async fn upload(
    options: &Upload,
    project: &Path,
    notes: &mut (dyn Write + Send),
) -> Result<(), TransferError> {
    let coordinator = Coordinator::new(&options.target, None)?;
    let collection = collect(&options.selection, project)?;
    for note in &collection.notes {
        say(notes, note);
    }
    if collection.paths.is_empty() {
        say(notes, "WARNING: no files to upload");
        return Ok(());
    }
    let mut packing = Packing {
        project: project.to_owned(),
        paths: collection.paths.into_iter().collect(),
        format: options.format,
        level: options.level,
    };
    if let Some(provenance) = &options.provenance {
        let path = provenance.write(&packing, base_name(&options.name))?;
        say(notes, &format!("{}: says what the artifacts were made from", path.display()));
        packing.paths.push(path);
    }
    let packing = Arc::new(packing);
    let kind = &options.kind;
    let count = packing.paths.len();
    let sending = Sending { options, coordinator: &coordinator, packing };
    let warnings = with_retries(options.target.patience, notes, |_| sending.once()).await?;
    for note in &warnings {
        say(notes, note);
    }
    say(notes, &format!("uploaded {count} files and directories as {kind:?}"));
    Ok(())
}

/// One upload, which may be tried several times.
struct Sending<'a> {
    options: &'a Upload,
    coordinator: &'a Coordinator<'a>,
    packing: Arc<Packing>,
}

/// The task that packs what is being sent.
type Packer = JoinHandle<Result<Vec<String>, TransferError>>;

impl Sending<'_> {
    async fn once(&self) -> Result<Vec<String>, TransferError> {
        let address = self.coordinator.address(&[
            ("artifact_format", self.options.format.name()),
            ("artifact_type", &self.options.kind),
            ("expire_in", &self.options.expire_in),
        ]);
        let packer: Mutex<Option<Packer>> = Mutex::new(None);
        let sent =
            self.coordinator.send(address, |client, url| self.request(client, url, &packer)).await;
        // The packer's own failure is the cause, the broken request only its consequence.
        let packer = packer.into_inner().unwrap_or_else(PoisonError::into_inner);
        let result = match packer {
            Some(packer) => packer.await.unwrap_or_else(|error| Err(stopped(error.into()))),
            None => Ok(Vec::new()),
        };
        match (sent, result) {
            (Ok(answer), result) => {
                heard_out(answer).await;
                result
            }
            (Err(_), Err(cause)) if !is_hang_up(&cause) => Err(cause),
            (Err(error), _) => Err(error),
        }
    }

    /// A POST whose body is packed as it goes.
    fn request(&self, client: &Client, url: Url, packer: &Mutex<Option<Packer>>) -> RequestBuilder {
        let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(WAITING);
        let packing = Arc::clone(&self.packing);
        let task = tokio::task::spawn_blocking(move || {
            let failed = sender.clone();
            let result = pack(&packing, Pipe { sender, buffer: Vec::with_capacity(CHUNK) });
            if let Err(error) = &result {
                // Without this the other side would take half an archive for a whole one.
                let _ = failed.blocking_send(Err(io::Error::other(error.to_string())));
            }
            result
        });
        *packer.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        });
        let part = Part::stream(Body::wrap_stream(stream)).file_name(self.file_name());
        let form = Form::new().percent_encode_noop().part("file", part);
        client.post(url).multipart(form)
    }

    fn file_name(&self) -> String {
        let ending = match self.options.format {
            Format::Zip | Format::ZipZstd => ".zip",
            Format::TarZstd => ".tar.zst",
            Format::Gzip => ".gz",
            Format::Raw => {
                let name = self.packing.paths.first().and_then(|path| path.file_name());
                return name.unwrap_or_default().to_string_lossy().into_owned();
            }
        };
        format!("{}{ending}", base_name(&self.options.name))
    }
}

/// The last part of a name: one made of a branch's has slashes in it.
fn base_name(name: &str) -> &str {
    let base = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if matches!(base, "" | "." | "..") { "default" } else { base }
}

fn stopped(source: io::Error) -> TransferError {
    TransferError::Archive { source }
}

/// Whether packing failed only because nobody listens any more.
fn is_hang_up(error: &TransferError) -> bool {
    match error {
        TransferError::File { source, .. } | TransferError::Archive { source } => {
            source.kind() == io::ErrorKind::BrokenPipe
        }
        _ => false,
    }
}

/// The writing end, on the packer's thread; it waits when the network is slower.
struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        let sent = self.sender.blocking_send(Ok(chunk.into()));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
