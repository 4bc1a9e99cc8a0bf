use std::fmt::Write as _;

use super::*;

/// Kernels whose types are on file: what `cargo xtask btf-fixtures` found, cut down to what we read.
const KERNELS: [&str; 5] = ["5.10", "6.1", "6.12", "6.18-lockdown", "7.x"];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/kernel/fixtures")
        .join(name)
}

fn bytes(kernel: &str) -> Vec<u8> {
    std::fs::read(fixture(&format!("{kernel}.btf"))).unwrap()
}

fn layout_of(bytes: &[u8]) -> Result<KernelLayout, LayoutError> {
    resolve(&Btf::from_bytes(bytes).unwrap())
}

/// The same types under another name of the same length.
fn renamed(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let (from, to) = (format!("\0{from}\0"), format!("\0{to}\0"));
    let mut bytes = bytes.to_vec();
    let at = bytes
        .windows(from.len())
        .position(|part| part == from.as_bytes());
    let at = at.expect("a name that is there");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn every_field_is_found_on_every_kernel() {
    let layouts: Vec<KernelLayout> = KERNELS
        .into_iter()
        .map(|kernel| layout_of(&bytes(kernel)).unwrap_or_else(|e| panic!("{kernel}: {e}")))
        .collect();
    let mut table = format!("{:54}width", "offset");
    for kernel in KERNELS {
        write!(table, "  {kernel:>13}").unwrap();
    }
    for field in KERNEL_FIELDS {
        write!(table, "\n{:54}{:5}", field.path, field.size).unwrap();
        for layout in &layouts {
            let found = layout
                .offsets
                .iter()
                .find(|(name, _)| *name == field.global);
            let offset = found.map_or_else(|| "-".to_owned(), |(_, offset)| offset.to_string());
            write!(table, "  {offset:>13}").unwrap();
        }
    }
    let mut line = |name: &str, cell: &dyn Fn(&KernelLayout) -> String| {
        write!(table, "\n{name:59}").unwrap();
        for layout in &layouts {
            write!(table, "  {:>13}", cell(layout)).unwrap();
        }
    };
    line("tcp_send_reset passes the reason", &|layout| {
        layout.send_reset_reason.to_string()
    });
    line("number of the drop reason NEIGH_FAILED", &|layout| {
        let number = layout.neighbour_failed;
        number.map_or_else(|| "-".to_owned(), |number| number.to_string())
    });
    table.push('\n');
    let path = fixture("offsets.txt");
    if std::env::var_os("GW502_BLESS").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap_or_default(),
        table,
        "run the tests with GW502_BLESS=1 and read the difference; a new field takes `cargo xtask \
         btf-fixtures` first"
    );
}

#[test]
fn a_member_that_is_not_there_is_named_and_the_others_are_found() {
    let whole = layout_of(&bytes("6.12")).unwrap();
    assert_eq!(whole.lacking, []);
    let layout = layout_of(&renamed(&bytes("6.12"), "max_fds", "min_fds")).unwrap();
    let [(global, lack)] = &layout.lacking[..] else {
        panic!("{:?}", layout.lacking);
    };
    assert_eq!(*global, "OFF_TABLE_LEN");
    assert_eq!(
        lack.to_string(),
        "the kernel has no member `max_fds` on the way to `fdtable.max_fds`"
    );
    assert_eq!(layout.offsets.len() + 1, whole.offsets.len());
}

#[test]
fn a_struct_that_is_not_there_is_named() {
    let layout = layout_of(&renamed(&bytes("6.12"), "fdtable", "fdtabel")).unwrap();
    let lacks: Vec<_> = layout.lacking.iter().map(|(_, l)| l.to_string()).collect();
    assert_eq!(
        lacks,
        [
            "the kernel has no struct `fdtable` (needed for `fdtable.max_fds`)",
            "the kernel has no struct `fdtable` (needed for `fdtable.fd`)"
        ]
    );
}

/// BTF with a struct `sock` of hand-made members: name, type (1: u16, 2: u32, 3: pointer, 4:
/// typedef of u32, 5: struct of 6 bytes), and offset in bits, bit-field sizes in the upper byte.
fn hand_made(members: &[(&str, u32, u32)]) -> Btf {
    const STRUCT: u32 = 4 << 24;
    let mut strings = b"\0u16\0u32\0alias\0inner\0sock\0".to_vec();
    let mut types: Vec<u32> = vec![
        // name, kind and number of members, size or type, and what the kind has besides
        1,
        1 << 24,
        2,
        16, // 1: int
        5,
        1 << 24,
        4,
        32, // 2: int
        0,
        2 << 24,
        2, // 3: pointer to 2
        9,
        8 << 24,
        2, // 4: typedef of 2
        15,
        STRUCT,
        6, // 5: struct
    ];
    let count = u32::try_from(members.len()).unwrap();
    types.extend([21, STRUCT | 1 << 31 | count, 64]);
    for (name, of, offset) in members {
        types.extend([u32::try_from(strings.len()).unwrap(), *of, *offset]);
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
    }
    let size = u32::try_from(types.len() * 4).unwrap();
    let text = u32::try_from(strings.len()).unwrap();
    let header = [0x0001_eb9f, 24, 0, size, size, text];
    let words = header.into_iter().chain(types);
    let mut bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    bytes.extend(strings);
    Btf::from_bytes(&bytes).unwrap()
}

fn found(btf: &Btf, path: &'static str, size: u64) -> Result<Result<u64, Lacking>, String> {
    let field = KernelField {
        global: "OFF_TEST",
        path,
        size,
    };
    offset(btf, &field).map_err(|error| error.to_string())
}

#[test]
fn a_field_of_the_right_width_is_found_behind_its_typedef() {
    let btf = hand_made(&[("port", 1, 32), ("error", 4, 64), ("next", 3, 128)]);
    assert_eq!(found(&btf, "sock.port", 2), Ok(Ok(4)));
    assert_eq!(found(&btf, "sock.error", 4), Ok(Ok(8)));
    assert_eq!(found(&btf, "sock.next", 8), Ok(Ok(16)));
}

#[test]
fn a_field_of_another_width_is_refused_with_both_widths() {
    let btf = hand_made(&[("port", 2, 32), ("inner", 5, 64)]);
    let refused = |path, size| found(&btf, path, size).unwrap_err();
    assert_eq!(
        refused("sock.port", 2),
        "the kernel's `sock.port` is 4 bytes, not 2 bytes"
    );
    assert_eq!(
        refused("sock.inner", 4),
        "the kernel's `sock.inner` is 6 bytes, not 4 bytes"
    );
}

#[test]
fn a_bit_field_is_refused() {
    let btf = hand_made(&[("state", 2, 4 << 24 | 32)]);
    assert_eq!(
        found(&btf, "sock.state", 4).unwrap_err(),
        "the kernel's `sock.state` is a bit-field, not 4 bytes"
    );
}
