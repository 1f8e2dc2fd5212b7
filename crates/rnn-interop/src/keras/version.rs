//! Which Keras wrote a file, where it matters for what the file means.

/// The generation of Keras, by the version that the file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 1 and 2, and TensorFlow's `tf_keras`
    Two,
    /// 3
    Three,
}

impl Version {
    /// Of a version's text; a file without one is from before Keras 3.
    pub fn of(text: Option<&str>) -> Self {
        let major = text.and_then(|text| text.split('.').next()).and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major >= 3) { Version::Three } else { Version::Two }
    }

    /// Whether it is from before Keras 3.
    pub fn is_2(self) -> bool {
        self == Version::Two
    }
}
