//! Both formats, and what is chosen.

use std::collections::BTreeMap;

use super::*;

fn measures() -> Arc<Measures> {
    let family = |name, kind, unit, labels: &[(&'static str, &str)], value| Family {
        name,
        help: "What it is",
        kind,
        unit,
        points: vec![Point {
            labels: labels
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
            value,
        }],
    };
    let buckets = Value::Buckets {
        buckets: vec![(0.5, 1), (1.0, 2)],
        above: 3,
        sum: 7.5,
    };
    let families = vec![
        family(
            "gw502_a",
            Type::Counter,
            None,
            &[("path", "x\"\\\n# y")],
            Value::Count(7),
        ),
        family(
            "gw502_b_bytes",
            Type::Gauge,
            Some("bytes"),
            &[],
            Value::Level(1.5),
        ),
        family(
            "gw502_c",
            Type::Info,
            None,
            &[("version", "1")],
            Value::Count(1),
        ),
        family(
            "gw502_d_seconds",
            Type::Histogram,
            Some("seconds"),
            &[("x", "y")],
            buckets,
        ),
        Family {
            points: Vec::new(),
            ..family("gw502_e", Type::Counter, None, &[], Value::Count(0))
        },
    ];
    Arc::new(Measures { families })
}

#[test]
fn openmetrics_has_units_infos_and_an_end() {
    assert_eq!(
        page(&measures(), Format::OpenMetrics),
        r#"# HELP gw502_a What it is
# TYPE gw502_a counter
gw502_a_total{path="x\"\\\n# y"} 7
# HELP gw502_b_bytes What it is
# TYPE gw502_b_bytes gauge
# UNIT gw502_b_bytes bytes
gw502_b_bytes 1.5
# HELP gw502_c What it is
# TYPE gw502_c info
gw502_c_info{version="1"} 1
# HELP gw502_d_seconds What it is
# TYPE gw502_d_seconds histogram
# UNIT gw502_d_seconds seconds
gw502_d_seconds_sum{x="y"} 7.5
gw502_d_seconds_count{x="y"} 6
gw502_d_seconds_bucket{le="0.5",x="y"} 1
gw502_d_seconds_bucket{le="1.0",x="y"} 3
gw502_d_seconds_bucket{le="+Inf",x="y"} 6
# EOF
"#
    );
}

#[test]
fn the_older_text_names_types_as_the_samples() {
    assert_eq!(
        page(&measures(), Format::Text),
        r#"# HELP gw502_a_total What it is
# TYPE gw502_a_total counter
gw502_a_total{path="x\"\\\n# y"} 7
# HELP gw502_b_bytes What it is
# TYPE gw502_b_bytes gauge
gw502_b_bytes 1.5
# HELP gw502_c_info What it is
# TYPE gw502_c_info gauge
gw502_c_info{version="1"} 1
# HELP gw502_d_seconds What it is
# TYPE gw502_d_seconds histogram
gw502_d_seconds_sum{x="y"} 7.5
gw502_d_seconds_count{x="y"} 6
gw502_d_seconds_bucket{le="0.5",x="y"} 1
gw502_d_seconds_bucket{le="1.0",x="y"} 3
gw502_d_seconds_bucket{le="+Inf",x="y"} 6
"#
    );
}

#[test]
fn what_is_asked_for_is_what_is_sent() {
    // Prometheus 2.53, and one that prefers text.
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                      application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, format) in [
        (prometheus, Format::OpenMetrics),
        ("application/openmetrics-text", Format::OpenMetrics),
        (
            "text/plain, application/openmetrics-text;q=0.2",
            Format::Text,
        ),
        ("application/openmetrics-text;q=0", Format::Text),
        ("application/openmetrics-text;q=x", Format::Text),
        ("*/*", Format::Text),
        ("text/html", Format::Text),
        ("", Format::Text),
    ] {
        assert_eq!(Format::accepted(accept), format, "{accept}");
    }
    assert!(Format::OpenMetrics.content_type().contains("version=1.0.0"));
    assert!(Format::Text.content_type().contains("version=0.0.4"));
}
