//! Looks, from inside the container's network, whether services answer. Addresses come as numbers: a name
//! would be resolved with whatever the image has put there for that.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::{join_all, select_ok};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::protocol::{Probe, ProbeKind, ProbeTarget};

/// Time between two tries; a refused connection costs next to nothing.
const AGAIN: Duration = Duration::from_millis(20);

/// Longest that one try may take: a packet lost to a container that just starts is sent again sooner.
const TRY: Duration = Duration::from_secs(1);

/// Longest status line that is read.
const STATUS_LINE: usize = 64;

/// Probes all targets side by side; answers why each is not ready, `None` for those that are. Returns
/// early once all are.
pub(super) async fn all(probe: Probe) -> Vec<Option<String>> {
    let until = Instant::now() + probe.within;
    join_all(probe.targets.iter().map(|target| one(target, until))).await
}

async fn one(target: &ProbeTarget, until: Instant) -> Option<String> {
    let mut problem = None;
    loop {
        let full = Instant::now() + TRY;
        match timeout_at(until.min(full), attempt(target)).await {
            Ok(Ok(())) => return None,
            Ok(Err(said)) => problem = Some(said),
            // One that was cut short has nothing to say against those before it.
            Err(_elapsed) if full > until && problem.is_some() => {}
            Err(_elapsed) => problem = Some("no answer".to_owned()),
        }
        if Instant::now() + AGAIN >= until {
            return problem;
        }
        sleep(AGAIN).await;
    }
}

async fn attempt(target: &ProbeTarget) -> Result<(), String> {
    match &target.kind {
        ProbeKind::Tcp(ports) => {
            let tries = ports.iter().map(|port| Box::pin(connect(target.address, *port)));
            select_ok(tries).await.map(drop)
        }
        ProbeKind::Http { port, path } => get(target.address, *port, path).await,
    }
}

async fn connect(address: IpAddr, port: u16) -> Result<TcpStream, String> {
    let connected = TcpStream::connect(SocketAddr::new(address, port)).await;
    connected.map_err(|error| format!("port {port}: {error}"))
}

/// A GET by hand: of the answer only the status is looked at.
async fn get(address: IpAddr, port: u16, path: &str) -> Result<(), String> {
    let mut stream = connect(address, port).await?;
    let failed = |error: std::io::Error| format!("GET :{port}{path}: {error}");
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}:{port}\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut head = Vec::new();
    let mut limited = stream.take(STATUS_LINE as u64);
    while !head.contains(&b'\n') && limited.read_buf(&mut head).await.map_err(failed)? > 0 {}
    let line = String::from_utf8_lossy(&head);
    let line = line.lines().next().unwrap_or_default();
    let status = line.split(' ').nth(1).and_then(|word| word.parse::<u16>().ok());
    match status {
        Some(100..400) if line.starts_with("HTTP/") => Ok(()),
        _ => Err(format!("GET :{port}{path} was answered with {line:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn probe(kind: ProbeKind, within: u64) -> Probe {
        let targets = vec![ProbeTarget { address: HERE, kind }];
        Probe { targets, within: Duration::from_millis(within) }
    }

    /// Serves these answers, one a connection, from now on.
    async fn server(answers: &'static [&'static str]) -> u16 {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 512];
                let _ = stream.read(&mut request).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        port
    }

    #[tokio::test]
    async fn one_open_port_of_two_is_enough() {
        let open = server(&[""]).await;
        assert_eq!(all(probe(ProbeKind::Tcp(vec![1, open]), 5000)).await, [None]);
    }

    #[tokio::test]
    async fn a_closed_port_is_told_with_its_number() {
        let problem = all(probe(ProbeKind::Tcp(vec![1]), 60)).await.remove(0).unwrap();
        assert!(problem.starts_with("port 1: ") && problem.contains("refused"), "{problem}");
    }

    #[tokio::test]
    async fn a_page_counts_once_its_status_is_good() {
        let port = server(&[
            "HTTP/1.1 503 Service Unavailable\r\n\r\n",
            "SSH-2.0 200 hello\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
        ])
        .await;
        let kind = ProbeKind::Http { port, path: "/health".to_owned() };
        assert_eq!(all(probe(kind, 5000)).await, [None]);
    }

    #[tokio::test]
    async fn a_page_that_stays_bad_is_told_with_its_status() {
        let port = server(&["HTTP/1.1 500 Oops\r\n\r\n"; 100]).await;
        let kind = ProbeKind::Http { port, path: "/".to_owned() };
        let problem = all(probe(kind, 100)).await.remove(0).unwrap();
        assert_eq!(problem, format!("GET :{port}/ was answered with \"HTTP/1.1 500 Oops\""));
    }
}
