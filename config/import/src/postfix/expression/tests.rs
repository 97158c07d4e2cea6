//! Expressions in pieces, and those that are refused.

use super::{form::TOO_LARGE, *};

/// Patterns of the alternatives, with the template of a result.
fn told(expression: &str, result: &str) -> String {
    let forms = match forms(expression) {
        Ok(forms) => forms,
        Err(why) => return why.to_owned(),
    };
    let pair = |form: &Form| {
        let (pattern, template) = (form.pattern(), form.template(result));
        format!("{} => {}", pattern.unwrap_or_else(Into::into), template.unwrap_or_else(Into::into))
    };
    forms.iter().map(pair).collect::<Vec<_>>().join("; ")
}

#[test]
fn expressions_become_patterns_or_are_refused() {
    let rows = [
        (r"^Joe\.x@a\.test$", "$$5 a", "joe.x@a.test => $$5$ a"),
        ("@a\\.test$", "b@c", "$@*@a.test => b@c"),
        ("^(.*)@a\\.test$", "$1@b.test", "*@a.test => $0@b.test"),
        ("^(.+)-(x|y)@a$", "${2}.$(1)@b", "%*-x@a => x.$0$1@b; %*-y@a => y.$0$1@b"),
        (
            "^([^@]+)@(.*\\.)?a$",
            "$1@$2b",
            "$[^@]%$[^@]*@*.a => $0$1@$2.b; $[^@]%$[^@]*@a => $0$1@b",
        ),
        ("^[a-c0-2_.-]{2}\\d*", "x", "$[--.0-2_a-c]%$[--.0-2_a-c]%$[0-9]*$@* => x"),
        ("^a{1,2}%$", "x", "aa$% => x; a$% => x"),
        ("", "x", "$@* => x"),
        ("^[[:alpha:]]z*$", "x", "$[a-z]%$[z]* => x"),
        ("^(?:ab)+$", "x", "it repeats more than one character"),
        ("(ab)*", "x", "it repeats a group"),
        ("(?=a)", "x", "it looks ahead, looks behind, or has options within"),
        ("(a)\\1", "x", "it has a back reference"),
        ("a.*?b", "x", "it repeats lazily, or keeps what it has"),
        ("\\bx", "x", "it has an escape that no pattern here has"),
        ("a^b", "x", "`^` or `$` stands within it"),
        ("(^a|b)$", "x", "a => x; $@*b => x"),
        ("(a", "x", "its brackets do not match"),
        ("a)", "x", "its brackets do not match"),
        ("*a", "x", "a sign that repeats has nothing before it"),
        ("gr\u{fc}n", "x", "it has characters beyond ASCII"),
        ("^a$", "$1", "a => its result names a group that is not there"),
        ("a{99}", "x", "it counts further than is followed here"),
        ("(a|b|c|d|e)(a|b|c|d|e)(a|b|c|d|e)", "x", TOO_LARGE),
    ];
    for (expression, result, want) in rows {
        assert_eq!(told(expression, result), want, "{expression}");
    }
    assert_eq!(told(&"(".repeat(60_000), "x"), TOO_LARGE);
}

#[test]
fn a_form_fits_what_the_expression_matches() {
    for (expression, text, want) in [
        ("^(.*)@a\\.test$", "x@a.test", true),
        ("^(.*)@a\\.test$", "x@b.a.test", false),
        ("@(.*\\.)?a\\.test$", "x@b.a.test", true),
        ("^[^@]+-x@", "y-x@z", true),
        ("^[^@]+-x@", "-x@z", false),
        ("\\d{2}", "a12b", true),
        ("^\\w+$", "a-b", false),
    ] {
        let fits = forms(expression).unwrap().iter().any(|form| form.fits(text));
        assert_eq!(fits, want, "{expression} {text}");
    }
}
