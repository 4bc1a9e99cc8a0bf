//! BTF in parts (Documentation/bpf/btf.rst), little-endian, and put together again.

use anyhow::{Context as _, Result, bail};

const MAGIC: u16 = 0xeb9f;
const HEADER: u32 = 24;

/// Kinds of types.
pub(super) mod kind {
    pub(in super::super) const INT: u32 = 1;
    pub(in super::super) const PTR: u32 = 2;
    pub(in super::super) const ARRAY: u32 = 3;
    pub(in super::super) const STRUCT: u32 = 4;
    pub(in super::super) const UNION: u32 = 5;
    pub(in super::super) const ENUM: u32 = 6;
    pub(in super::super) const FWD: u32 = 7;
    pub(in super::super) const TYPEDEF: u32 = 8;
    pub(in super::super) const VOLATILE: u32 = 9;
    pub(in super::super) const CONST: u32 = 10;
    pub(in super::super) const RESTRICT: u32 = 11;
    pub(in super::super) const FUNC: u32 = 12;
    pub(in super::super) const FUNC_PROTO: u32 = 13;
    pub(in super::super) const VAR: u32 = 14;
    pub(in super::super) const DATASEC: u32 = 15;
    pub(in super::super) const FLOAT: u32 = 16;
    pub(in super::super) const DECL_TAG: u32 = 17;
    pub(in super::super) const TYPE_TAG: u32 = 18;
    pub(in super::super) const ENUM64: u32 = 19;
}

/// One type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) name: String,
    pub(super) kind: u32,
    /// `kind_flag`: of a struct, whether its members' offsets hold sizes of bit-fields too.
    pub(super) flag: bool,
    /// The type it refers to, or its size.
    pub(super) target: u32,
    pub(super) rest: Rest,
}

/// What follows the part that all types have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rest {
    /// Numbers that mean nothing here.
    Words(Vec<u32>),
    Array {
        element: u32,
        index: u32,
        count: u32,
    },
    /// Of a struct, a union, an enum or a function.
    Members(Vec<Member>),
}

/// A member of a struct (type and offset), an enumerator (value), or a parameter (type).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// Type, or value.
    pub(super) first: u32,
    /// Offset, where there is one.
    pub(super) second: Option<u32>,
}

/// All types; the first has the number 1.
#[derive(Debug, Default)]
pub(super) struct Btf {
    pub(super) types: Vec<Type>,
}

impl Btf {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let header = Words(bytes);
        if header.at(0)? & 0xffff != u32::from(MAGIC) {
            bail!("this is no BTF");
        }
        let place = |offset: usize| -> Result<&[u8]> {
            let start = u64::from(header.at(4)?) + u64::from(header.at(offset)?);
            let size = u64::from(header.at(offset + 4)?);
            let (start, end) = (usize::try_from(start)?, usize::try_from(start + size)?);
            bytes.get(start..end).context("the BTF is cut short")
        };
        let (types, strings) = (place(8)?, place(16)?);
        let mut reader = Reader {
            words: Words(types),
            strings,
            at: 0,
        };
        let mut btf = Self::default();
        while reader.at < types.len() {
            btf.types.push(reader.read()?);
        }
        Ok(btf)
    }

    pub(super) fn get(&self, id: u32) -> Option<&Type> {
        self.types.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    /// The number of the first type that is called so.
    pub(super) fn find(&self, kind: u32, name: &str) -> Option<u32> {
        let is_it = |one: &Type| one.kind == kind && one.name == name;
        let index = self.types.iter().position(is_it)?;
        u32::try_from(index + 1).ok()
    }

    /// In bytes.
    pub(super) fn write(&self) -> Result<Vec<u8>> {
        let mut strings = vec![0];
        let mut types = Vec::new();
        let mut word = |word: u32| types.extend_from_slice(&word.to_le_bytes());
        for one in &self.types {
            word(offset_of(&one.name, &mut strings)?);
            let members = match &one.rest {
                Rest::Members(members) => u32::try_from(members.len())?,
                _ => 0,
            };
            word(members | one.kind << 24 | u32::from(one.flag) << 31);
            word(one.target);
            match &one.rest {
                Rest::Words(words) => words.iter().copied().for_each(&mut word),
                Rest::Array {
                    element,
                    index,
                    count,
                } => [*element, *index, *count].into_iter().for_each(&mut word),
                Rest::Members(members) => {
                    for member in members {
                        word(offset_of(&member.name, &mut strings)?);
                        word(member.first);
                        member.second.into_iter().for_each(&mut word);
                    }
                }
            }
        }
        let (size, text) = (u32::try_from(types.len())?, u32::try_from(strings.len())?);
        let mut bytes = Vec::new();
        // Magic, version 1, no flags.
        for word in [u32::from(MAGIC) | 1 << 16, HEADER, 0, size, size, text] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.append(&mut types);
        bytes.append(&mut strings);
        Ok(bytes)
    }
}

