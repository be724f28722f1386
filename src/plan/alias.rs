//! The names by which a job finds a service, exactly as GitLab's docker executor makes them. Pure text.

/// From the image's name, then those the job gave, each once.
pub(super) fn all(image: &str, given: &str) -> Vec<String> {
    let name = bare(image);
    let made = [name.replace('/', "__"), name.replace('/', "-")];
    let given = given.split(|c: char| c == ',' || c.is_whitespace()).map(str::to_owned);
    let mut all: Vec<String> = Vec::new();
    for alias in made.into_iter().chain(given) {
        if !alias.is_empty() && !all.contains(&alias) {
            all.push(alias);
        }
    }
    all
}

/// The image's name without digest, tag and the registry's port.
fn bare(image: &str) -> String {
    let name = image.split('@').next().unwrap_or_default();
    let last = name.rfind('/').unwrap_or_default();
    let name = name[last..].find(':').map_or(name, |colon| &name[..last + colon]);
    match name.split_once('/') {
        Some((registry, path)) => {
            let host = registry.split(':').next().unwrap_or_default();
            format!("{host}/{path}")
        }
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn names_are_made_as_gitlab_makes_them() {
        for (image, given, expected) in [
            ("postgres:17", "", vec!["postgres"]),
            ("redis", "cache,  store", vec!["redis", "cache", "store"]),
            ("tutum/wordpress:latest", "", vec!["tutum__wordpress", "tutum-wordpress"]),
            (
                "registry.example.com:8080/namespace/image:1.0",
                "db",
                vec![
                    "registry.example.com__namespace__image",
                    "registry.example.com-namespace-image",
                    "db",
                ],
            ),
            ("localhost:5000/db", "", vec!["localhost__db", "localhost-db"]),
            ("mysql@sha256:0123", "mysql mysql", vec!["mysql"]),
            ("a/b/c:1@sha256:0", "", vec!["a__b__c", "a-b-c"]),
        ] {
            assert_eq!(all(image, given), expected, "{image}");
        }
    }
}
