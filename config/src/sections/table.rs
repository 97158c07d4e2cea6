//! The notation of the file: `section!` for a section with its settings, `choice!` for a value that
//! is one of several names. Whatever is known of a setting stands in its row, and nowhere else.

/// A section of the file. From a table come the struct, its defaults, what is read and printed, what
/// `relais check` says is not there yet, what `relais set` takes, and the reference page.
///
/// A row is `name: Type = default, kind, facts;`. The facts are those of [`Setting`]. Three fields
/// are no settings: without a kind it is filled in by whoever makes the section, `=> flat` holds
/// settings that stand among those of this section, and `=> above` holds settings that stand in the
/// file only, as defaults for a list beside them. A kind may look at the fields before it when the
/// struct has a name, `as its`.
///
/// [`Setting`]: crate::file::setting::Setting
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident { $($rows:tt)* }
    ) => {
        section! {
            $(#[doc = $about])*
            pub struct $name as its { $($rows)* }
        }
    };
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident as $its:ident {
            $(
                $(#[doc = $doc:literal])*
                $field:ident: $type:ty = $default:expr
                $(=> $merged:ident)?
                $(, $kind:expr $(, $fact:ident $(($($argument:tt)*))?)*)?;
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::struct_excessive_bools, reason = "each flag is a setting of its own")]
        pub struct $name {
            $(
                $(#[doc = $doc])*
                $(
                    #[doc = ""]
                    #[doc = concat!(
                        "`", stringify!($kind), "`, by default `", stringify!($default), "`."
                    )]
                )?
                pub $field: $type,
            )*
        }

        impl crate::file::form::Section for $name {
            const ABOUT: &'static str = concat!($($about, "\n"),*);

            fn blank() -> Self {
                Self { $($field: $default),* }
            }

            fn fields(&mut self, form: &mut impl crate::file::form::Form) {
                $({
                    #[allow(dead_code, reason = "a field that is no setting has none")]
                    const MEANING: &str = concat!($($doc, "\n"),*);
                    $(section!(@$merged form, self.$field);)?
                    $(
                        let kind = {
                            let $its = &*self;
                            let _ = $its;
                            $kind
                        };
                        let setting = const {
                            &crate::file::setting::Setting::new(stringify!($field), MEANING)
                                $(.$fact($($($argument)*)?))*
                        };
                        form.field(setting, kind, &mut self.$field);
                    )?
                })*
            }
        }
    };
    (@flat $form:ident, $section:expr) => {
        crate::file::form::Section::fields(&mut $section, $form)
    };
    (@above $form:ident, $section:expr) => {
        $form.read_only(&mut $section)
    };
}

/// A value that is one of several names, each with what it means.
macro_rules! choice {
    (
        $(#[doc = $about:literal])*
        pub enum $name:ident $(= $default:ident)? {
            $($(#[doc = $doc:literal])* $variant:ident,)*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum $name {
            $($(#[doc = $doc])* $variant,)*
        }

        $(
            impl Default for $name {
                fn default() -> Self {
                    Self::$default
                }
            }
        )?

        impl crate::file::kinds::Choices for $name {
            const NAMES: &'static [(&'static str, Self, &'static str)] =
                &[$((stringify!($variant), Self::$variant, concat!($($doc, "\n"),*))),*];
        }
    };
}
