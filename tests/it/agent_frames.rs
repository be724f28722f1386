//! The coding of both directions: any chunking, any cut, any neighbour gives the same messages.

use bytes::Bytes;
use longshore::agent::frame::{
    Channel, Event, FrameError, FrameHead, FrameKind, FrameReader, MAX_MESSAGE, encode_answer,
};
use longshore::agent::protocol::{Answer, Reply, Session, Verb};
use longshore::agent::request::{ATTACH, Request, RequestReader, encode_request};
use proptest::prelude::*;

use crate::agent_support::{Container, plain_init, run, session, stage};

const OURS: Session = Session(*b"\x01ours~\xff\x00\x80q9!Z^\x07e");
const THEIRS: Session = Session(*b"\x02theirs\xfe\x00\x81w3!Y^h");

fn frame(session: Session, channel: Channel, kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let mut bytes = FrameHead { session, channel, kind, length }.to_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

fn pong(session: Session) -> Vec<u8> {
    let payload = encode_answer(&Answer { request: 1, reply: Reply::Pong }).unwrap();
    frame(session, Channel::CONTROL, FrameKind::Whole, &payload)
}

/// Reads a stream cut at these lengths; output is joined, answers are counted.
fn read(stream: &[u8], cuts: impl Iterator<Item = usize>) -> (Vec<u8>, usize) {
    let (mut reader, mut output, mut answers) = (FrameReader::new(OURS), Vec::new(), 0);
    let mut rest = Bytes::copy_from_slice(stream);
    for cut in cuts.chain(std::iter::once(usize::MAX)) {
        let mut chunk = rest.split_to(cut.min(rest.len()));
        while let Some(event) = reader.next(&mut chunk).unwrap() {
            match event {
                Event::Output { bytes, .. } => output.extend_from_slice(&bytes),
                Event::Answer(_) => answers += 1,
                other => panic!("a tunnel's event: {other:?}"),
            }
        }
    }
    (output, answers)
}

fn decode(stream: &[u8], cuts: impl Iterator<Item = usize>) -> Vec<Request> {
    let (mut reader, mut found, mut rest) = (RequestReader::new(), Vec::new(), stream);
    for cut in cuts.chain(std::iter::once(usize::MAX)) {
        let (chunk, after) = rest.split_at(cut.min(rest.len()));
        reader.push(chunk, |request| found.push(request));
        rest = after;
    }
    found
}

proptest! {
    #[test]
    fn frames_survive_any_chunking(
        old in prop::collection::vec(any::<u8>(), 0..80),
        payloads in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..20),
        cuts in prop::collection::vec(1usize..60, 0..200),
    ) {
        let mut stream = frame(THEIRS, Channel::STDOUT, FrameKind::Whole, &old);
        stream.extend(pong(OURS));
        let mut expected = Vec::new();
        for (ours, payload) in &payloads {
            stream.extend(frame(if *ours { OURS } else { THEIRS }, Channel::STDOUT, FrameKind::Whole, payload));
            if *ours { expected.extend_from_slice(payload); }
        }
        stream.extend(pong(OURS));
        prop_assert_eq!(read(&stream, cuts.into_iter()), (expected, 2));
    }

    #[test]
    fn requests_survive_any_chunking_and_any_rubbish_before(
        rubbish in prop::collection::vec(any::<u8>(), 0..300),
        script in prop::collection::vec(any::<u8>(), 0..2000),
        cuts in prop::collection::vec(1usize..300, 0..50),
    ) {
        let verb = Verb::Exec(stage("build_script", script));
        let mut stream = rubbish;
        stream.extend(ATTACH);
        stream.extend_from_slice(&encode_request(OURS, 5, &verb).unwrap());
        let found = decode(&stream, cuts.into_iter());
        prop_assert_eq!(found, vec![Request { session: OURS, number: 5, verb: Some(verb) }]);
    }
}

#[test]
fn a_request_cut_after_any_byte_leaves_nothing_to_the_next_attach() {
    // Long enough for several COBS blocks, with zeros and 0xFF, and one ending in 0xFF.
    let script: Vec<u8> =
        (0..700u32).flat_map(|n| [u8::try_from(n % 256).unwrap(), 0xff]).collect();
    let old = encode_request(THEIRS, 1, &Verb::Exec(stage("old", script))).unwrap();
    let new = encode_request(OURS, 2, &Verb::Ping).unwrap();
    for cut in 0..old.len() {
        let stream = [&old[..cut], &ATTACH, new.as_slice()].concat();
        let expected = Request { session: OURS, number: 2, verb: Some(Verb::Ping) };
        assert_eq!(decode(&stream, std::iter::empty()), [expected], "cut after byte {cut}");
    }
}

