//! Symbolic links to the job's directory, for daemons that cannot mount a part of a volume: an archive
//! that puts them into a container. Pure.

use tar::{Builder, EntryType, Header};

use super::outgoing::Link;

/// An archive with these links, to be unpacked at the container's root.
pub fn archive(links: &[Link]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for link in links {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        let at = link.at.trim_start_matches('/');
        // Writing into memory does not fail; a path that no archive can hold is left out, and missing.
        drop(archive.append_link(&mut header, at, &link.to));
    }
    archive.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_holds_the_links() {
        let long = format!("/{}", "d/".repeat(90) + "end");
        let links = [("/src", "/.w/a"), (long.as_str(), "/.w/b")];
        let links = links.map(|(at, to)| Link { at: at.to_owned(), to: to.to_owned() });
        let bytes = archive(&links);
        let mut read = tar::Archive::new(bytes.as_slice());
        let found: Vec<_> = read
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert_eq!(entry.header().entry_type(), EntryType::Symlink);
                let path = entry.path().unwrap().display().to_string();
                (path, entry.link_name().unwrap().unwrap().display().to_string())
            })
            .collect();
        let expected = [("src", "/.w/a"), (&long[1..], "/.w/b")];
        assert_eq!(found, expected.map(|(at, to)| (at.to_owned(), to.to_owned())));
    }
}
