//! Functions of the running kernel by name: `/proc/kallsyms`.

use std::fs;
use std::ops::Range;

use super::root::KernelRoot;

/// The table, read once: the kernel takes tens of milliseconds to write it down.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    table: String,
}

impl Symbols {
    /// Reads the table; without the right to, an empty one.
    pub fn read(root: &KernelRoot) -> Self {
        let table = fs::read_to_string(root.proc("kallsyms")).unwrap_or_default();
        Self { table }
    }

    /// Whether the kernel has a function or variable of that name. Unknown is no.
    pub fn has(&self, name: &str) -> bool {
        lines(&self.table).any(|(_, found)| found == name)
    }

    /// The addresses from where a function begins to where the next one does; `None` when there is
    /// no such function, or the kernel does not tell (`kernel.kptr_restrict`).
    pub fn addresses(&self, name: &str) -> Option<Range<u64>> {
        let mut here = lines(&self.table);
        let begin = here.find_map(|(address, found)| (found == name).then_some(address))?;
        let all = lines(&self.table).map(|(address, _)| address);
        let end = all.filter(|address| *address > begin).min()?;
        (begin > 0).then_some(begin..end)
    }
}

fn lines(table: &str) -> impl Iterator<Item = (u64, &str)> {
    table.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let address = u64::from_str_radix(fields.next()?, 16).ok()?;
        Some((address, fields.nth(1)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_reaches_to_the_next_one_wherever_that_stands() {
        let table = "ffffffff81000000 T early\n\
                     ffffffff81000200 t wanted\n\
                     ffffffff81000400 T later\n\
                     ffffffff81000300 t next\t[module]\n";
        let table = table.to_owned();
        let symbols = Symbols { table };
        let found = symbols.addresses("wanted");
        assert_eq!(found, Some(0xffff_ffff_8100_0200..0xffff_ffff_8100_0300));
        assert_eq!(symbols.addresses("absent"), None);
        assert!(symbols.has("next") && !symbols.has("absent"));
    }

    #[test]
    fn hidden_addresses_are_none() {
        let table = "0000000000000000 T wanted\n0000000000000000 T next\n";
        let table = table.to_owned();
        assert_eq!(Symbols { table }.addresses("wanted"), None);
    }
}
