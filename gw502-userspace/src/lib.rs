//! gw502: says why a proxy answers 502.
//!
//! # Layout
//!
//! Data flows one way, top to bottom:
//!
//! - [`probe`]: puts the BPF programs in the kernel, told by [`kernel`] where things are there and
//!   by [`plan`] (pure) which ones.
//! - [`intake`]: bytes out of the ring buffer and counters; `intake::decode` makes them values.
//! - [`classify`]: pure; names the cause of a decoded record. [`event`] is the vocabulary.
//! - [`enrich`]: adds what only the live host knows.
//! - [`rule`]: pure; one rule a cause: the finer cause from that evidence, its words, its runbook page.
//! - [`aggregate`]: pure; per-upstream totals.
//! - [`diagnose`]: pure; what is wrong with which upstream, since when, and why.
//! - [`render`]: pure; text and JSON.
//! - [`deliver`]: queues, spools and retries on the way to the agent's sinks.
//! - [`sink`]: writes what was rendered, or ships it.
//!
//! Around it: [`cli`] (what was typed), [`command`] (one file per verb), [`pipeline`] (wiring),
//! [`config`] and [`metrics`] of the agent (the models are pure), [`clock`] (the only file that reads one), [`demo`] (failing upstreams to look at).

pub mod aggregate;
pub mod classify;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod deliver;
pub mod demo;
pub mod diagnose;
pub mod enrich;
pub mod event;
pub mod intake;
pub mod kernel;
pub mod metrics;
pub mod pipeline;
pub mod plan;
pub mod probe;
pub mod render;
pub mod rule;
pub mod sink;
