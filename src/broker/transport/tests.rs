//! Heads as clients send them, and as nobody should.

use super::*;

fn reading(head: &str) -> Result<Envelope, u16> {
    read(head.replace('\n', "\r\n").as_bytes()).map_err(|refusal| refusal.status)
}

#[test]
fn what_clients_send_is_read() {
    let plain = reading("GET /_ping HTTP/1.1\nHost: docker\nUser-Agent: x\n\n").unwrap();
    assert_eq!((plain.head.method, plain.head.target.as_str()), (Method::Get, "/_ping"));
    assert!(!plain.head.has_body && !plain.wants_raw);
    let attach = reading(
        "POST /v1.41/containers/a/attach?stream=1 HTTP/1.1\nHost: a\nConnection: Upgrade\n\
         Upgrade: tcp\nContent-Length: 0\nContent-Type: text/plain\n\n",
    );
    let attach = attach.unwrap();
    assert!(attach.wants_raw && !attach.head.has_body);
    let build = reading("POST /build HTTP/1.1\nTransfer-Encoding: Chunked\n\n").unwrap();
    assert!(build.head.has_body);
    let create = reading("POST /x HTTP/1.1\nContent-Length: 7\nexpect: 100-Continue\n\n").unwrap();
    assert!(create.head.has_body);
}

#[test]
fn what_two_programs_could_read_in_two_ways_is_refused() {
    for (head, status) in [
        ("GET http://evil/_ping HTTP/1.1\n\n", 400),
        ("GET * HTTP/1.1\n\n", 400),
        ("GET /_ping HTTP/1.0\n\n", 400),
        ("GET  /_ping HTTP/1.1\n\n", 400),
        ("GET /_ping\tHTTP/1.1\n\n", 400),
        ("GET /_ping\n\n", 400),
        ("get /_ping HTTP/1.1\n\n", 405),
        ("CONNECT /x HTTP/1.1\n\n", 405),
        ("PATCH /x HTTP/1.1\n\n", 405),
        ("GET /a#b HTTP/1.1\n\n", 400),
        ("GET /ſ HTTP/1.1\n\n", 400),
        ("POST /x HTTP/1.1\nContent-Length: 2\nContent-Length: 2\n\n", 400),
        ("POST /x HTTP/1.1\nContent-Length: 2\nTransfer-Encoding: chunked\n\n", 400),
        ("POST /x HTTP/1.1\nTransfer-Encoding: chunked\ncontent-length: 0\n\n", 400),
        ("POST /x HTTP/1.1\nTransfer-Encoding: gzip, chunked\n\n", 400),
        ("POST /x HTTP/1.1\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n", 400),
        ("POST /x HTTP/1.1\nTransfer-Encoding : chunked\n\n", 400),
        ("POST /x HTTP/1.1\nContent-Length: +2\n\n", 400),
        ("POST /x HTTP/1.1\nContent-Length: 2, 2\n\n", 400),
        ("POST /x HTTP/1.1\nContent-Length:\n\n", 400),
        ("POST /x HTTP/1.1\nContent-Length: 99999999999999999999\n\n", 400),
        ("POST /x HTTP/1.1\nA: b\n folded: c\n\n", 400),
        ("POST /x HTTP/1.1\n: c\n\n", 400),
        ("POST /x HTTP/1.1\nA\n\n", 400),
        ("POST /x HTTP/1.1\nContent-Type: a\nContent-Type: b\n\n", 400),
        ("GET /x HTTP/1.1\nExpect: tea\n\n", 417),
        ("POST /session HTTP/1.1\nUpgrade: h2c\nConnection: Upgrade\n\n", 403),
        ("GET /_ping HTTP/1.1\nUpgrade: tcp, h2c\n\n", 403),
    ] {
        assert_eq!(reading(head), Err(status), "{head}");
    }
}

#[test]
fn bare_line_ends_and_control_bytes_are_refused() {
    let heads: [&[u8]; 5] = [
        b"GET /x HTTP/1.1\nA: b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        b"GET /x HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
        b"GET /x HTTP/1.1\r\nA: b\0\r\n\r\n",
        b"GET /x HTTP/1.1\r\nA: \xff\r\n\r\n",
    ];
    for head in heads {
        assert_eq!(read(head).map_err(|refusal| refusal.status), Err(400), "{head:?}");
    }
}

#[test]
fn too_many_headers_are_refused() {
    let lines = |count: usize| format!("GET /x HTTP/1.1\n{}\n", "A: b\n".repeat(count));
    assert!(reading(&lines(MAX_HEADERS)).is_ok());
    assert_eq!(reading(&lines(MAX_HEADERS + 1)), Err(431));
}

#[test]
fn a_head_has_an_end_within_its_bounds() {
    assert_eq!(length(b"GET / HTTP/1.1\r\n\r"), Ok(None));
    assert_eq!(length(b"GET / HTTP/1.1\r\n\r\nGET"), Ok(Some(18)));
    let long = |bytes: usize| [vec![b'a'; bytes - 4], b"\r\n\r\n".to_vec()].concat();
    assert_eq!(length(&long(MAX_HEAD)), Ok(Some(MAX_HEAD)));
    assert_eq!(length(&long(MAX_HEAD + 1)).map_err(|refusal| refusal.status), Err(431));
    assert_eq!(length(&[b'a'; MAX_HEAD]).map_err(|refusal| refusal.status), Err(431));
}
