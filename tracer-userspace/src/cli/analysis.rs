//! Where a stream of records becomes lines: live and replayed alike.

use std::io::{self, Write};

use crate::engine::{Engine, Output};
use crate::output::Printer;
use crate::record::{BootTime, HostBody, HostRecord, Record, RecordView};

/// An engine and the printer of what it says.
pub struct Analysis {
    engine: Engine,
    printer: Printer,
    /// Kept for its memory.
    outputs: Vec<Output>,
}

impl Analysis {
    /// For one stream.
    #[must_use]
    pub fn new(printer: Printer) -> Self {
        Self { engine: Engine::new(), printer, outputs: Vec::new() }
    }

    /// Feeds the next record of the stream and prints what follows from it. `pass` may complete each
    /// output before it is printed, and leaves it out by returning false.
    ///
    /// # Errors
    /// What writing says.
    pub fn push(
        &mut self,
        record: Record,
        to: &mut impl Write,
        pass: &mut impl FnMut(&mut Output) -> bool,
    ) -> io::Result<()> {
        let tick = match &record {
            Record::Host(HostRecord { time, body: HostBody::Tick(_), .. }) => Some(*time),
            _ => None,
        };
        self.engine.push(record, &mut self.outputs);
        self.print(to, pass)?;
        tick.map_or(Ok(()), |time| self.printer.advance(time, to))
    }

    /// The same of a record that lies in a buffer; `time_ns` is its header's.
    ///
    /// # Errors
    /// What writing says.
    pub fn push_view(
        &mut self,
        time_ns: u64,
        view: RecordView<'_>,
        to: &mut impl Write,
        pass: &mut impl FnMut(&mut Output) -> bool,
    ) -> io::Result<()> {
        let is_tick = matches!(&view, RecordView::Host(HostRecord { body: HostBody::Tick(_), .. }));
        self.engine.push_view(time_ns, view, &mut self.outputs);
        if !self.outputs.is_empty() {
            self.print(to, pass)?;
        }
        if is_tick { self.printer.advance(BootTime::from_ns(time_ns), to) } else { Ok(()) }
    }

    /// Feeds a record that the recording's earlier files hold as well: what follows from it was said
    /// there, and is not said again.
    pub fn repeat(&mut self, record: Record) {
        self.engine.push(record, &mut self.outputs);
        self.outputs.clear();
    }

    /// What was repeated is over: from here on it counts.
    pub fn count_from_here(&mut self) {
        self.engine.count_from_here();
    }

    /// Ends the stream so far and begins anew behind a gap, for the same reader of the lines.
    ///
    /// # Errors
    /// What writing says.
    pub fn begin_again(&mut self, to: &mut impl Write, pass: &mut impl FnMut(&mut Output) -> bool) -> io::Result<()> {
        self.engine.finish(&mut self.outputs);
        self.engine = Engine::new();
        self.print(to, pass)
    }

    /// Ends the stream: what is still open is decided or counted, and the summary printed.
    ///
    /// # Errors
    /// What writing says.
    pub fn finish(mut self, to: &mut impl Write, pass: &mut impl FnMut(&mut Output) -> bool) -> io::Result<()> {
        self.engine.finish(&mut self.outputs);
        self.print(to, pass)
    }

    fn print(&mut self, to: &mut impl Write, pass: &mut impl FnMut(&mut Output) -> bool) -> io::Result<()> {
        for mut output in self.outputs.drain(..) {
            if pass(&mut output) {
                self.printer.print(&output, to)?;
            }
        }
        Ok(())
    }
}
