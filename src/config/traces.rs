//! The standard variables of OpenTelemetry for traces that the service reads itself; the exporter reads the others.

use std::env::var;

use crate::telemetry::traces::{Protocol, Sampler};

/// Part of the calls without a parent that are traced, unless the operator says otherwise.
const DEFAULT_RATIO: f64 = 0.01;

/// The reason for which the variables cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct TraceOptionError {
    /// Name of the variable.
    name: &'static str,
    /// The violation.
    problem: String,
}

/// Options of traces.
#[derive(Debug, Clone, Copy)]
pub struct TraceOptions {
    /// The way to choose the calls that are traced.
    pub sampler: Sampler,
    /// The protocol of the collector.
    pub protocol: Protocol,
}

impl TraceOptions {
    /// Reads the variables. Returns `None` where no collector is configured, or traces are off.
    ///
    /// # Errors
    /// Returns the variable whose value cannot be used.
    pub fn read() -> Result<Option<Self>, TraceOptionError> {
        let given = |name: &str| var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let is_off = given("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || given("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        if is_off || !endpoints.into_iter().any(|name| given(name).is_some()) {
            return Ok(None);
        }
        let protocol = given("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| given("OTEL_EXPORTER_OTLP_PROTOCOL"));
        let protocol = match protocol.as_deref() {
            None | Some("http/protobuf") => Protocol::Http,
            Some("grpc") => Protocol::Grpc,
            Some(other) => {
                let problem = format!("must be http/protobuf or grpc, not {other:?}");
                return Err(TraceOptionError { name: "OTEL_EXPORTER_OTLP_PROTOCOL", problem });
            }
        };
        let sampler = sampler(given("OTEL_TRACES_SAMPLER").as_deref(), given("OTEL_TRACES_SAMPLER_ARG").as_deref())?;
        Ok(Some(Self { sampler, protocol }))
    }
}

fn sampler(name: Option<&str>, argument: Option<&str>) -> Result<Sampler, TraceOptionError> {
    let ratio = match argument.map(str::parse::<f64>) {
        None => DEFAULT_RATIO,
        Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
        Some(_) => {
            let problem = format!("must be a number from 0 to 1, not {:?}", argument.unwrap_or_default());
            return Err(TraceOptionError { name: "OTEL_TRACES_SAMPLER_ARG", problem });
        }
    };
    let (ratio, follows_parent) = match name.unwrap_or("parentbased_traceidratio") {
        "parentbased_traceidratio" => (ratio, true),
        "traceidratio" => (ratio, false),
        "parentbased_always_on" => (1.0, true),
        "parentbased_always_off" => (0.0, true),
        "always_on" => (1.0, false),
        "always_off" => (0.0, false),
        other => {
            let problem =
                format!("must be always_on, always_off or traceidratio, alone or behind parentbased_, not {other:?}");
            return Err(TraceOptionError { name: "OTEL_TRACES_SAMPLER", problem });
        }
    };
    Ok(Sampler { ratio, follows_parent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_are_those_of_the_specification() {
        let read = |name, argument| sampler(name, argument).map(|sampler| (sampler.ratio, sampler.follows_parent)).ok();
        assert_eq!(read(None, None), Some((DEFAULT_RATIO, true)));
        assert_eq!(read(None, Some("0.5")), Some((0.5, true)));
        assert_eq!(read(Some("traceidratio"), Some("1")), Some((1.0, false)));
        assert_eq!(read(Some("always_on"), None), Some((1.0, false)));
        assert_eq!(read(Some("parentbased_always_off"), None), Some((0.0, true)));
        for (name, argument) in
            [(None, Some("2")), (None, Some("much")), (None, Some("NaN")), (Some("sometimes"), None)]
        {
            assert_eq!(read(name, argument), None, "{name:?} {argument:?}");
        }
    }
}
