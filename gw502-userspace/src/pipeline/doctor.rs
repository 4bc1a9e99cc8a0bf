//! `doctor`: what this kernel lets us see, how, and why not better. Attaches nothing.

use super::setup::{layout, refused};
use crate::cli::Problem;
use crate::cli::args::{DoctorArgs, Output};
use crate::cli::exit::Exit;
use crate::kernel::privilege;
use crate::kernel::root::KernelRoot;
use crate::plan::plan;
use crate::probe::{Probe, ProbeError};
use crate::render::doctor;
use crate::sink::{Console, SinkError};

/// Offers the kernel every program there is, and shows what it said.
pub fn run(args: &DoctorArgs) -> Result<Exit, Problem> {
    let root = KernelRoot::new(args.btf.clone());
    let layout = layout(&root)?;
    let examined = Probe::try_all(&root, &layout).map_err(|error| refused(&error))?;
    let plan = plan(&examined.trials, args.ways.wish())
        .map_err(|error| refused(&ProbeError::Impossible(error)))?;
    let (kernel, missing) = (root.kernel(), privilege::wanted(&root));
    let bytes = match args.output {
        Output::Text => doctor::text(&plan, &missing, &kernel).into(),
        Output::Json => doctor::json(&plan, &examined, &missing, &kernel),
    };
    match Console::default().write(&bytes) {
        Ok(()) | Err(SinkError::Gone) => Ok(Exit::Ok),
        Err(error) => Err(Problem::new(
            Exit::Failed,
            "cannot show it",
            &error,
            "check where standard output goes",
        )),
    }
}
