//! What goes into an archive and comes out again: round trips through the compiled binary, and Python's
//! zipfile as the neutral party.

use crate::support::api::FakeApi;
use crate::support::stand_in::{StandIn, python};
use flate2::read::MultiGzDecoder;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn names(api: &FakeApi) -> Vec<String> {
    let archive = api.archive(7).unwrap();
    let zip = zip::ZipArchive::new(std::io::Cursor::new(archive)).unwrap();
    let mut names: Vec<String> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    names.sort();
    names
}

/// A tree with everything an archive has to keep.
fn tree(home: &StandIn) {
    home.write("out/plain.txt", "content\n");
    home.write("out/empty", "");
    home.write("out/übung ✓.txt", "umlaut");
    home.write("out/Foo::Bar\\..x./C:", "odd");
    home.write("out/large", large());
    fs::write(home.project().join("out").join(OsStr::from_bytes(b"latin\xe9")), "not UTF-8")
        .unwrap();
    let tool = home.write("out/bin/tool", "#!/bin/sh\n");
    fs::set_permissions(&tool, Permissions::from_mode(0o755)).unwrap();
    symlink("plain.txt", home.project().join("out/link")).unwrap();
    symlink("/nowhere/at all", home.project().join("out/dangling")).unwrap();
    fs::create_dir(home.project().join("out/hollow")).unwrap();
    let closed = home.write("out/closed/inside", "x").parent().unwrap().to_owned();
    fs::set_permissions(closed, Permissions::from_mode(0o555)).unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_001);
    fs::File::options().write(true).open(tool).unwrap().set_modified(old).unwrap();
}

#[test]
fn a_tree_survives_the_way_there_and_back_in_every_form() {
    for format in ["zip", "zipzstd", "tarzstd"] {
        let (api, sender, receiver) = (FakeApi::start(), StandIn::new(), StandIn::new());
        tree(&sender);
        let ended = sender.upload(&api, &["--path", "out", "--artifact-format", format]);
        ended.assert_code(0);
        let ending = if format == "tarzstd" { ".tar.zst" } else { ".zip" };
        assert_eq!(api.upload("archive").unwrap().file().0, format!("artifacts{ending}"));
        receiver.download(&api).assert_code(0).assert_says("15 files and directories");
        assert_tree(&receiver.project().join("out"), format);
        let mut staged = fs::read_dir(receiver.beside("tmp")).unwrap();
        assert!(staged.next().is_none(), "nothing staged stays");
    }
}

fn assert_tree(out: &Path, format: &str) {
    let text = |name: &str| fs::read_to_string(out.join(name)).expect(format);
    assert_eq!(text("plain.txt"), "content\n");
    assert_eq!(fs::metadata(out.join("empty")).unwrap().len(), 0);
    assert_eq!(text("übung ✓.txt"), "umlaut");
    assert_eq!(text("Foo::Bar\\..x./C:"), "odd");
    assert_eq!(fs::read(out.join(OsStr::from_bytes(b"latin\xe9"))).unwrap(), b"not UTF-8");
    assert!(fs::read(out.join("large")).unwrap() == large(), "{format}");
    assert_eq!((mode(&out.join("bin/tool")), mode(&out.join("plain.txt"))), (0o755, 0o644));
    assert_eq!(fs::metadata(out.join("bin/tool")).unwrap().mtime(), 1_000_000_001);
    assert_eq!(fs::read_link(out.join("link")).unwrap(), Path::new("plain.txt"));
    assert_eq!(fs::read_link(out.join("dangling")).unwrap(), Path::new("/nowhere/at all"));
    assert!(out.join("hollow").is_dir());
    assert_eq!(mode(&out.join("closed")), 0o555, "{format}");
}

/// More than one block, and no whole number of them.
fn large() -> Vec<u8> {
    (0..150_001_u32).flat_map(|number| (number % 70_000).to_le_bytes()).collect()
}

