//! A BTF with the wanted members alone. Sizes and offsets stay what they were.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};

use super::types::{Btf, Member, Rest, Type, kind};

/// What is to be kept.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// `struct.member.member[n]…`. What a kernel does not have is left out.
    pub(super) paths: &'a [&'a str],
    /// Typedefs of pointers to functions.
    pub(super) functions: &'a [&'a str],
    /// Enums and their enumerators.
    pub(super) enumerators: &'a [(&'a str, &'a str)],
}

/// Cuts everything else away.
pub(super) fn prune(whole: &Btf, wanted: &Wanted<'_>) -> Result<Vec<u8>> {
    let mut pruned = Pruned {
        whole,
        members: BTreeMap::new(),
        enumerators: wanted.enumerators,
        numbers: BTreeMap::new(),
        btf: Btf::default(),
    };
    let roots: Vec<u32> = wanted
        .paths
        .iter()
        .filter_map(|path| pruned.mark(path))
        .collect();
    for root in roots {
        pruned.copy(root)?;
    }
    for name in wanted.functions {
        if let Some(function) = whole.find(kind::TYPEDEF, name) {
            pruned.copy_function(function)?;
        }
    }
    for (name, _) in wanted.enumerators {
        if let Some(of) = whole.find(kind::ENUM, name) {
            pruned.copy(of)?;
        }
    }
    pruned.btf.write()
}

struct Pruned<'a> {
    whole: &'a Btf,
    /// The wanted members of a type, by their places in it.
    members: BTreeMap<u32, BTreeSet<usize>>,
    enumerators: &'a [(&'a str, &'a str)],
    /// What copied types are called now.
    numbers: BTreeMap<u32, u32>,
    btf: Btf,
}

