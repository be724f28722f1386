//! What a stage script asks of `gitlab-runner`: argv becomes a [`Command`]. Pure; what it does not know it
//! says so, for another binary to take over.

use super::error::ArtifactsError;
use super::given::{Given, wrong};
use crate::job::expand::expand;
use crate::secrets::Secret;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Command {
    /// The guard that each script runs first.
    Version,
    /// `artifacts-uploader`.
    Upload(Upload),
    /// `artifacts-downloader`.
    Download(Download),
    /// Nothing of ours; the text names it.
    Foreign(String),
}

/// Where the coordinator is and how patient to be with it.
#[derive(Debug)]
pub(super) struct Target {
    /// Base URL of GitLab, without `/api/v4`.
    pub(super) url: String,
    /// The job whose artifacts these are.
    pub(super) job: u64,
    /// The job's token.
    pub(super) token: Secret,
    /// PEM file with additional roots, if any.
    pub(super) ca_file: Option<String>,
    /// PEM files of a client certificate and its key, if any.
    pub(super) identity: Option<(String, String)>,
    /// How many times to try again.
    pub(super) retries: u32,
    /// The first pause between two tries; later ones double.
    pub(super) retry_pause: Duration,
    /// For the whole request.
    pub(super) timeout: Duration,
    /// From the last byte sent to the first of the answer.
    pub(super) answer_timeout: Duration,
}

/// How files are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One zip archive.
    Zip,
    /// One gzip member for each file, one after another; reports travel so.
    Gzip,
    /// One file as it is.
    Raw,
}

/// Options of `artifacts-uploader`.
#[derive(Debug)]
pub(super) struct Upload {
    /// Where to.
    pub(super) target: Target,
    /// Patterns relative to the project directory.
    pub(super) paths: Vec<String>,
    /// Patterns of what to leave out.
    pub(super) exclude: Vec<String>,
    /// Everything that git does not track.
    pub(super) untracked: bool,
    /// Name of the archive without its ending.
    pub(super) name: String,
    /// For how long GitLab keeps it, in GitLab's words; empty for its default.
    pub(super) expire_in: String,
    /// How to pack.
    pub(super) format: Format,
    /// `archive`, `dotenv`, `junit`, ...; passed on as it is.
    pub(super) kind: String,
    /// Deflate level 0 to 9.
    pub(super) level: u32,
    /// Whether the provenance file was asked for, which is not made here.
    pub(super) metadata: bool,
}

/// Options of `artifacts-downloader`.
#[derive(Debug)]
pub(super) struct Download {
    /// Where from.
    pub(super) target: Target,
    /// Where the archive lies until it is unpacked.
    pub(super) staging_dir: Option<String>,
    /// Whether GitLab may answer with the object storage's address.
    pub(super) direct: bool,
}

const UPLOAD: &[&str] = &[
    "--path",
    "--exclude",
    "--name",
    "--expire-in",
    "--artifact-format",
    "--artifact-type",
    "--compression-level",
    // These describe the provenance file only.
    "--runner-id",
    "--repo-url",
    "--repo-digest",
    "--job-name",
    "--executor-name",
    "--runner-name",
    "--metadata-parameter",
    "--schema-version",
    "--started-at",
    "--ended-at",
];
const DOWNLOAD: &[&str] = &["--staging-dir"];
const UPLOAD_FLAGS: &[&str] = &["--untracked", "--verbose", "--generate-artifacts-metadata"];
const DOWNLOAD_FLAGS: &[&str] = &["--direct-download", "--verbose"];

/// Reads argv without its first word.
///
/// # Errors
/// When an option that is known has a value that is not.
pub(super) fn parse(
    arguments: &[OsString],
    environment: &BTreeMap<OsString, OsString>,
) -> Result<Command, ArtifactsError> {
    let Some(words) = arguments.iter().map(|word| word.to_str()).collect::<Option<Vec<_>>>() else {
        return Ok(Command::Foreign("an argument that is not UTF-8".into()));
    };
    let (values, flags) = match words.first() {
        Some(&("--version" | "-version" | "-v" | "version")) => return Ok(Command::Version),
        Some(&"artifacts-uploader") => (UPLOAD, UPLOAD_FLAGS),
        Some(&"artifacts-downloader") => (DOWNLOAD, DOWNLOAD_FLAGS),
        Some(other) => return Ok(Command::Foreign(format!("the command {other}"))),
        None => return Ok(Command::Foreign("a call without a command".into())),
    };
    let given = match Given::read(&words[1..], values, flags) {
        Ok(given) => given.with_environment(environment),
        Err(foreign) => return Ok(Command::Foreign(foreign)),
    };
    if words[0] == "artifacts-uploader" {
        let expanded = |text: &str| {
            expand(text, |name| environment.get(OsStr::new(name))?.to_str().map(str::to_owned))
        };
        upload(&given, expanded).map(Command::Upload)
    } else {
        download(&given).map(Command::Download)
    }
}

fn target(given: &Given) -> Result<Target, ArtifactsError> {
    let job = given.number("--id")?.ok_or_else(|| wrong("--id", "is missing"))?;
    let owned = |name: &str| given.last(name).map(str::to_owned);
    Ok(Target {
        url: given.needed("--url")?.trim_end_matches('/').to_owned(),
        job,
        token: Secret::new(given.needed("--token")?),
        ca_file: owned("--tls-ca-file"),
        identity: owned("--tls-cert-file").zip(owned("--tls-key-file")),
        retries: given.number("--retry")?.unwrap_or(2),
        retry_pause: given.duration("--retry-time")?.unwrap_or(Duration::from_secs(1)),
        timeout: given.duration("--timeout")?.unwrap_or(Duration::from_hours(1)),
        answer_timeout: given
            .duration("--response-header-timeout")?
            .unwrap_or(Duration::from_mins(10)),
    })
}

