//! The table of keys.

use crate::config::Config;
use crate::value::Value;

/// One key: what the parser, the reference page and `config show` know of it.
#[derive(Debug)]
pub struct Key {
    /// Dotted name.
    pub name: &'static str,
    /// Meaning.
    pub doc: &'static str,
    /// Type, for people.
    pub kind: fn() -> String,
    /// Reads a value into the configuration.
    pub(crate) set: fn(&mut Config, &Value) -> Result<(), String>,
    /// The current value, as TOML.
    pub show: fn(&Config) -> String,
}

/// All keys with fixed names, in the order of the reference page. `vars.NAME` is free and not among them.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    crate::config::SECTIONS.iter().flat_map(|section| section.keys.iter())
}

/// Keys that begin with the same word.
#[derive(Debug)]
pub struct Section {
    /// What it is about.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// Writes a section: its struct with defaults, and its keys.
///
/// A key is `field: Type = default, "dotted.name", "meaning"`, and optionally `, |value| condition, "what is allowed"`.
macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        $name:ident, $field_of_config:ident, $keys:ident {
            $( $field:ident : $type:ty = $default:expr, $key:literal, $meaning:literal
               $(, |$value:ident| $condition:expr, $allowed:literal)? ; )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name { $( #[doc = concat!("`", $key, "`: ", $meaning)] pub $field: $type, )+ }

        impl Default for $name {
            fn default() -> Self {
                $name { $( $field: $default, )+ }
            }
        }

        pub(crate) const $keys: $crate::key::Section = $crate::key::Section {
            doc: concat!($($doc),+),
            keys: &[ $( $crate::key::Key {
                name: $key,
                doc: $meaning,
                kind: <$type as $crate::value::Setting>::kind,
                set: |config, given| {
                    let read = <$type as $crate::value::Setting>::read(given)?;
                    $({
                        let $value = &read;
                        if !$condition {
                            return Err(format!("{} is not possible: {}", given.describe(), $allowed));
                        }
                    })?
                    config.$field_of_config.$field = read;
                    Ok(())
                },
                show: |config| $crate::value::Setting::show(&config.$field_of_config.$field),
            }, )+ ],
        };
    };
}
pub(crate) use section;
