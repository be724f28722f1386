//! The options of `artifacts-uploader` and `artifacts-downloader`, and what they mean. Pure.

use super::super::archive::{Format, Level, Selection};
use super::super::error::TransferError;
use super::super::given::{Given, Known, TRANSFER, wrong};
use super::super::retry::Patience;
use super::provenance::Provenance;
use crate::secrets::Secret;
use std::time::Duration;

/// Where the coordinator is and how patient to be with it.
#[derive(Debug)]
pub(crate) struct Target {
    /// Base URL of GitLab, without `/api/v4`.
    pub(crate) url: String,
    /// The job whose artifacts these are.
    pub(crate) job: u64,
    /// The job's token.
    pub(crate) token: Secret,
    /// PEM file with additional roots, if any.
    pub(crate) ca_file: Option<String>,
    /// PEM files of a client certificate and its key, if any.
    pub(crate) identity: Option<(String, String)>,
    /// How often to try.
    pub(crate) patience: Patience,
    /// For the whole request.
    pub(crate) timeout: Duration,
    /// From the last byte sent to the first of the answer.
    pub(crate) answer_timeout: Duration,
}

/// Options of `artifacts-uploader`.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Where to.
    pub(crate) target: Target,
    /// What to take.
    pub(crate) selection: Selection,
    /// Name of the archive without its ending.
    pub(crate) name: String,
    /// For how long GitLab keeps it, in GitLab's words; empty for its default.
    pub(crate) expire_in: String,
    /// How to pack.
    pub(crate) format: Format,
    /// `archive`, `dotenv`, `junit`, ...; passed on as it is.
    pub(crate) kind: String,
    /// How tightly.
    pub(crate) level: Level,
    /// The provenance file, where it was asked for.
    pub(crate) provenance: Option<Provenance>,
}

/// Options of `artifacts-downloader`.
#[derive(Debug)]
pub(crate) struct Download {
    /// Where from.
    pub(crate) target: Target,
    /// Where the archive lies until it is unpacked.
    pub(crate) staging_dir: Option<String>,
    /// Whether GitLab may answer with the object storage's address.
    pub(crate) direct: bool,
}

/// Options with a value that say where GitLab is and who asks.
const COORDINATOR: &[&str] = &[
    "--token",
    "--id",
    "--response-header-timeout",
    "--tls-ca-file",
    "--tls-cert-file",
    "--tls-key-file",
];

/// What the job's own environment says of it.
const BY_ENVIRONMENT: &[(&str, &str)] = &[
    ("--url", "CI_SERVER_URL"),
    ("--token", "CI_JOB_TOKEN"),
    ("--id", "CI_JOB_ID"),
    ("--tls-ca-file", "CI_SERVER_TLS_CA_FILE"),
    ("--tls-cert-file", "CI_SERVER_TLS_CERT_FILE"),
    ("--tls-key-file", "CI_SERVER_TLS_KEY_FILE"),
];

/// What `artifacts-uploader` knows.
pub(crate) const UPLOAD: Known = Known {
    values: &[
        TRANSFER,
        COORDINATOR,
        &[
            "--path",
            "--exclude",
            "--name",
            "--expire-in",
            "--artifact-format",
            "--artifact-type",
            "--compression-level",
        ],
        // These describe the provenance file only.
        &[
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
        ],
    ],
    flags: &["--untracked", "--verbose", "--ci-debug-trace", "--generate-artifacts-metadata"],
    environment: &[BY_ENVIRONMENT, &[("--compression-level", "ARTIFACT_COMPRESSION_LEVEL")]],
};

/// What `artifacts-downloader` knows.
pub(crate) const DOWNLOAD: Known = Known {
    values: &[TRANSFER, COORDINATOR, &["--staging-dir", "--archiver-staging-dir"]],
    flags: &["--direct-download", "--verbose"],
    environment: &[
        BY_ENVIRONMENT,
        &[
            ("--staging-dir", "ARTIFACT_STAGING_DIR"),
            ("--archiver-staging-dir", "ARCHIVER_STAGING_DIR"),
            ("--direct-download", "FF_USE_DIRECT_DOWNLOAD"),
        ],
    ],
};

