//! Where the running kernel keeps the members that the BPF side reads.
//!
//! aya parses BTF too, but keeps struct members to itself; btf-rs shows them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use btf_rs::{Btf, EnumMember, Member, Type};
use gw502_common::kernel_fields::{KERNEL_FIELDS, KernelField, NEIGHBOUR_FAILED, SEND_RESET};
use gw502_common::settings;

/// Why a layout could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The kernel's BTF cannot be read.
    #[error("cannot read the kernel's type information (BTF) in `{}`", path.display())]
    Unreadable {
        /// Where it was looked for.
        path: PathBuf,
        /// What reading it said.
        #[source]
        source: btf_rs::Error,
    },
    /// A member cannot be read as the table says.
    #[error("the kernel's `{path}` is {got}, not {expected} bytes")]
    Shape {
        /// The member.
        path: &'static str,
        /// What it is.
        got: String,
        /// What the table says.
        expected: u64,
    },
    /// The BTF is damaged.
    #[error("the kernel's type information is damaged near `{path}`")]
    Damaged {
        /// The member being looked up.
        path: &'static str,
        /// What btf-rs said.
        #[source]
        source: btf_rs::Error,
    },
}

/// A field that this kernel does not have: what needs it cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lacking {
    /// A struct does not exist.
    #[error("the kernel has no struct `{name}` (needed for `{path}`)")]
    Struct {
        /// The struct.
        name: String,
        /// The member it was needed for.
        path: &'static str,
    },
    /// A member does not exist.
    #[error("the kernel has no member `{member}` on the way to `{path}`")]
    Member {
        /// The missing part.
        member: String,
        /// The whole path.
        path: &'static str,
    },
}

