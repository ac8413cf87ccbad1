//! Declarations of documents: members with their names and whether they are
//! left out when empty, enums with their words.

/// Declares a struct with its JSON members.
///
/// `name: Type = "key"` is always shown, `… = "key" omit` only when not empty,
/// and `name: Type = flatten` shows the members of another declared struct here.
/// `int` and `duration` after it name the integer's type in Go's error texts.
macro_rules! json_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($go:literal) {
            $($(#[$fmeta:meta])* $field:ident : $type:ty = $key:tt $($flag:ident)*,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$fmeta])* pub $field: $type,)*
        }

        impl $crate::json::JsonFields for $name {
            const NAME: &'static str = $go;

            fn read_field(
                &mut self,
                key: &str,
                fold: bool,
                r: &mut $crate::json::Reader<'_>,
            ) -> Result<bool, $crate::json::JsonError> {
                $($crate::json::json_struct!(@read self key fold r $field $key $($flag)*);)*
                let _ = (key, fold, r);
                Ok(false)
            }

            fn write_fields<M: serde::ser::SerializeMap>(
                &self,
                out: &mut M,
            ) -> Result<(), M::Error> {
                $($crate::json::json_struct!(@write self out $field $key $($flag)*);)*
                let _ = out;
                Ok(())
            }
        }

        impl $crate::json::JsonRead for $name {
            fn read(
                &mut self,
                r: &mut $crate::json::Reader<'_>,
            ) -> Result<(), $crate::json::JsonError> {
                r.fields(self)
            }

            fn go_type() -> String {
                concat!("server.", $go).into()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                let mut map = s.serialize_map(None)?;
                $crate::json::JsonFields::write_fields(self, &mut map)?;
                serde::ser::SerializeMap::end(map)
            }
        }
    };
    (@read $self:ident $k:ident $fold:ident $r:ident $field:ident flatten) => {
        if $crate::json::JsonFields::read_field(&mut $self.$field, $k, $fold, $r)? {
            return Ok(true);
        }
    };
    (@read $self:ident $k:ident $fold:ident $r:ident $field:ident $key:literal $($flag:ident)*) => {
        if $crate::json::key_is($k, $key, $fold) {
            let integers: [Option<&'static str>; _] = [$($crate::json::json_struct!(@integers $flag)),*];
            let integers = integers.into_iter().flatten().next_back();
            $r.member($key, integers, &mut $self.$field)?;
            return Ok(true);
        }
    };
    (@integers omit) => {
        None
    };
    (@integers int) => {
        Some("int")
    };
    (@integers duration) => {
        Some("time.Duration")
    };
    (@write $self:ident $out:ident $field:ident flatten) => {
        $crate::json::JsonFields::write_fields(&$self.$field, $out)?;
    };
    (@write $self:ident $out:ident $field:ident $key:literal omit $($flag:ident)*) => {
        if !$crate::json::JsonEmpty::is_empty(&$self.$field) {
            $out.serialize_entry($key, &$self.$field)?;
        }
    };
    (@write $self:ident $out:ident $field:ident $key:literal $($flag:ident)*) => {
        $out.serialize_entry($key, &$self.$field)?;
    };
}

/// Declares an enum of JSON words. The first variant is the default (and
/// "empty"). Words after `|` are read as the same variant but never written.
/// `null` and other words are refused with `$bad`.
macro_rules! json_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident($bad:literal $(, $fold:ident)?) {
            $(#[$dmeta:meta])* $default:ident = $dword:literal $(| $dalias:literal)*,
            $($(#[$vmeta:meta])* $variant:ident = $word:literal $(| $alias:literal)*,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[$dmeta])* #[default] $default,
            $($(#[$vmeta])* $variant,)*
        }

        impl $name {
            /// The word in documents.
            pub fn as_str(self) -> &'static str {
                match self {
                    $name::$default => $dword,
                    $($name::$variant => $word,)*
                }
            }
        }

        impl $crate::json::JsonRead for $name {
            fn read(
                &mut self,
                r: &mut $crate::json::Reader<'_>,
            ) -> Result<(), $crate::json::JsonError> {
                let text = String::from_utf8_lossy(r.raw()?).into_owned();
                let word = text
                    .strip_prefix('"')
                    .and_then(|t| t.strip_suffix('"'))
                    .unwrap_or("\0");
                $(let word = word.$fold(); let word = word.as_str();)?
                *self = match word {
                    $dword $(| $dalias)* => $name::$default,
                    $($word $(| $alias)* => $name::$variant,)*
                    _ => return Err($crate::json::enum_error($bad, &text)),
                };
                Ok(())
            }

            fn go_type() -> String {
                concat!("server.", stringify!($name)).into()
            }
        }

        impl $crate::json::JsonEmpty for $name {
            fn is_empty(&self) -> bool {
                *self == $name::default()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
    };
}

pub(crate) use {json_enum, json_struct};
