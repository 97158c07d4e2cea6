//! Commands: RFC 5228 3 and 4, and those of the extensions.

use super::{
    arguments::{Arguments, bare},
    conditions::test,
    context::Context,
    matches::{keys, matcher},
    shapes::{ADD, COPY, CREATE, DELETE, FLAGS, MATCH, MODIFIERS, VACATION},
};
use crate::{
    address,
    capability::{Capabilities, Capability},
    limits::Limits,
    mistake::{Mistake, MistakeKind},
    program::{Command, DeleteHeader, FileInto, FlagChange, Modifier, Step, Test, Vacation},
    syntax::Node,
    text::Text,
    verdict::RefusalKind,
};

/// Compiles a script; tells mistakes beside those that are known already.
pub(crate) fn compile(nodes: Vec<Node<'_>>, mistakes: Vec<Mistake>, limits: &Limits) -> Compiled {
    let mut context = Context::new(limits, mistakes);
    let mut nodes = nodes.into_iter().peekable();
    while let Some(mut node) = nodes.next_if(|node| node.name == "require") {
        require(&mut node, &mut context);
    }
    let steps = block(nodes.collect(), &mut context);
    Compiled {
        steps,
        capabilities: context.capabilities,
        variables: context.variables.len(),
        uses_body: context.uses_body,
        mistakes: context.mistakes,
    }
}

/// The outcome of a compilation.
pub(crate) struct Compiled {
    pub(crate) steps: Box<[Step]>,
    pub(crate) capabilities: Capabilities,
    pub(crate) variables: usize,
    pub(crate) uses_body: bool,
    pub(crate) mistakes: Vec<Mistake>,
}

fn require(node: &mut Node<'_>, context: &mut Context<'_>) {
    bare(node, false, false, context);
    let mut arguments = Arguments::of(node, &[], context);
    let names = arguments.strings("a capability or a list of them", context);
    arguments.finish(context);
    for (place, name) in names.into_iter().flat_map(|names| names.all) {
        match Capability::named(&name) {
            Some(capability) => context.capabilities.add(capability),
            None => context.tell(place, MistakeKind::UnknownCapability(name.into_owned())),
        }
    }
}

fn block(nodes: Vec<Node<'_>>, context: &mut Context<'_>) -> Box<[Step]> {
    let mut steps = Vec::with_capacity(nodes.len());
    // Branches of the `if` right before, with which an `else` goes.
    let mut open: Option<(u32, Branches)> = None;
    for mut node in nodes {
        let line = node.place.line;
        match &*node.name {
            "if" => {
                close(&mut open, &mut steps);
                open = Some((line, Branches::default()));
                branch(node, &mut open, context);
            }
            "elsif" => branch(node, &mut open, context),
            "else" => {
                branch(node, &mut open, context);
                close(&mut open, &mut steps);
            }
            _ => {
                close(&mut open, &mut steps);
                steps.extend(command(&mut node, context).map(|command| Step { line, command }));
            }
        }
    }
    close(&mut open, &mut steps);
    steps.into_boxed_slice()
}

#[derive(Default)]
struct Branches {
    tested: Vec<(Test, Box<[Step]>)>,
    otherwise: Box<[Step]>,
}

fn close(open: &mut Option<(u32, Branches)>, steps: &mut Vec<Step>) {
    if let Some((line, Branches { tested, otherwise })) = open.take() {
        let command = Command::If { branches: tested.into_boxed_slice(), otherwise };
        steps.push(Step { line, command });
    }
}

fn branch(mut node: Node<'_>, open: &mut Option<(u32, Branches)>, context: &mut Context<'_>) {
    let (place, name) = (node.place, node.name.clone());
    let is_else = name == "else";
    Arguments::of(&mut node, &[], context).finish(context);
    bare(&node, true, !is_else, context);
    if open.is_none() {
        context.tell(place, MistakeKind::NoIf(name.to_string()));
    }
    let mut tests = std::mem::take(&mut node.tests);
    let condition = if is_else {
        None
    } else if tests.len() == 1 && !node.has_test_list {
        tests.pop().and_then(|it| test(it, context))
    } else {
        context.tell(place, MistakeKind::Missing { of: name.to_string(), what: "one test" });
        None
    };
    let Some(inner) = node.block else {
        context.tell(place, MistakeKind::Missing { of: name.into_owned(), what: "a block" });
        return;
    };
    let inner = block(inner, context);
    let Some((_, branches)) = open else { return };
    match condition {
        Some(condition) => branches.tested.push((condition, inner)),
        None => branches.otherwise = inner,
    }
}

