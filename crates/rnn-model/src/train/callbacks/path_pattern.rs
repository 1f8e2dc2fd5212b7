//! File names with numbers in them, after Python's `str.format`: `{epoch:02d}-{val_loss:.2f}.safetensors`.

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PathPattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Number { name: String, format: Format },
}

/// `[0][width][.precision][d|f|e]`
#[derive(Clone, Debug, Default, PartialEq)]
struct Format {
    zeros: bool,
    width: usize,
    precision: Option<usize>,
    kind: Option<char>,
}

/// Longer fields are mistakes.
const WIDEST: usize = 64;

impl PathPattern {
    /// Parses `pattern`; `{{` and `}}` stand for braces.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut rest = pattern.chars().peekable();
        while let Some(c) = rest.next() {
            if matches!(c, '{' | '}') && rest.peek() == Some(&c) {
                rest.next();
                text.push(c);
            } else if c == '{' {
                let field: String = rest.by_ref().take_while(|&c| c != '}').collect();
                let closed = pattern.contains(&format!("{{{field}}}"));
                let (name, format) = field.split_once(':').unwrap_or((&field, ""));
                if !closed || name.is_empty() || name.contains('{') {
                    return Err(format!("{pattern:?}: a field is {{name}} or {{name:format}}"));
                }
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::Number { name: name.into(), format: Format::parse(format)? });
            } else if c == '}' {
                return Err(format!("{pattern:?}: a }} without {{; write }}}} for the sign itself"));
            } else {
                text.push(c);
            }
        }
        parts.push(Part::Text(text));
        Ok(PathPattern { parts })
    }

    /// The name with the numbers that `value` knows.
    pub fn fill(&self, value: impl Fn(&str) -> Option<f64>) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Number { name, format } => {
                    let value = value(name).ok_or_else(|| name.clone())?;
                    filled.push_str(&format.write(value));
                }
            }
        }
        Ok(filled)
    }
}

impl Format {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("format {text:?} is not known; forms are 02d, .2f, 8.3f, .3e");
        let (body, kind) = match text.chars().last() {
            Some(kind @ ('d' | 'f' | 'e')) => (&text[..text.len() - 1], Some(kind)),
            _ => (text, None),
        };
        let (width, precision) = body.split_once('.').map_or((body, None), |(w, p)| (w, Some(p)));
        let number = |digits: &str| digits.parse().ok().filter(|&n: &usize| n <= WIDEST).ok_or_else(wrong);
        let precision = precision.map(number).transpose()?;
        if precision.is_some() && kind == Some('d') {
            return Err(wrong());
        }
        let zeros = width.starts_with('0') && width.len() > 1;
        let width = if width.is_empty() { 0 } else { number(width)? };
        Ok(Format { zeros, width, precision, kind })
    }

    fn write(&self, value: f64) -> String {
        let digits = self.precision.unwrap_or(6);
        let text = match self.kind {
            _ if !value.is_finite() => value.to_string().to_lowercase(),
            Some('d') => format!("{value:.0}"),
            Some('e') => exponent(format!("{value:.digits$e}")),
            Some(_) => format!("{value:.digits$}"),
            None => self.precision.map_or_else(|| value.to_string(), |p| format!("{value:.p$}")),
        };
        let missing = self.width.saturating_sub(text.len());
        let (fill, at) = match (self.zeros, text.starts_with('-')) {
            (true, true) => ("0", 1),
            (true, false) => ("0", 0),
            _ => (" ", 0),
        };
        format!("{}{}{}", &text[..at], fill.repeat(missing), &text[at..])
    }
}

/// Python's form of an exponent: a sign and two digits.
fn exponent(text: String) -> String {
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, number) = exponent.strip_prefix('-').map_or(('+', exponent), |n| ('-', n));
            format!("{digits}e{sign}{number:0>2}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(pattern: &str) -> Result<String, String> {
        let known = [("epoch", 7.0), ("val_loss", 0.12345), ("loss", -1.5e-7), ("nan", f64::NAN)];
        PathPattern::parse(pattern)?.fill(|name| known.iter().find(|(n, _)| *n == name).map(|(_, v)| *v))
    }

    /// What Python's `str.format` gives.
    #[test]
    fn as_python_writes_it() {
        for (pattern, want) in [
            ("plain.safetensors", "plain.safetensors"),
            ("m-{epoch:02d}-{val_loss:.2f}.x", "m-07-0.12.x"),
            ("{epoch:d}{epoch:3d}{epoch}", "7  77"),
            ("{val_loss:8.3f}|{val_loss:f}|{val_loss}", "   0.123|0.123450|0.12345"),
            ("{loss:.2e}|{val_loss:.1e}|{loss:012.3e}", "-1.50e-07|1.2e-01|-001.500e-07"),
            ("{{{epoch}}}", "{7}"),
            ("{nan:.2f}", "nan"),
        ] {
            assert_eq!(fill(pattern).as_deref(), Ok(want), "{pattern}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            "{epoch",
            "{}",
            "{:d}",
            "epoch}",
            "{epoch:x}",
            "{epoch:.2d}",
            "{epoch:999999f}",
            "{a{epoch}",
            "{epoch:1.2.3f}",
        ] {
            assert!(PathPattern::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(fill("{acc:.2f}"), Err("acc".into()));
    }
}
