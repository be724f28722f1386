//! Much output: every byte arrives, and memory stays what it was.

use std::io;

use bytes::Bytes;
use longshore::agent::client::StageSink;
use longshore::agent::frame::Channel;
use longshore::agent::protocol::ExitStatus;
use tokio::sync::mpsc;

use crate::agent_support::{Container, plain_init, run, stage};

const MEBIBYTE: u64 = 1024 * 1024;

#[tokio::test]
async fn binary_output_arrives_byte_for_byte() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // All byte values, at all alignments to the read size.
    let bytes: Vec<u8> =
        (0..40_000_001u32).map(|n| (n ^ (n >> 8) ^ (n >> 16)).to_le_bytes()[0]).collect();
    std::fs::write(file.path(), &bytes).unwrap();
    let container = Container::start();
    let mut client = container.ready(plain_init()).await;
    let script = format!("cat {}", file.path().display());
    let (exit, kept) = run(&mut client, stage("build_script", script)).await;
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0));
    assert!(kept.stdout == bytes, "{} of {} bytes", kept.stdout.len(), bytes.len());
}

/// Counts, and yields now and then as a slow log does.
struct Counted(u64);

impl StageSink for Counted {
    async fn write(&mut self, _: Channel, bytes: Bytes) -> io::Result<()> {
        self.0 += bytes.len() as u64;
        tokio::task::yield_now().await;
        Ok(())
    }
}

#[tokio::test]
async fn memory_stays_constant_whatever_the_output() {
    let container = Container::start();
    let mut client = container.ready(plain_init()).await;
    let (_controls, mut orders) = mpsc::channel(1);
    for (script, expected) in [
        ("head -c 268435456 /dev/zero", 256 * MEBIBYTE),
        ("i=0; while [ $i -lt 20000 ]; do echo x; i=$((i+1)); done", 40_000),
    ] {
        let mut counted = Counted(0);
        let exit = client.exec(stage("build_script", script), &mut counted, &mut orders).await;
        assert_eq!((exit.unwrap().status, counted.0), (ExitStatus::Code(0), expected));
    }
    let peak = container.peak_memory();
    assert!(peak < 64 * MEBIBYTE, "the agent took {peak} bytes");
}
