//! Tests of the words that numbers become.

use std::time::Duration;

use super::*;
use crate::agent::protocol::{MemoryFacts, PidFacts, Usage};

fn ended(status: ExitStatus) -> StageExit {
    StageExit {
        status,
        ended_by: None,
        oom_kills: 0,
        memory: MemoryFacts { limit: Some(2 << 30), peak: Some(100 << 20), oom_kills: Some(0) },
        script_unread: false,
        survivors: false,
        added_masks: Vec::new(),
        usage: Usage {
            wall: Duration::from_millis(12_340),
            cpu: Some(Duration::from_secs(8)),
            disk: Some((1536, 20)),
            network: Some((5 << 20, 0)),
            pids: PidFacts { refused: 0, limit: Some(64) },
            space: Some(disk(1 << 30, 1 << 30)),
        },
    }
}

fn disk(free_before: u64, free: u64) -> DiskFacts {
    DiskFacts { place: "/builds".to_owned(), free_before, free, size: 10 << 30 }
}

#[test]
fn the_resource_line_says_what_is_known_and_no_more() {
    assert_eq!(
        resources(&ended(ExitStatus::Code(0))),
        "longshore: used 12.3 s, 8.0 s of CPU, at most 100.0 MiB of 2.0 GiB of memory, 1.5 KiB read, \
         20 B written, 5.0 MiB received, 0 B sent"
    );
    let bare = StageExit {
        memory: MemoryFacts::default(),
        usage: Usage { wall: Duration::from_secs(1), ..Usage::default() },
        oom_kills: 2,
        ..ended(ExitStatus::Code(1))
    };
    assert_eq!(resources(&bare), "longshore: used 1.0 s, 2 processes killed for memory");
}

#[test]
fn nothing_is_said_of_an_ordinary_end() {
    for code in [0, 1, 37, 127, 128, 193, 255] {
        assert_eq!(problems(&ended(ExitStatus::Code(code))), [""; 0], "{code}");
    }
}

#[test]
fn signals_are_named_unless_they_are_explained() {
    let said = |exit: &StageExit| problems(exit).join("|");
    assert!(said(&ended(ExitStatus::Signal(9))).contains("shell was ended by signal 9 (KILL)"));
    let code = said(&ended(ExitStatus::Code(139)));
    assert!(code.contains("exit code 139 means") && code.contains("signal 11 (SEGV)"), "{code}");
    let asked = StageExit { ended_by: Some(EndedBy::Signal), ..ended(ExitStatus::Signal(15)) };
    assert_eq!(said(&asked), "");
    let memory = StageExit { oom_kills: 1, ..ended(ExitStatus::Code(137)) };
    let memory = said(&memory);
    assert!(
        memory.contains("limit 2.0 GiB, peak 100.0 MiB") && !memory.contains("signal"),
        "{memory}"
    );
}

#[test]
fn the_limit_of_processes_is_told_with_its_number() {
    let mut exit = ended(ExitStatus::Code(0));
    exit.usage.pids.refused = 7;
    let said = problems(&exit).join("|");
    assert!(said.contains("refused 7 new processes") && said.contains("limit is 64"), "{said}");
}

#[test]
fn a_full_disk_is_the_hosts_where_it_was_full_before() {
    let on = |free_before, free| {
        let mut exit = ended(ExitStatus::Code(1));
        exit.usage.space = Some(disk(free_before, free));
        exit
    };
    let filled = on(1 << 30, 0);
    assert!(problems(&filled)[0].contains("full: 0 B free of 10.0 GiB at /builds\n  write less"));
    assert!(!was_full(&filled));
    let before = on(0, 4096);
    assert!(problems(&before)[0].contains("the operator of this runner has to make room"));
    assert!(was_full(&before));
    let mut small = on(5 << 20, 4 << 20);
    small.usage.space = Some(DiskFacts { size: 6 << 20, ..disk(5 << 20, 4 << 20) });
    assert_eq!(problems(&small), [""; 0], "a small volume has little room and is not full");
    let passed = StageExit { status: ExitStatus::Code(0), ..filled };
    assert_eq!(problems(&passed), [""; 0]);
}
