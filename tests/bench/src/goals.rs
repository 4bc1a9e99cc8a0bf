//! The goals, and whether they are met. Pure.
//!
//! A goal that is missed says by how much, and what of the other measurements explains it.

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::attach::Configuration;
use crate::attach::hooks::Variant;
use crate::measure::healthy::{Healthy, Load, median_interval};
use crate::measure::programs::{is_of, net_per_connection, runs_per_connection};
use crate::report::{Latency, Programs, Start};
use crate::statistics::{interval, median};

/// Cost of gw502 over that of empty programs.
const TIMES_EMPTY: f64 = 2.0;
/// Ratio of the connect loop to nothing attached.
const CONNECT: f64 = 1.05;
/// nginx beyond the noise.
const NGINX_BEYOND_NOISE: f64 = 0.01;
/// With more noise than this the healthy path is not judged: it would drown what is looked for.
const MOST_NOISE: f64 = 0.05;
/// Failure to line.
const LINE_MILLISECONDS: f64 = 100.0;
/// Start to ready.
const READY_MILLISECONDS: f64 = 500.0;

/// One goal, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Goal {
    /// What is to be.
    pub(crate) aim: String,
    /// What is.
    pub(crate) measured: String,
    /// Whether that is it.
    pub(crate) verdict: Verdict,
    /// What the other measurements say about why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// What came of a goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Met.
    Met,
    /// Missed by so much.
    MissedBy(String),
    /// The machine was too noisy to tell.
    NotKnown,
}

impl Goal {
    fn new(aim: String, measured: String, missed_by: Option<String>) -> Self {
        Self {
            aim,
            measured,
            verdict: missed_by.map_or(Verdict::Met, Verdict::MissedBy),
            why: None,
        }
    }

    /// No goal is met, or missed, by luck.
    fn unless_noisy(mut self, noise: f64) -> Self {
        self.measured = format!("{}; A/A noise ±{:.1} %", self.measured, noise * 1e2);
        if noise > MOST_NOISE {
            self.verdict = Verdict::NotKnown;
        }
        self
    }

    /// Adds the reason, where there is something to explain.
    fn because(self, why: Option<String>) -> Self {
        let why = why.filter(|_| matches!(self.verdict, Verdict::MissedBy(_)));
        Self { why, ..self }
    }
}

/// Judges all of them.
pub(crate) fn judge(
    healthy: &Healthy,
    programs: &Programs,
    latency: &[Latency],
    start: &Start,
) -> Result<Vec<Goal>> {
    let mut goals = Vec::new();
    for variant in healthy.variants() {
        let why = is_of(programs, variant).then(|| share_of_programs(healthy, programs, variant));
        goals.push(against_empty(healthy, variant)?.because(why.clone()));
        goals.push(connect_loop(healthy, variant)?.because(why.clone()));
        goals.push(nginx(healthy, variant)?.because(why));
    }
    goals.push(quiet(healthy));
    goals.extend(latency.iter().map(line));
    goals.push(ready(start));
    Ok(goals)
}

/// What gw502 adds to the loop over what empty programs add.
fn against_empty(healthy: &Healthy, variant: Variant) -> Result<Goal> {
    let gw502 = Configuration::Gw502(variant);
    let ours = healthy.added(gw502, Load::Connect);
    let theirs = healthy.added(Configuration::Empty(variant), Load::Connect);
    let quotient = |rounds: &[usize]| {
        let of = |added: &[f64]| {
            let drawn: Vec<f64> = rounds
                .iter()
                .filter_map(|round| added.get(*round).copied())
                .collect();
            median(&drawn)
        };
        Some(of(&ours)? / of(&theirs)?)
    };
    let all: Vec<usize> = (0..ours.len()).collect();
    let (ours_median, theirs_median) = median(&ours)
        .zip(median(&theirs))
        .context("there were no rounds")?;
    let goal = format!(
        "{}: adds to the connect loop at most {TIMES_EMPTY:.0} times what empty programs add",
        gw502.name()
    );
    let added = format!(
        "{:+.0} ns to their {:+.0} ns",
        ours_median * 1e3,
        theirs_median * 1e3
    );
    let times = quotient(&all).context("there were no rounds")?;
    let (low, high) = interval(ours.len(), quotient).context("there were no rounds")?;
    let noise = noise(healthy, Load::Connect)?;
    if theirs_median <= 0.0 || low <= 0.0 {
        let measured = format!("{added}: what empty programs add is lost in the noise");
        return Ok(Goal {
            verdict: Verdict::NotKnown,
            ..Goal::new(goal, measured, None)
        });
    }
    let measured = format!("{times:.1} times ({low:.1}–{high:.1}): {added}");
    let missed = (times > TIMES_EMPTY).then(|| format!("{:.1} times", times - TIMES_EMPTY));
    Ok(Goal::new(goal, measured, missed).unless_noisy(noise))
}

