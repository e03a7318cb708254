//! Function names of kernel addresses, from /proc/kallsyms.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use super::fields::FUNCTIONS;
use super::system::Kallsyms;

const KALLSYMS: &str = "/proc/kallsyms";

/// The file is long, and the kernel makes it anew for each reader.
const BUFFER_BYTES: usize = 1 << 18;

/// Smallest page of the machines we run on. A module's text starts on a page of its own.
const PAGE: u64 = 4096;

/// What one pass over the file gives: reading it takes longer than all other facts together.
pub(super) struct KernelSymbols {
    /// Whether addresses are shown.
    pub(super) state: Kallsyms,
    /// Which of [`FUNCTIONS`] are there: the symbols themselves, not clones of them, for a kprobe goes
    /// on an exact name. Ascending.
    pub(super) present: Vec<String>,
    /// Names of addresses, if these are shown.
    pub(super) symbols: Option<Symbols>,
}

impl KernelSymbols {
    /// Reads the running kernel's.
    pub(super) fn read() -> Self {
        match File::open(KALLSYMS) {
            Ok(file) => Self::of(BufReader::with_capacity(BUFFER_BYTES, file)),
            Err(_) => Self { state: Kallsyms::Missing, present: Vec::new(), symbols: None },
        }
    }

    fn of(text: impl BufRead) -> Self {
        let mut present = BTreeSet::new();
        let symbols = Symbols::read(text, |name| {
            if FUNCTIONS.iter().any(|wanted| wanted.name == name) {
                present.insert(name.to_owned());
            }
        });
        let state = match &symbols {
            Ok(Some(_)) => Kallsyms::Readable,
            Ok(None) => Kallsyms::Hidden,
            Err(error) => {
                log::warn!("cannot read {KALLSYMS}: {error}");
                Kallsyms::Missing
            }
        };
        Self { state, present: present.into_iter().collect(), symbols: symbols.ok().flatten() }
    }
}

/// One line of kallsyms.
struct Line<'a> {
    address: u64,
    name: &'a str,
    module: &'a str,
    text: bool,
}

fn parse(line: &str) -> Option<Line<'_>> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let text = matches!(words.next()?, "t" | "T" | "w" | "W");
    Some(Line { address, name: words.next()?, module: words.next().unwrap_or_default(), text })
}

/// A symbol as it is read. A kernel has over a hundred thousand: they are kept small.
struct Start {
    address: u64,
    /// Where its name begins in the names; meaningless unless `text`.
    name_at: u32,
    /// 0 for the kernel itself.
    module: u16,
    text: bool,
}

/// A function. Its name is `names[name_at..]` up to the next newline.
struct Entry {
    address: u64,
    /// From its first byte to the last that it can reach: never into what was loaded after it.
    reach: u32,
    name_at: u32,
}

/// The kernel's functions and where they are, at the time of loading.
pub struct Symbols {
    /// Ascending by address.
    entries: Vec<Entry>,
    names: String,
}

impl Symbols {
    /// Reads all symbols, and shows each name to `see`; `None` if all addresses read as zero.
    fn read(mut text: impl BufRead, mut see: impl FnMut(&str)) -> io::Result<Option<Self>> {
        let mut starts = Vec::new();
        let mut names = String::new();
        let mut modules: HashMap<String, u16> = HashMap::new();
        let mut buffer = String::new();
        while text.read_line(&mut buffer)? != 0 {
            let line = parse(&buffer);
            if let Some(line) = &line {
                see(line.name);
            }
            // more names than 4 GiB, more modules than 65 thousand: not in this world
            if let Some(line) = line.filter(|line| line.address != 0)
                && let Ok(name_at) = u32::try_from(names.len())
                && let Ok(next_module) = u16::try_from(modules.len() + 1)
            {
                let module = match line.module {
                    "" => 0,
                    name => *modules.entry(name.to_owned()).or_insert(next_module),
                };
                if line.text {
                    names.push_str(plain_name(line.name));
                    names.push('\n');
                }
                starts.push(Start { address: line.address, name_at, module, text: line.text });
            }
            buffer.clear();
        }
        if starts.is_empty() {
            return Ok(None);
        }
        // equal addresses keep the file's order: the first, the linker's first, names the function
        starts.sort_by_key(|start| start.address);
        names.shrink_to_fit();
        Ok(Some(Self { entries: entries(&starts), names }))
    }

    /// Name of the function that holds this address, without the compiler's suffixes (`.part.0`,
    /// `.isra.0`, `.constprop.0`, `.cold`); `None` if no known function can reach it.
    pub fn name_of(&self, address: u64) -> Option<&str> {
        let after = self.entries.partition_point(|entry| entry.address <= address);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        if address - entry.address > u64::from(entry.reach) {
            return None;
        }
        self.names.get(usize::try_from(entry.name_at).ok()?..)?.lines().next()
    }
}

