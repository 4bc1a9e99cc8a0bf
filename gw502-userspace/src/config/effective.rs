//! What a configuration comes to: the bounds that hold, as `--check-config` shows them.

use std::fmt;

use super::reading::{size_words, time_words};
use super::{Config, SinkConfig, SyslogAddress, Way};
use crate::diagnose::bounds::ENGINE_BYTES;
use crate::metrics::{listeners, upstreams};
use crate::sink::ship::Kind;

/// Bytes of memory that the parts of the agent that grow take at most: the queues of all sinks, the
/// diagnosis and the counters of upstreams.
pub fn memory_bytes(config: &Config) -> u64 {
    let queues = config.sinks.iter().map(|sink| sink.queue.memory_bytes);
    let queues = queues.fold(0, u64::saturating_add);
    let engine = u64::try_from(ENGINE_BYTES).unwrap_or(u64::MAX);
    queues
        .saturating_add(engine)
        .saturating_add(upstreams::bytes(config.limits.series))
        .saturating_add(listeners::bytes())
}

/// Bytes on disk that the spools of all sinks take at most.
pub fn spool_bytes(config: &Config) -> u64 {
    let network = config.sinks.iter().filter(|sink| sink.way.is_network());
    let spools = network.map(|sink| sink.queue.spool_bytes);
    spools.fold(0, u64::saturating_add)
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            watch,
            limits,
            spool,
            page,
            sinks,
        } = self;
        let mut whom = watch.proxy.clone();
        whom.extend(watch.pid.iter().map(|pid| format!("pid {pid}")));
        let whom = match (watch.all, whom.is_empty()) {
            (true, _) => "every process".to_owned(),
            (false, true) => "the known proxies".to_owned(),
            (false, false) => whom.join(", "),
        };
        writeln!(f, "watch    {whom}")?;
        for sink in sinks {
            writeln!(f, "sink     {}", Line(sink, spool))?;
        }
        if sinks.is_empty() {
            writeln!(f, "sink     none")?;
        }
        match page {
            Some(page) => writeln!(
                f,
                "metrics  http://{0}/metrics, http://{0}/health",
                page.listen
            )?,
            None => writeln!(f, "metrics  no page")?,
        }
        writeln!(
            f,
            "series   at most {} upstreams; the others are summed up as `other`",
            limits.series
        )?;
        writeln!(
            f,
            "idle     an upstream that nobody has tried for {} is forgotten",
            time_words(limits.idle)
        )?;
        writeln!(
            f,
            "storm    at most {} failures a second are shipped; the others are counted",
            limits.storm
        )?;
        writeln!(
            f,
            "memory   at most {} for queues, diagnosis and series",
            mebibytes(memory_bytes(self))
        )?;
        writeln!(f, "spool    at most {}", mebibytes(spool_bytes(self)))
    }
}

/// A sink in a line.
struct Line<'a>(&'a SinkConfig, &'a std::path::Path);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(sink, spool) = self;
        let records = sink.records.iter().map(|kind| match kind {
            Kind::Failure => "failures",
            Kind::Diagnosis => "diagnoses",
        });
        let records: Vec<_> = records.collect();
        let records = match records.as_slice() {
            [] => "no records".to_owned(),
            some => some.join(" and "),
        };
        write!(f, "{}: {records} to ", sink.name)?;
        match &sink.way {
            Way::Stdout => write!(f, "standard output")?,
            Way::File(file) => {
                write!(f, "{}", file.path.display())?;
                if let Some(bytes) = file.max_bytes {
                    write!(f, ", rotated at {}", size_words(bytes))?;
                }
                if let Some(age) = file.max_age {
                    write!(f, ", rotated after {}", time_words(age))?;
                }
            }
            Way::Syslog(syslog) => match &syslog.address {
                SyslogAddress::Unix(path) => write!(f, "syslog at unix:{}", path.display())?,
                SyslogAddress::Udp(to) => write!(f, "syslog at udp:{to}")?,
                SyslogAddress::Tcp(to) => write!(f, "syslog at tcp:{to}")?,
            },
            Way::Journald(journald) => write!(f, "the journal at {}", journald.socket.display())?,
            Way::Otlp(otlp) => write!(f, "OTLP at {}", otlp.endpoint)?,
        }
        write!(f, " · queue {}", size_words(sink.queue.memory_bytes))?;
        if sink.way.is_network() {
            let bytes = size_words(sink.queue.spool_bytes);
            write!(
                f,
                " · spool {bytes} in {}",
                spool.join(&sink.name).display()
            )?;
        }
        Ok(())
    }
}

/// Rounded up: a bound is never said too small.
fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