#[test]
fn python_reads_ours() {
    let (api, home) = (FakeApi::start(), StandIn::new());
    tree(&home);
    home.upload(&api, &["--path", "out", "--name", "my zip"]).assert_code(0);
    let (file_name, bytes) = api.upload("archive").unwrap().file();
    assert_eq!(file_name, "my zip.zip");
    fs::write(home.beside("a.zip"), bytes).unwrap();
    let program = "import zipfile\nz = zipfile.ZipFile('a.zip')\nassert z.testzip() is None\n\
        for i in z.infolist(): print(i.filename, oct(i.external_attr >> 16), z.read(i)[:20].decode('latin1'))";
    let listed = python(&home.beside(""), program, &[]);
    let lines: Vec<&str> = listed.lines().filter(|line| !line.is_empty()).collect();
    for expected in [
        "out/ 0o40755 ",
        "out/bin/tool 0o100755 #!/bin/sh",
        "out/link 0o120777 plain.txt",
        "out/plain.txt 0o100644 content",
        "out/übung ✓.txt 0o100644 umlaut",
        "out/empty 0o100644 ",
        "out/Foo::Bar\\..x./ 0o40755 ",
        "out/Foo::Bar\\..x./C: 0o100644 odd",
    ] {
        assert!(lines.contains(&expected), "{expected:?} is not in {lines:#?}");
    }
}

#[test]
fn we_read_pythons() {
    let (api, home) = (FakeApi::start(), StandIn::new());
    let program = "import zipfile\nz = zipfile.ZipFile('a.zip', 'w', zipfile.ZIP_DEFLATED)\n\
        z.writestr('d/a.txt', 'x' * 100000)\nz.writestr('ä/b', 'two')\n\
        i = zipfile.ZipInfo('run', (2020, 2, 29, 12, 30, 40)); i.external_attr = 0o100755 << 16\n\
        z.writestr(i, 'three')\ni = zipfile.ZipInfo('plain'); i.compress_type = zipfile.ZIP_STORED\n\
        z.writestr(i, 'four')\nz.close()";
    python(&home.beside(""), program, &[]);
    api.put(7, fs::read(home.beside("a.zip")).unwrap());
    home.write("run", "in the way");
    home.download(&api).assert_code(0).assert_says("4 files");
    assert_eq!(fs::read(home.project().join("d/a.txt")).unwrap(), vec![b'x'; 100_000]);
    assert_eq!(fs::read_to_string(home.project().join("ä/b")).unwrap(), "two");
    assert_eq!(fs::read_to_string(home.project().join("run")).unwrap(), "three");
    assert_eq!(mode(&home.project().join("run")), 0o755);
    let modified = fs::metadata(home.project().join("run")).unwrap().mtime();
    assert_eq!(modified, 1_582_979_440, "zip's own date, read as UTC");
}

#[test]
fn patterns_choose_and_exclude() {
    let (api, home) = (FakeApi::start(), StandIn::new());
    for path in ["a.o", "src/b.o", "src/deep/c.o", "src/d.c", ".hidden/e.o", "out/f", "out/tmp/g"] {
        home.write(path, path);
    }
    let words =
        ["--path", "**/*.o", "--path=out", "--exclude", "src/deep/**", "--exclude", "out/tmp/**/*"];
    let ended = home.upload(&api, &words);
    ended.assert_code(0).assert_says("**/*.o: 3 matching files and directories, 1 excluded");
    assert_eq!(names(&api), [".hidden/e.o", "a.o", "out/", "out/f", "out/tmp/", "src/b.o"]);
}

#[test]
fn nothing_outside_the_project_is_taken() {
    let (api, home) = (FakeApi::start(), StandIn::new());
    fs::write(home.beside("secret"), "x").unwrap();
    home.write("in", "x");
    let absolute = home.project().join("in").display().to_string();
    let ended =
        home.upload(&api, &["--path", "../secret", "--path", "/etc/passwd", "--path", &absolute]);
    ended.assert_code(0).assert_says("WARNING: ../secret: not below the project directory");
    ended.assert_says("WARNING: /etc/passwd: not below the project directory");
    assert_eq!(names(&api), ["in"]);
}

#[test]
fn no_files_is_a_warning_and_nothing_is_sent() {
    let (api, home) = (FakeApi::start(), StandIn::new());
    let ended = home.upload(&api, &["--path", "no/such"]);
    ended.assert_code(0).assert_says("WARNING: no/such: nothing matches");
    ended.assert_says("WARNING: no files to upload");
    assert!(api.seen().is_empty());
}

#[test]
fn untracked_files_come_from_git() {
    let (api, home) = (FakeApi::start(), StandIn::new());
    home.write("tracked", "x");
    home.write("new/übung", "x");
    home.write(".gitignore", "ignored\n");
    home.write("ignored", "x");
    for words in [&["init", "-q"][..], &["add", "tracked", ".gitignore"]] {
        assert!(
            Command::new("git").args(words).current_dir(home.project()).status().unwrap().success()
        );
    }
    home.upload(&api, &["--untracked", "--exclude", ".git/**"])
        .assert_code(0)
        .assert_says("untracked: 2 files");
    assert_eq!(names(&api), ["ignored", "new/übung"]);
}

