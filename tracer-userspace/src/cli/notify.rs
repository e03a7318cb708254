//! What a service manager is told.

use std::time::Duration;

use sd_notify::NotifyState;

/// Recording has begun.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The end has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells a service manager that asks for it that the recording is alive.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// Tell it every so many ticks; `None`: nobody asks.
    every: Option<u32>,
}

impl Watchdog {
    /// As the environment asks for; `tick` is how often [`Self::tick`] will be called.
    pub(super) fn new(tick: Duration) -> Self {
        Self { every: sd_notify::watchdog_enabled().map(|limit| every(limit, tick)) }
    }

    /// The `ticks`th tick.
    pub(super) fn tick(&self, ticks: u32) {
        if self.every.is_some_and(|every| ticks.is_multiple_of(every)) {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Twice within the limit, as sd_watchdog_enabled(3) recommends, and once more for a slow machine.
fn every(limit: Duration, tick: Duration) -> u32 {
    let ticks = limit.as_micros() / tick.as_micros().max(1) / 3;
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("the service manager cannot be told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_within_the_limit() {
        let check =
            |limit, expected| assert_eq!(every(Duration::from_millis(limit), Duration::from_millis(250)), expected);
        check(30_000, 40);
        check(3_000, 4);
        check(1_000, 1);
        check(100, 1);
    }
}
