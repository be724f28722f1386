//! The options of `cache-archiver` and `cache-extractor`, and what they mean. Pure.

use super::super::archive::{Format, Level, Selection};
use super::super::error::TransferError;
use super::super::given::{Given, Known, TRANSFER, wrong};
use super::super::retry::Patience;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// For a whole transfer where the script does not say; the runner's own default.
const TIMEOUT_MINUTES: u64 = 10;

/// What both commands have to know of the bucket that other hosts share.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// The signed address, if the runner has one.
    pub(crate) url: Option<String>,
    /// A Go Cloud address, which needs credentials and a client for each provider.
    pub(crate) go_cloud: Option<String>,
    /// PEM file with additional roots, if any.
    pub(crate) ca_file: Option<String>,
    /// How often to try.
    pub(crate) patience: Patience,
    /// For one whole request.
    pub(crate) timeout: Duration,
}

/// Options of `cache-archiver`.
#[derive(Debug)]
pub(crate) struct Archive {
    /// The archive's place in the cache directory.
    pub(crate) file: PathBuf,
    /// Where an archive of the same key lies under the other way to name keys.
    pub(crate) alternate_file: Option<PathBuf>,
    /// What to take.
    pub(crate) selection: Selection,
    /// How to pack.
    pub(crate) format: Format,
    /// How tightly.
    pub(crate) level: Level,
    /// Where it goes besides.
    pub(crate) bucket: Bucket,
    /// Tells by HEAD whether the bucket has it already.
    pub(crate) check_url: Option<String>,
    /// `key: value`, part of what was signed.
    pub(crate) headers: Vec<(String, String)>,
    /// Larger archives stay local; in bytes.
    pub(crate) largest_upload: Option<u64>,
    /// Key and value pairs to keep with the archive.
    pub(crate) metadata: BTreeMap<String, String>,
    /// A file with further variables, written by the script.
    pub(crate) env_file: Option<PathBuf>,
}

/// Options of `cache-extractor`.
#[derive(Debug)]
pub(crate) struct Extract {
    /// The archive's place in the cache directory.
    pub(crate) file: PathBuf,
    /// Where it comes from when the bucket's is newer.
    pub(crate) bucket: Bucket,
    /// The same cache under the other way to name keys.
    pub(crate) alternate_url: Option<String>,
    /// Tells by HEAD how old the bucket's is.
    pub(crate) head_url: Option<String>,
    /// The same of the alternate.
    pub(crate) alternate_head_url: Option<String>,
}

/// Options with a value that both commands share.
const CACHE: &[&str] = &[
    "--file",
    "--gocloud-url",
    "--env-file",
    "--transfer-buffer-size",
    "--chunk-size",
    "--concurrency",
];

/// What `cache-archiver` knows.
pub(crate) const ARCHIVE: Known = Known {
    values: &[
        TRANSFER,
        CACHE,
        &[
            "--alternate-file",
            "--path",
            "--exclude",
            "--check-url",
            "--header",
            "--metadata",
            "--compression-level",
            "--compression-format",
            "--max-uploaded-archive-size",
        ],
    ],
    flags: &["--untracked", "--verbose"],
    environment: &[&[
        ("--metadata", "CACHE_METADATA"),
        ("--compression-level", "CACHE_COMPRESSION_LEVEL"),
        ("--compression-format", "CACHE_COMPRESSION_FORMAT"),
        ("--max-uploaded-archive-size", "CACHE_MAX_UPLOADED_ARCHIVE_SIZE"),
    ]],
};

/// What `cache-extractor` knows.
pub(crate) const EXTRACT: Known = Known {
    values: &[
        TRANSFER,
        CACHE,
        &["--alternate-url", "--alternate-gocloud-url", "--head-url", "--alternate-head-url"],
    ],
    flags: &["--verbose"],
    environment: &[],
};

fn bucket(given: &Given) -> Result<Bucket, TransferError> {
    let minutes = given.number("--timeout")?.filter(|minutes| *minutes > 0);
    Ok(Bucket {
        url: given.owned("--url"),
        go_cloud: given.owned("--gocloud-url"),
        ca_file: given.variable("CI_SERVER_TLS_CA_FILE").map(str::to_owned),
        patience: Patience::of(given)?,
        timeout: Duration::from_mins(minutes.unwrap_or(TIMEOUT_MINUTES)),
    })
}

