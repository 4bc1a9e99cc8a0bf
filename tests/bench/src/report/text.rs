//! The report for people.

use std::fmt::Write as _;

use super::table;
use super::{HealthyReport, Latency, Memory, ProgramReport, Programs, Report, Start, Use};
use crate::goals::{Goal, Verdict};
use crate::measure::healthy::Load;

pub(crate) fn render(report: &Report) -> String {
    let Report {
        schema: _,
        date,
        gw502,
        hooks,
        took_seconds,
        machine_name,
        machine,
        healthy,
        programs,
        latency,
        start,
        memory,
        goals,
    } = report;
    let head = format!(
        "{gw502} on {machine_name}, {} congestion control\n\
         hooks: {}; {date}, took {took_seconds} s, load before {:.2}\n",
        machine.congestion_control,
        hooks.join(", "),
        machine.load_before
    );
    let parts = [
        head,
        healthy_path(healthy),
        by_program(programs),
        format!("TIMES AND MEMORY of {}\n", programs.configuration),
        lines(latency),
        ready(start),
        held(memory),
        judged(goals),
    ];
    parts.join("\n")
}

fn healthy_path(healthy: &HealthyReport) -> String {
    let mut head = vec!["ATTACHED".to_owned()];
    head.extend(Load::ALL.map(|load| load.name().to_owned()));
    let mut times = vec!["nothing, one operation".to_owned()];
    let mut rows = Vec::new();
    for row in &healthy.rows {
        let mut cells = vec![row.configuration.clone()];
        if let Some(why) = &row.absent {
            rows.push(vec![format!("{}: not measured: {why}", row.configuration)]);
            continue;
        }
        for cell in &row.cells {
            if rows.is_empty() && times.len() <= Load::ALL.len() {
                times.push(format!("{:.2} µs", cell.microseconds.median));
            }
            cells.push(format!(
                "{:.3} ({:.2}–{:.2})",
                cell.ratio.median, cell.ratio.lower_quartile, cell.ratio.upper_quartile
            ));
        }
        rows.push(cells);
    }
    // Nothing to itself is 1.
    let rest = rows.into_iter().skip(1);
    let (absent, rest): (Vec<_>, Vec<_>) = rest.partition(|row| row.len() == 1);
    let mut table = vec![head, times];
    table.extend(rest);
    let mut text = format!(
        "THE HEALTHY PATH: time of one operation, to that with nothing attached\n\
         median of {} rounds (and quartiles), of which every other had the first load alone;\n\
         1.050 is 5 % slower; A/A is the noise; loops: the middle one of many short batches, and \
         the average of all\n\n",
        healthy.rounds
    );
    text.push_str(&table::render(&table));
    for row in absent {
        text.push_str(&row.concat());
        text.push('\n');
    }
    text
}

fn by_program(programs: &Programs) -> String {
    let head = [
        "PROGRAM",
        "INSNS",
        "RUNS",
        "A CONNECTION",
        "NET ns",
        "(EMPTY ns)",
        "NGINX: RUNS",
        "A REQUEST",
        "NET ns",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(programs.rows.iter().map(program));
    let note = if programs.disturbed {
        "others on this host passed these hooks meanwhile: their runs are in the numbers\n"
    } else {
        ""
    };
    format!(
        "EACH PROGRAM of {}: in the connect loop, and with nginx without keep-alive\n\
         net of what an empty program on the same hook takes, which is the clock of the statistics\n\
         {note}\n{}",
        programs.configuration,
        table::render(&rows)
    )
}

fn program(row: &ProgramReport) -> Vec<String> {
    let whole =
        |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.0}"));
    let Use {
        runs,
        runs_per_operation,
        empty_nanoseconds,
        net_nanoseconds,
    } = &row.connect;
    vec![
        row.program.to_owned(),
        row.verified_instructions
            .map_or("-".to_owned(), |count| count.to_string()),
        runs.to_string(),
        format!("{runs_per_operation:.2}"),
        whole(*net_nanoseconds),
        whole(*empty_nanoseconds),
        row.proxy.runs.to_string(),
        format!("{:.2}", row.proxy.runs_per_operation),
        whole(row.proxy.net_nanoseconds),
    ]
}