fn connect_loop(healthy: &Healthy, variant: Variant) -> Result<Goal> {
    let gw502 = Configuration::Gw502(variant);
    let ratios = healthy.ratios(gw502, Load::Connect);
    let ratio = median(&ratios).context("there were no rounds")?;
    let (low, high) = median_interval(&ratios).context("there were no rounds")?;
    let goal = format!(
        "{}: the connect loop at most {:.0} % slower than with nothing",
        gw502.name(),
        (CONNECT - 1.0) * 1e2
    );
    let average = median(&healthy.ratios(gw502, Load::ConnectAverage));
    let measured = format!(
        "{} ({} … {}), on average {}",
        percent(ratio),
        percent(low),
        percent(high),
        percent(average.context("there were no rounds")?)
    );
    let missed = (ratio > CONNECT).then(|| points(ratio - CONNECT));
    Ok(Goal::new(goal, measured, missed).unless_noisy(noise(healthy, Load::Connect)?))
}

/// How far the A/A row's median may lie from nothing, by its own interval.
fn noise(healthy: &Healthy, load: Load) -> Result<f64> {
    let again = healthy.ratios(Configuration::Again, load);
    let (low, high) = median_interval(&again).context("there were no rounds")?;
    Ok((1.0 - low).max(high - 1.0).max(0.0))
}

fn nginx(healthy: &Healthy, variant: Variant) -> Result<Goal> {
    let gw502 = Configuration::Gw502(variant);
    let ratio = median(&healthy.ratios(gw502, Load::Proxy)).context("there were no rounds")?;
    let noise = noise(healthy, Load::Proxy)?;
    let beyond = ratio - 1.0 - noise;
    let goal = format!(
        "{}: nginx without keep-alive at most {:.0} % beyond the A/A noise",
        gw502.name(),
        NGINX_BEYOND_NOISE * 1e2
    );
    let measured = percent(ratio);
    let missed = (beyond > NGINX_BEYOND_NOISE).then(|| points(beyond - NGINX_BEYOND_NOISE));
    Ok(Goal::new(goal, measured, missed).unless_noisy(noise))
}

/// Not among the numbers asked for; but a false alarm would make them worthless.
fn quiet(healthy: &Healthy) -> Goal {
    let counted = &healthy.counted;
    let goal = "no failure reported and nothing lost on the healthy path".to_owned();
    let measured = format!(
        "{} connections, {} reported, {} lost",
        counted.attempts, counted.failed, counted.lost
    );
    let wrong = counted.failed + counted.lost;
    Goal::new(goal, measured, (wrong > 0).then(|| wrong.to_string()))
}

fn line(latency: &Latency) -> Goal {
    let p99 = latency.p99_milliseconds;
    let goal = format!(
        "from failure to printed line, p99 under {LINE_MILLISECONDS:.0} ms, {}",
        latency.host
    );
    let missed = (p99 >= LINE_MILLISECONDS).then(|| format!("{:.1} ms", p99 - LINE_MILLISECONDS));
    Goal::new(goal, format!("{p99:.1} ms"), missed)
}

fn ready(start: &Start) -> Goal {
    let median = start.median_milliseconds;
    let goal = format!("ready under {READY_MILLISECONDS:.0} ms after the start");
    let missed =
        (median >= READY_MILLISECONDS).then(|| format!("{:.0} ms", median - READY_MILLISECONDS));
    let why = start.working_milliseconds.map(|working| {
        format!("gw502 was on a CPU for {working:.0} ms of them; the rest it waited for one, or for the kernel")
    });
    Goal::new(goal, format!("{median:.0} ms (median)"), missed).because(why)
}