/// Offsets of the fields of the table, and what signatures differ between kernels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLayout {
    /// Global name and byte offset, in the table's order.
    pub offsets: Vec<(&'static str, u64)>,
    /// Fields that this kernel does not have, by global name.
    pub lacking: Vec<(&'static str, Lacking)>,
    /// Whether `tcp_send_reset` passes the reason (Linux 6.10+).
    pub send_reset_reason: bool,
    /// The number of the drop reason `NEIGH_FAILED` (Linux 5.18+); it changes between kernels.
    pub neighbour_failed: Option<u32>,
    /// The number of the drop reason `NETFILTER_DROP` (Linux 5.17+).
    pub netfilter_drop: Option<u32>,
    /// The number of the drop reason `TCP_LISTEN_OVERFLOW` (Linux 6.18+).
    pub listen_overflow: Option<u32>,
    /// Why a RST is sent, by number and without the prefix (Linux 6.10+).
    pub reset_reasons: BTreeMap<u32, String>,
    /// Where in `struct net` the first byte of `tcp_abort_on_overflow` is.
    pub abort_on_overflow: Option<u64>,
    /// Whether a task can be preempted while it reads under RCU (`CONFIG_PREEMPT_RCU`), as BPF
    /// programs do.
    pub preemptible_rcu: bool,
    /// Whether SRCU has its fast flavour (Linux 6.15+).
    pub fast_srcu: bool,
}

/// Reads the BTF of `path` and resolves the whole table.
pub fn read(path: &Path) -> Result<KernelLayout, LayoutError> {
    let btf = Btf::from_file(path).map_err(|source| LayoutError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    resolve(&btf)
}

/// Resolves the whole table in `btf`.
pub fn resolve(btf: &Btf) -> Result<KernelLayout, LayoutError> {
    let (mut offsets, mut lacking) = (Vec::new(), Vec::new());
    for field in KERNEL_FIELDS {
        match offset(btf, field)? {
            Ok(offset) => offsets.push((field.global, offset)),
            Err(lack) => lacking.push((field.global, lack)),
        }
    }
    // The traced function gets a context pointer before the tracepoint's own arguments.
    let send_reset_reason = arguments(btf, SEND_RESET).is_some_and(|n| n > 3);
    let (of, name) = NEIGHBOUR_FAILED;
    Ok(KernelLayout {
        offsets,
        lacking,
        send_reset_reason,
        neighbour_failed: value(btf, of, name),
        netfilter_drop: value(btf, of, "SKB_DROP_REASON_NETFILTER_DROP"),
        listen_overflow: value(btf, of, "SKB_DROP_REASON_TCP_LISTEN_OVERFLOW"),
        reset_reasons: reset_reasons(btf),
        abort_on_overflow: abort_on_overflow(btf),
        preemptible_rcu: has_member(btf, "task_struct", "rcu_read_lock_nesting"),
        fast_srcu: structure(btf, "srcu_ctr").is_some(),
    })
}

/// A byte since Linux 5.15, an `int` before: little-endian, so that its first byte tells.
fn abort_on_overflow(btf: &Btf) -> Option<u64> {
    let field = |size| KernelField {
        global: settings::ABORT_ON_OVERFLOW,
        path: "net.ipv4.sysctl_tcp_abort_on_overflow",
        size,
    };
    let found = [1, 4].map(|size| offset(btf, &field(size)).ok()?.ok());
    found.into_iter().flatten().next()
}

/// Where the field is, or what of it the kernel does not have.
fn offset(btf: &Btf, field: &KernelField) -> Result<Result<u64, Lacking>, LayoutError> {
    let damaged = |source| LayoutError::Damaged {
        path: field.path,
        source,
    };
    let mut parts = field.path.split('.');
    let root = parts.next().unwrap_or_default();
    let Some(mut here) = structure(btf, root) else {
        return Ok(Err(Lacking::Struct {
            name: root.to_owned(),
            path: field.path,
        }));
    };

    let mut bits = 0;
    for part in parts {
        let (name, element) = index(part);
        let Some((member, before)) = find(btf, &here, name).map_err(damaged)? else {
            return Ok(Err(Lacking::Member {
                member: name.to_owned(),
                path: field.path,
            }));
        };
        if member.bitfield_size().is_some_and(|bits| bits > 0) {
            let (got, expected) = ("a bit-field".to_owned(), field.size);
            return Err(LayoutError::Shape {
                path: field.path,
                got,
                expected,
            });
        }
        bits += before + u64::from(member.bit_offset());
        here = plain(btf, btf.resolve_chained_type(&member).map_err(damaged)?).map_err(damaged)?;
        if let (Some(element), Type::Array(array)) = (element, &here) {
            let of = btf.resolve_chained_type(array).map_err(damaged)?;
            let of = plain(btf, of).map_err(damaged)?;
            bits += element * 8 * size_of(btf, &of).map_err(damaged)?.unwrap_or(0);
            here = of;
        }
    }
    let size = size_of(btf, &here).map_err(damaged)?;
    if size == Some(field.size) {
        return Ok(Ok(bits / 8));
    }
    let got = size.map_or_else(
        || format!("a {}", here.name()),
        |bytes| format!("{bytes} bytes"),
    );
    Err(LayoutError::Shape {
        path: field.path,
        got,
        expected: field.size,
    })
}

/// `name[3]` as the name and the index.
fn index(part: &str) -> (&str, Option<u64>) {
    match part.strip_suffix(']').and_then(|part| part.split_once('[')) {
        Some((name, index)) => (name, index.parse().ok()),
        None => (part, None),
    }
}

/// The member called `name`, also inside anonymous structs and unions, and the bits before the
/// innermost of those.
fn find(btf: &Btf, within: &Type, name: &str) -> Result<Option<(Member, u64)>, btf_rs::Error> {
    let (Type::Struct(aggregate) | Type::Union(aggregate)) = within else {
        return Ok(None);
    };
    for member in &aggregate.members {
        let called = btf.resolve_name(member)?;
        if called == name {
            return Ok(Some((member.clone(), 0)));
        }
        if called.is_empty() {
            let inner = plain(btf, btf.resolve_chained_type(member)?)?;
            if let Some((found, before)) = find(btf, &inner, name)? {
                return Ok(Some((found, before + u64::from(member.bit_offset()))));
            }
        }
    }
    Ok(None)
}

/// The type behind typedefs and qualifiers.
fn plain(btf: &Btf, mut here: Type) -> Result<Type, btf_rs::Error> {
    while let Type::Typedef(_)
    | Type::Const(_)
    | Type::Volatile(_)
    | Type::Restrict(_)
    | Type::TypeTag(_) = here
    {
        let Some(qualifier) = here.as_btf_type() else {
            break;
        };
        here = btf.resolve_chained_type(qualifier)?;
    }
    Ok(here)
}

fn size_of(btf: &Btf, of: &Type) -> Result<Option<u64>, btf_rs::Error> {
    Ok(Some(match of {
        Type::Int(int) => int.size() as u64,
        Type::Struct(aggregate) | Type::Union(aggregate) => aggregate.size() as u64,
        Type::Enum(r#enum) => r#enum.size() as u64,
        Type::Ptr(_) => 8,
        Type::Array(array) => {
            let element = plain(btf, btf.resolve_chained_type(array)?)?;
            match size_of(btf, &element)? {
                Some(bytes) => bytes * array.len() as u64,
                None => return Ok(None),
            }
        }
        _ => return Ok(None),
    }))
}

/// The number that the enum `of` gives to `name`.
fn value(btf: &Btf, of: &str, name: &str) -> Option<u32> {
    let members = enumerators(btf, of)?;
    let called = |member: &&EnumMember| btf.resolve_name(*member).is_ok_and(|n| n == name);
    members.iter().find(called).map(EnumMember::val)
}

fn reset_reasons(btf: &Btf) -> BTreeMap<u32, String> {
    let members = enumerators(btf, "sk_rst_reason").unwrap_or_default();
    let named = members.iter().filter_map(|member| {
        let name = btf.resolve_name(member).ok()?;
        let name = name.strip_prefix("SK_RST_REASON_")?;
        Some((member.val(), name.to_owned()))
    });
    named.collect()
}

fn enumerators(btf: &Btf, of: &str) -> Option<Vec<EnumMember>> {
    let types = btf.resolve_types_by_name(of).ok()?;
    types.into_iter().find_map(|found| match found {
        Type::Enum(found) => Some(found.members),
        _ => None,
    })
}

fn structure(btf: &Btf, name: &str) -> Option<Type> {
    let mut types = btf.resolve_types_by_name(name).ok()?.into_iter();
    types.find(|found| matches!(found, Type::Struct(_)))
}

fn has_member(btf: &Btf, of: &str, name: &str) -> bool {
    structure(btf, of).is_some_and(|found| find(btf, &found, name).is_ok_and(|m| m.is_some()))
}

/// Number of parameters of the function behind the typedef `name`.
fn arguments(btf: &Btf, name: &str) -> Option<usize> {
    let typedef = btf.resolve_types_by_name(name).ok()?.into_iter().next()?;
    let pointer = plain(btf, typedef).ok()?;
    let prototype = btf.resolve_chained_type(pointer.as_btf_type()?).ok()?;
    match prototype {
        Type::FuncProto(prototype) => Some(prototype.parameters.len()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
