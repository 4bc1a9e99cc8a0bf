//! What `vm-test` was asked for.

use anyhow::{Context as _, Result, bail};
use xtask::pins::{self, Kernel};

use super::trials::Extent;

/// The backends that `gw502 trace --hooks` takes.
pub(super) const BACKENDS: &[&str] = &["fentry", "kprobe", "tracepoint"];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) kernels: Vec<&'static Kernel>,
    pub(super) backends: Vec<String>,
    pub(super) filter: Option<String>,
    pub(super) extent: Extent,
    /// Also what takes minutes.
    pub(super) long: bool,
    /// How many times.
    pub(super) repeat: usize,
    /// How many guests beside each other.
    pub(super) at_once: usize,
}

impl Wish {
    /// Every backend, on these kernels.
    pub(super) fn of(kernels: Vec<&'static Kernel>, extent: Extent) -> Self {
        Self {
            kernels,
            backends: BACKENDS.iter().map(ToString::to_string).collect(),
            filter: None,
            extent,
            long: false,
            repeat: 1,
            at_once: 1,
        }
    }

    /// What these arguments ask for.
    pub(super) fn parse(args: &[String]) -> Result<Self> {
        let mut wish = Self::of(Vec::new(), Extent::EachFault);
        let mut backends = Vec::new();
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            match arg {
                "--all" => wish.kernels = pins::KERNELS.iter().collect(),
                "--core" => wish.extent = Extent::Core,
                "--every-row" => wish.extent = Extent::EveryRow,
                "--long" => wish.long = true,
                "--repeat" => wish.repeat = number(arg, args.next())?,
                "--at-once" => wish.at_once = number(arg, args.next())?,
                "--kernel" => match kernel(args.next()) {
                    Some(kernel) => wish.kernels.push(kernel),
                    None => bail!("`--kernel` takes 5.10, 6.1, 6.12 or 7.x"),
                },
                "--backend" => match args.next() {
                    Some(name) if BACKENDS.contains(&name) => backends.push(name.to_owned()),
                    _ => bail!("`--backend` takes fentry, kprobe or tracepoint"),
                },
                filter if !filter.starts_with('-') && wish.filter.is_none() => {
                    wish.filter = Some(filter.to_owned());
                }
                other => {
                    bail!("`vm-test` does not know `{other}`: `cargo xtask help` says what it does")
                }
            }
        }
        if wish.kernels.is_empty() {
            wish.kernels = pins::KERNELS.iter().collect();
        }
        if !backends.is_empty() {
            wish.backends = backends;
        }
        Ok(wish)
    }
}

fn number(option: &str, text: Option<&str>) -> Result<usize> {
    let number = text.and_then(|text| text.parse().ok());
    number
        .filter(|number| (1..=100).contains(number))
        .with_context(|| format!("`{option}` takes a number from 1 to 100"))
}

/// The kernel that is called so.
pub(super) fn kernel(series: Option<&str>) -> Option<&'static Kernel> {
    pins::KERNELS
        .iter()
        .find(|kernel| Some(kernel.series) == series)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Wish> {
        Wish::parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn without_arguments_every_kernel_and_backend_is_tested() {
        let wish = parsed(&[]).unwrap();
        assert_eq!(wish.kernels.len(), pins::KERNELS.len());
        assert_eq!(wish.backends, BACKENDS);
        assert_eq!((wish.repeat, wish.at_once), (1, 1));
    }

    #[test]
    fn one_kernel_one_backend_one_fault() {
        let wish = parsed(&["--kernel", "6.1", "--backend", "kprobe", "refused"]).unwrap();
        assert_eq!(wish.kernels.len(), 1);
        assert_eq!(wish.backends, ["kprobe"]);
        assert_eq!(wish.filter.as_deref(), Some("refused"));
        assert!(parsed(&["--kernel", "2.4"]).is_err());
        assert!(parsed(&["--backend", "magic"]).is_err());
        assert!(parsed(&["--frobnicate"]).is_err());
    }

    #[test]
    fn a_number_of_times_is_a_number() {
        assert_eq!(parsed(&["--repeat", "3"]).unwrap().repeat, 3);
        assert!(parsed(&["--repeat"]).is_err());
        assert!(parsed(&["--repeat", "0"]).is_err());
    }
}
