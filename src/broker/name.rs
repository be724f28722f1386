//! Names of images, read strictly and written in one way: registry, repository, tag, digest. Pure.

/// An image's name, complete.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageName {
    /// `host/path`; Docker Hub's are written out: `docker.io/library/python`.
    pub repository: String,
    /// Tag.
    pub tag: Option<String>,
    /// `sha256:…`
    pub digest: Option<String>,
    /// Whether the registry was written.
    pub has_host: bool,
}

impl ImageName {
    /// Reads a name as clients write it; `None` where it is none.
    pub fn read(text: &str) -> Option<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match rest[last..].rsplit_once(':') {
            Some((_, tag)) => (&rest[..rest.len() - tag.len() - 1], Some(tag)),
            None => (rest, None),
        };
        let host = repository.split_once('/').filter(|(host, _)| is_host(host));
        let path = host.map_or(repository, |(_, path)| path);
        let legal = path.split('/').all(is_component)
            && text.len() <= 512
            && tag.is_none_or(is_tag)
            && digest.is_none_or(is_digest);
        let host_name = host.map_or("docker.io", |(host, _)| host);
        let host_name = if host_name == "index.docker.io" { "docker.io" } else { host_name };
        let library = host_name == "docker.io" && !path.contains('/');
        let repository = format!("{host_name}/{}{path}", if library { "library/" } else { "" });
        legal.then(|| Self {
            repository,
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
            has_host: host.is_some(),
        })
    }

    /// With `latest` where neither tag nor digest is written.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// Written out. Where there is a digest, the tag says nothing.
    pub fn reference(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("{}@{digest}", self.repository),
            (None, Some(tag)) => format!("{}:{tag}", self.repository),
            (None, None) => self.repository.clone(),
        }
    }

    /// As Docker shows it to people.
    pub fn familiar(&self) -> String {
        let reference = self.reference();
        let short = reference.strip_prefix("docker.io/");
        let short = short.map(|name| name.strip_prefix("library/").unwrap_or(name));
        short.unwrap_or(&reference).to_owned()
    }

    /// Whether it lies in this repository or below it.
    pub fn is_below(&self, repository: &str) -> bool {
        let rest = self.repository.strip_prefix(repository);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "0"));
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    (text.contains(['.', ':']) || text == "localhost")
        && name.bytes().all(legal)
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && port.parse::<u16>().is_ok()
}

fn is_component(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (first, last) = (text.bytes().next(), text.bytes().last());
    first.is_some_and(letter)
        && last.is_some_and(letter)
        && text.bytes().all(|byte| letter(byte) || b"._-".contains(&byte))
}

fn is_tag(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(letter)
        && text.bytes().all(|byte| letter(byte) || b".-".contains(&byte))
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && is_hex(hex))
}

/// Whether a text is made of lower-case hex digits, at least one.
pub fn is_hex(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    !text.is_empty() && text.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_out_and_shown_short() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, reference, familiar) in [
            ("python", "docker.io/library/python:latest", "python:latest"),
            ("team/app:1", "docker.io/team/app:1", "team/app:1"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("reg.example:5000/a/b:t", "reg.example:5000/a/b:t", "reg.example:5000/a/b:t"),
            ("index.docker.io/library/x:1", "docker.io/library/x:1", "x:1"),
        ] {
            let name = ImageName::read(text).unwrap().or_latest();
            assert_eq!(
                (name.reference().as_str(), name.familiar().as_str()),
                (reference, familiar)
            );
        }
        let name = ImageName::read(&format!("r.example/a:1@{digest}")).unwrap();
        assert_eq!(name.reference(), format!("r.example/a@{digest}"));
    }

    #[test]
    fn what_is_no_name_is_none() {
        for text in [
            "",
            "A",
            "a//b",
            "a/../b",
            "a:",
            "a@sha256:1",
            ":t",
            "a b",
            "-a",
            "a:t/b",
            "a/",
            "x@y@z",
        ] {
            assert_eq!(ImageName::read(text), None, "{text}");
        }
    }

    #[test]
    fn half_a_segment_is_not_below() {
        let below = |text: &str| ImageName::read(text).unwrap().is_below("r.example/team/app");
        assert!(below("r.example/team/app:1") && below("r.example/team/app/sub"));
        assert!(!below("r.example/team/app-two") && !below("r.example/team"));
    }
}
