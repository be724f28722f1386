//! What the reader refuses, word for word.

use super::{job, parse, read};

#[test]
fn unquoted_words_that_yaml_takes_for_something_else_are_named() {
    for word in ["1.10", "0755", "0x1F", "1_000", "1:30", "2024-01-31", "yes", "Off", "1e3", "true"]
    {
        let error =
            parse(&format!("variables:\n  A: {word}\na: {{script: x}}\n"), "f").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "f line 2: \"A\" has the value {word} without quotes, which YAML does not read as \
                 text; quote it"
            )
        );
        read(&format!("variables:\n  A: '{word}'\n  B: \"{word}\"\na: {{script: x}}\n"));
        read(&format!("variables:\n  A: |-\n    {word}\na: {{script: x}}\n"));
    }
    for (word, value) in
        [("1", "1"), ("-3", "-3"), ("1.5", "1.5"), ("1.2.3", "1.2.3"), ("~x", "~x")]
    {
        assert_eq!(job(&format!("variables: {{A: {word}}}")).variables[0].1, value);
    }
}

const FILE_FAULTS: &[(&str, &str)] = &[
    ("", "1: the file holds no job"),
    (".a: {script: x}", "1: the file holds no job"),
    ("- a", "1: \"the file\" must be a mapping of jobs"),
    (
        "a: {script: x}\n---\nb: {script: x}",
        "3: the file holds 2 YAML documents; exactly one is supported",
    ),
    ("a: {script: x}\na: {script: y}", "2: this is not YAML: duplicated key in mapping"),
    ("a: {script: x}\n\"a\": {script: y}", "2: this is not YAML: duplicated key in mapping"),
    (
        "a: {script: x}\ninclude: b.yml",
        "2: the key \"include\" is not supported by `longshore local`; remove it or run it on GitLab",
    ),
    ("stage: [a]\na: {script: x}", "1: unknown key \"stage\"; did you mean \"stages\"?"),
    (
        "variable: {A: b}\na: {script: x}",
        "1: unknown key \"variable\"; did you mean \"variables\"?",
    ),
    (
        "something: 1\na: {script: x}",
        "1: unknown key \"something\"; a job is a mapping with \"script\"",
    ),
    (
        "default: {tags: [x]}\na: {script: x}",
        "1: the key \"default:tags\" is not supported by `longshore local`; remove it or run it on GitLab",
    ),
    (
        "default: {timeout: soon}\na: {script: x}",
        "1: \"timeout\" is \"soon\", which is no length of time; write it like \"1h 30m\" or \"1 week\"",
    ),
    (
        "default: {image: x}\nimage: y\na: {script: x}",
        "2: \"image\" stands under \"default\" and at the top level; keep the one under \"default\"",
    ),
    (
        "variables: {A: {options: [x]}}\na: {script: x}",
        "1: the key \"variables:options\" is not supported by `longshore local`; remove it or run it on GitLab",
    ),
    ("variables: [A]\na: {script: x}", "1: \"variables\" must be a mapping"),
    (
        "variables: {A: [b]}\na: {script: x}",
        "1: \"A\" must be text, a number, or a mapping with \"value\"",
    ),
    ("stages: one\na: {script: x}", "1: \"stages\" must be a list of texts"),
    (
        "stages: [one]\na: {script: x}",
        "2: job \"a\": the stage \"test\" is not declared; \"stages\" has one",
    ),
    (
        "stages: [one]\na:\n  stage: two\n  script: x",
        "3: job \"a\": the stage \"two\" is not declared; \"stages\" has one",
    ),
    (
        "a:\n  script: x\n  dependencies: [b]",
        "3: job \"a\": \"dependencies\" names \"b\", which is no job of an earlier stage",
    ),
    (
        "a: {script: x}\nb:\n  script: x\n  dependencies: [a]",
        "4: job \"b\": \"dependencies\" names \"a\", which is no job of an earlier stage",
    ),
    (
        "true: {script: x}",
        "1: \"true\" has the value true without quotes, which YAML does not read as text; quote it",
    ),
];

#[test]
fn what_is_wrong_with_the_file_is_named() {
    for (text, expected) in FILE_FAULTS {
        let error = parse(text, ".gitlab-ci.yml").unwrap_err().to_string();
        assert_eq!(error, format!(".gitlab-ci.yml line {expected}"), "{text}");
    }
}

#[test]
fn what_is_wrong_with_yaml_is_named_with_its_line() {
    for (text, line) in [("a:\n  script: [x", 3), ("a:\n\tscript: x", 2), ("a: *nobody", 1)] {
        let error = parse(text, "f").unwrap_err();
        assert!(error.to_string().contains("this is not YAML: "), "{error}");
        assert_eq!(error.line, line, "{error}");
    }
}

