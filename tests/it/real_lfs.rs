//! Large files: a checkout whose content lies at an LFS server, fetched by the helper and found by the job.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::git_server::{Served, own_address};
use crate::support::real::{Host, assert_says};

const CONTENT: &[u8] = b"many bytes, were they many\n";

/// Answers git-lfs with one object, for as long as the tests run. Source: git-lfs's batch API.
fn lfs_server() -> String {
    let listener = TcpListener::bind((own_address(), 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let address = url.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            answer(&client.unwrap(), &address);
        }
    });
    url
}

fn answer(client: &TcpStream, url: &str) {
    let mut reader = BufReader::new(client);
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let batch = json!({"transfer": "basic", "objects": [{
        "oid": oid(), "size": CONTENT.len(), "authenticated": true,
        "actions": {"download": {"href": format!("{url}/content")}},
    }]});
    let batch = batch.to_string().into_bytes();
    let (status, kind, content) = match request.split(' ').nth(1).unwrap_or_default() {
        "/content" => ("200 OK", "application/octet-stream", CONTENT),
        path if path.ends_with("/objects/batch") => {
            ("200 OK", "application/vnd.git-lfs+json", batch.as_slice())
        }
        _ => ("404 Not Found", "text/plain", &b""[..]),
    };
    let length = content.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let mut client = client;
    client.write_all(head.as_bytes()).and_then(|()| client.write_all(content)).unwrap();
}

fn oid() -> String {
    format!("{:x}", Sha256::digest(CONTENT))
}

#[test]
fn large_files_come_with_the_sources_and_belong_to_the_jobs_user() {
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n",
        oid(),
        CONTENT.len()
    );
    let settings = format!("[lfs]\n\turl = {}\n\tlocksverify = false\n", lfs_server());
    let served = Served::with(&[
        (".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n"),
        (".lfsconfig", &settings),
        ("large.bin", &pointer),
    ]);
    let job = served
        .job("longshore-test/user:1")
        .script(["cat large.bin", "stat -c '%u:%g %a' large.bin"]);
    let said = Host::new().run(&job).assert_success().call("build_script").stdout();
    assert_says(&said, &["many bytes, were they many\n", "1000:1000 644\n"]);
}