fn offset_of(name: &str, strings: &mut Vec<u8>) -> Result<u32> {
    let entry = [b"\0", name.as_bytes(), b"\0"].concat();
    let known = strings.windows(entry.len()).position(|part| part == entry);
    let offset = match known {
        _ if name.is_empty() => 0,
        Some(offset) => offset + 1,
        None => {
            let offset = strings.len();
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
            offset
        }
    };
    Ok(u32::try_from(offset)?)
}

struct Words<'a>(&'a [u8]);

impl Words<'_> {
    /// The four bytes at an offset.
    fn at(&self, offset: usize) -> Result<u32> {
        let word = self.0.get(offset..).and_then(<[u8]>::first_chunk);
        let word = word.context("the BTF is cut short")?;
        Ok(u32::from_le_bytes(*word))
    }
}

struct Reader<'a> {
    words: Words<'a>,
    strings: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn word(&mut self) -> Result<u32> {
        let word = self.words.at(self.at)?;
        self.at += 4;
        Ok(word)
    }

    fn name(&mut self) -> Result<String> {
        let start = usize::try_from(self.word()?)?;
        let text = self.strings.get(start..).context("a name is missing")?;
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn read(&mut self) -> Result<Type> {
        let name = self.name()?;
        let info = self.word()?;
        let target = self.word()?;
        let (kind, count) = (info >> 24 & 0x1f, info & 0xffff);
        let rest = match kind {
            kind::ARRAY => Rest::Array {
                element: self.word()?,
                index: self.word()?,
                count: self.word()?,
            },
            kind::STRUCT | kind::UNION => self.members(count, true)?,
            kind::ENUM | kind::FUNC_PROTO => self.members(count, false)?,
            kind::INT | kind::VAR | kind::DECL_TAG => self.plain(1)?,
            kind::DATASEC | kind::ENUM64 => self.plain(3 * count)?,
            kind::PTR | kind::FWD | kind::TYPEDEF | kind::VOLATILE | kind::CONST => {
                self.plain(0)?
            }
            kind::RESTRICT | kind::FUNC | kind::FLOAT | kind::TYPE_TAG => self.plain(0)?,
            other => bail!("a kind of type that nobody knows: {other}"),
        };
        Ok(Type {
            name,
            kind,
            flag: info >> 31 == 1,
            target,
            rest,
        })
    }

    fn plain(&mut self, count: u32) -> Result<Rest> {
        let words: Result<_> = (0..count).map(|_| self.word()).collect();
        Ok(Rest::Words(words?))
    }

    fn members(&mut self, count: u32, with_offsets: bool) -> Result<Rest> {
        let member = |_| {
            Ok(Member {
                name: self.name()?,
                first: self.word()?,
                second: with_offsets.then(|| self.word()).transpose()?,
            })
        };
        let members: Result<_> = (0..count).map(member).collect();
        Ok(Rest::Members(members?))
    }
}
