//! process-crashed: the process that owned the connection died with a request unanswered or a response
//! unfinished.

use super::{Case, Finding, Words};
use crate::engine::flow_text;
use crate::engine::flows::{CLOSES, has, is_cut, is_open, is_unanswered, stalled, time, went_on};
use crate::record::{flow_event, flow_flag, stage};
use crate::verdict::Slug;

pub(super) fn died(case: &Case<'_>) -> Option<Finding> {
    let record = case.first_of(&CLOSES)?;
    let exit = case.exit_at(record);
    // a process may be long in dying, with a core to write, and its peers give up meanwhile
    let was_dying = |fin| exit.is_some_and(|exit| exit.core_dumped || exit.time <= time(fin));
    let left = case.left().filter(|fin| !was_dying(fin) && !went_on(record, fin));
    let gone = left.into_iter().chain(case.of(flow_event::RESET_RECEIVED)).any(|left| time(left) < time(record));
    let failed_before = case.of(flow_event::WAITING).is_some_and(|waiting| {
        (is_unanswered(waiting) || stalled(waiting) >= case.slow()) && !went_on(record, waiting)
    });
    if gone || failed_before || case.is_silent(record) || !is_open(record) {
        return None;
    }
    let dying = has(record, flow_flag::TASK_EXITING);
    let crashed = exit.is_some_and(crate::engine::exits::Exit::is_abnormal);
    // what is no HTTP may have been answered by all that it asked for
    let is_failure = if case.is_http() || case.is_encrypted() { dying || crashed } else { crashed };
    if !is_failure {
        return None;
    }
    let mut finding = case.finding(Slug::ProcessCrashed, record, 502, words);
    finding.has_stage = is_unanswered(record);
    finding.exit = exit.copied();
    Some(finding)
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, name) = (flow_text::request(case.exchange), case.name(record));
    let how = finding.exit.map_or_else(|| "died".to_owned(), |exit| format!("ended by {}", exit.text()));
    let how_far = match record.stage {
        stage::NOT_ACCEPTED => "before it had accepted",
        _ if is_cut(record) => "in the middle of its response to",
        _ => "before it had answered",
    };
    let process = case.process(record);
    let summary = format!("{name} {how} {how_far} {request}.");
    let log = flow_text::journal(process.as_ref());
    let next = match finding.exit {
        Some(exit) if exit.oom_killed => {
            "Give it more memory or find its leak: `journalctl -k` shows what the kernel decided.".to_owned()
        }
        Some(exit) if exit.core_dumped => format!("Look at its core dump: `coredumpctl info`{log}."),
        Some(exit) if exit.text() == "signal 15" => {
            "It was stopped: let it finish its requests first, and drain the target before the app stops.".to_owned()
        }
        _ => format!("Find out why it ended: look into its log{log}."),
    };
    let mut words = case.words(record, summary, next);
    words.evidence.extend(finding.exit.map(|exit| flow_text::exited(&exit, &name)));
    words
}
