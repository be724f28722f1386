//! The head of a request, byte by byte: one way to read it or none (T1, T4, T8). Pure. What it lets through
//! hyper reads the same way; nothing of it is passed on, the daemon gets a request written anew.

use super::refusal::Refusal;
use super::request::{Head, Method};

/// Longest head in bytes, request line included.
pub const MAX_HEAD: usize = 16 << 10;

/// Most header lines.
pub const MAX_HEADERS: usize = 64;

/// A request's head, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the policy sees of it.
    pub head: Head,
    /// Whether the client wants the connection to become a raw stream.
    pub wants_raw: bool,
}

/// How many bytes the head has, its empty line included; `None` while that has not come.
///
/// # Errors
/// It is longer than any may be.
pub fn length(received: &[u8]) -> Result<Option<usize>, Refusal> {
    let end = received.windows(4).take(MAX_HEAD).position(|four| four == b"\r\n\r\n");
    match end {
        Some(end) if end + 4 <= MAX_HEAD => Ok(Some(end + 4)),
        None if received.len() < MAX_HEAD => Ok(None),
        _ => Err(malformed("the head of the request is too long").with_status(431)),
    }
}

/// Reads a whole head.
///
/// # Errors
/// Anything that two programs could read in two ways, or that no Docker client sends.
pub fn read(head: &[u8]) -> Result<Envelope, Refusal> {
    let text = std::str::from_utf8(head).map_err(|_| malformed("the head is not ASCII"))?;
    let text = text.strip_suffix("\r\n\r\n").ok_or_else(|| malformed("the head has no end"))?;
    let mut lines = text.split("\r\n");
    let (method, target) = request_line(lines.next().unwrap_or_default())?;
    let mut fields = Fields::default();
    for (count, line) in lines.enumerate() {
        if count >= MAX_HEADERS {
            return Err(malformed("the request has too many headers").with_status(431));
        }
        fields.add(line)?;
    }
    let has_body = fields.chunked || fields.length.is_some_and(|length| length > 0);
    if fields.chunked && fields.length.is_some() {
        return Err(malformed("the request has both Content-Length and Transfer-Encoding"));
    }
    let head = Head { method, target, content_type: fields.content_type, has_body };
    Ok(Envelope { head, wants_raw: fields.upgrade })
}

fn malformed(message: &str) -> Refusal {
    Refusal::malformed("transport", message)
}

fn request_line(line: &str) -> Result<(Method, String), Refusal> {
    let wrong = || malformed("the request line is not METHOD /PATH HTTP/1.1");
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(wrong());
    };
    let method = Method::read(method)
        .ok_or_else(|| malformed("this method is not one of Docker's API").with_status(405))?;
    let visible = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !target.starts_with('/') || !visible {
        return Err(wrong());
    }
    Ok((method, target.to_owned()))
}

/// What the headers say that matters here.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    content_type: Option<String>,
}

impl Fields {
    fn add(&mut self, line: &str) -> Result<(), Refusal> {
        let wrong = || malformed("a header line is not NAME: VALUE");
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        // A blank before the colon, or at the start (a folded line), makes it no name.
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let printable = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
        if name.is_empty() || !name.bytes().all(token) || !value.bytes().all(printable) {
            return Err(wrong());
        }
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "content-length" => self.set_length(value),
            "transfer-encoding" => self.set_encoding(value),
            "content-type" => self.set_type(value),
            "upgrade" => self.set_upgrade(value),
            "expect" if !value.eq_ignore_ascii_case("100-continue") => {
                Err(malformed("only 100-continue can be expected").with_status(417))
            }
            _ => Ok(()),
        }
    }

    fn set_length(&mut self, value: &str) -> Result<(), Refusal> {
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let length = value.parse().ok().filter(|_| digits);
        let length = length.ok_or_else(|| malformed("Content-Length is not a number"))?;
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(malformed("Content-Length comes twice")),
        }
    }

    fn set_encoding(&mut self, value: &str) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.chunked, true) || !value.eq_ignore_ascii_case("chunked") {
            return Err(malformed("Transfer-Encoding is not `chunked`, once"));
        }
        Ok(())
    }

    fn set_type(&mut self, value: &str) -> Result<(), Refusal> {
        match self.content_type.replace(value.to_owned()) {
            None => Ok(()),
            Some(_) => Err(malformed("Content-Type comes twice")),
        }
    }

    /// Other protocols than the raw stream (`BuildKit`'s h2c) are not spoken here: a request for one would be
    /// answered as if it had not asked, and the client would take the answer for the other's.
    fn set_upgrade(&mut self, value: &str) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.upgrade, true) || !value.eq_ignore_ascii_case("tcp") {
            return Err(Refusal::forbidden(
                "upgrade",
                "this socket does not switch protocols but for attach and exec; for `docker build` set \
                 DOCKER_BUILDKIT=0",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