/// The functions among the symbols, and how far each reaches.
fn entries(starts: &[Start]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::with_capacity(starts.iter().filter(|start| start.text).count());
    for (at, start) in starts.iter().enumerate() {
        if !start.text || entries.last().is_some_and(|before| before.address == start.address) {
            continue;
        }
        let next = starts.get(at..).unwrap_or_default().iter().find(|next| next.address > start.address);
        let page_end = start.address | (PAGE - 1);
        let last = match next {
            Some(next) if next.module == start.module => next.address - 1,
            // the last of the kernel or of a module: what follows may have been loaded since
            Some(next) => page_end.min(next.address - 1),
            None => page_end,
        };
        let reach = u32::try_from(last - start.address).unwrap_or(u32::MAX);
        entries.push(Entry { address: start.address, reach, name_at: start.name_at });
    }
    entries
}

/// A name without what the compiler appended. No C identifier has a dot in it.
fn plain_name(name: &str) -> &str {
    match name.split_once('.') {
        Some((plain, _)) if !plain.is_empty() => plain,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 t tcp_v4_rcv
ffffffff81000900 t nf_hook_slow.part.0
ffffffff81000a00 T _etext
ffffffff82000000 D some_data
ffffffffc0001000 t nft_do_chain.cold\t[nf_tables]
ffffffffc0001f00 t nft_last.isra.0.constprop.3\t[nf_tables]
ffffffffc0008000 t other_module\t[other]
";

    fn read(text: &str) -> Symbols {
        KernelSymbols::of(text.as_bytes()).symbols.unwrap()
    }

    #[test]
    fn addresses_fall_into_the_function_that_starts_before_them() {
        let symbols = read(TEXT);
        assert_eq!(symbols.name_of(0xffff_ffff_8100_0000), Some("_stext"));
        assert_eq!(symbols.name_of(0xffff_ffff_8100_0100), Some("tcp_v4_rcv"));
        assert_eq!(symbols.name_of(0xffff_ffff_8100_08ff), Some("tcp_v4_rcv"));
        assert_eq!(symbols.name_of(0xffff_ffff_8100_09ff), Some("nf_hook_slow"));
        assert_eq!(symbols.name_of(0xffff_ffff_c000_1001), Some("nft_do_chain"));
        assert_eq!(symbols.name_of(0x1000), None);
    }

    #[test]
    fn a_module_s_last_function_does_not_reach_into_what_was_loaded_later() {
        let symbols = read(TEXT);
        assert_eq!(symbols.name_of(0xffff_ffff_c000_1fff), Some("nft_last"));
        assert_eq!(symbols.name_of(0xffff_ffff_c000_2000), None);
        assert_eq!(symbols.name_of(0xffff_ffff_c000_8fff), Some("other_module"));
        assert_eq!(symbols.name_of(0xffff_ffff_c000_9000), None);
    }

    #[test]
    fn hidden_addresses_have_no_names() {
        let hidden = "0000000000000000 T _stext\n0000000000000000 t tcp_v4_err\n";
        for (text, present) in [(hidden, &["tcp_v4_err"][..]), ("", &[])] {
            let found = KernelSymbols::of(text.as_bytes());
            assert_eq!((found.state, found.symbols.is_none()), (Kallsyms::Hidden, true));
            assert_eq!(found.present, present);
        }
    }

    #[test]
    fn functions_are_present_by_their_exact_names() {
        let text = "ffffffff81000100 t tcp_v4_err.cold\nffffffff81000200 t nf_send_reset\t[nf_reject_ipv4]\n\
                    ffffffff81000300 t tcp_v6_err\nffffffff81000400 t tcp_v6_err\n";
        let found = KernelSymbols::of(text.as_bytes());
        assert_eq!(
            (found.state, found.present),
            (Kallsyms::Readable, vec!["nf_send_reset".into(), "tcp_v6_err".into()])
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_none() {
        let found = KernelSymbols::of(BufReader::new(File::open("/proc/self").unwrap()));
        assert_eq!((found.state, found.symbols.is_none()), (Kallsyms::Missing, true));
    }

    #[test]
    fn this_kernel_s_own_addresses_come_back_as_names() {
        let text = std::fs::read_to_string(KALLSYMS).unwrap_or_default();
        let Some(line) = text.lines().filter_map(parse).find(|line| line.address != 0 && line.name == "tcp_v4_rcv")
        else {
            return; // not root: nothing to compare with
        };
        let symbols = KernelSymbols::read().symbols.unwrap();
        assert_eq!(symbols.name_of(line.address + 4), Some("tcp_v4_rcv"));
    }
}
