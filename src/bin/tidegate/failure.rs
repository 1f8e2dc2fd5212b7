//! What can end the program, and the exit code that says so.

use std::fmt;
use std::path::Path;

/// A message for a person and the code for a script.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    pub message: String,
}

/// Shorthand for results of commands.
pub type Outcome<T = ()> = Result<T, Failure>;

/// A file could not be written, a wait ran out, a driver refused: none of the codes below.
pub const OTHER: u8 = 1;
/// Wrong options.
pub const USAGE: u8 = 2;
/// A model or data that can not be read as what it should be.
pub const DATA: u8 = 3;
/// No adapter answers the request.
pub const NO_ADAPTER: u8 = 4;
/// The device is out of memory.
pub const OUT_OF_MEMORY: u8 = 5;
/// The device was lost.
pub const DEVICE_LOST: u8 = 6;
/// The loss is not a number any more.
pub const DIVERGED: u8 = 7;
/// Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// The codes, for `--help`.
pub const CODES: &str = "Exit codes: 0 ok, 1 other failure (a file that can not be written), 2 usage, 3 bad model or data, \
4 no adapter, 5 out of memory, 6 device lost, 7 training diverged, 130 interrupted.";

impl Failure {
    pub fn usage(message: impl fmt::Display) -> Self {
        Failure { code: USAGE, message: message.to_string() }
    }

    pub fn data(message: impl fmt::Display) -> Self {
        Failure { code: DATA, message: message.to_string() }
    }

    pub fn reading(path: &Path, problem: impl fmt::Display) -> Self {
        Failure { code: DATA, message: format!("{}: {problem}", path.display()) }
    }

    pub fn writing(path: &Path, problem: impl fmt::Display) -> Self {
        Failure { code: OTHER, message: format!("{}: can not be written: {problem}", path.display()) }
    }

    pub fn other(message: impl fmt::Display) -> Self {
        Failure { code: OTHER, message: message.to_string() }
    }

    /// Puts `what` before the message.
    pub fn within(self, what: impl fmt::Display) -> Self {
        Failure { message: format!("{what}: {}", self.message), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<gpu_core::Error> for Failure {
    fn from(error: gpu_core::Error) -> Self {
        Failure { code: gpu_code(&error), message: error.to_string() }
    }
}

fn gpu_code(error: &gpu_core::Error) -> u8 {
    match error {
        gpu_core::Error::NoAdapter { .. } | gpu_core::Error::NoDevice { .. } => NO_ADAPTER,
        gpu_core::Error::OutOfMemory { .. } => OUT_OF_MEMORY,
        gpu_core::Error::DeviceLost { .. } => DEVICE_LOST,
        _ => OTHER,
    }
}

impl From<rnn_model::Error> for Failure {
    fn from(error: rnn_model::Error) -> Self {
        Failure { code: model_code(&error), message: error.to_string() }
    }
}

fn model_code(error: &rnn_model::Error) -> u8 {
    use rnn_model::Error;
    match error {
        Error::Gpu(error) => gpu_code(error),
        Error::UnknownDevice { .. } => NO_ADAPTER,
        Error::Diverged { .. } => DIVERGED,
        Error::Cpu(_) => OTHER,
        _ => DATA,
    }
}

impl From<rnn_interop::Error> for Failure {
    fn from(error: rnn_interop::Error) -> Self {
        use rnn_interop::Error;
        fn code(error: &Error) -> u8 {
            match error {
                Error::File { source, .. } => code(source),
                Error::Model(error) => model_code(error),
                _ => DATA,
            }
        }
        Failure { code: code(&error), message: error.to_string() }
    }
}

impl From<rnn_model::series::SeriesError> for Failure {
    fn from(error: rnn_model::series::SeriesError) -> Self {
        Failure::data(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_code() {
        let text = || String::from("x");
        let gpu = [
            (gpu_core::Error::NoAdapter { request: text(), found: text() }, NO_ADAPTER),
            (gpu_core::Error::NoDevice { adapter: text(), reason: text() }, NO_ADAPTER),
            (gpu_core::Error::OutOfMemory { operation: text(), asked: 1, live: 2, limit: 3 }, OUT_OF_MEMORY),
            (gpu_core::Error::DeviceLost { operation: text(), reason: text() }, DEVICE_LOST),
            (gpu_core::Error::Timeout { operation: text(), seconds: 1.0 }, OTHER),
        ];
        for (error, code) in gpu {
            // Both as it is and as the model passes it on.
            assert_eq!(Failure::from(error.clone()).code, code, "{error}");
            assert_eq!(Failure::from(rnn_model::Error::from(error)).code, code);
        }
        let model = [
            (rnn_model::Error::UnknownDevice { name: text(), available: text() }, NO_ADAPTER),
            (rnn_model::Error::Diverged { epoch: 1, what: text() }, DIVERGED),
            (rnn_model::Error::File { path: text(), problem: text() }, DATA),
        ];
        for (error, code) in model {
            assert_eq!(Failure::from(error).code, code);
        }
    }
}
