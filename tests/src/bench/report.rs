//! The numbers as a Markdown table.

use std::fmt::Write as _;

use super::rounds::{Hooks, Measured, Size};
use super::statistics::{median, median_bounds};
use super::watcher::Watcher;

const WATCHERS: [Watcher; 7] = [
    Watcher::Nobody,
    Watcher::NobodyAgain,
    Watcher::Wherefore,
    Watcher::WhereforeElsewhere,
    Watcher::Tcpdump,
    Watcher::Tcpstates,
    Watcher::Tcplife,
];

/// Throughput: one table for each load.
pub fn throughput(measured: &[Measured], size: Size) -> String {
    let mut text = String::new();
    for one in measured {
        let _infallible = writeln!(
            text,
            "\n### {}\n\n{} rounds of {} s.\n\n| watched by | requests/s (median) | rounds | ratio to nothing (median) \
             | 95% bounds of that |\n|---|---:|---:|---:|---:|",
            one.load.label(),
            size.pairs,
            size.seconds
        );
        for watcher in WATCHERS {
            let rates = one.rates(watcher);
            let Some(rate) = median(&rates) else { continue };
            let ratios = one.ratios(watcher);
            let ratio = median(&ratios).filter(|_| watcher != Watcher::Nobody);
            let bounds = median_bounds(&ratios).filter(|_| watcher != Watcher::Nobody);
            let _infallible = writeln!(
                text,
                "| {} | {rate:.0} | {} | {} | {} |",
                watcher.label(),
                rates.len(),
                ratio.map(|ratio| format!("{ratio:.4}")).unwrap_or_default(),
                bounds.map(|(low, high)| format!("{low:.4} to {high:.4}")).unwrap_or_default(),
            );
        }
    }
    text
}

/// What the hooks and the program itself take.
pub fn cost(measured: &[Measured]) -> String {
    let mut text = "\n### Own cost\n\n\
        | load | hook runs a request | hook time a request | CPU time a request | share | own CPU (of a core) \
        | own memory without maps |\n|---|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for one in measured {
        let hooks = hooks_row(&one.hooks);
        let own = median(&one.own.iter().map(|own| own.cpu * 100.0).collect::<Vec<_>>()).unwrap_or_default();
        let resident = one.own.iter().map(|own| own.resident_mib).fold(0.0, f64::max);
        let _infallible = writeln!(
            text,
            "| {} | {hooks} | {own:.1}% | {resident:.0} MiB |\n| {}, another port watched | {} | | |",
            one.load.label(),
            one.load.label(),
            hooks_row(&one.hooks_elsewhere),
        );
    }
    text
}

fn hooks_row(rounds: &[Hooks]) -> String {
    let of = |pick: fn(&Hooks) -> f64| median(&rounds.iter().map(pick).collect::<Vec<_>>()).unwrap_or_default();
    format!(
        "{:.1} | {:.0} ns | {:.1} µs | {:.2}%",
        of(|hooks| hooks.runs),
        of(|hooks| hooks.ns),
        of(|hooks| hooks.cpu_ns) / 1000.0,
        of(|hooks| hooks.ns / hooks.cpu_ns) * 100.0,
    )
}

/// Fewer rounds say nothing about a ratio.
const LEAST_ROUNDS: usize = 30;

/// Whether a load's budget is met: `at least` of the throughput is left, by the lower bound of the ratio over
/// thirty or more, less the bias of two equal rounds if that flatters; or the hooks take at most as small a
/// share of the processor time.
pub fn verdict(one: &Measured, at_least: f64) -> String {
    let ratios = one.ratios(Watcher::Wherefore);
    let low = median_bounds(&ratios).map(|(low, _)| low).unwrap_or_default();
    let bias = median(&one.ratios(Watcher::NobodyAgain)).unwrap_or(1.0) - 1.0;
    let shares: Vec<f64> = one.hooks.iter().map(|hooks| hooks.ns / hooks.cpu_ns).collect();
    let share = median(&shares).unwrap_or(1.0);
    let by_ratio = ratios.len() >= LEAST_ROUNDS && low - bias.max(0.0) >= at_least;
    let by_share = share <= 1.0 - at_least;
    format!(
        "{}: {} (lower bound {low:.4} less bias {bias:+.4}, wanted {at_least}: {}; share of CPU time {:.2}%, wanted {:.0}%: {})",
        one.load.label(),
        if by_ratio || by_share { "met" } else { "NOT met" },
        if by_ratio { "yes" } else { "no" },
        share * 100.0,
        (1.0 - at_least) * 100.0,
        if by_share { "yes" } else { "no" },
    )
}

#[cfg(test)]
mod tests {
    use super::super::load::Load;
    use super::super::rounds::{Own, Throughput};
    use super::*;

    fn measured(with: f64, hook_ns: f64) -> Measured {
        let row = |round, watcher, rate| Throughput { round, watcher, rate };
        let throughput = (0..30).flat_map(|round| {
            [
                row(round, Watcher::Nobody, 1000.0),
                row(round, Watcher::NobodyAgain, 1000.0),
                row(round, Watcher::Wherefore, with),
            ]
        });
        Measured {
            load: Load::KeepAlive,
            throughput: throughput.collect(),
            own: vec![Own { cpu: 0.01, resident_mib: 2.0 }],
            hooks: vec![Hooks { runs: 4.0, ns: hook_ns, cpu_ns: 30_000.0 }],
            hooks_elsewhere: vec![Hooks { runs: 4.0, ns: 150.0, cpu_ns: 30_000.0 }],
        }
    }

    #[test]
    fn a_budget_is_met_by_either_measure_and_by_none() {
        assert!(verdict(&measured(995.0, 900.0), 0.99).contains(": met"));
        assert!(verdict(&measured(900.0, 200.0), 0.99).contains(": met"));
        assert!(verdict(&measured(900.0, 900.0), 0.99).contains("NOT met"));
        let mut few = measured(995.0, 900.0);
        few.throughput.truncate(3 * 29);
        assert!(verdict(&few, 0.99).contains("NOT met"));
    }

    #[test]
    fn tables_have_a_row_for_who_was_there() {
        let size = Size { pairs: 30, others: 0, timed: 1, seconds: 2 };
        let text = throughput(&[measured(990.0, 1.0)], size);
        assert!(text.contains("| `wherefore record` | 990 | 30 | 0.9900 | 0.9900 to 0.9900 |"), "{text}");
        assert!(!text.contains("tcplife"), "{text}");
        let text = cost(&[measured(990.0, 300.0)]);
        assert!(text.contains("| 4.0 | 300 ns | 30.0 µs | 1.00% | 1.0% | 2 MiB |"), "{text}");
        assert!(text.contains("another port watched | 4.0 | 150 ns | 30.0 µs | 0.50% | | |"), "{text}");
    }
}