/// Paths and names come from the scripts as the CI file has them; GitLab's binary expands the variables in
/// them from its environment, and so do we.
fn upload(given: &Given, expanded: impl Fn(&str) -> String) -> Result<Upload, ArtifactsError> {
    let all = |name: &str| given.all(name).iter().map(|text| expanded(text)).collect();
    let format = match given.last("--artifact-format") {
        None | Some("default" | "zip") => Format::Zip,
        Some("gzip") => Format::Gzip,
        Some("raw") => Format::Raw,
        Some(other) => {
            return Err(wrong("--artifact-format", &format!("is unknown: {other:?}")));
        }
    };
    Ok(Upload {
        target: target(given)?,
        paths: all("--path"),
        exclude: all("--exclude"),
        untracked: given.flag("--untracked"),
        name: expanded(given.last("--name").unwrap_or("default")),
        expire_in: given.last("--expire-in").unwrap_or_default().to_owned(),
        format,
        kind: given.last("--artifact-type").unwrap_or("archive").to_owned(),
        level: match given.last("--compression-level") {
            Some("fastest") => 1,
            Some("fast") => 3,
            Some("slow") => 8,
            Some("slowest") => 9,
            _ => 6,
        },
        metadata: given.flag("--generate-artifacts-metadata"),
    })
}

fn download(given: &Given) -> Result<Download, ArtifactsError> {
    Ok(Download {
        target: target(given)?,
        staging_dir: given.last("--staging-dir").map(str::to_owned),
        direct: given.flag("--direct-download"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str], environment: &[(&str, &str)]) -> Result<Command, ArtifactsError> {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        let environment = environment.iter().map(|(k, v)| (k.into(), v.into())).collect();
        parse(&words, &environment)
    }

    const TARGET: [&str; 6] = ["--url", "http://gitlab/", "--token", "t", "--id", "7"];

    fn uploader(more: &[&str]) -> Result<Command, ArtifactsError> {
        read(&[&["artifacts-uploader"], &TARGET[..], more].concat(), &[])
    }

    #[test]
    fn both_forms_of_an_option_are_read() {
        let words =
            ["--path", "a", "--path=b=c", "--exclude", "d", "--untracked", "--expire-in=1 week"];
        let Ok(Command::Upload(upload)) = uploader(&words) else { panic!("an upload") };
        assert_eq!(upload.paths, ["a", "b=c"]);
        assert_eq!(upload.exclude, ["d"]);
        assert!(upload.untracked && !upload.metadata);
        assert_eq!(upload.expire_in, "1 week");
        assert_eq!((upload.format, upload.kind.as_str()), (Format::Zip, "archive"));
        assert_eq!((upload.target.url.as_str(), upload.target.job), ("http://gitlab", 7));
        assert_eq!(upload.target.token.expose(), b"t");
    }

    /// Seen beside GitLab's docker executor: the file named by `$CI_PROJECT_DIR/...` was not in the archive.
    #[test]
    fn variables_in_names_and_paths_are_expanded_from_the_environment() {
        let words = [
            "--path",
            "$CI_PROJECT_DIR/a",
            "--exclude",
            "${X}.o",
            "--name",
            "x-$CI_JOB_NAME-$NONE",
        ];
        let words = [&["artifacts-uploader"], &TARGET[..], &words].concat();
        let environment =
            [("CI_PROJECT_DIR", "/builds/g/p"), ("CI_JOB_NAME", "prod docker"), ("X", "y")];
        let Ok(Command::Upload(upload)) = read(&words, &environment) else { panic!("an upload") };
        assert_eq!(upload.paths, ["/builds/g/p/a"]);
        assert_eq!(upload.exclude, ["y.o"]);
        assert_eq!(upload.name, "x-prod docker-");
    }

    #[test]
    fn durations_come_as_go_prints_them_or_as_seconds() {
        let words = ["--timeout", "1h0m30s", "--response-header-timeout=0s", "--retry-time", "5"];
        let Ok(Command::Upload(upload)) = uploader(&words) else { panic!("an upload") };
        assert_eq!(upload.target.timeout, Duration::from_secs(3630));
        assert_eq!(upload.target.answer_timeout, Duration::from_mins(10));
        assert_eq!(upload.target.retry_pause, Duration::from_secs(5));
        assert!(uploader(&["--timeout", "soon"]).is_err());
    }

    #[test]
    fn the_environment_fills_what_is_not_given() {
        let environment =
            [("CI_SERVER_URL", "http://e"), ("CI_JOB_TOKEN", "e"), ("CI_JOB_ID", "9")];
        let words = ["artifacts-downloader", "--id", "7", "--direct-download=false"];
        let Ok(Command::Download(download)) = read(&words, &environment) else {
            panic!("a download")
        };
        assert_eq!((download.target.url.as_str(), download.target.job), ("http://e", 7));
        assert_eq!(download.target.token.expose(), b"e");
        assert!(!download.direct);
        assert!(read(&["artifacts-downloader"], &environment[..1]).is_err(), "no token");
    }

    #[test]
    fn what_is_not_known_is_left_to_others() {
        let foreign = |words: &[&str]| match read(words, &[]) {
            Ok(Command::Foreign(what)) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(foreign(&["cache-archiver", "--file", "x"]), "the command cache-archiver");
        assert_eq!(foreign(&["artifacts-uploader", "--new=1"]), "option --new");
        assert_eq!(foreign(&["artifacts-uploader", "--url"]), "option --url without a value");
        assert_eq!(foreign(&["artifacts-downloader", "--path", "x"]), "option --path");
        assert_eq!(foreign(&[]), "a call without a command");
        assert!(matches!(read(&["--version"], &[]), Ok(Command::Version)));
    }
}
