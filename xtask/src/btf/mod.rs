//! `btf-fixtures`: what is known of the kernels' structs, cut down to what gw502 reads of them.
//!
//! # Layout
//!
//! - `image`: the type information (BTF) in a kernel's image.
//! - `types`: BTF in parts. `prune`: a BTF with the wanted members alone.

mod image;
mod prune;
mod types;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use gw502_common::kernel_fields::{ENUMERATORS, KERNEL_FIELDS, TRACE_TYPES};
use xtask::pins;

use self::prune::Wanted;
use self::types::Btf;
use crate::{apt, run, vm};

/// The running kernel's.
const OWN: &str = "/sys/kernel/btf/vmlinux";

/// Writes a file for each kernel of `vm-test`, and one for the running kernel when it is `own`.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let own = match args {
        [] => None,
        [option, name] if option == "--own" => Some(name),
        _ => bail!("`btf-fixtures` takes `--own NAME` or nothing"),
    };
    apt::install(pins::VM_PACKAGES).context("cannot install what `btf-fixtures` takes")?;
    let folder = run::workspace().join("gw502-userspace/src/kernel/fixtures");
    for kernel in pins::KERNELS {
        let image = vm::image(kernel)?;
        let btf = image::btf(&image)
            .with_context(|| format!("no type information in `{}`", image.display()))?;
        write(&folder, kernel.series, &btf)?;
    }
    if let Some(name) = own {
        let btf = fs::read(OWN).with_context(|| format!("cannot read `{OWN}`"))?;
        write(&folder, name, &btf)?;
    }
    println!("now: GW502_BLESS=1 cargo test --package gw502-userspace layout");
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path, name: &str, whole: &[u8]) -> Result<()> {
    let paths: Vec<&str> = KERNEL_FIELDS.iter().map(|field| field.path).collect();
    let wanted = Wanted {
        paths: &paths,
        functions: TRACE_TYPES,
        enumerators: ENUMERATORS,
    };
    let pruned = prune::prune(&Btf::parse(whole)?, &wanted)?;
    let file = folder.join(format!("{name}.btf"));
    fs::write(&file, &pruned).with_context(|| format!("cannot write `{}`", file.display()))?;
    println!(
        "{}: {} bytes of {}",
        file.display(),
        pruned.len(),
        whole.len()
    );
    Ok(())
}