/// Compiles a command. `None`: it is a mistake, which is told.
fn command(node: &mut Node<'_>, context: &mut Context<'_>) -> Option<Command> {
    let before = context.mistakes.len();
    let compiled = plain_command(node, context);
    if context.is_uncertain && context.mistakes.len() > before {
        context.mistakes.truncate(before);
        return Some(Command::Absent(node.name.clone().into()));
    }
    compiled
}

fn plain_command(node: &mut Node<'_>, context: &mut Context<'_>) -> Option<Command> {
    let name = node.name.clone();
    if name == "require" {
        context.tell(node.place, MistakeKind::LateRequire);
        return None;
    }
    bare(node, false, false, context);
    if let Some(capability) = capability(&name) {
        context.needs(node.place, format_args!("{name:?}"), capability);
    }
    let tags: &[_] = match &*name {
        "keep" => &[FLAGS],
        "fileinto" => &[FLAGS, COPY, CREATE],
        "redirect" => &[COPY],
        "vacation" => &[VACATION],
        "set" => &[MODIFIERS],
        "addheader" => &[ADD],
        "deleteheader" => &[DELETE, MATCH],
        _ => &[],
    };
    let mut arguments = Arguments::of(node, tags, context);
    let compiled = match &*name {
        "stop" => Some(Command::Stop),
        "discard" => Some(Command::Discard),
        "keep" => Some(Command::Keep { flags: arguments.tagged_texts("flags", context) }),
        "fileinto" => file_into(&mut arguments, context),
        "redirect" => redirect(&mut arguments, context),
        "reject" | "ereject" => {
            let kind = if name == "reject" { RefusalKind::Reject } else { RefusalKind::Ereject };
            arguments.text("a reason", context).map(|reason| Command::Reject { kind, reason })
        }
        "vacation" => vacation(&mut arguments, context),
        "set" => set(&mut arguments, context),
        "setflag" => flags(FlagChange::Set, &mut arguments, context),
        "addflag" => flags(FlagChange::Add, &mut arguments, context),
        "removeflag" => flags(FlagChange::Remove, &mut arguments, context),
        "addheader" => add_header(&mut arguments, context),
        "deleteheader" => delete_header(&mut arguments, context),
        "error" => arguments.text("a message", context).map(Command::Error),
        _ => {
            context.tell(node.place, MistakeKind::UnknownCommand(name.into_owned()));
            return None;
        }
    };
    if compiled.is_some() {
        arguments.finish(context);
    }
    compiled
}

fn capability(command: &str) -> Option<Capability> {
    Some(match command {
        "fileinto" => Capability::FileInto,
        "reject" => Capability::Reject,
        "ereject" => Capability::Ereject,
        "vacation" => Capability::Vacation,
        "set" => Capability::Variables,
        "setflag" | "addflag" | "removeflag" => Capability::Flags,
        "addheader" | "deleteheader" => Capability::EditHeader,
        "error" => Capability::Ihave,
        _ => return None,
    })
}

fn file_into(arguments: &mut Arguments<'_>, context: &mut Context<'_>) -> Option<Command> {
    let flags = arguments.tagged_texts("flags", context);
    let (is_copy, create) = (arguments.has("copy"), arguments.has("create"));
    let folder = arguments.text("a folder", context)?;
    Some(Command::FileInto(Box::new(FileInto { folder, is_copy, create, flags })))
}

fn redirect(arguments: &mut Arguments<'_>, context: &mut Context<'_>) -> Option<Command> {
    let is_copy = arguments.has("copy");
    let (place, address) = arguments.string("an address", context)?;
    let to = context.text(place, address);
    if let Some(address) = to.fixed().filter(|it| address::only_address(it).is_none()) {
        let value = address.to_owned();
        context.tell(place, MistakeKind::Value { value, what: "address with a domain" });
    }
    Some(Command::Redirect { to, is_copy })
}

