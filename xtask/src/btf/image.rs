//! The type information in a kernel's image (`x86_64`): it is unpacked as the kernel itself does it,
//! and nothing is booted.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};

/// By how the packed kernel begins: who unpacks it.
const PACKERS: &[(&[u8], &str)] = &[
    (&[0xfd, b'7', b'z', b'X', b'Z'], "xz"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (&[0x02, 0x21, 0x4c, 0x18], "lz4"),
    (&[0x1f, 0x8b], "gzip"),
];

/// The section `.BTF` of the kernel in this image.
pub(super) fn btf(image: &Path) -> Result<Vec<u8>> {
    let image = fs::read(image).context("cannot read it")?;
    let kernel = unpack(payload(&image)?)?;
    section(&kernel, ".BTF").context("the kernel has no section .BTF")
}

/// The packed kernel (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").
fn payload(image: &[u8]) -> Result<&[u8]> {
    let setup_sectors = number(image, 0x1f1, 1)?;
    if number(image, 0x202, 4)? != u64::from(u32::from_le_bytes(*b"HdrS")) {
        bail!("this is no image of a kernel for x86_64");
    }
    let start = (setup_sectors + 1) * 512 + number(image, 0x248, 4)?;
    let size = number(image, 0x24c, 4)?;
    // The last four bytes are the size of what comes out.
    let size = size.saturating_sub(4);
    part(image, start, size)
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let packer = PACKERS.iter().find(|(start, _)| packed.starts_with(start));
    let (_, packer) = packer.context("the kernel is packed in a way that nobody knows")?;
    let mut child = Command::new(packer)
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("cannot run {packer}"))?;
    let mut input = child.stdin.take().context("it has no input")?;
    thread::scope(|scope| {
        let written = scope.spawn(move || input.write_all(packed));
        let output = child.wait_with_output();
        let output = output.with_context(|| format!("cannot read what {packer} says"))?;
        match written.join() {
            Ok(Ok(())) if output.status.success() => Ok(output.stdout),
            _ => bail!("{packer} cannot unpack the kernel"),
        }
    })
}

/// A section of an ELF file of 64 bits.
fn section(elf: &[u8], name: &str) -> Option<Vec<u8>> {
    let read = |offset, size| number(elf, offset, size).ok();
    let (table, size, count) = (read(0x28, 8)?, read(0x3a, 2)?, read(0x3c, 2)?);
    let header = |index: u64| part(elf, table + index * size, size).ok();
    let contents = |header: &[u8]| {
        let (start, size) = (number(header, 0x18, 8).ok()?, number(header, 0x20, 8).ok()?);
        part(elf, start, size).ok()
    };
    let names = contents(header(read(0x3e, 2)?)?)?;
    (0..count).find_map(|index| {
        let header = header(index)?;
        let start = usize::try_from(number(header, 0, 4).ok()?).ok()?;
        let called = names.get(start..)?.split(|byte| *byte == 0).next()?;
        (called == name.as_bytes()).then(|| contents(header).map(<[u8]>::to_vec))?
    })
}

fn part(bytes: &[u8], start: u64, size: u64) -> Result<&[u8]> {
    let end = start.checked_add(size).context("a size beyond all")?;
    let (start, end) = (usize::try_from(start)?, usize::try_from(end)?);
    bytes.get(start..end).context("the file is cut short")
}

/// A little-endian number of so many bytes.
fn number(bytes: &[u8], offset: u64, size: u64) -> Result<u64> {
    let bytes = part(bytes, offset, size)?.iter().rev();
    Ok(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