fn target(given: &Given) -> Result<Target, TransferError> {
    let job = given.number("--id")?.ok_or_else(|| wrong("--id", "is missing"))?;
    Ok(Target {
        url: given.needed("--url")?.trim_end_matches('/').to_owned(),
        job,
        token: Secret::new(given.needed("--token")?),
        ca_file: given.owned("--tls-ca-file"),
        identity: given.owned("--tls-cert-file").zip(given.owned("--tls-key-file")),
        patience: Patience::of(given)?,
        timeout: given.duration("--timeout")?.unwrap_or(Duration::from_hours(1)),
        answer_timeout: given
            .duration("--response-header-timeout")?
            .unwrap_or(Duration::from_mins(10)),
    })
}

/// Reads the options of `artifacts-uploader`.
pub(crate) fn upload(given: &Given) -> Result<Upload, TransferError> {
    let format = match given.last("--artifact-format") {
        None | Some("default") => Format::Zip,
        Some(name) => Format::named(name)
            .ok_or_else(|| wrong("--artifact-format", &format!("is unknown: {name:?}")))?,
    };
    let target = target(given)?;
    Ok(Upload {
        provenance: Provenance::of(given, target.job),
        target,
        selection: Selection::of(given),
        name: given.expanded(given.last("--name").unwrap_or("artifacts")),
        expire_in: given.owned("--expire-in").unwrap_or_default(),
        format,
        kind: given.owned("--artifact-type").unwrap_or_else(|| "archive".into()),
        level: Level::named(given.last("--compression-level")),
    })
}

/// Reads the options of `artifacts-downloader`.
pub(crate) fn download(given: &Given) -> Result<Download, TransferError> {
    let staging_dir = given.owned("--archiver-staging-dir");
    Ok(Download {
        target: target(given)?,
        staging_dir: staging_dir.or_else(|| given.owned("--staging-dir")),
        direct: given.flag("--direct-download"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::options::{Command, parse};
    use super::*;
    use std::ffi::OsString;

    fn read(words: &[&str], environment: &[(&str, &str)]) -> Result<Command, TransferError> {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        let environment = environment.iter().map(|(k, v)| (k.into(), v.into())).collect();
        parse(&words, &environment)
    }

    const TARGET: [&str; 6] = ["--url", "http://gitlab/", "--token", "t", "--id", "7"];

    fn uploader(more: &[&str]) -> Result<Command, TransferError> {
        read(&[&["artifacts-uploader"], &TARGET[..], more].concat(), &[])
    }

    #[test]
    fn both_forms_of_an_option_are_read() {
        let words =
            ["--path", "a", "--path=b=c", "--exclude", "d", "--untracked", "--expire-in=1 week"];
        let Ok(Command::Upload(upload)) = uploader(&words) else { panic!("an upload") };
        assert_eq!(upload.selection.paths, ["a", "b=c"]);
        assert_eq!(upload.selection.exclude, ["d"]);
        assert!(upload.selection.untracked && upload.provenance.is_none());
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
        assert_eq!(upload.selection.paths, ["/builds/g/p/a"]);
        assert_eq!(upload.selection.exclude, ["y.o"]);
        assert_eq!(upload.name, "x-prod docker-");
    }

    #[test]
    fn durations_come_as_go_prints_them_or_as_seconds() {
        let words = ["--timeout", "1h0m30s", "--response-header-timeout=0s", "--retry-time", "5"];
        let Ok(Command::Upload(upload)) = uploader(&words) else { panic!("an upload") };
        assert_eq!(upload.target.timeout, Duration::from_secs(3630));
        assert_eq!(upload.target.answer_timeout, Duration::from_mins(10));
        assert_eq!(upload.target.patience.pause, Duration::from_secs(5));
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
        assert_eq!(foreign(&["cache-mover", "--file", "x"]), "the command cache-mover");
        assert_eq!(foreign(&["artifacts-uploader", "--new=1"]), "option --new");
        assert_eq!(foreign(&["artifacts-uploader", "--url"]), "option --url without a value");
        assert_eq!(foreign(&["artifacts-downloader", "--path", "x"]), "option --path");
        assert_eq!(foreign(&[]), "a call without a command");
        assert!(matches!(read(&["--version"], &[]), Ok(Command::Version)));
    }
}
