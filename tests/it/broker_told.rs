//! What a job log hears of refusals: each once, and of very many that there were more.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::brokered::Brokered;
use crate::support::real::socket;

fn ask(socket: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_flood_of_refusals_does_not_fill_the_log() {
    let brokered = Brokered::start(&socket(), "bridge");
    for number in 0..60 {
        for _ in 0..2 {
            let answer = ask(&brokered.socket(), &format!("/images/json?key{number}=1"));
            assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        }
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while brokered.lines().is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(brokered.refused().len(), 50);
    let [line] = brokered.lines().try_into().unwrap();
    assert!(line.contains("stops here for this stage"), "{line}");
}
