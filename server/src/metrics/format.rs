//! The two text formats that scrapers understand: OpenMetrics 1.0, and the older one of Prometheus (0.0.4), the default for
//! scrapers that name none.

use hyper::HeaderMap;
use hyper::header::ACCEPT;

/// A format of the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus text, version 0.0.4.
    Plain,
    Open,
}

impl Format {
    /// The one that a client prefers.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let (mut open, mut plain) = (0.0, 0.0);
        let ranges = headers.get_all(ACCEPT).iter();
        let ranges = ranges.filter_map(|value| value.to_str().ok());
        for range in ranges.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts
                .filter_map(|parameter| parameter.split_once('='))
                .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
                .and_then(|(_, value)| value.trim().parse::<f32>().ok())
                .unwrap_or(1.0);
            match media.as_str() {
                "application/openmetrics-text" => open = quality.max(open),
                "text/plain" | "text/*" | "*/*" => plain = quality.max(plain),
                _ => {}
            }
        }
        // OpenMetrics has to be named; named with the same weight it is the better one.
        if open > 0.0 && open >= plain {
            Self::Open
        } else {
            Self::Plain
        }
    }

    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// An exposition in OpenMetrics, in this format.
    pub(super) fn of(self, open: String) -> String {
        match self {
            Self::Open => open,
            Self::Plain => plain(&open),
        }
    }
}

/// In the older format a counter is called as its samples are, and there is no end mark.
fn plain(open: &str) -> String {
    let mut text = String::with_capacity(open.len() + 1024);
    let mut line = |parts: &[&str]| {
        parts.iter().for_each(|part| text.push_str(part));
        text.push('\n');
    };
    // The help comes before the type, which has the name of the family.
    let mut help: Option<(&str, &str)> = None;
    for each in open.lines() {
        if let Some(rest) = each.strip_prefix("# HELP ") {
            help = rest.split_once(' ').or(Some((rest, "")));
        } else if let Some((name, kind)) = each
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "stateset" => ("", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                let help = help.replace("\\\"", "\"");
                line(&["# HELP ", name, suffix, " ", &help]);
            }
            line(&["# TYPE ", name, suffix, " ", kind]);
        } else if !each.starts_with("# UNIT ") && each != "# EOF" {
            line(&[each]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn the_client_chooses() {
        for (accept, format) in [
            (None, Format::Plain),
            (Some("*/*"), Format::Plain),
            (Some("text/plain"), Format::Plain),
            (
                Some("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
                Format::Plain,
            ),
            (Some("application/json"), Format::Plain),
            (Some("application/openmetrics-text"), Format::Open),
            // The header that Prometheus sends.
            (
                Some(
                    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                ),
                Format::Open,
            ),
            (
                Some("text/plain;q=0.9, application/openmetrics-text;q=0.2"),
                Format::Plain,
            ),
            (Some("application/openmetrics-text;q=0"), Format::Plain),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(Format::asked(&headers), format, "{accept:?}");
        }
    }

    #[test]
    fn the_older_format_names_counters_as_their_samples() {
        let open = "# HELP a Things \\\"seen\\\".\n# TYPE a counter\n# UNIT a seconds\na_total{x=\"y\"} 3\n# HELP b B.\n# TYPE b gauge\nb 1\n# EOF\n";
        let text = "# HELP a_total Things \"seen\".\n# TYPE a_total counter\na_total{x=\"y\"} 3\n# HELP b B.\n# TYPE b gauge\nb 1\n";
        assert_eq!(Format::Plain.of(open.to_owned()), text);
        assert_eq!(Format::Open.of(open.to_owned()), open);
    }
}
