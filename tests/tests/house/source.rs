//! Sources as they are parsed: the files of a crate, their modules, and what each names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Arm, Attribute, Expr, ExprCall, ExprIf, ExprPath, ExprStruct, File, Ident, Item, ItemImpl,
    ItemMod, ItemUse, Macro, UseTree, Variant, Visibility,
    visit::{self, Visit},
};

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Crate {
    /// Its folder, below the top of the repository: `actors/spool`.
    pub(crate) folder: String,
    /// Its manifest.
    pub(crate) manifest: String,
    /// Its files, those of its tests included; by their path below the top of the repository.
    pub(crate) files: BTreeMap<String, SourceFile>,
    /// Where its modules lie, by their path from the root of the crate.
    pub(crate) modules: BTreeMap<Vec<String>, String>,
}

/// One file.
#[derive(Debug, Default)]
pub(crate) struct SourceFile {
    /// As it stands.
    pub(crate) text: String,
    /// Compiled for tests only.
    pub(crate) is_test: bool,
    /// From the root of the crate; empty for `lib.rs` and `main.rs`.
    pub(crate) module: Vec<String>,
    /// Names that it lets others use as its own, and where they come from.
    pub(crate) reexports: BTreeMap<String, Vec<String>>,
    /// Paths of modules whose every name it lets others use.
    pub(crate) globs: Vec<Vec<String>>,
    /// Types, traits and aliases that it defines.
    pub(crate) types: Vec<String>,
    /// Paths in this crate that it names outside tests, from the root.
    pub(crate) paths: Vec<Vec<String>>,
    /// Paths in this crate that its tests name, from the root.
    pub(crate) test_paths: Vec<Vec<String>>,
    /// Values that it makes outside tests: the names of structs, variants and functions.
    pub(crate) values: Vec<String>,
    /// `impl Trait<Argument> for Type`: the last name of each.
    pub(crate) impls: Vec<(String, String, String)>,
    /// Names of public functions, methods included.
    pub(crate) functions: Vec<String>,
    /// Every identifier outside tests, as often as it stands there.
    pub(crate) idents: BTreeMap<String, usize>,
    /// Every identifier.
    pub(crate) all_idents: BTreeMap<String, usize>,
}

/// A file that is there, before it is parsed.
struct Found {
    path: String,
    text: String,
    module: Vec<String>,
    is_test: bool,
}

/// The crates of the workspace at `top`.
pub(crate) fn workspace(top: &Path) -> Vec<Crate> {
    let manifest = fs::read_to_string(top.join("Cargo.toml")).expect("the workspace is there");
    let members = manifest.lines().find(|line| line.starts_with("members")).unwrap_or_default();
    members.split('"').skip(1).step_by(2).map(|folder| Crate::read(top, folder)).collect()
}

impl Crate {
    /// Reads the crate in `folder`.
    pub(crate) fn read(top: &Path, folder: &str) -> Self {
        let manifest = fs::read_to_string(top.join(folder).join("Cargo.toml")).unwrap_or_default();
        let mut read = Self::empty(folder, manifest);
        for root in ["src/lib.rs", "src/main.rs"] {
            let root = format!("{folder}/{root}");
            if let Ok(text) = fs::read_to_string(top.join(&root)) {
                let found = Found { path: root, text, module: Vec::new(), is_test: false };
                read.add(found, &|path| fs::read_to_string(top.join(path)).ok());
            }
        }
        read.add_folder(top, Path::new(folder));
        read
    }