/// How much of what is added is the programs' own work, by the kernel's statistics.
fn share_of_programs(healthy: &Healthy, programs: &Programs, variant: Variant) -> String {
    let runs = runs_per_connection(programs);
    let work = net_per_connection(programs);
    let nothing = healthy.added(Configuration::Empty(variant), Load::Connect);
    let most = programs.rows.iter().max_by(|a, b| {
        let work = |row: &&crate::report::ProgramReport| {
            row.connect.runs_per_operation * row.connect.net_nanoseconds.unwrap_or(0.0)
        };
        work(a).total_cmp(&work(b))
    });
    let most = most.map_or("none", |row| row.program);
    let calls = median(&nothing).unwrap_or(0.0) * 1e3;
    format!(
        "a connection of the loop runs {runs:.1} programs, which work {work:.0} ns net of the clock, \
         `{most}` longest; calling as many empty ones takes {calls:.0} ns"
    )
}

fn percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 1e2)
}

fn points(share: f64) -> String {
    format!("{:.1} points", share * 1e2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::healthy::tests::healthy;

    fn missed(by: &str) -> Verdict {
        Verdict::MissedBy(by.to_owned())
    }

    #[test]
    fn the_loop_is_judged_by_its_median() {
        let good = healthy(&[(10.0, 10.1, 10.3), (10.0, 10.1, 10.4), (10.0, 10.1, 19.0)]);
        let goal = connect_loop(&good, Variant::Auto).unwrap();
        assert_eq!(goal.verdict, Verdict::Met);
        let bad = healthy(&[(10.0, 10.1, 11.0), (10.0, 10.1, 11.0)]);
        let goal = connect_loop(&bad, Variant::Auto).unwrap();
        assert_eq!(goal.verdict, missed("5.0 points"));
    }

    #[test]
    fn twice_the_empty_programs_is_allowed_and_more_is_not() {
        let good = healthy(&[(10.0, 10.2, 10.4), (10.0, 10.2, 10.3)]);
        let goal = against_empty(&good, Variant::Auto).unwrap();
        assert_eq!(goal.verdict, Verdict::Met);
        let bad = healthy(&[(10.0, 10.2, 10.8), (10.0, 10.2, 10.8)]);
        let goal = against_empty(&bad, Variant::Auto).unwrap();
        assert_eq!(goal.verdict, missed("2.0 times"));
    }

    #[test]
    fn a_quotient_of_noise_is_not_judged() {
        let noise = healthy(&[(10.0, 9.9, 9.8), (10.0, 9.8, 9.9)]);
        let goal = against_empty(&noise, Variant::Auto).unwrap();
        assert_eq!(goal.verdict, Verdict::NotKnown);
    }

    #[test]
    fn nginx_may_lose_the_noise_and_one_percent() {
        let bad = healthy(&[(10.0, 10.0, 10.3), (10.0, 10.0, 10.3)]);
        let goal = nginx(&bad, Variant::Auto).unwrap();
        assert_eq!(goal.verdict, missed("2.0 points"));
        let good = healthy(&[(10.0, 10.0, 10.1), (10.0, 10.0, 10.05)]);
        let goal = nginx(&good, Variant::Auto).unwrap();
        assert_eq!(goal.verdict, Verdict::Met);
    }

    #[test]
    fn nothing_is_judged_by_a_noisy_machine() {
        let goal = |noise| Goal::new("g".into(), "m".into(), None).unless_noisy(noise);
        assert_eq!(goal(0.04).verdict, Verdict::Met);
        assert_eq!(goal(0.06).verdict, Verdict::NotKnown);
        assert!(goal(0.06).measured.contains("±6.0 %"));
    }

    #[test]
    fn one_false_alarm_is_too_many() {
        let mut healthy = healthy(&[]);
        healthy.counted.attempts = 1_000_000;
        assert_eq!(quiet(&healthy).verdict, Verdict::Met);
        healthy.counted.failed = 1;
        assert_eq!(quiet(&healthy).verdict, missed("1"));
    }

    #[test]
    fn a_met_goal_needs_no_reason() {
        let goal = Goal::new("g".into(), "m".into(), None);
        assert_eq!(goal.because(Some("x".into())).why, None);
        let goal = Goal::new("g".into(), "m".into(), Some("1".into()));
        assert_eq!(goal.because(Some("x".into())).why.as_deref(), Some("x"));
    }
}
