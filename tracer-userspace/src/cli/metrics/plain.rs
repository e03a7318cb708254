//! OpenMetrics text as Prometheus' older text, for scrapers that do not ask for the newer one: there a
//! counter's type and help are said of its full name, and an info is a gauge.

use std::fmt::Write as _;

/// What the text is.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Rewrites what the metrics library has written: `# HELP` comes just before `# TYPE`.
pub(super) fn plain(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|typed| typed.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            // writing to a string does not fail
            if let Some((_name, words)) = help.take() {
                writeln!(text, "# HELP {name}{suffix} {words}").unwrap_or_default();
            }
            writeln!(text, "# TYPE {name}{suffix} {kind}").unwrap_or_default();
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Whether a request's head asks for OpenMetrics.
pub(super) fn asks_for_open_metrics(head: &str) -> bool {
    head.lines().any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("accept") && value.to_ascii_lowercase().contains("application/openmetrics-text")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_are_the_older_ones() {
        let open_metrics = "# HELP a Some.\n# TYPE a counter\na_total{x=\"# HELP\"} 1\n# HELP b B.\n# TYPE b info\n\
            b_info{v=\"1\"} 1\n# HELP c_bytes C.\n# TYPE c_bytes counter\n# UNIT c_bytes bytes\nc_bytes_total 2\n\
            # HELP d D.\n# TYPE d gauge\nd 3\n# EOF\n";
        let expected = "# HELP a_total Some.\n# TYPE a_total counter\na_total{x=\"# HELP\"} 1\n# HELP b_info B.\n\
            # TYPE b_info gauge\nb_info{v=\"1\"} 1\n# HELP c_bytes_total C.\n# TYPE c_bytes_total counter\n\
            c_bytes_total 2\n# HELP d D.\n# TYPE d gauge\nd 3\n";
        assert_eq!(plain(open_metrics), expected);
    }

    #[test]
    fn the_accept_header_decides() {
        let check = |accept: &str, expected| {
            let head = format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{accept}\r\n");
            assert_eq!(asks_for_open_metrics(&head), expected, "{accept}");
        };
        check("", false);
        check("Accept: */*\r\n", false);
        check("Accept: text/plain;version=0.0.4;q=0.5\r\n", false);
        check("accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n", true);
        check("X: application/openmetrics-text\r\n", false);
    }
}
