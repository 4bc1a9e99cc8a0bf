//! Which kernel fields a program reads, itself or in what it calls: read out of the object, so that
//! no list of it can be wrong.

use std::collections::{BTreeMap, BTreeSet};

use object::{
    File, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SymbolIndex,
    SymbolKind,
};

use crate::kernel::layout::Lacking;

/// Bytes of an instruction.
const INSTRUCTION: u64 = 8;
/// `BPF_JMP | BPF_CALL` of one of our own functions (`BPF_PSEUDO_CALL` as the source register).
const CALL: u8 = 0x85;
const OWN: u8 = 0x10;

/// A place in the object: number of the section, and offset in it.
type Place = (usize, u64);

/// What one function refers to.
#[derive(Debug, Default)]
struct Function {
    name: String,
    size: u64,
    symbols: BTreeSet<String>,
    calls: BTreeSet<Place>,
}

/// Programs that cannot work on a kernel that lacks fields, and which one each lacks.
pub(super) fn unusable(
    object: &[u8],
    lacking: &[(&'static str, Lacking)],
) -> Result<BTreeMap<String, String>, object::Error> {
    if lacking.is_empty() {
        return Ok(BTreeMap::new());
    }
    let needs = needs(object)?;
    let lacks = needs.into_iter().filter_map(|(program, symbols)| {
        let is_needed = |(global, _): &&(&str, Lacking)| symbols.contains(*global);
        let (_, lack) = lacking.iter().find(is_needed)?;
        Some((program, lack.to_string()))
    });
    Ok(lacks.collect())
}

/// The symbols that each function refers to, itself or in what it calls.
fn needs(object: &[u8]) -> Result<BTreeMap<String, BTreeSet<String>>, object::Error> {
    let file = File::parse(object)?;
    let functions = functions(&file)?;
    let all = |place: &Place, function: &Function| {
        let (mut seen, mut symbols) = (BTreeSet::new(), BTreeSet::new());
        let mut waiting = vec![*place];
        while let Some(place) = waiting.pop() {
            if let (true, Some(called)) = (seen.insert(place), functions.get(&place)) {
                symbols.extend(called.symbols.iter().cloned());
                waiting.extend(&called.calls);
            }
        }
        (function.name.clone(), symbols)
    };
    let needs = functions.iter().map(|(place, one)| all(place, one));
    Ok(needs.collect())
}

fn functions(file: &File<'_>) -> Result<BTreeMap<Place, Function>, object::Error> {
    let mut functions = BTreeMap::new();
    for symbol in file.symbols() {
        if let (SymbolKind::Text, Some(section)) = (symbol.kind(), symbol.section_index()) {
            let function = Function {
                name: symbol.name()?.to_owned(),
                size: symbol.size(),
                ..Function::default()
            };
            functions.insert((section.0, symbol.address()), function);
        }
    }
    for section in file.sections() {
        let index = section.index().0;
        let code = if functions.keys().any(|(of, _)| *of == index) {
            section.data()?
        } else {
            continue;
        };
        let mut linked = BTreeSet::new();
        for (offset, relocation) in section.relocations() {
            linked.insert(offset);
            let RelocationTarget::Symbol(target) = relocation.target() else {
                continue;
            };
            if let Some(from) = around(&mut functions, (index, offset)) {
                refer(file, target, code, offset, from)?;
            }
        }
        // Calls within a section need no linking.
        let offsets = (0..code.len() as u64).step_by(8);
        for offset in offsets.filter(|offset| !linked.contains(offset)) {
            if let (Some(to), Some(from)) = (
                own_call(code, offset),
                around(&mut functions, (index, offset)),
            ) {
                from.calls.insert((index, to));
            }
        }
    }
    Ok(functions)
}

/// Notes what the instruction at `offset` refers to by the symbol `target`.
fn refer(
    file: &File<'_>,
    target: SymbolIndex,
    code: &[u8],
    offset: u64,
    from: &mut Function,
) -> Result<(), object::Error> {
    let target = file.symbol_by_index(target)?;
    from.symbols.insert(target.name()?.to_owned());
    match (target.kind(), target.section_index()) {
        (SymbolKind::Text, Some(section)) => {
            from.calls.insert((section.0, target.address()));
        }
        // A call of what has no name of its own: the instruction says where in the section.
        (SymbolKind::Section, Some(section)) if own_call(code, offset).is_some() => {
            let start = (i64::from(immediate(code, offset)) + 1).unsigned_abs();
            from.calls.insert((section.0, start * INSTRUCTION));
        }
        _ => {}
    }
    Ok(())
}

/// The function that this place is in.
fn around(functions: &mut BTreeMap<Place, Function>, place: Place) -> Option<&mut Function> {
    let ((section, start), function) = functions.range_mut(..=place).next_back()?;
    let inside = *section == place.0 && place.1 < *start + function.size;
    inside.then_some(function)
}

/// Where the instruction at `offset` calls to, within its section; `None` when it is no call.
fn own_call(code: &[u8], offset: u64) -> Option<u64> {
    let start = usize::try_from(offset).ok()?;
    let [operation, registers, ..] = code.get(start..)?.first_chunk::<8>()?;
    if (*operation, registers & 0xf0) != (CALL, OWN) {
        return None;
    }
    let next = offset + INSTRUCTION;
    next.checked_add_signed(i64::from(immediate(code, offset)) * 8)
}

fn immediate(code: &[u8], offset: u64) -> i32 {
    let start = usize::try_from(offset + 4).unwrap_or(usize::MAX);
    let bytes = code.get(start..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| i32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use gw502_common::hooks::{Capability, HOOKS};
    use gw502_common::kernel_fields::KERNEL_FIELDS;

    use super::super::load::OBJECT;
    use super::*;

    #[test]
    fn every_field_is_needed_by_some_program() {
        let needs = needs(OBJECT).unwrap();
        for field in KERNEL_FIELDS {
            let needed = HOOKS
                .iter()
                .any(|hook| needs[hook.program].contains(field.global));
            assert!(needed, "nobody reads {}", field.global);
        }
    }

    #[test]
    fn what_lacks_a_field_is_what_reads_it() {
        let lack = Lacking::Struct {
            name: "fdtable".to_owned(),
            path: "fdtable.max_fds",
        };
        let unusable = unusable(OBJECT, &[("OFF_TABLE_LEN", lack)]).unwrap();
        assert!(unusable["connect_called_tp"].contains("`fdtable`"));
        let hooks = HOOKS.iter();
        for hook in hooks.filter(|hook| hook.capability != Capability::ConnectResults) {
            assert!(!unusable.contains_key(hook.program), "{}", hook.program);
        }
    }

    #[test]
    fn on_a_kernel_that_has_all_everything_can_be_used() {
        assert!(unusable(OBJECT, &[]).unwrap().is_empty());
    }
}
