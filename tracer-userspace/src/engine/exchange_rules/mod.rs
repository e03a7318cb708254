//! The rules for exchanges: pure functions from what is known of one to a finding, the most specific
//! first. As with attempts, a finding is cheap, and its words are made only where they will be read.

mod app_reset;
mod app_status;
mod app_timeout;
mod case;
mod client_abort;
mod health_check_failed;
mod idle_flow_expired;
mod incomplete_response;
mod keepalive_race;
mod malformed_response;
mod packet_dropped;
mod peer_vanished;
mod premature_close;
mod process_crashed;
mod protocol_mismatch;
#[cfg(test)]
mod tests;

pub(super) use case::Case;
pub(super) use protocol_mismatch::spoken;

use super::exits::Exit;
use super::flows::PacketDrop;
use super::rules::Words;
use crate::record::{BootTime, FlowRecord, flow_event};
use crate::verdict::{Confidence, Role, Slug};

/// What a rule found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) slug: Slug,
    pub(super) role: Role,
    pub(super) confidence: Confidence,
    /// Sorted; what looks the same from here.
    pub(super) alternatives: &'static [Slug],
    /// What decided; its end is the one that the verdict is about.
    pub(super) record: FlowRecord,
    /// The last evidence that decided.
    pub(super) time: BootTime,
    pub(super) expected_status: Option<u16>,
    /// Whether the verdict says how far the request got.
    pub(super) has_stage: bool,
    /// How the process ended.
    pub(super) exit: Option<Exit>,
    /// The packet that was dropped.
    pub(super) dropped: Option<PacketDrop>,
    /// Only a local proxy that answers for it makes a failure of it.
    pub(super) only_as_cause: bool,
    pub(super) words: fn(&Case<'_>, &Self) -> Words,
}

type Rule = fn(&Case<'_>) -> Option<Finding>;

/// In this order; the first that finds something is right. Where this end's own kernel shows what
/// stopped the exchange, that comes before what the app did, and that before what the peer did.
const INBOUND: &[Rule] = &[
    keepalive_race::late_data,
    packet_dropped::dropped,
    health_check_failed::answered,
    protocol_mismatch::answered,
    malformed_response::sent,
    process_crashed::died,
    client_abort::left_first,
    app_reset::sent,
    premature_close::sent,
    app_timeout::inbound,
    incomplete_response::inbound,
    client_abort::gone,
    idle_flow_expired::inbound,
    peer_vanished::gave_up,
    app_status::answered,
];

/// The same for the connecting end.
const OUTBOUND: &[Rule] = &[
    packet_dropped::dropped,
    keepalive_race::reset_received,
    keepalive_race::closed_as_well,
    idle_flow_expired::outbound,
    app_reset::received,
    premature_close::received,
    peer_vanished::gave_up,
    app_timeout::outbound,
    incomplete_response::outbound,
    app_status::answered,
];

/// Why this exchange failed, if a rule can tell. Where both ends are on this host the accepting one
/// is asked first.
pub(super) fn decide(exchange: &Case<'_>) -> Option<Finding> {
    let inbound = || exchange.exchange.inbound.as_ref().map(|end| exchange.at(end, Role::Inbound));
    let outbound = || exchange.exchange.outbound.as_ref().map(|end| exchange.at(end, Role::Outbound));
    let found = inbound().and_then(|case| INBOUND.iter().find_map(|rule| rule(&case)));
    // what the other end sent instead of a response is told there, and what it did afterwards says nothing more
    let is_response = |case: &Case<'_>| case.of(flow_event::MALFORMED).is_none();
    found.or_else(|| outbound().filter(is_response).and_then(|case| OUTBOUND.iter().find_map(|rule| rule(&case))))
}
