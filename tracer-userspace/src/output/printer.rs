//! Prints what the engine says, as people or as programs read it.

use std::io::{self, Write};

use super::human::{Human, HumanOptions};
use super::json;
use super::wall::WallClock;
use crate::engine::Output;
use crate::record::BootTime;

/// Prints one stream.
#[derive(Debug)]
pub struct Printer {
    clock: WallClock,
    format: Format,
}

#[derive(Debug)]
enum Format {
    Json,
    Human(Box<Human>),
}

impl Printer {
    /// JSON lines.
    #[must_use]
    pub fn json() -> Self {
        Self { clock: WallClock::default(), format: Format::Json }
    }

    /// Lines for people.
    #[must_use]
    pub fn human(options: HumanOptions) -> Self {
        Self { clock: WallClock::default(), format: Format::Human(Box::new(Human::new(options))) }
    }

    /// Prints one output.
    ///
    /// # Errors
    /// What writing says.
    pub fn print(&mut self, output: &Output, to: &mut impl Write) -> io::Result<()> {
        if let Output::Start(start) = output {
            self.clock = WallClock::new(start.clock);
        }
        match &mut self.format {
            Format::Json => writeln!(to, "{}", json::line(output, self.clock)?),
            Format::Human(human) => human.print(output, self.clock, to),
        }
    }

    /// Tells that the stream has come to `time`, so that lines held back to be folded are printed
    /// when their second is over. Call it with the times of tick records only: then the same
    /// stream always prints the same lines.
    ///
    /// # Errors
    /// What writing says.
    pub fn advance(&mut self, time: BootTime, to: &mut impl Write) -> io::Result<()> {
        match &mut self.format {
            Format::Json => Ok(()),
            Format::Human(human) => human.advance(time, self.clock, to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples;

    #[test]
    fn json_mode_prints_all_of_a_stream_as_json_lines() {
        let mut printer = Printer::json();
        let mut bytes = Vec::new();
        let outputs = [
            Output::Start(Box::new(samples::start())),
            samples::verdict(samples::process_down()),
            Output::Counters(Box::new(samples::counters())),
            Output::Summary(Box::new(samples::summary())),
        ];
        for output in &outputs {
            printer.print(output, &mut bytes).unwrap();
            printer.advance(samples::at_ms(9_000), &mut bytes).unwrap();
        }
        let text = String::from_utf8(bytes).unwrap();
        let types: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(types, ["start", "verdict", "counters", "summary"]);
    }

    #[test]
    fn a_closed_pipe_is_told_to_the_caller() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let output = Output::Start(Box::new(samples::start()));
        for mut printer in [Printer::json(), Printer::human(HumanOptions::default())] {
            let error = printer.print(&output, &mut Closed).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
