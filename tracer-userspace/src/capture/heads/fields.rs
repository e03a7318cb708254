//! The header fields of a head, as many as are whole.

use httparse::{EMPTY_HEADER, ParserConfig, Response};
use tracer_ebpf::REQUEST_HEAD_BYTES;

/// Most fields of a head: the kept bytes hold no more (`a:` and a line feed each).
const FIELDS: usize = REQUEST_HEAD_BYTES / 3 + 1;
/// What the parser has to see before fields.
const STATUS_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// Fields by name, lower case. A line that is no field is passed over; of one that is cut only the
/// name is there.
pub(super) struct Fields {
    found: Vec<(String, Vec<u8>)>,
}

impl Fields {
    /// Reads what follows a request or status line.
    pub(super) fn read(block: &[u8]) -> Self {
        // the parser is lenient with responses only, and takes no fields alone so: it is given them
        // behind a status line
        let bytes = [STATUS_LINE, block].concat();
        let mut headers = [EMPTY_HEADER; FIELDS];
        let mut response = Response::new(&mut headers);
        let parsed = ParserConfig::default()
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .parse_response(&mut response, &bytes);
        let there = response.headers.iter().filter(|header| !header.name.is_empty());
        let mut found: Vec<_> = there.map(|header| (header.name.to_ascii_lowercase(), header.value.to_vec())).collect();
        // of a head that is cut, or damaged further on, what came before is told all the same
        if parsed.is_ok_and(|parsed| parsed.is_partial())
            && let Some(name) = name_of_last_line(block)
        {
            found.push((name, Vec::new()));
        }
        Self { found }
    }

    /// Whether there is one of this name (lower case).
    pub(super) fn contains(&self, name: &str) -> bool {
        self.found.iter().any(|(found, _)| found == name)
    }

    /// Value of the first of this name that has one.
    pub(super) fn value(&self, name: &str) -> Option<&[u8]> {
        let mut named = self.found.iter().filter(|(found, _)| found == name);
        named.find_map(|(_, value)| (!value.is_empty()).then_some(value.as_slice()))
    }
}

/// Name of the field at which a head is cut.
fn name_of_last_line(block: &[u8]) -> Option<String> {
    let line = block.rsplit(|byte| *byte == b'\n').next()?;
    let colon = memchr::memchr(b':', line)?;
    let name = std::str::from_utf8(line.get(..colon)?).ok()?;
    Some(name.trim_ascii_end().to_ascii_lowercase())
}
