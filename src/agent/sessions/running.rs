//! Starts a stage: its processes, the sender of its output, and its Docker socket. Who may do so is
//! decided before.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Rlimit;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};

use crate::agent::container::Container;
use crate::agent::launch;
use crate::agent::outflow::{Audience, Outflow};
use crate::agent::protocol::{Exec, Refusal, StageExit, ToAgent};
use crate::agent::reaper::Reaper;
use crate::agent::socket::Socket;
use crate::agent::stage::{Order, Supervision, supervise};
use crate::agent::tunnels::{Acceptance, Numbers, Outlets, Tunnels};
use crate::agent::wire;

/// What the start of a stage needs of the agent.
pub(super) struct Surroundings<'a> {
    pub(super) container: &'a Container,
    pub(super) core: Rlimit,
    pub(super) reaper: &'a Arc<Reaper>,
    pub(super) outlets: &'a Outlets,
    pub(super) tunnel_numbers: &'a Arc<Numbers>,
}

/// A stage that runs, or the last one, whose driver may still ask for its output.
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) outflow: Arc<Outflow>,
    pub(super) orders: mpsc::UnboundedSender<Order>,
    sender: AbortHandle,
    tunnels: SharedTunnels,
}

/// The stage's supervision takes them away as soon as nothing of the stage is left.
type SharedTunnels = Arc<Mutex<Option<Tunnels>>>;

impl Stage {
    /// Passes on what the driver said to a connection.
    pub(super) fn tell_tunnel(&self, channel: u32, message: ToAgent) {
        if let Some(tunnels) = &*self.tunnels.lock().unwrap_or_else(PoisonError::into_inner) {
            tunnels.tell(channel, message);
        }
    }

    /// The attach they went over is lost.
    pub(super) fn break_tunnels(&self) {
        if let Some(tunnels) = &*self.tunnels.lock().unwrap_or_else(PoisonError::into_inner) {
            tunnels.break_off();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

/// Starts a stage for this audience.
pub(super) fn start(
    exec: &Exec,
    from: Audience,
    with: &Surroundings<'_>,
) -> Result<(Stage, JoinHandle<StageExit>), Refusal> {
    let socket = exec.docker_socket.as_deref().map(listen).transpose()?;
    let variables = socket.as_ref().and_then(|socket| docker_host(exec, socket));
    let launched = launch::launch(exec, variables, with.container, with.core)?;
    // Watched at once: nothing may be awaited between spawn and watch.
    let exited = with.reaper.watch(launched.pid);
    let (orders, order_receiver) = mpsc::unbounded_channel();
    let outflow = Arc::new(Outflow::new(from));
    let tunnels: SharedTunnels = Arc::new(Mutex::new(socket.map(|socket| {
        let acceptance = Acceptance {
            outlets: with.outlets.clone(),
            numbers: Arc::clone(with.tunnel_numbers),
            outflow: Arc::clone(&outflow),
        };
        Tunnels::accept(socket, acceptance)
    })));
    let supervision = Supervision {
        reaper: Arc::clone(with.reaper),
        outflow: Arc::clone(&outflow),
        orders: order_receiver,
        masks: with.container.masks(),
        tunnels: Arc::clone(&tunnels),
    };
    let running = tokio::spawn(supervise(supervision, launched, exited));
    let sender = tokio::spawn(wire::send(Arc::clone(&outflow), with.outlets.output.clone()));
    let sender = sender.abort_handle();
    Ok((Stage { name: exec.stage.clone(), outflow, orders, sender, tunnels }, running))
}

fn listen(path: &str) -> Result<Socket, Refusal> {
    Socket::listen(Path::new(path)).map_err(|error| Refusal::Path {
        verb: "listen at".to_owned(),
        path: path.to_owned(),
        errno: error.raw_os_error().unwrap_or_default(),
    })
}

/// What tells clients of a socket that is not where they look.
fn docker_host(exec: &Exec, socket: &Socket) -> Option<(String, String)> {
    let asked = exec.docker_socket.as_deref().map(Path::new);
    let elsewhere = asked != Some(socket.path());
    elsewhere.then(|| ("DOCKER_HOST".to_owned(), format!("unix://{}", socket.path().display())))
}
