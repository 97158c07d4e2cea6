//! Visitors of the page, and whether orders are taken from there. Every form carries a token of its session,
//! which no other site can read.

use maud::{Markup, html};

use super::sessions::is_same;
use crate::admin::guard::Giver;

/// A visitor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::admin) enum Visitor {
    /// May give orders.
    Operator(Pass),
    /// May log in.
    Stranger,
    /// May look.
    Reader,
    /// Was not asked: something went wrong.
    Unknown,
}

/// The proof that somebody may give orders.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::admin) struct Pass {
    /// By whom the orders are.
    pub(super) giver: Giver,
    /// In a few words: `uid 1000`, `token from 192.0.2.1`.
    pub(super) who: String,
    /// The token of the forms.
    pub(super) form_token: String,
    /// By a session, which can be ended.
    pub(super) has_session: bool,
}

impl Pass {
    /// Whether a form is one that this operator was shown.
    pub(super) fn has_sent(&self, shown: Option<&str>) -> bool {
        shown.is_some_and(|shown| is_same(&self.form_token, shown))
    }

    /// The field by which its forms are known.
    pub(super) fn field(&self) -> Markup {
        html! { input type="hidden" name=(FIELD) value=(self.form_token); }
    }
}

impl Visitor {
    /// Whether orders are taken.
    pub(in crate::admin) fn is_operator(&self) -> bool {
        self.operator().is_some()
    }

    /// The proof that orders are taken, if they are.
    pub(super) fn operator(&self) -> Option<&Pass> {
        match self {
            Self::Operator(operator) => Some(operator),
            _ => None,
        }
    }

    /// In the head of each view.
    pub(super) fn badge(&self) -> Markup {
        html! {
            @match self {
                Self::Operator(operator) => {
                    span .who title="Orders are taken from you" { (operator.who) }
                    @if operator.has_session {
                        form method="post" action="/logout" {
                            (operator.field())
                            button { "Log out" }
                        }
                    }
                }
                Self::Stranger => a href="/login" { "Log in" },
                Self::Reader => a href="/login" title="How to give orders" { "Reading only" },
                Self::Unknown => "",
            }
        }
    }
}

/// The field of forms.
pub(super) const FIELD: &str = "form_token";