#[test]
fn reports_travel_as_named_gzip_members() {
    let (api, home) = (FakeApi::start(), StandIn::new());
    home.write("one.env", "A=1\n");
    home.write("two.env", "B=2\n");
    let words = ["--path", "*.env", "--artifact-format", "gzip", "--artifact-type", "dotenv"];
    home.upload(&api, &words).assert_code(0);
    let seen = api.upload("dotenv").unwrap();
    assert_eq!(seen.query, "artifact_format=gzip&artifact_type=dotenv");
    let (name, bytes) = seen.file();
    assert_eq!(name, "artifacts.gz");
    let mut text = String::new();
    let mut first = flate2::read::GzDecoder::new(&bytes[..]);
    MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "A=1\nB=2\n");
    first.read_to_string(&mut text).unwrap();
    assert_eq!(first.header().unwrap().filename().unwrap(), b"one.env");
}

#[test]
fn raw_takes_exactly_one_file() {
    let (api, home) = (FakeApi::start(), StandIn::new());
    home.write("one", "as it is");
    home.write("two", "x");
    home.upload(&api, &["--path", "one", "--artifact-format=raw"]).assert_code(0);
    let (name, bytes) = api.upload("archive").unwrap().file();
    assert_eq!((name.as_str(), &bytes[..]), ("one", &b"as it is"[..]));
    let ended = home.upload(&api, &["--path", "*", "--artifact-format=raw"]);
    ended.assert_code(1).assert_says("exactly one file, and 2 match");
}

#[test]
fn large_files_pass_through_little_memory() {
    let (api, sender, receiver) = (FakeApi::start(), StandIn::new(), StandIn::new());
    let mut content = vec![0_u8; 50 << 20];
    let mut state = 1_u64;
    for word in content.chunks_exact_mut(8) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        word.copy_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    sender.write("big", &content);
    let limited = |home: &StandIn, words: &[&str]| {
        let url = api.url();
        // 32 MiB of writable memory, less than the file has.
        let shell = "ulimit -d 32768 && exec gitlab-runner \"$@\"";
        let fixed = ["-c", shell, "sh", words[0], "--url", &url, "--token", "t", "--id", "7"];
        let template = home.command(&[]);
        let mut command = Command::new("bash");
        command.args(fixed).args(&words[1..]).current_dir(home.project()).env_clear();
        command.envs(template.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let ended: crate::support::stand_in::Ended = command.output().unwrap().into();
        ended.assert_code(0);
    };
    limited(&sender, &["artifacts-uploader", "--path", "big", "--compression-level", "fastest"]);
    assert!(api.archive(7).unwrap().len() > 40 << 20, "the content does not pack well");
    limited(&receiver, &["artifacts-downloader"]);
    assert!(fs::read(receiver.project().join("big")).unwrap() == content, "the content changed");
}

#[test]
fn a_provenance_statement_travels_with_the_files_it_is_about() {
    let (api, home) = (FakeApi::start(), StandIn::new());
    home.write("out/a", "content\n");
    let words = "--generate-artifacts-metadata --runner-id 5 --repo-url https://gl/g/p --repo-digest abc \
                 --job-name build --executor-name custom --runner-name r1 --schema-version v1 \
                 --started-at 2026-01-02T03:04:05Z --ended-at 2026-01-02T03:05:05Z \
                 --metadata-parameter CI --metadata-parameter SECRET --path out --name n";
    let words: Vec<&str> = words.split_whitespace().collect();
    home.upload(&api, &words).assert_code(0);
    assert_eq!(names(&api), ["n-metadata.json", "out/", "out/a"]);
    let text = fs::read(home.project().join("n-metadata.json")).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v0.1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(statement["subject"].as_array().unwrap().len(), 1);
    assert_eq!(statement["subject"][0]["name"], "out/a");
    // sha256sum of "content" and a line feed.
    let digest = "434728a410a78f56fc1b5899c3593436e61ab0c731e9072d95e96db290205e53";
    assert_eq!(statement["subject"][0]["digest"]["sha256"], digest);
    let build = &statement["predicate"]["buildDefinition"];
    assert_eq!(build["externalParameters"]["entryPoint"], "build");
    assert_eq!(build["externalParameters"]["SECRET"], "");
    assert_eq!(build["internalParameters"]["job"], "7");
    let run = &statement["predicate"]["runDetails"];
    assert_eq!(run["builder"]["id"], "https://gl/g/p/-/runners/5");
    assert_eq!(run["metadata"]["finishedOn"], "2026-01-02T03:05:05Z");
}