const JOB_FAULTS: &[(&str, &str)] = &[
    (
        "needs: [b]",
        "the key \"needs\" is not supported by `longshore local`; remove it or run it on GitLab",
    ),
    (
        "extends: .b",
        "the key \"extends\" is not supported by `longshore local`; remove it or run it on GitLab",
    ),
    ("scripts: b", "unknown key \"scripts\"; did you mean \"script\"?"),
    ("before-script: b", "unknown key \"before-script\"; did you mean \"before_script\"?"),
    ("weather: b", "unknown key \"weather\""),
    ("stage: [b]", "\"stage\" must be text"),
    ("image: {entrypoint: [b]}", "\"image\" must be a text, or a mapping with \"name\""),
    (
        "image: {name: b, docker: {}}",
        "the key \"image:docker\" is not supported by `longshore local`; remove it or run it on GitLab",
    ),
    (
        "image: {name: b, pull_policy: sometimes}",
        "\"pull_policy\" cannot be \"sometimes\"; it may be always, if-not-present, never",
    ),
    (
        "before_script: [a: b]",
        "\"before_script\" must be a command or a list of commands; quote a command that holds \": \"",
    ),
    (
        "before_script: [true]",
        "\"before_script\" has the value true without quotes, which YAML does not read as text; quote it",
    ),
    (
        "before_script: [[[[[[[[[[[x]]]]]]]]]]]",
        "\"before_script\" must be nested at most 10 lists deep",
    ),
    (
        "before_script: [!reference [.a, script]]",
        "the tag !reference is not supported by `longshore local`; use an anchor (&name, *name)",
    ),
    ("<<: text", "\"<<\" must name a mapping or a list of mappings, such as *anchor"),
    ("<<: [text]", "\"<<\" must name a mapping or a list of mappings, such as *anchor"),
    (
        "variables: {A: {value: b, expand: false}}",
        "the key \"variables:expand\" is not supported by `longshore local`; remove it or run it on GitLab",
    ),
    (
        "timeout: 0",
        "\"timeout\" is \"0\", which is no length of time; write it like \"1h 30m\" or \"1 week\"",
    ),
    (
        "when: never",
        "\"when\" cannot be \"never\"; it may be on_success, on_failure, always, manual",
    ),
    (
        "when: delayed",
        "\"when\" cannot be \"delayed\"; it may be on_success, on_failure, always, manual",
    ),
    (
        "allow_failure: sure",
        "\"allow_failure\" must be true, false, or a mapping with \"exit_codes\"",
    ),
    ("allow_failure: {exit_codes: x}", "\"exit_codes\" must be a whole number or a list of them"),
    (
        "allow_failure: {exit_code: 1}",
        "unknown key \"allow_failure:exit_code\"; did you mean \"exit_codes\"?",
    ),
    ("artifacts: {path: [x]}", "unknown key \"artifacts:path\"; did you mean \"paths\"?"),
    (
        "artifacts: {public: true}",
        "the key \"artifacts:public\" is not supported by `longshore local`; remove it or run it on GitLab",
    ),
    ("artifacts: {untracked: 1}", "\"untracked\" must be true or false"),
    (
        "artifacts: {expire_in: soon}",
        "\"expire_in\" is \"soon\", which is no length of time; write it like \"1h 30m\" or \"1 week\"",
    ),
    (
        "artifacts: {reports: {junitt: x}}",
        "unknown key \"artifacts:reports:junitt\"; did you mean \"junit\"?",
    ),
    (
        "rules: yes",
        "\"rules\" has the value yes without quotes, which YAML does not read as text; quote it",
    ),
    ("rules: {if: $A}", "\"rules\" must be a list of rules"),
    (
        "rules: [{changes: [x]}]",
        "the key \"rules:changes\" is not supported by `longshore local`; remove it or run it on GitLab",
    ),
    ("rules: [{iff: $A}]", "unknown key \"rules:iff\"; did you mean \"if\"?"),
    (
        "rules: [{if: '$A =~ /x/'}]",
        "the condition \"$A =~ /x/\" cannot be read: the operator =~ is not supported by `longshore local`",
    ),
];

#[test]
fn what_is_wrong_with_a_job_is_named() {
    for (line, expected) in JOB_FAULTS {
        let error = parse(&format!("a:\n  script: x\n  {line}\n"), ".gitlab-ci.yml").unwrap_err();
        let place = if line.contains("<<") || line.contains('!') { "" } else { "job \"a\": " };
        assert_eq!(
            error.to_string(),
            format!(".gitlab-ci.yml line 3: {place}{expected}"),
            "{line}"
        );
    }
    let error = parse("a:\n  image: x\n", "f").unwrap_err();
    assert_eq!(
        error.to_string(),
        "f line 1: job \"a\": the job has no \"script\"; a template's name begins with a dot"
    );
}