    /// Made of these texts, for tests of the checks: paths below `made/src` and what stands there.
    pub(crate) fn made_of(texts: &[(&str, &str)]) -> Self {
        let text = |path: &str| {
            let found = texts.iter().find(|(name, _)| format!("made/src/{name}") == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        let mut made = Self::empty("made", String::new());
        let root = "made/src/lib.rs".to_owned();
        let lib = text(&root).expect("there is a lib.rs");
        made.add(Found { path: root, text: lib, module: Vec::new(), is_test: false }, &text);
        made
    }

    /// The same with this manifest.
    #[must_use]
    pub(crate) fn with_manifest(mut self, manifest: &str) -> Self {
        manifest.clone_into(&mut self.manifest);
        self
    }

    /// Its files outside tests.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&String, &SourceFile)> {
        self.files.iter().filter(|(_, file)| !file.is_test)
    }

    /// The documentation at its head, without the marks.
    pub(crate) fn head(&self) -> String {
        let root = self.files.get(&format!("{}/src/lib.rs", self.folder));
        let lines = root.iter().flat_map(|file| file.text.lines());
        let doc = lines.map_while(|line| line.strip_prefix("//!"));
        doc.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    }

    fn empty(folder: &str, manifest: String) -> Self {
        let (files, modules) = (BTreeMap::new(), BTreeMap::new());
        Self { folder: folder.to_owned(), manifest, files, modules }
    }

    /// Adds files that no module declares: tests, benchmarks, programs that measure.
    fn add_folder(&mut self, top: &Path, folder: &Path) {
        let mut entries: Vec<PathBuf> = fs::read_dir(top.join(folder))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        entries.sort();
        for path in entries {
            let below = path.strip_prefix(top).unwrap_or(&path).to_owned();
            if path.is_dir() {
                // A crate inside has its own turn.
                let is_built = path.file_name().is_some_and(|name| name == "target");
                if !is_built && !path.join("Cargo.toml").exists() {
                    self.add_folder(top, &below);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !self.files.contains_key(&*below.to_string_lossy())
            {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let path = below.display().to_string();
                self.add(Found { path, text, module: Vec::new(), is_test: true }, &|_| None);
            }
        }
    }

    fn add(&mut self, found: Found, read: &dyn Fn(&str) -> Option<String>) {
        let Found { path, text, module, is_test } = found;
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut reader = Reader::new(module, is_test, child_names(&parsed));
        reader.visit_file(&parsed);
        let Reader { mut file, children, .. } = reader;
        file.text = text;
        let folder = folder_of(&path, &file.module);
        let module = file.module.clone();
        if !is_test {
            // `main.rs` comes behind `lib.rs`, and sees it as another crate.
            self.modules.entry(module.clone()).or_insert_with(|| path.clone());
        }
        self.files.insert(path, file);
        for (name, only_tests) in children {
            let places = [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")];
            let found = places.into_iter().find_map(|place| Some((read(&place)?, place)));
            if let Some((text, place)) = found {
                let module = module.iter().cloned().chain([name]).collect();
                let is_test = is_test || only_tests;
                self.add(Found { path: place, text, module, is_test }, read);
            }
        }
    }
}

/// Where the modules of a file lie.
fn folder_of(path: &str, module: &[String]) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "mod.rs" => folder.to_owned(),
        _ if module.is_empty() => folder.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    }
}

fn child_names(file: &File) -> Vec<String> {
    let modules = file.items.iter().filter_map(|item| match item {
        Item::Mod(module) => Some(module.ident.to_string()),
        _ => None,
    });
    modules.collect()
}

struct Reader {
    file: SourceFile,
    /// Modules in files of their own, and whether they are for tests only.
    children: Vec<(String, bool)>,
    /// Names of all modules right below.
    below: Vec<String>,
    /// The module that is read: deeper than the file's inside `mod name { .. }`.
    here: Vec<String>,
    in_tests: bool,
}

impl Reader {
    fn new(module: Vec<String>, is_test: bool, below: Vec<String>) -> Self {
        let here = module.clone();
        let file = SourceFile { is_test, module, ..SourceFile::default() };
        Self { file, children: Vec::new(), below, here, in_tests: is_test }
    }

    /// Reads what stands under `attributes`.
    fn under(&mut self, attributes: &[Attribute], read: impl FnOnce(&mut Self)) {
        let was = self.in_tests;
        self.in_tests |= attributes.iter().any(is_for_tests);
        read(self);
        self.in_tests = was;
    }

    fn path(&mut self, segments: &[String]) {
        let Some(path) = self.rooted(segments) else { return };
        if self.in_tests {
            self.file.test_paths.push(path);
        } else {
            self.file.paths.push(path);
        }
    }

    /// `None`: it leads out of the crate, or to something that is in scope.
    fn rooted(&self, segments: &[String]) -> Option<Vec<String>> {
        let first = segments.first()?;
        let (mut path, mut rest) = match first.as_str() {
            "crate" => (Vec::new(), &segments[1..]),
            "self" if segments.len() > 1 => (self.here.clone(), &segments[1..]),
            "super" => (self.here.clone(), segments),
            name if self.below.iter().any(|below| below == name) && segments.len() > 1 => {
                (self.file.module.clone(), segments)
            }
            _ => return None,
        };
        while let [head, tail @ ..] = rest
            && head == "super"
        {
            path.pop();
            rest = tail;
        }
        path.extend(rest.iter().cloned());
        Some(path)
    }

    fn used(&mut self, tree: &UseTree, before: &[String], is_reexport: bool) {
        let with = |ident: &Ident| [before, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.used(&path.tree, &with(&path.ident), is_reexport),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.used(tree, before, is_reexport));
            }
            UseTree::Name(name) if name.ident == "self" => {
                let last = before.last().cloned().unwrap_or_default();
                self.imported(before, last, is_reexport);
            }
            UseTree::Name(name) => {
                self.imported(&with(&name.ident), name.ident.to_string(), is_reexport);
            }
            UseTree::Rename(rename) => {
                self.imported(&with(&rename.ident), rename.rename.to_string(), is_reexport);
            }
            UseTree::Glob(_) if is_reexport && !self.in_tests => {
                self.file.globs.extend(self.rooted(before));
            }
            UseTree::Glob(_) => self.path(before),
        }
    }

