//! Serves the job's Docker clients while a user stage runs: each connection that its agent carries here is
//! the broker's, and what the broker refuses is told. Nothing is asked of the daemon before the first one.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::agent::client::Tunnel;
use crate::agent::protocol::{Exec, SecretVariable};
use crate::broker::connection;
use crate::broker::record::ImageRecord;
use crate::broker::session::{Broker, Word};
use crate::engine::{ContainerSummary, Engine};
use crate::host::ledger::Event;
use crate::plan::Role;
use crate::settings::SocketMode;

use super::attach::Agent;
use super::call::Call;
use super::error::CallError;
use super::sink::RunnerSink;

mod job;
mod leases;
mod logins;
mod named_secrets;
mod own;

/// Where Docker's clients look for the daemon.
const SOCKET: &str = "/var/run/docker.sock";

/// The socket of one stage.
pub struct Socket {
    tunnels: mpsc::UnboundedReceiver<Tunnel>,
    words: mpsc::UnboundedReceiver<Word>,
    told: mpsc::UnboundedSender<Word>,
    /// The job's secrets with their names, for what may not stand in an image.
    secrets: Vec<SecretVariable>,
    held: leases::OfStage,
}

/// Asks the agent for a socket, where this stage has a brokered one.
pub fn open(
    call: &Call<'_>,
    exec: &mut Exec,
    agent: &mut Agent,
    secrets: Vec<SecretVariable>,
) -> Option<Socket> {
    if !exec.user_stage || call.plan.socket != SocketMode::Brokered {
        return None;
    }
    exec.docker_socket = Some(SOCKET.to_owned());
    let (acceptor, tunnels) = mpsc::unbounded_channel();
    agent.accept_tunnels(acceptor);
    let (told, words) = mpsc::unbounded_channel();
    let held = leases::OfStage::in_dir(&call.settings.run_dir);
    Some(Socket { tunnels, words, told, secrets, held })
}

impl Socket {
    /// Serves all connections, side by side; never returns.
    pub async fn serve<E: Engine>(
        &mut self,
        call: &Call<'_>,
        engine: &E,
        sink: &RunnerSink,
    ) -> std::convert::Infallible {
        let mut broker = None;
        let mut served = JoinSet::new();
        loop {
            tokio::select! {
                Some(tunnel) = self.tunnels.recv() => {
                    if broker.is_none() {
                        broker = self.begin(call, engine, sink).await;
                    }
                    // Without a broker the connection is dropped, and the client told so.
                    if let Some(broker) = &broker {
                        served.spawn(connection::serve(tunnel, Arc::clone(broker)));
                    }
                }
                Some(word) = self.words.recv() => {
                    if let Word::Image(record) = &word {
                        self.held.hold(record).await;
                    }
                    tell(call, word, sink).await;
                }
                Some(_) = served.join_next() => {}
            }
        }
    }

    /// Tells what came up last.
    pub async fn finish(&mut self, call: &Call<'_>, sink: &RunnerSink) {
        while let Ok(word) = self.words.try_recv() {
            tell(call, word, sink).await;
        }
    }

    async fn begin<E: Engine>(
        &self,
        call: &Call<'_>,
        engine: &E,
        sink: &RunnerSink,
    ) -> Option<Arc<Broker>> {
        let begun = job::broker(call, engine, self.secrets.clone(), self.told.clone()).await;
        match begun {
            Ok(broker) => Some(Arc::new(broker)),
            Err(error) => {
                let line = format!("longshore: the job's Docker socket is out of order: {error}\n");
                // Where the runner takes nothing any more, the stage says so.
                drop(sink.beside(Bytes::from(call.masks.mask(&line))).await);
                None
            }
        }
    }
}

async fn tell(call: &Call<'_>, word: Word, sink: &RunnerSink) {
    let text = match word {
        Word::Refused(refusal) => {
            let job = call.plan.key.as_str();
            call.record(&Event::Refused { job, rule: refusal.rule, message: &refusal.message });
            refusal.line()
        }
        Word::Line(line) => line,
        Word::Image(record) => return call.record(&image(call, &record)),
    };
    let line = format!("longshore: {text}\n");
    // Where the runner takes nothing any more, the stage says so.
    drop(sink.beside(Bytes::from(call.masks.mask(&line))).await);
}

fn image<'a>(call: &'a Call<'_>, record: &'a ImageRecord) -> Event<'a> {
    Event::Image {
        job: call.plan.key.as_str(),
        project: &call.plan.project,
        pipeline: call.context.response.job_info.pipeline_id,
        deed: record.deed,
        references: &record.references,
        images: &record.images,
        digest: record.digest.as_deref(),
    }
}

/// The job's container, as the daemon lists it.
async fn job_container<E: Engine>(
    call: &Call<'_>,
    engine: &E,
) -> Result<ContainerSummary, CallError> {
    let name = call.plan.container_name(Role::Job);
    let label = format!("longshore.job={}", call.plan.key);
    let containers = engine.containers(Some(&label)).await?;
    let job = containers.into_iter().find(|one| one.name == name);
    job.ok_or_else(|| CallError::system(format!("the container {name} is gone")))
}