impl Pruned<'_> {
    /// Marks the members on a path. Returns the struct that it starts from, if there is one.
    fn mark(&mut self, path: &str) -> Option<u32> {
        let mut parts = path.split('.');
        let root = self.whole.find(kind::STRUCT, parts.next()?)?;
        let mut here = root;
        for part in parts {
            let (name, element) = part
                .split_once('[')
                .map_or((part, false), |(n, _)| (n, true));
            let Some(next) = self.step(here, name) else {
                break;
            };
            here = self.plain(next);
            if let (true, Some(Rest::Array { element, .. })) =
                (element, self.whole.get(here).map(|one| &one.rest))
            {
                here = self.plain(*element);
            }
        }
        Some(root)
    }

    /// Marks the member `name` of `within`, also inside anonymous structs and unions. Returns its
    /// type.
    fn step(&mut self, within: u32, name: &str) -> Option<u32> {
        let whole = self.whole;
        let Type {
            kind: kind::STRUCT | kind::UNION,
            rest: Rest::Members(members),
            ..
        } = whole.get(within)?
        else {
            return None;
        };
        for (place, member) in members.iter().enumerate() {
            let found = if member.name == name {
                Some(member.first)
            } else if member.name.is_empty() {
                self.step(self.plain(member.first), name)
            } else {
                None
            };
            if found.is_some() {
                self.members.entry(within).or_default().insert(place);
                return found;
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn plain(&self, mut id: u32) -> u32 {
        while let Some(one) = self.whole.get(id)
            && is_name(one.kind)
        {
            id = one.target;
        }
        id
    }

    /// Copies a type and what it consists of. Pointers lead nowhere.
    fn copy(&mut self, id: u32) -> Result<u32> {
        if let Some(number) = self.numbers.get(&id) {
            return Ok(*number);
        }
        let Some(one) = self.whole.get(id) else {
            return Ok(0); // void
        };
        let mut one = one.clone();
        match (one.kind, &mut one.rest) {
            (kind::PTR, _) => one.target = 0,
            (kind, _) if is_name(kind) => one.target = self.copy(one.target)?,
            (kind::STRUCT | kind::UNION, Rest::Members(members)) => {
                let wanted = self.members.get(&id).cloned().unwrap_or_default();
                let mut kept = Vec::new();
                for place in wanted {
                    let member = members.get(place).context("a member is missing")?;
                    let first = self.copy(member.first)?;
                    kept.push(Member {
                        first,
                        ..member.clone()
                    });
                }
                *members = kept;
            }
            (kind::ENUM, Rest::Members(members)) => {
                let names = self.enumerators;
                members.retain(|member| names.contains(&(&one.name, &member.name)));
            }
            (kind::ARRAY, Rest::Array { element, index, .. }) => {
                *element = self.copy(*element)?;
                *index = self.copy(*index)?;
            }
            _ => {}
        }
        self.add(id, one)
    }

    /// Copies a typedef, the pointer behind it, and the function behind that, by the number of its
    /// parameters.
    fn copy_function(&mut self, id: u32) -> Result<()> {
        let mut names = vec![id];
        while let Some(one) = names.last().and_then(|id| self.whole.get(*id))
            && (is_name(one.kind) || one.kind == kind::PTR)
        {
            names.push(one.target);
        }
        let mut below = 0;
        for id in names.into_iter().rev() {
            let mut one = self.whole.get(id).context("a type is missing")?.clone();
            one.target = below;
            if let Rest::Members(parameters) = &mut one.rest {
                for parameter in parameters {
                    parameter.first = 0;
                }
            }
            below = self.add(id, one)?;
        }
        Ok(())
    }

    fn add(&mut self, id: u32, one: Type) -> Result<u32> {
        self.btf.types.push(one);
        let number = u32::try_from(self.btf.types.len())?;
        self.numbers.insert(id, number);
        Ok(number)
    }
}

const fn is_name(kind: u32) -> bool {
    matches!(
        kind,
        kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, first: u32, offset: Option<u32>) -> Member {
        Member {
            name: name.to_owned(),
            first,
            second: offset,
        }
    }

    fn made(name: &str, kind: u32, target: u32, rest: Rest) -> Type {
        Type {
            name: name.to_owned(),
            kind,
            flag: false,
            target,
            rest,
        }
    }

    fn whole() -> Btf {
        let nothing = || Rest::Words(Vec::new());
        let members = Rest::Members;
        Btf {
            types: vec![
                made("int", kind::INT, 4, Rest::Words(vec![32])),
                made("", kind::PTR, 4, nothing()),
                made(
                    "",
                    kind::UNION,
                    8,
                    members(vec![
                        member("wanted", 1, Some(0)),
                        member("pointer", 2, Some(0)),
                    ]),
                ),
                made(
                    "sock",
                    kind::STRUCT,
                    64,
                    members(vec![
                        member("other", 1, Some(0)),
                        member("", 3, Some(128)),
                        member("next", 2, Some(256)),
                    ]),
                ),
                made(
                    "reason",
                    kind::ENUM,
                    4,
                    members(vec![member("A", 0, None), member("B", 7, None)]),
                ),
                made(
                    "",
                    kind::FUNC_PROTO,
                    0,
                    members(vec![member("a", 4, None), member("b", 1, None)]),
                ),
                made("", kind::PTR, 6, nothing()),
                made("trace", kind::TYPEDEF, 7, nothing()),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = whole().write().unwrap();
        assert_eq!(Btf::parse(&bytes).unwrap().types, whole().types);
        assert!(Btf::parse(bytes.get(..60).unwrap()).is_err());
        assert!(Btf::parse(b"no BTF at all, but long enough").is_err());
    }

    #[test]
    fn wanted_members_stay_where_they_are() {
        let wanted = Wanted {
            paths: &["sock.wanted", "sock.next", "sock.gone", "nothing.there"],
            functions: &["trace", "none"],
            enumerators: &[("reason", "B")],
        };
        let btf = Btf::parse(&prune(&whole(), &wanted).unwrap()).unwrap();
        let sock = btf.get(btf.find(kind::STRUCT, "sock").unwrap()).unwrap();
        let Rest::Members(members) = &sock.rest else {
            panic!("a struct has members")
        };
        let places: Vec<_> = members.iter().map(|one| (&*one.name, one.second)).collect();
        assert_eq!(places, [("", Some(128)), ("next", Some(256))]);
        assert_eq!(sock.target, 64);
        let names: Vec<_> = btf.types.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["int", "", "", "sock", "", "", "trace", "reason"]);
        let reason = btf.get(btf.find(kind::ENUM, "reason").unwrap()).unwrap();
        assert_eq!(reason.rest, Rest::Members(vec![member("B", 7, None)]));
    }
}
