//! Archives made to do harm: none of them may write outside the project, through a link, or without end.

use crate::support::api::FakeApi;
use crate::support::stand_in::{Ended, StandIn, python};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// Helpers for the Python programs that write such archives into `a.zip`.
const PRELUDE: &str = "import zipfile, stat\nz = zipfile.ZipFile('a.zip', 'w', zipfile.ZIP_DEFLATED)\n\
    def put(name, data, mode=0o100644):\n i = zipfile.ZipInfo(name); i.external_attr = mode << 16\n \
    i.compress_type = zipfile.ZIP_DEFLATED; z.writestr(i, data)\n";

fn download(home: &StandIn, program: &str) -> Ended {
    let api = FakeApi::start();
    python(&home.beside(""), &format!("{PRELUDE}{program}\nz.close()"), &[]);
    api.put(7, fs::read(home.beside("a.zip")).unwrap());
    home.download(&api)
}

fn is_empty(home: &StandIn) -> bool {
    fs::read_dir(home.project()).unwrap().next().is_none()
}

#[test]
fn entries_that_lead_out_are_refused_before_anything_is_written() {
    let link = "put('link', '/tmp', 0o120777)";
    for (program, says) in [
        ("put('good', 'x'); put('../evil', 'x')".to_owned(), "../evil leads out"),
        ("put('good', 'x'); put('/tmp/evil', 'x')".to_owned(), "/tmp/evil leads out"),
        ("put('good', 'x'); put('a/../../evil', 'x')".to_owned(), "leads out"),
        (
            format!("put('good', 'x'); {link}; put('link/evil', 'x')"),
            "link/evil lies behind the link link",
        ),
        (format!("put('good', 'x'); put('link/evil', 'x'); {link}"), "lies behind the link"),
        (format!("put('good', 'x'); {link}; put('./link', 'x')"), "is there twice"),
        (
            "put('good', 'x'); put('pipe', '', 0o010644)".to_owned(),
            "neither file, directory nor link",
        ),
        ("put('good', 'x'); put('link', 'x' * 5000, 0o120777)".to_owned(), "target of 5000 bytes"),
    ] {
        let home = StandIn::new();
        let ended = download(&home, &program);
        ended.assert_code(1).assert_says("is refused").assert_says(says);
        assert!(is_empty(&home), "{program}");
        assert!(!home.beside("evil").exists());
    }
}

#[test]
fn a_link_that_was_there_before_is_not_written_through() {
    let home = StandIn::new();
    fs::create_dir(home.beside("outside")).unwrap();
    fs::write(home.beside("outside/kept"), "kept").unwrap();
    symlink("../outside", home.project().join("out")).unwrap();
    let ended = download(&home, "put('out/evil', 'x')");
    ended.assert_code(1).assert_says("outside the project directory");
    assert!(!home.beside("outside/evil").exists());
    symlink("../outside/kept", home.project().join("file")).unwrap();
    download(&home, "put('file', 'new')").assert_code(0);
    assert_eq!(fs::read_to_string(home.beside("outside/kept")).unwrap(), "kept");
    assert_eq!(fs::read_to_string(home.project().join("file")).unwrap(), "new");
}

#[test]
fn a_link_within_the_project_is_followed() {
    let home = StandIn::new();
    home.write("real/there", "x");
    symlink("real", home.project().join("alias")).unwrap();
    download(&home, "put('alias/new', 'x')").assert_code(0);
    assert!(home.project().join("real/new").exists());
}

#[test]
fn modes_come_without_setuid() {
    let home = StandIn::new();
    download(&home, "put('tool', 'x', 0o104755)").assert_code(0);
    let mode = fs::metadata(home.project().join("tool")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn a_bomb_is_refused() {
    let home = StandIn::new();
    let overlapping = "\nput('a', b'0' * 10000000)\nfor n in range(2000):\n \
        import copy; i = copy.copy(z.infolist()[0]); i.filename = 'b%d' % n; i.orig_filename = i.filename\n \
        z.filelist.append(i); z.NameToInfo[i.filename] = i";
    let ended = download(&home, overlapping);
    ended.assert_code(1).assert_says("is refused: it claims");
    assert!(is_empty(&home));
}

#[test]
fn an_entry_that_is_longer_than_it_says_ends_the_unpacking() {
    let home = StandIn::new();
    let program = "put('a', b'0' * 1000000); z.infolist()[0].file_size = 10";
    let ended = download(&home, program);
    ended.assert_code(1);
    let written = fs::metadata(home.project().join("a")).map_or(0, |found| found.len());
    assert!(written <= 11, "{written} bytes were written");
}

#[test]
fn what_is_no_archive_is_said_so() {
    let (api, home) = (FakeApi::start(), StandIn::new());
    api.put(7, &b"<html>sign in</html>"[..]);
    home.download(&api).assert_code(1).assert_says("cannot be read");
    assert!(is_empty(&home));
}

/// A tar packed by Zstandard, with one good file and then an entry of this name and type.
fn hostile_tar(name: &[u8], kind: tar::EntryType, link: &str) -> Vec<u8> {
    let encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let mut tar = tar::Builder::new(encoder);
    let mut add = |name: &[u8], kind: tar::EntryType, link: &str| {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(0);
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        header.set_cksum();
        tar.append(&header, std::io::empty()).unwrap();
    };
    add(b"good", tar::EntryType::Regular, "");
    add(b"link", tar::EntryType::Symlink, "..");
    add(name, kind, link);
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_tar_is_looked_through_as_a_zip_is() {
    use tar::EntryType;
    for (name, kind, link, says) in [
        (&b"../evil"[..], EntryType::Regular, "", "leads out of the project directory"),
        (b"/tmp/evil", EntryType::Regular, "", "leads out of the project directory"),
        (b"link/evil", EntryType::Regular, "", "link/evil lies behind the link link"),
        (b"hard", EntryType::Link, "/etc/passwd", "neither file, directory nor link"),
        (b"null", EntryType::Char, "", "neither file, directory nor link"),
    ] {
        let (api, home) = (FakeApi::start(), StandIn::new());
        api.put(7, hostile_tar(name, kind, link));
        home.download(&api).assert_code(1).assert_says("is refused").assert_says(says);
        assert!(is_empty(&home), "{says}");
    }
    let (api, home) = (FakeApi::start(), StandIn::new());
    api.put(7, hostile_tar(b"fine", tar::EntryType::Regular, ""));
    home.download(&api).assert_code(0).assert_says("3 files");
}