fn lines(latency: &[Latency]) -> String {
    let head = [
        "FROM FAILURE TO PRINTED LINE",
        "FAILURES",
        "p50 ms",
        "p99 ms",
        "MAX ms",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(latency.iter().map(|row| {
        vec![
            row.host.to_owned(),
            row.failures.to_string(),
            format!("{:.2}", row.p50_milliseconds),
            format!("{:.2}", row.p99_milliseconds),
            format!("{:.2}", row.max_milliseconds),
        ]
    }));
    table::render(&rows)
}

fn ready(start: &Start) -> String {
    let Start {
        starts,
        median_milliseconds,
        working_milliseconds,
        max_milliseconds,
    } = start;
    let working = working_milliseconds.map_or_else(String::new, |working| {
        format!(", {working:.0} ms of them on a CPU")
    });
    format!(
        "FROM START TO READY: {median_milliseconds:.0} ms (median of {starts}){working}; \
         at most {max_milliseconds:.0} ms\n"
    )
}

fn held(memory: &[Memory]) -> String {
    let head = [
        "MEMORY, KiB",
        "RESIDENT",
        "PEAK",
        "KERNEL: MAPS",
        "PROGRAMS",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(memory.iter().map(|row| {
        vec![
            row.when.clone(),
            row.resident_kib.to_string(),
            row.peak_kib.to_string(),
            row.maps_kib.to_string(),
            row.programs_kib.to_string(),
        ]
    }));
    table::render(&rows)
}

fn judged(goals: &[Goal]) -> String {
    let mut text = "GOALS\n".to_owned();
    for goal in goals {
        let verdict = match &goal.verdict {
            Verdict::Met => "met".to_owned(),
            Verdict::MissedBy(by) => format!("MISSED by {by}"),
            Verdict::NotKnown => "NOT KNOWN".to_owned(),
        };
        let written = writeln!(text, "{verdict}: {}\n  {}", goal.aim, goal.measured);
        let why = goal
            .why
            .iter()
            .try_for_each(|why| writeln!(text, "  {why}"));
        // Writing to a String cannot fail.
        debug_assert!(written.and(why).is_ok());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Cell, Row};
    use crate::statistics::Spread;

    fn row(name: &str, ratio: f64, absent: Option<&str>) -> Row {
        let cell = |load| Cell {
            load,
            microseconds: Spread::of(&[20.0 * ratio]).unwrap(),
            ratio: Spread::of(&[ratio]).unwrap(),
            ratio_interval: (ratio, ratio),
            rounds_microseconds: vec![20.0 * ratio],
        };
        Row {
            configuration: name.to_owned(),
            absent: absent.map(str::to_owned),
            cells: match absent {
                Some(_) => Vec::new(),
                None => Load::ALL.map(cell).into(),
            },
        }
    }

    #[test]
    fn a_row_that_is_not_there_says_why_and_shows_no_number() {
        let healthy = HealthyReport {
            rounds: 1,
            rows: vec![
                row("nothing", 1.0, None),
                row("gw502", 1.04, None),
                row("tcplife", 9.0, Some("no tracefs")),
            ],
            gw502_attempts: 1,
            gw502_failed: 0,
            gw502_lost: 0,
        };
        let text = healthy_path(&healthy);
        assert!(text.contains("20.00 µs"), "{text}");
        assert!(text.contains("1.040 (1.04–1.04)"), "{text}");
        assert!(
            text.contains("tcplife: not measured: no tracefs\n"),
            "{text}"
        );
        assert!(!text.contains("9.000"), "{text}");
    }

    #[test]
    fn a_missed_goal_says_by_how_much_and_why() {
        let goal = Goal {
            aim: "at most 5 %".into(),
            measured: "7 %".into(),
            verdict: Verdict::MissedBy("2 points".into()),
            why: Some("it works too much".into()),
        };
        assert_eq!(
            judged(&[goal]),
            "GOALS\nMISSED by 2 points: at most 5 %\n  7 %\n  it works too much\n"
        );
    }
}
