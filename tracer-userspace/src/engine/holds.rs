//! Until when a failure that could be decided is held: what explains it may not be decided yet.

use std::time::Duration;

use super::Engine;
use super::exchanges::{is_given_up, may_ask_others, span};
use super::flows::{Exchange, ExchangeId, is_inbound, time};
use super::timing::{self, ANSWER_WAIT, CAUSE_SLACK, CAUSE_WAIT, NANOSECOND, UNSENT_CAUSE_WAIT};
use crate::record::{BootTime, flow_event};

impl Engine {
    pub(super) fn held_until(&self, id: ExchangeId, exchange: &Exchange) -> Option<BootTime> {
        let holds = [
            after_response(exchange),
            self.unexplained_until(id, exchange),
            self.attempts_until(id, exchange),
            self.exchanges_until(id, exchange),
        ];
        holds.into_iter().flatten().max()
    }

    /// Until when a gateway's own error, of which nothing fits as the cause, is held.
    fn unexplained_until(&self, id: ExchangeId, exchange: &Exchange) -> Option<BootTime> {
        let response = exchange.inbound.as_ref()?.of(flow_event::RESPONSE)?;
        let open = may_ask_others(response) && !self.causes.may_explain(self.flows.owner(id, response), id);
        open.then(|| time(response).after(UNSENT_CAUSE_WAIT))
    }

    /// Until when the process's own attempts to connect, which failed meanwhile, are decided.
    fn attempts_until(&self, id: ExchangeId, exchange: &Exchange) -> Option<BootTime> {
        let pid = exchange.inbound.as_ref()?.pid();
        let under_way = self.causes.attempts_during(pid, id).filter_map(|attempt| self.attempts.under_way(attempt));
        under_way.map(timing::due).max()
    }

    /// Until when the process's own requests, which ended meanwhile, are looked at: the next moment is this one's.
    /// They began later than this: nothing waits for what waits for it.
    fn exchanges_until(&self, id: ExchangeId, exchange: &Exchange) -> Option<BootTime> {
        let pid = exchange.inbound.as_ref()?.pid();
        let took = self.causes.took(pid, id)?;
        let ended = |part: &ExchangeId| {
            let Some((_, own)) = self.flows.pending(*part) else { return false };
            let slack = if is_given_up(own) { CAUSE_SLACK } else { Duration::ZERO };
            span(own).to <= took.to.after(slack)
        };
        let ended = self.causes.exchanges_during(pid, id).filter(ended);
        ended.filter_map(|part| self.flows.due(part)).max().map(|due| due.after(NANOSECOND))
    }
}

/// Until when an exchange with a response is held, whatever else happens: what made the process answer
/// so is known by then.
fn after_response(exchange: &Exchange) -> Option<BootTime> {
    let response = exchange.leading()?.of(flow_event::RESPONSE)?;
    let wait = if is_inbound(response) { CAUSE_WAIT } else { ANSWER_WAIT };
    Some(time(response).after(wait))
}