    fn imported(&mut self, path: &[String], name: String, is_reexport: bool) {
        if !is_reexport {
            self.path(path);
        }
        // Modules below see through a private one, too.
        if let (false, Some(path)) = (self.in_tests, self.rooted(path)) {
            self.file.reexports.insert(name, path);
        }
    }

    fn type_named(&mut self, ident: &Ident) {
        if !self.in_tests {
            self.file.types.push(ident.to_string());
        }
    }

    fn value(&mut self, path: &syn::Path) {
        if !self.in_tests {
            self.file.values.extend(path.segments.iter().map(|part| part.ident.to_string()));
        }
    }

    fn tokens(&mut self, tokens: &TokenStream) {
        let mut chain: Vec<String> = Vec::new();
        for token in tokens.clone() {
            match token {
                TokenTree::Ident(ident) => {
                    self.visit_ident(&ident);
                    if !self.in_tests {
                        self.file.values.push(ident.to_string());
                    }
                    chain.push(ident.to_string());
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => continue,
                TokenTree::Group(group) => self.tokens(&group.stream()),
                _ => {}
            }
            let path = std::mem::take(&mut chain);
            self.path(&path);
        }
        self.path(&chain);
    }

    fn public_function(&mut self, visibility: &Visibility, name: &Ident) {
        if matches!(visibility, Visibility::Public(_)) && !self.in_tests {
            self.file.functions.push(name.to_string());
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        self.under(attributes(item), |reader| {
            match item {
                Item::Struct(item) => reader.type_named(&item.ident),
                Item::Enum(item) => reader.type_named(&item.ident),
                Item::Trait(item) => reader.type_named(&item.ident),
                Item::Type(item) => reader.type_named(&item.ident),
                Item::Fn(item) => reader.public_function(&item.vis, &item.sig.ident),
                _ => {}
            }
            visit::visit_item(reader, item);
        });
    }

    fn visit_variant(&mut self, variant: &'ast Variant) {
        self.under(&variant.attrs, |reader| visit::visit_variant(reader, variant));
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        self.under(&arm.attrs, |reader| visit::visit_arm(reader, arm));
    }

    fn visit_expr_if(&mut self, branch: &'ast ExprIf) {
        self.under(&branch.attrs, |reader| visit::visit_expr_if(reader, branch));
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let name = module.ident.to_string();
        if module.content.is_none() {
            return self.children.push((name, self.in_tests));
        }
        self.here.push(name);
        visit::visit_item_mod(self, module);
        self.here.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_reexport = !matches!(item.vis, Visibility::Inherited);
        self.used(&item.tree, &[], is_reexport);
        visit::visit_item_use(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let name = |path: &syn::Path| path.segments.last().map(|last| last.ident.to_string());
        if let (Some((_, of, _)), syn::Type::Path(to), false) =
            (&item.trait_, &*item.self_ty, self.in_tests)
        {
            let argument = of.segments.last().map(|last| match &last.arguments {
                syn::PathArguments::AngleBracketed(bracketed) => {
                    bracketed.args.iter().find_map(|argument| match argument {
                        syn::GenericArgument::Type(syn::Type::Path(path)) => name(&path.path),
                        _ => None,
                    })
                }
                _ => None,
            });
            let (of, to) = (name(of).unwrap_or_default(), name(&to.path).unwrap_or_default());
            self.file.impls.push((of, argument.flatten().unwrap_or_default(), to));
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.under(&item.attrs, |reader| {
            reader.public_function(&item.vis, &item.sig.ident);
            visit::visit_impl_item_fn(reader, item);
        });
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.path(&segments);
        visit::visit_path(self, path);
    }

    /// `pub(super)` says who may know, and knows nobody.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_expr_struct(&mut self, made: &'ast ExprStruct) {
        self.value(&made.path);
        visit::visit_expr_struct(self, made);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Expr::Path(path) = &*call.func {
            self.value(&path.path);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        self.value(&path.path);
        visit::visit_expr_path(self, path);
    }

    fn visit_macro(&mut self, of: &'ast Macro) {
        self.tokens(&of.tokens);
        visit::visit_macro(self, of);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(&list.tokens);
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_ident(&mut self, ident: &'ast Ident) {
        *self.file.all_idents.entry(ident.to_string()).or_default() += 1;
        if !self.in_tests {
            *self.file.idents.entry(ident.to_string()).or_default() += 1;
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// `#[test]`, or a `#[cfg(..)]` that holds in tests alone.
fn is_for_tests(attribute: &Attribute) -> bool {
    match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            condition == "test"
                || condition.starts_with("any (test")
                || condition.starts_with("all (test")
        }
        _ => false,
    }
}