/// Seconds of a day; an interval is from one day to 31 (RFC 5230 4.1 leaves the bounds to us).
const DAY: u64 = 86_400;

fn vacation(arguments: &mut Arguments<'_>, context: &mut Context<'_>) -> Option<Command> {
    let days = arguments.tagged_number("days");
    let seconds = arguments.tagged_number("seconds");
    let seconds = match (seconds, days) {
        (Some(seconds), _) => seconds.min(31 * DAY),
        (None, days) => days.unwrap_or(7).clamp(1, 31) * DAY,
    };
    let place = arguments.place;
    let from = arguments.tagged_text("from", context);
    if let Some(address) = from.as_ref().and_then(Text::fixed)
        && address::only_address(address).is_none()
    {
        let value = address.to_owned();
        context.tell(place, MistakeKind::Value { value, what: "address with a domain" });
    }
    let subject = arguments.tagged_text("subject", context);
    let addresses = arguments.tagged_texts("addresses", context).unwrap_or_default();
    let handle = arguments.tagged_text("handle", context);
    let is_mime = arguments.has("mime");
    let reason = arguments.text("a reason", context)?;
    let vacation = Vacation { reason, seconds, subject, from, addresses, is_mime, handle };
    Some(Command::Vacation(Box::new(vacation)))
}

fn set(arguments: &mut Arguments<'_>, context: &mut Context<'_>) -> Option<Command> {
    let all = [
        ("lower", Modifier::Lower),
        ("upper", Modifier::Upper),
        ("lowerfirst", Modifier::LowerFirst),
        ("upperfirst", Modifier::UpperFirst),
        ("quotewildcard", Modifier::QuoteWildcard),
        ("quoteregex", Modifier::QuoteRegex),
        ("length", Modifier::Length),
    ];
    let given = all.iter().filter(|(name, _)| arguments.has(name));
    let modifiers = given.map(|(_, modifier)| *modifier).collect();
    let (place, name) = arguments.string("the name of a variable", context)?;
    let value = arguments.text("a value", context)?;
    let variable = context.variable(place, &name)?;
    Some(Command::Set { variable, value, modifiers })
}

fn flags(
    change: FlagChange,
    arguments: &mut Arguments<'_>,
    context: &mut Context<'_>,
) -> Option<Command> {
    let variable = if arguments.left() > 1 {
        context.needs(arguments.place, format_args!("a named variable"), Capability::Variables);
        let (place, name) = arguments.string("the name of a variable", context)?;
        Some(context.variable(place, &name)?)
    } else {
        None
    };
    let flags = arguments.texts("a flag or a list of flags", context)?;
    Some(Command::Flags { change, variable, flags })
}

fn field_name(arguments: &mut Arguments<'_>, context: &mut Context<'_>) -> Option<Text> {
    let (place, name) = arguments.string("the name of a header field", context)?;
    let name = context.text(place, name);
    if let Some(fixed) = name.fixed().filter(|it| !address::is_field_name(it)) {
        let value = fixed.to_owned();
        context.tell(place, MistakeKind::Value { value, what: "name of a header field" });
    }
    Some(name)
}

fn add_header(arguments: &mut Arguments<'_>, context: &mut Context<'_>) -> Option<Command> {
    let is_last = arguments.has("last");
    let name = field_name(arguments, context)?;
    let value = arguments.text("a value", context)?;
    Some(Command::AddHeader { name, value, is_last })
}

fn delete_header(arguments: &mut Arguments<'_>, context: &mut Context<'_>) -> Option<Command> {
    let index = arguments.index(context);
    let matcher = matcher(arguments, context);
    let name = field_name(arguments, context)?;
    let values = if arguments.left() > 0 {
        let strings = arguments.strings("a value or a list of values", context)?;
        Some(keys(matcher, strings, context))
    } else {
        None
    };
    Some(Command::DeleteHeader(Box::new(DeleteHeader { name, index, values })))
}