#[test]
fn an_attach_in_the_middle_of_an_old_frame_shows_nothing_of_it() {
    let mut old = frame(THEIRS, Channel::STDOUT, FrameKind::Whole, b"old output");
    old.extend(frame(THEIRS, Channel::STDERR, FrameKind::Whole, b"more of the old"));
    let mut new = pong(OURS);
    new.extend(frame(OURS, Channel::STDOUT, FrameKind::Whole, b"new"));
    for start in 0..=old.len() {
        let stream = [&old[start..], new.as_slice()].concat();
        assert_eq!(read(&stream, std::iter::empty()), (b"new".to_vec(), 1), "from byte {start}");
    }
}

#[test]
fn a_long_answer_travels_in_several_frames() {
    let payload = encode_answer(&Answer { request: 1, reply: Reply::Pong }).unwrap();
    let (first, second) = payload.split_at(1);
    let mut stream = frame(OURS, Channel::CONTROL, FrameKind::More, first);
    stream.extend(frame(THEIRS, Channel::CONTROL, FrameKind::Whole, b"between"));
    stream.extend(frame(OURS, Channel::CONTROL, FrameKind::Whole, second));
    assert_eq!(read(&stream, std::iter::repeat_n(1, 200)), (Vec::new(), 1));
}

#[test]
fn another_version_is_named_in_both_directions() {
    let mut other = pong(OURS);
    other[16..18].copy_from_slice(&77u16.to_le_bytes());
    let found = FrameReader::new(OURS).next(&mut Bytes::from(other));
    assert_eq!(found.unwrap_err(), FrameError::Version { theirs: 77 });
}

#[test]
fn a_frame_or_message_beyond_the_bound_is_an_error() {
    let mut long = FrameHead {
        session: OURS,
        channel: Channel::STDOUT,
        kind: FrameKind::Whole,
        length: 70_000,
    }
    .to_bytes()
    .to_vec();
    long.extend([0; 10]);
    let found = FrameReader::new(OURS).next(&mut Bytes::from(long));
    assert_eq!(found.unwrap_err(), FrameError::TooLong { length: 70_000 });
    let verb = Verb::Exec(stage("build_script", vec![1; MAX_MESSAGE]));
    let coded = encode_request(OURS, 1, &verb);
    assert!(matches!(coded, Err(FrameError::TooLong { .. })), "{coded:?}");
}

#[test]
fn an_overlong_message_is_skipped_and_the_next_one_read() {
    let mut stream = vec![1; MAX_MESSAGE + 10];
    stream.push(0);
    stream.extend_from_slice(&encode_request(OURS, 3, &Verb::Ping).unwrap());
    let expected = Request { session: OURS, number: 3, verb: Some(Verb::Ping) };
    assert_eq!(decode(&stream, std::iter::empty()), [expected]);
}

#[tokio::test]
async fn a_driver_killed_after_any_byte_of_its_exec_leaves_a_working_agent() {
    let container = Container::start();
    let mut first = container.ready(plain_init()).await;
    let (exit, _) = run(&mut first, stage("prepare_script", "true")).await;
    assert_eq!(exit.unwrap().status.shell_code(), 0);
    drop(first);
    let marker = tempfile::NamedTempFile::new().unwrap();
    let script = format!("echo OLD; echo OLD >> {}", marker.path().display());
    let old = encode_request(session(), 1, &Verb::Exec(stage("old", script))).unwrap();
    for cut in 0..old.len() {
        container.write_raw(&old[..cut]).await;
        let (mut client, hello) = container.connect().await;
        assert_eq!(hello.running, None, "cut after byte {cut}");
        let (exit, kept) = run(&mut client, stage("new", "echo new")).await;
        assert_eq!(exit.unwrap().status.shell_code(), 0, "cut after byte {cut}");
        assert_eq!(kept.text(), "new\n", "cut after byte {cut}");
    }
    assert_eq!(std::fs::read_to_string(marker.path()).unwrap(), "");
}