/// Reads the options of `cache-archiver`.
pub(crate) fn archive(given: &Given) -> Result<Archive, TransferError> {
    let format = given.last("--compression-format").map(str::to_ascii_lowercase);
    let header = |text: &String| {
        let (name, value) = text.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    let largest = given.number("--max-uploaded-archive-size")?;
    Ok(Archive {
        file: given.needed("--file")?.into(),
        alternate_file: given.owned("--alternate-file").map(PathBuf::from),
        selection: Selection::of(given),
        // Like GitLab's, this falls back to zip for anything else.
        format: match format.as_deref() {
            Some("tarzstd") => Format::TarZstd,
            Some("zipzstd") => Format::ZipZstd,
            _ => Format::Zip,
        },
        level: Level::named(given.last("--compression-level")),
        bucket: bucket(given)?,
        check_url: given.owned("--check-url"),
        headers: given.all("--header").iter().filter_map(header).collect(),
        largest_upload: largest.filter(|bytes| *bytes > 0),
        metadata: metadata(given)?,
        env_file: given.owned("--env-file").map(PathBuf::from),
    })
}

fn metadata(given: &Given) -> Result<BTreeMap<String, String>, TransferError> {
    let Some(text) = given.last("--metadata") else {
        return Ok(BTreeMap::new());
    };
    serde_json::from_str(text)
        .map_err(|error| wrong("--metadata", &format!("is no JSON object of texts: {error}")))
}

/// Reads the options of `cache-extractor`.
pub(crate) fn extract(given: &Given) -> Result<Extract, TransferError> {
    Ok(Extract {
        file: given.needed("--file")?.into(),
        bucket: bucket(given)?,
        alternate_url: given.owned("--alternate-url"),
        head_url: given.owned("--head-url"),
        alternate_head_url: given.owned("--alternate-head-url"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::options::{Command, parse};
    use super::*;

    fn read(words: &[&str]) -> Result<Command, TransferError> {
        let words: Vec<_> = words.iter().map(Into::into).collect();
        let environment = [("CACHE_COMPRESSION_FORMAT".into(), "TarZstd".into())].into();
        parse(&words, &environment)
    }

    #[test]
    fn an_archivers_options_as_the_scripts_of_runner_19_give_them() {
        let words = "cache-archiver --file ../c/cache.zip --alternate-file ../d/cache.zip --timeout 10 \
                     --max-uploaded-archive-size 5000 --path a --path b/ --untracked --url http://s3/x?sig=y \
                     --header Content-Type:application/zip --check-url http://s3/x --env-file e";
        let words: Vec<&str> = words.split_whitespace().collect();
        let metadata =
            ["--metadata", "{\"cachekey\":\"k 1\"}", "--header", "X-Amz-Meta-Cachekey: k 1"];
        let Ok(Command::Archive(archive)) = read(&[&words[..], &metadata].concat()) else {
            panic!("an archive")
        };
        assert_eq!(archive.file, PathBuf::from("../c/cache.zip"));
        assert_eq!(archive.alternate_file, Some(PathBuf::from("../d/cache.zip")));
        assert_eq!(archive.selection.paths, ["a", "b/"]);
        assert!(archive.selection.untracked);
        assert_eq!(archive.format, Format::TarZstd, "from the environment");
        assert_eq!(archive.bucket.timeout, Duration::from_mins(10));
        assert_eq!(archive.largest_upload, Some(5000));
        assert_eq!(archive.metadata["cachekey"], "k 1");
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected =
            [header("Content-Type", "application/zip"), header("X-Amz-Meta-Cachekey", "k 1")];
        assert_eq!(archive.headers, expected);
    }

    #[test]
    fn an_extractor_takes_no_paths_and_needs_a_file() {
        let Ok(Command::Extract(extract)) =
            read(&["cache-extractor", "--file", "f", "--timeout=0"])
        else {
            panic!("an extract")
        };
        assert_eq!(extract.bucket.timeout, Duration::from_mins(10), "0 is the default");
        let foreign = read(&["cache-extractor", "--file", "f", "--path", "x"]);
        assert!(matches!(foreign, Ok(Command::Foreign(what)) if what == "option --path"));
        assert!(read(&["cache-extractor"]).is_err());
        assert!(read(&["cache-archiver", "--file", "f", "--metadata", "[]"]).is_err());
    }
}
